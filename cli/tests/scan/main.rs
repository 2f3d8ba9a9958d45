//! `kubectl podfence scan`, through the built command. Starts processes, reads and writes files.

// A test that panics has failed, and says where.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod command;
mod hostile;
mod inputs;
mod report;
#[path = "../run/mod.rs"]
mod run;
