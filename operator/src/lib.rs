//! Watches the cluster, drives the planner, applies its plans and reports them. Does I/O.
//!
//! The way of the data: `observe` takes in what the API server says, `controller` plans and starts
//! writes, `apply` carries them, and what came of them goes back into `controller`. What is decided
//! is decided in `podfence_plan`, which has neither a client nor a clock.

pub mod apply;
pub mod args;
pub mod backoff;
pub mod call;
pub mod controller;
pub mod crd_state;
pub mod events;
pub mod fence;
pub mod lease;
pub mod metrics;
pub mod observe;
pub mod outcomes;
pub mod queue;
pub mod run;
pub mod version;
pub mod warnings;
