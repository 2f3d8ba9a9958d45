//! The samples are what they claim to be. Reads files.

// Clippy knows `#[test]` functions as tests, but not what they call.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use podfence_crd::{NamespacePolicy, PolicyProfile};
use podfence_podsecurity::{CheckSet, Level, Rules, ServerVersion, Version};
use podfence_workload::{Defaulting, Kind, decode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples")
}

/// The documents of every file of a folder, each with the name of its file.
fn documents(folder: &str) -> Vec<(String, Value)> {
    let mut documents = Vec::new();
    for entry in fs::read_dir(samples().join(folder)).expect("the folder of samples") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(&path).expect("a readable file");
        let parsed: Vec<Value> = serde_saphyr::from_multiple(&text).expect(&name);
        documents.extend(parsed.into_iter().map(|document| (name.clone(), document)));
    }
    documents
}

/// What our types make of an object must hold all that was written: what they do not know, they
/// would drop.
fn keeps_everything<K: DeserializeOwned + Serialize>(written: &Value) -> K {
    let object: K = serde_json::from_value(written.clone()).expect("an object of ours");
    let kept = serde_json::to_value(&object).expect("JSON");
    assert_eq!(lost("", written, &kept), None, "in {written}");
    object
}

/// The path of the first value in `written` that is not in `kept`.
fn lost(path: &str, written: &Value, kept: &Value) -> Option<String> {
    match (written, kept) {
        (Value::Object(written), Value::Object(kept)) => {
            written.iter().find_map(|(name, value)| {
                let path = format!("{path}.{name}");
                match kept.get(name) {
                    Some(kept) => lost(&path, value, kept),
                    None => Some(path),
                }
            })
        }
        (Value::Array(written), Value::Array(kept)) if written.len() == kept.len() => {
            let mut pairs = written.iter().zip(kept).enumerate();
            pairs.find_map(|(index, (written, kept))| {
                lost(&format!("{path}[{index}]"), written, kept)
            })
        }
        (written, kept) => (written != kept).then(|| path.to_owned()),
    }
}

#[test]
fn what_is_lost_is_found() {
    let written = serde_json::json!({ "a": [{ "b": 1 }], "c": "d" });
    for (kept, want) in [
        (
            serde_json::json!({ "a": [{ "b": 1, "more": 2 }], "c": "d" }),
            None,
        ),
        (
            serde_json::json!({ "a": [{ "b": 2 }], "c": "d" }),
            Some(".a[0].b"),
        ),
        (serde_json::json!({ "a": [], "c": "d" }), Some(".a")),
        (serde_json::json!({ "a": [{ "b": 1 }] }), Some(".c")),
    ] {
        assert_eq!(lost("", &written, &kept).as_deref(), want, "{kept}");
    }
}

#[test]
fn our_objects_are_read_without_loss() {
    let mut profiles = BTreeSet::new();
    let mut named = BTreeSet::new();
    for (file, document) in documents("podfence") {
        assert_eq!(document["apiVersion"], "podfence.dev/v1alpha1", "{file}");
        match document["kind"].as_str() {
            Some("PolicyProfile") => {
                let profile: PolicyProfile = keeps_everything(&document);
                profiles.insert(profile.metadata.name.expect("a name"));
            }
            Some("NamespacePolicy") => {
                let policy: NamespacePolicy = keeps_everything(&document);
                named.insert(policy.spec.profile_ref.name);
            }
            other => panic!("{file}: kind {other:?}"),
        }
    }
    assert!(!named.is_empty());
    assert_eq!(named, profiles, "every profile is there, and used");
}

#[test]
fn each_namespace_has_its_file() {
    let mut namespaces = BTreeSet::new();
    for (file, document) in documents("cluster") {
        let name = if document["kind"] == "Namespace" {
            &document["metadata"]["name"]
        } else {
            &document["metadata"]["namespace"]
        };
        let name = name.as_str().unwrap_or_default().to_owned();
        assert_eq!(format!("{name}.yaml"), file, "{document}");
        namespaces.insert(name);
    }
    assert!(namespaces.len() >= 8, "{namespaces:?}");
}

/// What each workload of a namespace violates at restricted and at baseline.
fn violations(namespace: &str) -> Vec<(CheckSet, CheckSet)> {
    let rules = Rules::new(Version::Latest, ServerVersion::NEWEST);
    documents("cluster")
        .into_iter()
        .filter(|(_, document)| document["metadata"]["namespace"] == namespace)
        .map(|(file, document)| {
            let text = |field: &str| document[field].as_str().unwrap_or_default();
            let kind = Kind::from_manifest(text("apiVersion"), text("kind")).expect("a workload");
            let json = document.to_string();
            let object = decode(kind, json.as_bytes(), Defaulting::EmptyDir).expect(&file);
            let violated = rules.violations(&object.template.expect("a template"));
            let at = |level| rules.at_level(level, violated);
            (at(Level::Restricted), at(Level::Baseline))
        })
        .collect()
}

/// What the comments of the files promise, by the engine that decides it in a cluster.
#[test]
fn namespaces_are_as_their_files_say() {
    for (namespace, strictest) in [
        ("blog", Level::Baseline),
        ("builds", Level::Baseline),
        ("crm", Level::Restricted),
        ("launchpad", Level::Restricted),
        ("legacy-billing", Level::Privileged),
        ("monitoring", Level::Privileged),
        ("payments", Level::Restricted),
        ("reports", Level::Baseline),
        ("sandbox", Level::Privileged),
        ("search", Level::Privileged),
        ("shop", Level::Restricted),
    ] {
        let violations = violations(namespace);
        let passes = if violations
            .iter()
            .all(|(restricted, _)| restricted.is_empty())
        {
            Level::Restricted
        } else if violations.iter().all(|(_, baseline)| baseline.is_empty()) {
            Level::Baseline
        } else {
            Level::Privileged
        };
        assert_eq!(passes, strictest, "{namespace}: {violations:?}");
    }
}

#[test]
fn the_exception_covers_what_is_violated_and_no_more() {
    let excepted: CheckSet = documents("podfence")
        .into_iter()
        .filter(|(_, document)| document["metadata"]["name"] == "platform")
        .map(|(_, document)| keeps_everything::<NamespacePolicy>(&document))
        .flat_map(|policy| policy.spec.exceptions)
        .flat_map(|exception| exception.checks)
        .collect();
    let violated = violations("monitoring")
        .into_iter()
        .fold(CheckSet::EMPTY, |all, (_, baseline)| all.union(baseline));
    assert_eq!(violated, excepted);
}

#[test]
fn kustomize_takes_all_of_them() {
    let text = fs::read_to_string(samples().join("kustomization.yaml")).expect("readable");
    let kustomization: Value = serde_saphyr::from_str(&text).expect("YAML");
    let listed: BTreeSet<_> = kustomization["resources"]
        .as_array()
        .expect("resources")
        .iter()
        .map(|path| path.as_str().unwrap_or_default().to_owned())
        .collect();
    let there: BTreeSet<_> = ["cluster", "podfence"]
        .into_iter()
        .flat_map(|folder| {
            documents(folder)
                .into_iter()
                .map(move |(file, _)| format!("{folder}/{file}"))
        })
        .collect();
    assert_eq!(listed, there);
}
