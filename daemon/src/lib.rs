//! What the operator and the agent share as programs that run until they are ended: how they begin,
//! log, end, are probed, find the cluster, and try again. Nothing here knows what they are for.

// What a test expects, it may say so.
#![cfg_attr(
    test,
    allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod backoff;
pub mod cluster;
pub mod failure;
pub mod process;
pub mod raw;
pub mod server;
