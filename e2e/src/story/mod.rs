//! What stories are told with: Podfence installed in a lab, and words for what users do and see.
//! Does I/O.
//!
//! A [`Cluster`] is a lab with the shipped installation in it. The lab has no nodes, so the
//! operator runs as a process of this machine, but under its own service account's token and with
//! exactly the shipped roles. A [`Story`] owns namespaces, policies and profiles under its own
//! prefix in such a cluster, so that many are told at once:
//!
//! ```no_run
//! # async fn tell(story: &podfence_e2e::story::Story) -> anyhow::Result<()> {
//! # use serde_json::json;
//! story.namespace("shop").await?;
//! story.profile("pinned", json!({ "enforce": { "level": "restricted", "version": "v1.34" } })).await?;
//! story.policy("apps", "pinned", json!({ "rollout": { "strategy": "Immediate" } })).await?;
//! story.sees_labels("shop", "enforce=restricted:v1.34").await
//! # }
//! ```
//!
//! What the operator says of itself proves nothing. Every story ends with [`Story::end`], which
//! holds all that happened against oracles of others: the API server's audit log ([`writes`]) and
//! every version of every status that a watch saw, by the rules of the tools that read it
//! ([`kstatus`]).

#![allow(
    clippy::indexing_slicing,
    reason = "a JSON value gives null for what is not there"
)]

mod agents;
mod cluster;
mod extent;
mod history;
mod installation;
pub mod kstatus;
mod labels;
mod objects;
mod operator;
mod telling;
mod waiting;
pub mod writes;

pub use agents::{
    AGENT_NAME, AGENT_NAMESPACE, AGENT_USER, Agents, OBSERVER, agent_pod, build_agent,
};
pub use cluster::{Cluster, OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, OPERATOR_USER, Running};
pub use extent::everything_is_told;
pub use history::{History, Version};
pub use labels::pod_security_labels;
pub use objects::{Passes, deployment, pod, pod_spec};
pub use operator::{Operator, OperatorBuilder, build_operator};
pub use telling::{STORY_LABEL, Story};
pub use waiting::PATIENCE;
