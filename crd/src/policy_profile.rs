//! The kind PolicyProfile: what good looks like. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::conditions_schema;
use crate::duration::GoDuration;
use crate::level_version::LevelVersion;
use crate::words::words;

/// What the namespaces of a policy are brought to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "podfence.dev",
    version = "v1alpha1",
    kind = "PolicyProfile",
    plural = "policyprofiles",
    category = "podfence",
    status = "PolicyProfileStatus",
    derive = "PartialEq",
    doc = "A PolicyProfile says what Pod Security a namespace should have. It does nothing by \
           itself: a NamespacePolicy names the profile and says where it applies, and how to get \
           there.",
    printcolumn(
        name = "ENFORCE",
        type_ = "string",
        description = "The level that is enforced.",
        json_path = ".spec.podSecurity.enforce.level"
    ),
    printcolumn(
        name = "AUDIT",
        type_ = "string",
        description = "The level whose violations go to the audit log.",
        json_path = ".spec.podSecurity.audit.level"
    ),
    printcolumn(
        name = "WARN",
        type_ = "string",
        description = "The level whose violations are shown to the user.",
        json_path = ".spec.podSecurity.warn.level"
    ),
    printcolumn(
        name = "READY",
        type_ = "string",
        description = "Whether policies can use the profile.",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "USED-BY",
        type_ = "integer",
        description = "How many policies name the profile.",
        json_path = ".status.usedBy"
    ),
    printcolumn(
        name = "AGE",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[cfg_attr(test, kube(cel))]
#[serde(rename_all = "camelCase")]
pub struct PolicyProfileSpec {
    /// The Pod Security Admission labels that a namespace should have. At least one mode must be
    /// set. A mode that is left out is left to the cluster's default and not touched.
    #[x_kube(validation = Rule::new("has(self.enforce) || has(self.audit) || has(self.warn)")
        .message("podSecurity must set at least one of enforce, audit and warn")
        .reason(Reason::FieldValueRequired))]
    pub pod_security: PodSecurity,

    /// Whether the policies of this profile report who would fail under SeccompDefault, and on how
    /// much evidence.
    #[serde(default)]
    pub seccomp_default: SeccompDefault,
}

/// Whether policies report who would fail under SeccompDefault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SeccompDefault {
    /// Whether policies say who would fail. Disabled silences the policies only: reports of nodes
    /// speak of every namespace. Defaults to Enabled.
    pub assessment: Assessment,

    /// How long a container must have been observed, a start included, before "no denial seen"
    /// counts as ready. A day has most of what comes at its hours. Defaults to 24h.
    pub minimum_observation: GoDuration,
}

impl Default for SeccompDefault {
    fn default() -> Self {
        Self {
            assessment: Assessment::default(),
            minimum_observation: GoDuration::day(),
        }
    }
}

words! {
    /// Whether something is assessed.
    #[derive(Default, JsonSchema)]
    Assessment {
        /// Policies say who would fail.
        #[default]
        Enabled,
        /// Policies say nothing of it.
        Disabled,
    }
}

/// One pair for each mode of Pod Security Admission.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodSecurity {
    /// The level at which the API server refuses violating pods. How a namespace gets there is the
    /// policy's rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforce: Option<LevelVersion>,

    /// The level at which violations are written to the API server's audit log. Set at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<LevelVersion>,

    /// The level at which violations are shown as warnings to whoever makes the request. Set at
    /// once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn: Option<LevelVersion>,
}

/// What Podfence saw of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyProfileStatus {
    /// The metadata.generation that this status was computed from; -1 before the first time.
    #[schemars(range(min = -1))]
    pub observed_generation: i64,

    /// What there is to say about the profile: Ready, and Stalled where it cannot be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,

    /// How many NamespacePolicies name this profile.
    pub used_by: u32,
}

impl Default for PolicyProfileStatus {
    fn default() -> Self {
        Self {
            observed_generation: -1,
            conditions: Vec::new(),
            used_by: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::rules::broken;

    #[test]
    fn a_profile_sets_a_mode() {
        let profile = |pod_security: serde_json::Value| {
            broken(&json!({ "kind": "PolicyProfile", "spec": { "podSecurity": pod_security } }))
        };
        let messages = profile(json!({}));
        assert!(
            messages
                .iter()
                .any(|m| m.contains("podSecurity must set at least one of enforce")),
            "{messages:?}"
        );
        for mode in ["enforce", "audit", "warn"] {
            assert_eq!(
                profile(json!({ mode: { "level": "baseline" } })),
                [""; 0],
                "{mode}"
            );
        }
    }
}
