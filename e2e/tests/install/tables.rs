//! What the operator and others do on namespaces and policies, and what they must not. No I/O.

use http::Method;
use serde_json::json;

use crate::request::{
    Request, Row, annotation, apply, create, create_namespace, delete, label, merge, replace,
};
use crate::{BACKUP, FINALIZER, NAMESPACE, POLICIES, POLICY, policy};

/// What the operator does on namespaces.
#[rustfmt::skip]
pub(crate) fn operator_on_namespaces() -> Vec<Row> {
    let kept_labels = json!({ "team": "shop", "pod-security.kubernetes.io/enforce": "restricted" });
    let kept_annotations = json!({ "note": "ours", "podfence.dev/wish": "soon" });
    let applied = json!({
        "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
        "annotations": { "state.podfence.dev/phase": "Enforced" },
    });
    let reset = json!({ "metadata": { "managedFields": [{}] } });
    vec![
        ("applies labels and state", apply(NAMESPACE, &applied)),
        ("adds its label", label(NAMESPACE, "pod-security.kubernetes.io/audit", "restricted")),
        ("removes its label", label(NAMESPACE, "pod-security.kubernetes.io/enforce", ())),
        ("adds state", annotation(NAMESPACE, "state.podfence.dev/since", "now")),
        ("removes state", annotation(NAMESPACE, "state.podfence.dev/phase", ())),
        ("forgets managed fields", merge(NAMESPACE, reset)),
        ("changes nothing", merge(NAMESPACE, json!({}))),
        ("replaces and keeps the rest", replace(NAMESPACE, &kept_labels, &kept_annotations)),
    ]
}

/// The same, by the one verb that its shipped role has for it.
pub(crate) fn shipped_operator_on_namespaces() -> Vec<Row> {
    let mut rows = operator_on_namespaces();
    rows.retain(|(_, request)| request.method == Method::PATCH);
    rows
}

/// What the operator never does on namespaces, whatever its roles are.
#[rustfmt::skip]
pub(crate) fn denied_to_the_operator_on_namespaces() -> Vec<Row> {
    let status = &format!("{NAMESPACE}/status");
    let finalize = &format!("{NAMESPACE}/finalize");
    let new = "/api/v1/namespaces/new";
    let level = "pod-security.kubernetes.io/enforce";
    let kept_labels = json!({ "team": "shop" });
    let kept_annotations = json!({ "note": "ours", "podfence.dev/wish": "soon" });
    let mixed = json!({ "metadata": { "labels": { level: "restricted", "tier": "apps" } } });
    let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u" });
    let with_owner = json!({ "metadata": { "ownerReferences": [owner] } });
    let finalizer = json!({ "metadata": { "finalizers": [FINALIZER] } });
    vec![
        ("adds a label", label(NAMESPACE, "tier", "apps")),
        ("changes a label", label(NAMESPACE, "team", "other")),
        ("removes a label", label(NAMESPACE, "team", ())),
        ("applies a label", apply(NAMESPACE, &json!({ "labels": { "tier": "apps" } }))),
        ("adds a label beside its own", merge(NAMESPACE, mixed)),
        ("replaces without a label", replace(NAMESPACE, &json!({}), &kept_annotations)),
        ("begins like its label", label(NAMESPACE, "pod-security.kubernetes.io.a/enforce", "x")),
        ("ends like its label", label(NAMESPACE, "a.pod-security.kubernetes.io/enforce", "x")),
        ("adds an annotation", annotation(NAMESPACE, "a", "b")),
        ("changes an annotation", annotation(NAMESPACE, "note", "mine")),
        ("removes an annotation", annotation(NAMESPACE, "note", ())),
        ("replaces without annotations", replace(NAMESPACE, &kept_labels, &json!({}))),
        ("writes what people write", annotation(NAMESPACE, "podfence.dev/wish", "never")),
        ("ends like its annotation", annotation(NAMESPACE, "a.state.podfence.dev/phase", "x")),
        ("state as a label", label(NAMESPACE, "state.podfence.dev/phase", "Held")),
        ("a level as an annotation", annotation(NAMESPACE, level, "restricted")),
        ("adds a finalizer", merge(NAMESPACE, finalizer)),
        ("adds an owner", merge(NAMESPACE, with_owner)),
        ("its label through status", label(status, level, "privileged")),
        ("its state through status", annotation(status, "state.podfence.dev/phase", "Enforced")),
        ("writes the status", merge(status, json!({ "status": { "phase": "Active" } }))),
        ("its label through finalize", replace(finalize, &json!({}), &json!({}))),
        ("creates", create_namespace(&json!({ "name": "new" }))),
        ("creates with a generated name", create_namespace(&json!({ "generateName": "new-" }))),
        ("creates by apply", apply(new, &json!({ "name": "new" }))),
        ("deletes", delete(NAMESPACE)),
    ]
}

pub(crate) fn finalizers(finalizers: &[&str]) -> Request {
    merge(POLICY, json!({ "metadata": { "finalizers": finalizers } }))
}

