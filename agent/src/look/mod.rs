//! Reads what the node says of itself. Does file I/O, and asks the kubelet.

pub mod apparmor;
pub mod bundles;
pub mod files;
pub mod kernel;
pub mod kubelet;
pub mod profiles;
