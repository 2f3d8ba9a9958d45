//! `kubectl podfence import`, run as a user would. Starts processes.

// A test that panics has failed, which is its job; clippy knows `#[test]` functions, but not what
// they call.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod audit_log;
mod command;
mod gadget;
mod spo;
mod target;

#[path = "../run/mod.rs"]
mod run;
