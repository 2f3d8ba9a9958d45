//! The condition types and reasons that Podfence writes, as enums: no free string says either
//! anywhere else. No I/O.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::words::words;

words! {
    /// What a condition speaks of.
    ///
    /// `Reconciling` and `Stalled` are present only when true, and never together: that is what
    /// kstatus, and with it every GitOps tool, reads them for.
    ConditionType {
        /// Whether Podfence did its job: labels are as planned on every matched namespace. For a
        /// profile: whether policies can use it.
        Ready,
        /// Work is under way and will end by itself.
        Reconciling,
        /// The object as a whole cannot proceed until somebody changes something.
        Stalled,
        /// Whether every matched namespace is at its target.
        Enforced,
        /// Whether every workload that counts passes the target.
        PodSecurityCompliant,
        /// Whether no workload fails under SeccompDefault, or would.
        SeccompDefaultReady,
        /// Whether the profile files that workloads choose are on every node that they can land on.
        ProfilesAvailable,
        /// Whether everything could be seen that the report speaks of.
        ReportComplete,
    }
}

words! {
    /// Why a condition or a namespace is as it is. Stable: tools may match on it, so a reason is
    /// never renamed, and values go into messages.
    Reason {
        /// Everything was done.
        Succeeded,
        /// Work is under way.
        Progressing,
        /// Work failed for now and is tried again.
        ProgressingWithRetry,
        /// `spec.suspend` is set.
        Suspended,
        /// The strategy is DryRun: nothing is written.
        DryRun,
        /// The profile that the policy names does not exist.
        ProfileMissing,
        /// The profile cannot be used.
        ProfileInvalid,
        /// The policy itself cannot be used.
        PolicyInvalid,
        /// No namespace is matched.
        NoNamespacesMatched,
        /// Every namespace that the policy selects is won by another policy.
        Superseded,
        /// Another manager owns a label, and the policy yields.
        Yielded,
        /// Another manager takes a label back again and again.
        Contended,
        /// Workloads violate the target.
        ViolatingWorkloads,
        /// The namespace is clean, but not yet for long enough.
        Soaking,
        /// The target is enforced.
        AtTarget,
        /// A stricter level than the target stays, because the policy may not lower it.
        StricterKept,
        /// The API server warned about pods that our own evaluation passes.
        AdmissionDisagrees,
        /// The API server exempts the namespace from Pod Security.
        Exempt,
        /// A live label has a value that the API server would refuse today.
        InvalidLabel,
        /// The API server is newer than the rules that Podfence knows.
        ServerTooNew,
        /// The API server does not let Podfence do or see something.
        Forbidden,
        /// A kind could not be listed.
        ListFailed,
        /// A watch was interrupted for too long.
        WatchLost,
        /// An object could not be read.
        MalformedObject,
        /// The object is being deleted.
        Terminating,
        /// A write failed.
        ApplyFailed,
        /// Every workload passes the target.
        Compliant,
        /// Workloads fail under RuntimeDefault.
        WorkloadsFailing,
        /// Workloads would fail under RuntimeDefault.
        WorkloadsWouldFail,
        /// Workloads may fail under RuntimeDefault.
        WorkloadsAtRisk,
        /// Too little is known of workloads.
        InsufficientEvidence,
        /// Every workload is known to do under RuntimeDefault.
        WorkloadsReady,
        /// Profile files are missing on nodes.
        ProfilesMissing,
        /// Every profile file that is chosen is there.
        ProfilesPresent,
        /// Nobody says which profile files a node has.
        ProfilesUnknown,
        /// A node's agent is gone, or was never there.
        AgentMissing,
        /// A node's agent could not see something.
        AgentImpaired,
        /// No RuntimeDefault is known of a node's container runtime.
        RuntimeUnknown,
        /// A node's RuntimeDefault is another than its release is known for.
        ProfileDiffers,
        /// Everything could be seen.
        Complete,
    }
}

impl JsonSchema for Reason {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Reason".into()
    }

    // Not an enum of the schema: after an upgrade of the operator before that of the CRD, or a
    // downgrade, the API server would refuse whole statuses because of one new word.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 64, "pattern": "^[A-Z][A-Za-z]*$" })
    }
}

/// What a condition's type may be: a qualified name.
const CONDITION_TYPE: &str = concat!(
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?",
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
);

/// The schema of `status.conditions`, with the bounds of `meta/v1 Condition` that the type of
/// `k8s-openapi` leaves out (apimachinery `pkg/apis/meta/v1/types.go`).
pub(crate) fn conditions_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One aspect of the object's present state.",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {
                    "type": "string",
                    "description": "What the condition speaks of.",
                    "maxLength": 316,
                    "pattern": CONDITION_TYPE,
                },
                "status": {
                    "type": "string",
                    "description": "Whether it is so; Unknown when something could not be seen.",
                    "enum": ["True", "False", "Unknown"],
                },
                "reason": {
                    "type": "string",
                    "description": "Why, as one stable word that tools may match on.",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": {
                    "type": "string",
                    "description": "Why, for people: values, the worst offenders, what to do.",
                    "maxLength": 32768,
                },
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "description": "The metadata.generation that the condition was computed from.",
                    "minimum": 0,
                },
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When status last changed.",
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pattern that the API server checks reasons with, and types without a prefix.
    fn is_word(text: &str) -> bool {
        text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.chars().all(|c| c.is_ascii_alphabetic())
    }

    #[test]
    fn words_are_written_as_they_are_called() {
        for &reason in Reason::ALL {
            assert!(is_word(reason.as_str()), "{reason}");
            assert_eq!(serde_json::json!(reason), reason.as_str());
        }
        for &condition in ConditionType::ALL {
            assert!(is_word(condition.as_str()), "{condition}");
            assert_eq!(serde_json::json!(condition), condition.as_str());
        }
    }
}
