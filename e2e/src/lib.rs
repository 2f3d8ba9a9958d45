//! A real Kubernetes on this machine, and the means to tell stories against it. Does I/O.

pub mod bpf;
pub mod corpus;
pub mod fault_proxy;
pub mod filter_comparison;
pub mod harness;
pub mod lab;
pub mod oci_profile;
pub mod on_nodes;
pub mod oracle;
pub mod pods;
pub mod probe;
pub mod story;

mod eventually;
mod program;

pub use eventually::eventually;
pub use program::{build_program, build_static_program};
