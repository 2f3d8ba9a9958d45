//! I/O in: watches report, and one synchronous index takes it in.

pub mod compiled;
pub mod ground;
pub mod health;
pub mod index;
pub mod source;
pub mod watch;
