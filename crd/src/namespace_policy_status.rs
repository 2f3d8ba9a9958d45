//! `status` of a `NamespacePolicy`: counts, conditions, the namespaces that need attention. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use podfence_podsecurity::CheckId;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::condition::{Reason, conditions_schema};
use crate::level_version::LevelVersion;
use crate::seccomp_status::{self, SeccompWorkload};
use crate::words::words;
use crate::{MAX_STATUS_NAMESPACES, MAX_STATUS_WORKLOADS, MAX_WORST_WORKLOADS};

/// What Podfence did and saw for the policy. Only Podfence writes it. Counts are complete; lists
/// are cut to the worst, and truncated says by how much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespacePolicyStatus {
    /// The metadata.generation that this status was computed from; -1 before the first time.
    #[schemars(range(min = -1))]
    pub observed_generation: i64,

    /// What there is to say about the policy as a whole: Ready, Enforced, PodSecurityCompliant,
    /// SeccompDefaultReady where it is assessed, ProfilesAvailable and ReportComplete, and
    /// Reconciling or Stalled where they are true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,

    /// Counts over all matched namespaces. Enforced, soaking, held and conflicting ones add up to
    /// the matched ones.
    pub summary: Summary,

    /// The matched namespaces with the worst phase first, then by name; at most 50.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "readable")]
    #[schemars(length(max = MAX_STATUS_NAMESPACES), extend("x-kubernetes-list-type" = "atomic"))]
    pub namespaces: Vec<NamespaceStatus>,

    /// Who would fail under SeccompDefault. Absent where the profile does not assess it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp_default: Option<SeccompDefaultStatus>,

    /// How much the lists of this status leave out.
    pub truncated: Truncated,
}

/// Who would fail under SeccompDefault.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SeccompDefaultStatus {
    /// How many nodes of the cluster have SeccompDefault.
    pub nodes: NodeCounts,

    /// The workloads that are not known to be ready, worst first, then by name; at most 50. A
    /// workload of which nothing is known is counted, but not listed.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "seccomp_status::readable"
    )]
    #[schemars(length(max = MAX_STATUS_WORKLOADS), extend("x-kubernetes-list-type" = "atomic"))]
    pub workloads: Vec<SeccompWorkload>,
}

/// How many nodes have SeccompDefault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeCounts {
    /// Nodes whose kubelet has seccompDefault.
    pub enabled: u32,
    /// Nodes whose kubelet has it not.
    pub disabled: u32,
    /// Nodes of which nobody can say.
    pub unknown: u32,
}

impl Default for NamespacePolicyStatus {
    fn default() -> Self {
        Self {
            observed_generation: -1,
            conditions: Vec::new(),
            summary: Summary::default(),
            namespaces: Vec::new(),
            seccomp_default: None,
            truncated: Truncated::default(),
        }
    }
}

/// Counts over all matched namespaces. Enforced, soaking, held and conflicting namespaces add up to
/// the matched ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Summary {
    /// Namespaces that this policy won.
    pub namespaces_matched: u32,
    /// Of these, the ones at the target or stricter: phases Enforced and StricterKept.
    pub namespaces_enforced: u32,
    /// Of these, the ones that are clean, but not yet for the whole soak.
    pub namespaces_soaking: u32,
    /// Of these, the ones in no other count: enforcement is held back, suspended, or unknown.
    pub namespaces_held: u32,
    /// Of these, the ones whose labels another manager holds: phases Yielded and Contended.
    pub namespaces_conflicting: u32,
    /// Workloads that were evaluated.
    pub workloads_checked: u32,
    /// Of these, the ones that violate the target and are not excepted.
    pub workloads_violating: u32,
    /// Of these, the ones that violate the target and are excepted in everything they violate.
    pub workloads_excepted: u32,
    /// Workloads that fail under SeccompDefault or would: Failing, Conflicting and WouldFail.
    pub workloads_would_fail: u32,
    /// Workloads that may fail under SeccompDefault: AtRisk and Suspected.
    pub workloads_at_risk: u32,
    /// Workloads of which too little is known to say.
    pub workloads_unknown: u32,
}

