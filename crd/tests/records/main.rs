//! From facts to records and back.

// A test that panics has failed, which is its job; clippy knows `#[test]` functions, but not what
// they call.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod facts;
mod limits;
mod malformed;
mod union;
