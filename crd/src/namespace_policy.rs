//! The kind NamespacePolicy: where a profile applies, and how namespaces get there. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use podfence_podsecurity::CheckId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::namespace_policy_status::NamespacePolicyStatus;
use crate::rollout::Rollout;
use crate::selector::{LabelSelector, NO_POD_SECURITY_KEYS, NO_POD_SECURITY_KEYS_MESSAGE};

/// Which namespaces get a profile, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "podfence.dev",
    version = "v1alpha1",
    kind = "NamespacePolicy",
    plural = "namespacepolicies",
    shortname = "nspol",
    category = "podfence",
    status = "NamespacePolicyStatus",
    derive = "PartialEq",
    selectable = ".spec.profileRef.name",
    doc = "A NamespacePolicy brings every namespace that it matches to the Pod Security of a \
           PolicyProfile without breaking running workloads, keeps it there, and reports what \
           stands in the way.",
    printcolumn(
        name = "PROFILE",
        type_ = "string",
        description = "The profile that matched namespaces are brought to.",
        json_path = ".spec.profileRef.name"
    ),
    printcolumn(
        name = "READY",
        type_ = "string",
        description = "Whether labels are as planned on every matched namespace.",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "MATCHED",
        type_ = "integer",
        description = "Namespaces that this policy decides on.",
        json_path = ".status.summary.namespacesMatched"
    ),
    printcolumn(
        name = "ENFORCED",
        type_ = "integer",
        description = "Namespaces at the target or stricter.",
        json_path = ".status.summary.namespacesEnforced"
    ),
    printcolumn(
        name = "HELD",
        type_ = "integer",
        description = "Namespaces in which enforcement is held back.",
        json_path = ".status.summary.namespacesHeld"
    ),
    printcolumn(
        name = "VIOLATING",
        type_ = "integer",
        description = "Workloads that violate the target and are not excepted.",
        json_path = ".status.summary.workloadsViolating"
    ),
    printcolumn(
        name = "WOULD-FAIL",
        type_ = "integer",
        description = "Workloads that fail under SeccompDefault, or would.",
        json_path = ".status.summary.workloadsWouldFail"
    ),
    printcolumn(
        name = "AGE",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "AT-RISK",
        type_ = "integer",
        description = "Workloads that may fail under SeccompDefault.",
        json_path = ".status.summary.workloadsAtRisk",
        priority = 1
    ),
    printcolumn(
        name = "STRATEGY",
        type_ = "string",
        description = "How careful enforcement is.",
        json_path = ".spec.rollout.strategy",
        priority = 1
    ),
    printcolumn(
        name = "SUSPENDED",
        type_ = "boolean",
        description = "Whether writing is suspended.",
        json_path = ".spec.suspend",
        priority = 1
    ),
    printcolumn(
        name = "MESSAGE",
        type_ = "string",
        description = "What the Ready condition says.",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[cfg_attr(test, kube(cel))]
#[serde(rename_all = "camelCase")]
pub struct NamespacePolicySpec {
    /// The PolicyProfile that matched namespaces are brought to. While it does not exist, matched
    /// namespaces are left as they are.
    pub profile_ref: ProfileRef,

    /// Selects namespaces by their labels; {} selects all. Of several policies that select a
    /// namespace the one with the highest priority wins it.
    #[x_kube(validation = Rule::new(NO_POD_SECURITY_KEYS).message(NO_POD_SECURITY_KEYS_MESSAGE))]
    pub namespace_selector: LabelSelector,

    /// Names of namespaces that are left out although they are selected. An asterisk stands for any
    /// run of characters, as in legacy-*; nothing else is special.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        inner(
            length(min = 1, max = 63),
            regex(pattern = r"^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$")
        )
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub excluded_namespaces: Vec<String>,

    /// Whether kube-system, kube-public, kube-node-lease and Podfence's own namespaces may be
    /// matched as well. Defaults to false.
    #[serde(default)]
    pub include_system_namespaces: bool,

    /// Decides between policies that select the same namespace: the highest priority wins, then the
    /// lexically first name. The winner applies whole, nothing is merged. Defaults to 0.
    #[serde(default)]
    pub priority: i32,

    /// Stops all writing to namespaces for this policy. It still wins its namespaces and reports on
    /// them. Defaults to false.
    #[serde(default)]
    pub suspend: bool,

    /// How namespaces get from their present level to the target.
    #[serde(default)]
    pub rollout: Rollout,

    /// What to do with a label that another field manager owns and keeps at another value. Yield
    /// leaves it alone and reports the namespace as Yielded; TakeOver takes it, and stops and
    /// reports Contended when it is taken back again and again. Defaults to Yield.
    #[serde(default)]
    pub conflict_policy: ConflictPolicy,

    /// What happens to a namespace's labels when the policy is deleted or no longer matches it, and
    /// no other policy does. Retain keeps them; Remove removes exactly those that Podfence owns.
    /// Defaults to Retain.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// Violations that are known and accepted for a time. An excepted workload is not counted as
    /// violating, but still holds enforcement back, because enforcing would block its pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub exceptions: Vec<Exception>,
}

