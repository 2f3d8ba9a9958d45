//! The API of `podfence.dev/v1alpha1` as types: one kind per file, with schemas, rules, conditions
//! and reasons. No I/O.
//!
//! [`PolicyProfile`] says what good looks like; [`NamespacePolicy`] says where, and how to get
//! there. [`NodeReport`] and [`SyscallRecord`] carry what was observed: of a node, and of the calls
//! that a workload makes. [`custom_resource_definitions`] is what the API server is given.

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
mod node_report;
mod policy_profile;
mod record;
mod rollout;
#[cfg(test)]
mod rules;
mod schema;
mod seccomp_status;
mod selector;
mod syscall_record;
mod words;

pub use condition::{ConditionType, Reason};
pub use duration::{GoDuration, ParseGoDurationError};
pub use level_version::LevelVersion;
pub use namespace_policy::{
    ConflictPolicy, DeletionPolicy, Exception, NamespacePolicy, NamespacePolicySpec, ProfileRef,
};
pub use namespace_policy_status::{
    NamespacePolicyStatus, NamespaceStatus, NodeCounts, Phase, SeccompDefaultStatus, Summary,
    Truncated, ViolatingWorkload,
};
pub use node_report::{
    AgentProblem, AppArmorFacts, Deviation, KernelFacts, KubeletFacts, MAX_DEVIATIONS,
    MAX_PROFILE_FILES, MAX_REPORT_WORKLOADS, NodeReport, NodeReportSpec, NodeReportStatus,
    ProfileFile, ProfileFiles, ProfileInForce, RuntimeFacts, Setting, SettingSource,
    SystemCallFacts, VerdictCounts,
};
pub use policy_profile::{
    Assessment, PodSecurity, PolicyProfile, PolicyProfileSpec, PolicyProfileStatus, SeccompDefault,
};
pub use record::{Dropped, Malformed, Step as RecordStep};
pub use rollout::{Loosening, Rollout, Strategy, WhileViolating};
pub use schema::custom_resource_definitions;
pub use seccomp_status::{MAX_WORKLOAD_CALLS, MAX_WORKLOAD_NODES, SeccompCall, SeccompWorkload};
pub use selector::{LabelRequirement, LabelSelector, Operator};
pub use syscall_record::{
    MAX_RECORD_ENTRIES, MAX_RECORDED_CALLS, MAX_RECORDED_DENIALS, MAX_RECORDED_SPANS, RecordEntry,
    RecordPhase, RecordSource, RecordedCall, RecordedDenial, RecordedSighting, RecordedSpan,
    RecordedStart, RecordedWorkload, SyscallRecord, SyscallRecordSpec,
};

/// The group of every kind.
pub const GROUP: &str = "podfence.dev";

/// `status.namespaces` keeps this many: enough to act on, and with [`MAX_WORST_WORKLOADS`] still
/// far below the 64 KiB that a status may have.
pub const MAX_STATUS_NAMESPACES: usize = 50;

/// `status.seccompDefault.workloads` keeps this many.
pub const MAX_STATUS_WORKLOADS: usize = 50;

/// `status.namespaces[].worst` keeps this many.
pub const MAX_WORST_WORKLOADS: usize = 5;
