//! `kubectl podfence seccomp`, `render` and `completions`, through the built command. Starts processes,
//! reads and writes files.

// A test that panics has failed, and says where; tables are as long as they are.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used
)]

mod command;
mod compare;
mod completions;
mod explain;
mod render;
#[path = "../run/mod.rs"]
mod run;
mod samples;
