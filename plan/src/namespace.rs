//! A namespace as the planner sees it: identity, labels, our state and who owns what. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use crate::keys::STATE_PREFIX;
use crate::ownership::{ManagedFieldsEntry, Ownership};

/// One namespace, as last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its uid: a namespace created anew under the same name is another one.
    pub uid: String,
    /// The version that a plan is made on, and that its apply must still find.
    pub resource_version: String,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is being deleted. Such a namespace is not matched and not written.
    pub terminating: bool,
    /// All its labels: selectors need them.
    pub labels: BTreeMap<String, String>,
    /// Its `state.podfence.dev/*` annotations, with their whole keys.
    pub state: BTreeMap<String, String>,
    /// Who owns our keys.
    pub ownership: Ownership,
}

impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Raw { metadata } = Raw::deserialize(deserializer)?;
        let mut state = metadata.annotations.unwrap_or_default();
        state.retain(|key, _| key.starts_with(STATE_PREFIX));
        Ok(Self {
            name: metadata.name,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            created: metadata.creation_timestamp,
            terminating: metadata.deletion_timestamp.is_some(),
            labels: metadata.labels.unwrap_or_default(),
            state,
            ownership: Ownership::from_entries(metadata.managed_fields.unwrap_or_default()),
        })
    }
}

#[derive(Deserialize)]
struct Raw {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    uid: String,
    resource_version: String,
    creation_timestamp: Timestamp,
    deletion_timestamp: Option<Timestamp>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    managed_fields: Option<Vec<ManagedFieldsEntry>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_plans_are_made_of() {
        let namespace: Namespace = serde_json::from_value(serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "name": "shop", "uid": "u1", "resourceVersion": "7",
                "creationTimestamp": "2026-11-20T10:00:00Z",
                "labels": {"team": "web"},
                "annotations": {"state.podfence.dev/policy": "apps", "note": "x".repeat(1000)},
            },
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
        }))
        .expect("a namespace");
        assert_eq!(namespace.state.len(), 1, "foreign annotations are not kept");
        assert_eq!(
            namespace.labels.get("team").map(String::as_str),
            Some("web")
        );
        assert!(!namespace.terminating);
    }

    #[test]
    fn refuses_what_cannot_be_planned_on() {
        for missing in ["name", "uid", "resourceVersion", "creationTimestamp"] {
            let mut object = serde_json::json!({"metadata": {
                "name": "shop", "uid": "u1", "resourceVersion": "7",
                "creationTimestamp": "2026-11-20T10:00:00Z"}});
            object["metadata"]
                .as_object_mut()
                .expect("an object")
                .remove(missing);
            let refused = serde_json::from_value::<Namespace>(object).expect_err(missing);
            assert!(refused.to_string().contains(missing), "{refused}");
        }
    }
}
