//! What a status says of workloads under SeccompDefault; policies and reports of nodes share it.
//! No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use podfence_seccomp::{Basis, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// A workload's `calls` keep this many.
pub const MAX_WORKLOAD_CALLS: usize = 8;

/// A workload's `failingOn` and `healthyOn` keep this many.
pub const MAX_WORKLOAD_NODES: usize = 3;

/// A workload and whether it would fail under RuntimeDefault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeccompWorkload {
    /// The workload's namespace.
    #[schemars(length(max = 63))]
    pub namespace: String,

    /// The kind of the workload, such as Deployment.
    #[schemars(length(max = 63))]
    pub kind: String,

    /// The workload's name.
    #[schemars(length(max = 253))]
    pub name: String,

    /// The container that the verdict is about: the worst one.
    #[schemars(length(max = 63))]
    pub container: String,

    /// Whether it would fail. Failing: it does, where SeccompDefault is on. Conflicting: it fails
    /// in one place and passes in another. WouldFail: it makes a call whose loss is known to be
    /// fatal. AtRisk: it makes a call that it would lose. Suspected: such software is known to fail.
    /// Unknown: there is not enough evidence.
    pub verdict: Verdict,

    /// What Failing, Conflicting and Passing rest on. Observed: denials were seen. Inferred: it
    /// fares worse than where SeccompDefault is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,

    /// The RuntimeDefault that the verdict speaks of, as in containerd/2.3.7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub profile: Option<String>,

    /// When the first of the facts was seen that the verdict rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,

    /// The calls that were denied, would be denied, or are suspected of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_WORKLOAD_CALLS), extend("x-kubernetes-list-type" = "atomic"))]
    pub calls: Vec<SeccompCall>,

    /// Which kinds of evidence the verdict rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(max = 32)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub evidence: Vec<String>,

    /// Nodes on which it fares badly under RuntimeDefault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = MAX_WORKLOAD_NODES),
        inner(length(max = 253)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub failing_on: Vec<String>,

    /// Nodes on which it fares well: for Failing without a profile, for Conflicting and Passing
    /// under RuntimeDefault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = MAX_WORKLOAD_NODES),
        inner(length(max = 253)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub healthy_on: Vec<String>,

    /// What helps with the least privilege, of what the namespace's Pod Security admits now and
    /// after the planned tightening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub fix: Option<String>,

    /// Why the verdict is no better, for Suspected and Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub doubt: Option<String>,
}

/// A call that a workload misses under RuntimeDefault, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeccompCall {
    /// The call's name.
    #[schemars(length(max = 64))]
    pub name: String,

    /// What the call is made for, as in CLONE_NEWUSER, where that decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub argument: Option<String>,

    /// The error that the profile answers; absent where it ends the thread instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub errno: Option<String>,

    /// How it is known. Denied: it was denied. Observed: it was made without a profile. Ambiguous: it
    /// was denied, perhaps by something else. Suspected: such software makes it.
    #[schemars(length(max = 32))]
    pub certainty: String,
}

/// Leaves out what cannot be read: after a downgrade a status may hold a verdict of a newer
/// release, and that must not make the object itself unreadable.
pub(crate) fn readable<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<SeccompWorkload>, D::Error> {
    let written = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(written
        .into_iter()
        .filter_map(|entry| serde_json::from_value(entry).ok())
        .collect())
}