/// Names a PolicyProfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileRef {
    /// The name of a PolicyProfile.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
}

/// What to do with a label that another manager owns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConflictPolicy {
    /// Leave it alone and say so.
    #[default]
    Yield,
    /// Take it.
    TakeOver,
}

/// What happens to labels that no policy wants any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They stay.
    #[default]
    Retain,
    /// Those that Podfence owns are removed.
    Remove,
}

/// Violations of some checks by some workloads that are accepted for a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "has(self.namespaceSelector) || \
     (has(self.workloadSelector.matchLabels) && self.workloadSelector.matchLabels.size() > 0) || \
     (has(self.workloadSelector.matchExpressions) && \
     self.workloadSelector.matchExpressions.size() > 0)")
    .message("workloadSelector must name a label, or namespaceSelector must be set: an exception \
              for every workload of every namespace would be another profile"))]
pub struct Exception {
    /// A name for the exception, unique in the policy.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,

    /// Selects workloads by the labels of their pods or pod templates. May be {} only together with
    /// a namespaceSelector.
    pub workload_selector: LabelSelector,

    /// Limits the exception to some of the policy's namespaces. Without it the exception holds in
    /// all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(NO_POD_SECURITY_KEYS).message(NO_POD_SECURITY_KEYS_MESSAGE))]
    pub namespace_selector: Option<LabelSelector>,

    /// The checks of the Pod Security Standards that the workloads may fail. At level restricted
    /// some checks stand for a weaker one of baseline: restrictedVolumes for hostPathVolumes,
    /// capabilities_restricted, procMount_restricted and seccompProfile_restricted for those of
    /// their names.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub checks: Vec<CheckId>,

    /// Why the violation is accepted, and who follows it up.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,

    /// When the exception ends, as an RFC 3339 time such as 2027-03-01T00:00:00Z, before the year
    /// 2100. Afterwards the workloads count as violating again.
    // Without the bound the API server takes 9999-12-31, the usual way to write "never", which is
    // beyond the last instant that `Time` can hold.
    #[x_kube(validation = Rule::new("self < timestamp('2100-01-01T00:00:00Z')")
        .message("expiresAt must be before 2100-01-01T00:00:00Z: what is accepted for ever is \
                  another profile"))]
    pub expires_at: Time,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rules::{broken, check_policies, policy_with};

    #[test]
    fn left_out_fields_have_their_defaults() {
        let spec: NamespacePolicySpec = serde_json::from_value(json!({
            "profileRef": { "name": "restricted" },
            "namespaceSelector": {},
        }))
        .expect("a spec");
        assert_eq!(
            json!(spec),
            json!({
                "profileRef": { "name": "restricted" },
                "namespaceSelector": {},
                "includeSystemNamespaces": false,
                "priority": 0,
                "suspend": false,
                "rollout": Rollout::default(),
                "conflictPolicy": "Yield",
                "deletionPolicy": "Retain",
            })
        );
    }

    #[test]
    fn an_exception_ends() {
        check_policies(
            "/exceptions/0/expiresAt",
            &[
                (
                    json!("9999-12-31T23:59:59Z"),
                    "expiresAt must be before 2100",
                ),
                (
                    json!("2100-01-01T00:00:00Z"),
                    "expiresAt must be before 2100",
                ),
                (json!("2099-12-31T23:59:59Z"), ""),
                (json!("2001-01-01T00:00:00Z"), ""),
            ],
        );
    }

    #[test]
    fn an_exception_selects_something() {
        let labels = json!({ "matchLabels": { "app": "node-exporter" } });
        let keys = json!({ "matchExpressions": [{ "key": "app", "operator": "Exists" }] });
        check_policies(
            "/exceptions/0/workloadSelector",
            &[(json!({}), ""), (labels.clone(), ""), (keys.clone(), "")],
        );
        let everywhere = |workloads: serde_json::Value| {
            let mut policy = policy_with("/exceptions/0/workloadSelector", workloads);
            let exception = policy["spec"]["exceptions"][0]
                .as_object_mut()
                .expect("an exception");
            exception.remove("namespaceSelector");
            broken(&policy)
        };
        for empty in [
            json!({}),
            json!({ "matchLabels": {} }),
            json!({ "matchExpressions": [] }),
        ] {
            let messages = everywhere(empty);
            assert!(
                messages
                    .iter()
                    .any(|m| m.contains("workloadSelector must name")),
                "{messages:?}"
            );
        }
        assert_eq!(everywhere(labels), [""; 0]);
        assert_eq!(everywhere(keys), [""; 0]);
    }
}
