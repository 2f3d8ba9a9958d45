//! A real Kubernetes on this machine, and the means to tell stories against it. Does I/O.

pub mod lab;

mod eventually;

pub use eventually::eventually;
