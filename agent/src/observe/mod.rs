//! Observes the system calls of containers. Does I/O.

pub mod clock;
pub mod kernel;
mod layout;
pub mod sight;
pub mod tables;
