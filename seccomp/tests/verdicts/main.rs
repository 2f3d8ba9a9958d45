//! From facts to verdicts and fixes, and the known breakages.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::panic)]

mod facts;
mod fixes;
mod keys;
mod properties;
mod signatures;
mod table;
