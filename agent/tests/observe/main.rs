//! From what the kernel saw to records: through the public door, with values in place of a kernel and
//! a closure in place of an API server.
// A test that panics has failed, which is its job; clippy knows `#[test]` functions, but not what
// they call.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod api;
mod book;
mod ledger;
mod publish;
mod task;
mod world;
