//! From facts to verdicts, and the known breakages.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::panic)]

mod facts;
mod keys;
mod properties;
mod signatures;
mod table;
