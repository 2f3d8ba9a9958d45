//! Evaluates the CEL rules of the definitions on objects, without an API server. For tests only.

use kube::core::cel::Validator;
use serde_json::{Value, json};

use crate::custom_resource_definitions;

/// The messages of the rules that `object` breaks, each after the path of its field.
///
/// Only rules are evaluated. Patterns, bounds and required fields need a real API server, and are
/// tested there.
pub(crate) fn broken(object: &Value) -> Vec<String> {
    let definition = custom_resource_definitions()
        .into_iter()
        .find(|definition| object["kind"] == definition.spec.names.kind)
        .expect("a kind of ours");
    let schema = serde_json::to_value(&definition.spec.versions[0].schema).expect("JSON");
    match Validator::new().validate(&schema["openAPIV3Schema"], object, None) {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .into_iter()
            .map(|error| format!("{}: {}", error.field_path, error.message))
            .collect(),
    }
}

/// A valid policy with one field of its spec replaced: `pointer` begins below `/spec`.
pub(crate) fn policy_with(pointer: &str, value: Value) -> Value {
    let mut policy = json!({
        "apiVersion": "podfence.dev/v1alpha1",
        "kind": "NamespacePolicy",
        "metadata": { "name": "apps" },
        "spec": {
            "profileRef": { "name": "restricted" },
            "namespaceSelector": { "matchLabels": { "tier": "apps" } },
            "rollout": { "soak": "24h" },
            "exceptions": [{
                "name": "node-exporter",
                "workloadSelector": { "matchLabels": { "app": "node-exporter" } },
                "namespaceSelector": { "matchLabels": { "team": "platform" } },
                "checks": ["hostPathVolumes"],
                "reason": "reads the node's metrics",
                "expiresAt": "2027-03-01T00:00:00Z",
            }],
        },
    });
    *policy
        .pointer_mut(&format!("/spec{pointer}"))
        .expect("a field of the policy") = value;
    policy
}

/// Checks a table of values for one field of a policy, each with the message that refuses it, or
/// nothing for a value that passes.
pub(crate) fn check_policies(pointer: &str, table: &[(Value, &str)]) {
    for (value, want) in table {
        let broken = broken(&policy_with(pointer, value.clone()));
        if want.is_empty() {
            assert!(broken.is_empty(), "{pointer} {value}: {broken:?}");
        } else {
            assert!(
                broken.iter().any(|message| message.contains(want)),
                "{pointer} {value}: {broken:?}"
            );
        }
    }
}