/// What the operator does on policies.
#[rustfmt::skip]
pub(crate) fn operator_on_policies() -> Vec<Row> {
    let status = &format!("{POLICY}/status");
    vec![
        ("removes its finalizer", finalizers(&[BACKUP])),
        ("adds a finalizer", finalizers(&[FINALIZER, "podfence.dev/more", BACKUP])),
        ("writes the status", merge(status, json!({ "status": { "observedGeneration": 1 } }))),
        ("changes nothing", merge(POLICY, json!({}))),
    ]
}

/// What the operator never does on policies, whatever its roles are.
#[rustfmt::skip]
pub(crate) fn denied_to_the_operator_on_policies() -> Vec<Row> {
    let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u" });
    vec![
        ("removes another finalizer", finalizers(&[FINALIZER])),
        ("adds another finalizer", finalizers(&[FINALIZER, BACKUP, "example.com/b"])),
        ("removes all finalizers", finalizers(&[])),
        ("changes the spec", merge(POLICY, json!({ "spec": { "suspend": true } }))),
        ("adds a label", label(POLICY, "a", "b")),
        ("removes a label", label(POLICY, "team", ())),
        ("adds an annotation", annotation(POLICY, "a", "b")),
        ("adds an owner", merge(POLICY, json!({ "metadata": { "ownerReferences": [owner] } }))),
        ("creates", create(POLICIES, policy("another"))),
        ("deletes", delete(POLICY)),
    ]
}

/// What everybody who may write namespaces may do as ever.
#[rustfmt::skip]
pub(crate) fn ordinary_requests() -> Vec<Row> {
    let status = &format!("{NAMESPACE}/status");
    let finalize = &format!("{NAMESPACE}/finalize");
    let level = "pod-security.kubernetes.io/enforce";
    let kept = json!({ "state.podfence.dev/phase": "Held" });
    let finalizer = json!({ "metadata": { "finalizers": [BACKUP] } });
    vec![
        ("creates", create_namespace(&json!({ "name": "new", "labels": { "team": "shop" } }))),
        ("creates with a generated name", create_namespace(&json!({ "generateName": "new-" }))),
        ("creates by apply", apply("/api/v1/namespaces/new", &json!({ "name": "new" }))),
        ("adds a label", label(NAMESPACE, "tier", "apps")),
        ("removes a label", label(NAMESPACE, "team", ())),
        ("sets a level", label(NAMESPACE, level, "restricted")),
        ("removes all labels", merge(NAMESPACE, json!({ "metadata": { "labels": null } }))),
        ("adds an annotation", annotation(NAMESPACE, "other", "x")),
        ("removes an annotation", annotation(NAMESPACE, "note", ())),
        ("writes what people write", annotation(NAMESPACE, "podfence.dev/wish", "never")),
        ("ends like state", annotation(NAMESPACE, "a.state.podfence.dev/phase", "Enforced")),
        ("a label like state", label(NAMESPACE, "state.podfence.dev/phase", "Enforced")),
        ("writes the state that is", annotation(NAMESPACE, "state.podfence.dev/phase", "Held")),
        ("replaces and keeps the state", replace(NAMESPACE, &json!({}), &kept)),
        ("adds a finalizer", merge(NAMESPACE, finalizer)),
        ("writes the status", merge(status, json!({ "status": { "phase": "Active" } }))),
        ("a label through status", label(status, "tier", "apps")),
        ("finalizes and keeps the state", replace(finalize, &json!({}), &kept)),
        ("deletes", delete(NAMESPACE)),
    ]
}

/// What adds, changes or removes state.
#[rustfmt::skip]
pub(crate) fn requests_on_state() -> Vec<Row> {
    let status = &format!("{NAMESPACE}/status");
    let finalize = &format!("{NAMESPACE}/finalize");
    let new = "/api/v1/namespaces/new";
    let (added, there) = ("state.podfence.dev/author", "state.podfence.dev/phase");
    let changed = json!({ there: "Enforced" });
    let named = json!({ "name": "new", "annotations": { added: "apps" } });
    let generated = json!({ "generateName": "new-", "annotations": { added: "apps" } });
    let mixed = json!({ "metadata": { "annotations": { "note": "x", added: "apps" } } });
    let none = json!({ "metadata": { "annotations": null } });
    vec![
        ("adds", annotation(NAMESPACE, added, "apps")),
        ("adds an empty one", annotation(NAMESPACE, added, "")),
        ("changes", annotation(NAMESPACE, there, "Enforced")),
        ("removes", annotation(NAMESPACE, there, ())),
        ("removes all annotations", merge(NAMESPACE, none)),
        ("adds among others", merge(NAMESPACE, mixed)),
        ("applies", apply(NAMESPACE, &json!({ "annotations": changed }))),
        ("replaces without it", replace(NAMESPACE, &json!({}), &json!({}))),
        ("adds through status", annotation(status, added, "apps")),
        ("changes through status", annotation(status, there, "Enforced")),
        ("removes through status", annotation(status, there, ())),
        ("changes through finalize", replace(finalize, &json!({}), &changed)),
        ("removes through finalize", replace(finalize, &json!({}), &json!({}))),
        ("creates with it", create_namespace(&named)),
        ("creates with it and a generated name", create_namespace(&generated)),
        ("creates with it by apply", apply(new, &named)),
    ]
}
