//! The API of `podfence.dev/v1alpha1` as types: one kind per file, with schemas, rules, conditions
//! and reasons. No I/O.
//!
//! [`PolicyProfile`] says what good looks like; [`NamespacePolicy`] says where, and how to get
//! there. [`custom_resource_definitions`] is what the API server is given.

// `KubeSchema` repeats each type inside a function, where `pub` reaches nobody.
#![allow(unreachable_pub)]
// Two columns of one type are no mistake, although their attributes look alike.
#![allow(clippy::duplicated_attributes)]
// `kubectl explain` prints the doc comments of the kinds as they are, backticks and all.
#![allow(clippy::doc_markdown)]

mod condition;
mod duration;
mod level_version;
mod namespace_policy;
mod namespace_policy_status;
mod policy_profile;
mod rollout;
#[cfg(test)]
mod rules;
mod schema;
mod selector;
mod words;

pub use condition::{ConditionType, Reason};
pub use duration::{GoDuration, ParseGoDurationError};
pub use level_version::LevelVersion;
pub use namespace_policy::{
    ConflictPolicy, DeletionPolicy, Exception, NamespacePolicy, NamespacePolicySpec, ProfileRef,
};
pub use namespace_policy_status::{
    NamespacePolicyStatus, NamespaceStatus, Phase, Summary, Truncated, ViolatingWorkload,
};
pub use policy_profile::{PodSecurity, PolicyProfile, PolicyProfileSpec, PolicyProfileStatus};
pub use rollout::{Loosening, Rollout, Strategy, WhileViolating};
pub use schema::custom_resource_definitions;
pub use selector::{LabelRequirement, LabelSelector, Operator};

/// The group of every kind.
pub const GROUP: &str = "podfence.dev";

/// `status.namespaces` keeps this many: enough to act on, and with [`MAX_WORST_WORKLOADS`] still
/// far below the 64 KiB that a status may have.
pub const MAX_STATUS_NAMESPACES: usize = 50;

/// `status.namespaces[].worst` keeps this many.
pub const MAX_WORST_WORKLOADS: usize = 5;