/// How much the lists leave out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Truncated {
    /// Matched namespaces that namespaces does not list.
    pub namespaces: u32,
    /// Workloads that seccompDefault.workloads would list and does not.
    pub workloads: u32,
}

/// How far one namespace is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceStatus {
    /// The namespace's name.
    #[schemars(length(max = 63))]
    pub name: String,

    /// How far the namespace is. Enforced: at the target. StricterKept: a stricter level stays.
    /// Soaking: clean, but not for long enough. Held: enforcement is held back. Yielded: another
    /// manager owns a label. Contended: another manager takes a label back again and again. Exempt:
    /// the API server exempts it. DryRun, Suspended: nothing is written. Unknown: something that
    /// must be known could not be seen.
    pub phase: Phase,

    /// Why the namespace is in this phase.
    pub reason: Reason,

    /// What the namespace enforces now. Absent when it has no valid enforce label, so that the
    /// cluster's default holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<LevelVersion>,

    /// What the namespace is to enforce. Absent when the profile leaves enforce alone, or is
    /// missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<LevelVersion>,

    /// Since when the namespace is in this phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,

    /// When the phase will change by itself, if nothing else happens: for Soaking, the end of the
    /// soak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_change_time: Option<Time>,

    /// How many workloads in the namespace violate the target, excepted ones included.
    #[serde(default)]
    pub violating_workloads: u32,

    /// The workloads that fail the most checks; at most 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_WORST_WORKLOADS), extend("x-kubernetes-list-type" = "atomic"))]
    pub worst: Vec<ViolatingWorkload>,
}

words! {
    /// How far a namespace is. The order is that of the status: the worst first.
    #[derive(JsonSchema)]
    Phase {
        /// Another manager takes a label back again and again.
        Contended,
        /// Another manager owns a label, and the policy yields.
        Yielded,
        /// Something that must be known could not be seen.
        Unknown,
        /// Enforcement is held back.
        Held,
        /// The API server exempts the namespace, whatever its labels say.
        Exempt,
        /// Nothing is written, because the policy is suspended.
        Suspended,
        /// Nothing is written, because the strategy is DryRun.
        DryRun,
        /// The namespace is clean, but not yet for the whole soak.
        Soaking,
        /// A stricter level than the target is enforced and stays.
        StricterKept,
        /// The target is enforced.
        Enforced,
    }
}

/// A workload that violates the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ViolatingWorkload {
    /// The kind of the workload, such as Deployment.
    #[schemars(length(max = 63))]
    pub kind: String,

    /// The workload's name.
    #[schemars(length(max = 253))]
    pub name: String,

    /// The checks of the Pod Security Standards that it fails.
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub checks: Vec<CheckId>,
}

/// Leaves out what cannot be read. After a downgrade of Podfence a status may hold a phase, a
/// reason or a check of a newer one; that must not make the policy itself unreadable, and the whole
/// status is written anew anyway.
fn readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NamespaceStatus>, D::Error> {
    let written = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(written
        .into_iter()
        .filter_map(|entry| serde_json::from_value(entry).ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is there before Podfence saw the object, and after a downgrade from a newer one.
    #[test]
    fn statuses_of_others_are_readable() {
        let fresh: NamespacePolicyStatus =
            serde_json::from_value(json!({ "observedGeneration": -1 })).expect("a status");
        assert_eq!(fresh, NamespacePolicyStatus::default());

        let newer: NamespacePolicyStatus = serde_json::from_value(json!({
            "observedGeneration": 3,
            "summary": { "namespacesMatched": 2, "workloadsWouldFail": 7 },
            "namespaces": [
                { "name": "a", "phase": "WaitingForWave", "reason": "Waiting" },
                { "name": "b", "phase": "Held", "reason": "ViolatingWorkloads" },
            ],
        }))
        .expect("a status");
        assert_eq!(newer.summary.namespaces_matched, 2);
        let names: Vec<_> = newer
            .namespaces
            .iter()
            .map(|namespace| &namespace.name)
            .collect();
        assert_eq!(names, ["b"], "only what can be read");
    }
}
