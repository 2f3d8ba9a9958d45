//! Who owns which of our keys on a namespace, read from its managedFields. No I/O.
//!
//! An entry counts as ours only when our manager *applied* it to the main resource: an Update under
//! the same name, or an apply through a subresource, is another owner to the API server.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::keys::{LABEL_PREFIX, STATE_PREFIX};

/// The one field manager of every apply to a namespace. It never changes: what an older release
/// owns must stay ours.
pub const FIELD_MANAGER: &str = "podfence";

/// The owners of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners {
    /// Whether our apply owns it.
    pub ours: bool,
    /// Everybody else's manager names, sorted, each once.
    pub others: Vec<String>,
}

/// The owners of our keys: labels of Pod Security and annotations of our state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ownership {
    labels: Table,
    annotations: Table,
}

/// Owners by key, sorted. There is one for every namespace of a cluster: a map would take four times
/// the memory.
type Table = Box<[(Box<str>, Owners)]>;

static NOBODY: Owners = Owners {
    ours: false,
    others: Vec::new(),
};

impl Ownership {
    /// The owners of a label; nobody for a key that no entry names.
    #[must_use]
    pub fn label(&self, key: &str) -> &Owners {
        find(&self.labels, key)
    }

    /// The owners of an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> &Owners {
        find(&self.annotations, key)
    }

    /// The Pod Security labels that our apply owns, sorted.
    pub fn our_labels(&self) -> impl Iterator<Item = &str> {
        self.labels
            .iter()
            .filter(|(_, owners)| owners.ours)
            .map(|(key, _)| &**key)
    }

    /// Whether our apply owns any state annotation.
    #[must_use]
    pub fn has_our_state(&self) -> bool {
        self.annotations.iter().any(|(_, owners)| owners.ours)
    }

    /// Reads managedFields entries.
    pub(crate) fn from_entries(entries: Vec<ManagedFieldsEntry>) -> Self {
        let (mut labels, mut annotations) = (BTreeMap::new(), BTreeMap::new());
        for entry in entries {
            let ours = entry.manager == FIELD_MANAGER
                && entry.operation == "Apply"
                && entry.subresource.is_empty();
            let metadata = entry
                .fields_v1
                .unwrap_or_default()
                .metadata
                .unwrap_or_default();
            record(
                &mut labels,
                metadata.labels,
                LABEL_PREFIX,
                ours,
                &entry.manager,
            );
            record(
                &mut annotations,
                metadata.annotations,
                STATE_PREFIX,
                ours,
                &entry.manager,
            );
        }
        Self {
            labels: labels.into_iter().collect(),
            annotations: annotations.into_iter().collect(),
        }
    }
}

fn find<'a>(table: &'a Table, key: &str) -> &'a Owners {
    table
        .binary_search_by(|(known, _)| (**known).cmp(key))
        .ok()
        .and_then(|at| table.get(at))
        .map_or(&NOBODY, |(_, owners)| owners)
}

#[allow(clippy::zero_sized_map_values)] // As in `MetadataFields`.
fn record(
    owners: &mut BTreeMap<Box<str>, Owners>,
    fields: Option<BTreeMap<String, IgnoredAny>>,
    prefix: &str,
    ours: bool,
    manager: &str,
) {
    for field in fields.unwrap_or_default().into_keys() {
        let Some(key) = field
            .strip_prefix("f:")
            .filter(|key| key.starts_with(prefix))
        else {
            continue;
        };
        let entry = owners.entry(Box::from(key)).or_default();
        if ours {
            entry.ours = true;
        } else if let Err(at) = entry
            .others
            .binary_search_by(|other| other.as_str().cmp(manager))
        {
            entry.others.insert(at, manager.to_owned());
        }
    }
}

/// The parts of a managedFields entry that say who owns what.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ManagedFieldsEntry {
    #[serde(default)]
    manager: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    subresource: String,
    fields_v1: Option<Fields>,
}

#[derive(Debug, Default, Deserialize)]
struct Fields {
    #[serde(rename = "f:metadata")]
    metadata: Option<MetadataFields>,
}

// Only the keys are wanted; what is below them is empty in labels and annotations.
#[allow(clippy::zero_sized_map_values)]
#[derive(Debug, Default, Deserialize)]
struct MetadataFields {
    #[serde(rename = "f:labels")]
    labels: Option<BTreeMap<String, IgnoredAny>>,
    #[serde(rename = "f:annotations")]
    annotations: Option<BTreeMap<String, IgnoredAny>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

    fn ownership(entries: serde_json::Value) -> Ownership {
        Ownership::from_entries(serde_json::from_value(entries).expect("entries"))
    }

    fn entry(manager: &str, operation: &str, subresource: &str) -> serde_json::Value {
        serde_json::json!({
            "manager": manager, "operation": operation, "subresource": subresource,
            "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {
                "f:labels": {".": {}, format!("f:{ENFORCE}"): {}, "f:team": {}},
                "f:annotations": {"f:state.podfence.dev/policy": {}, "f:note": {}}}},
        })
    }

    #[test]
    fn only_our_own_apply_is_ours() {
        for (name, entries, ours, others) in [
            ("nobody", serde_json::json!([]), false, vec![]),
            (
                "ours",
                serde_json::json!([entry("podfence", "Apply", "")]),
                true,
                vec![],
            ),
            (
                "an update in our name",
                serde_json::json!([entry("podfence", "Update", "")]),
                false,
                vec!["podfence"],
            ),
            (
                "an apply through a subresource",
                serde_json::json!([entry("podfence", "Apply", "status")]),
                false,
                vec!["podfence"],
            ),
            (
                "shared, and each manager named once",
                serde_json::json!([
                    entry("kustomize-controller", "Apply", ""),
                    entry("podfence", "Apply", ""),
                    entry("kubectl-label", "Update", ""),
                    entry("kubectl-label", "Update", "status"),
                ]),
                true,
                vec!["kubectl-label", "kustomize-controller"],
            ),
        ] {
            let owners = ownership(entries);
            assert_eq!(owners.label(ENFORCE).ours, ours, "{name}");
            assert_eq!(owners.label(ENFORCE).others, others, "{name}");
            assert_eq!(owners.has_our_state(), ours, "{name}");
            assert_eq!(
                owners.label("team"),
                &NOBODY,
                "{name}: foreign keys are not kept"
            );
        }
    }

    #[test]
    fn entries_without_fields() {
        let entries = serde_json::json!([
            {"manager": "a", "operation": "Update"},
            {"manager": "b", "operation": "Update", "fieldsV1": {}},
            {"manager": "c", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": null}}},
        ]);
        assert_eq!(ownership(entries), Ownership::default());
    }
}
