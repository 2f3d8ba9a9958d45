//! Observes the system calls of containers. Does I/O.

pub mod sight;
