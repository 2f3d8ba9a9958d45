//! Observes the system calls of containers. Does I/O.

pub mod assumption;
pub mod clock;
pub mod kernel;
mod layout;
pub mod sight;
pub mod tables;
