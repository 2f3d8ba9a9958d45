//! Looks at one node and keeps its `NodeReport`: what only the node knows. Does I/O.
//!
//! The way of the data: `watch` brings the node's own object, its pods and its report into
//! [`cluster`]; `look` reads files and asks the kubelet; what is pure ([`pod`], [`oci`],
//! [`inspect`], [`in_force`], [`setting`], [`deviation`], [`validity`], [`report`]) makes a specification of it,
//! and `write` applies that when it changed. One loop in `driver` does one after the other.
//!
//! What observes system calls lives beside `look`, in [`observe`], and writes other objects: it
//! shares the pods of [`cluster`] with what is here, and nothing else.

pub mod args;
pub mod backoff;
pub mod cluster;
pub mod deviation;
pub mod driver;
pub mod in_force;
pub mod inspect;
pub mod kubelet;
pub mod look;
pub mod looker;
pub mod observe;
pub mod oci;
pub mod pod;
pub mod problem;
pub mod report;
pub mod run;
pub mod setting;
pub mod validity;
pub mod watch;
pub mod write;
