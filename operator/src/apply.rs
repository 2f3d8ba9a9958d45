//! Carries a planned apply to a namespace and says what became of it. Does I/O.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use kube::Resource;
use kube::api::{Patch, PatchParams};
use kube::core::Request;
use kube::core::response::StatusCause;
use podfence_plan::{Apply, FIELD_MANAGER, Namespace};
use serde_json::json;

use crate::call::{CallError, Caller, Reply};
use crate::warnings;

/// The reason of the causes that are conflicts of ownership. A 409 without such a cause is about
/// the resourceVersion or the uid.
const OWNERSHIP: &str = "FieldManagerConflict";

/// Whether an apply is only tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Written.
    Write,
    /// Answered as if it were written, warnings included.
    DryRun,
}

/// What became of an apply.
#[derive(Debug)]
pub enum Applied {
    /// Done: the namespace as it is now, and what the API server warns about.
    Done {
        /// The namespace. After a dry run, as it would be.
        namespace: Box<Namespace>,
        /// The texts of the Warning headers.
        warnings: Vec<String>,
    },
    /// Somebody else owns keys that the apply changes: each key with its owners. Nothing of the
    /// apply was done.
    Conflict(BTreeMap<String, Vec<String>>),
    /// The namespace is gone, is another one, or has changed. The watch will tell.
    Outdated,
    /// The API server or its admission says no.
    Refused(String),
}

impl Applied {
    /// For metrics and logs.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Done { .. } => "success",
            Self::Conflict(_) => "conflict",
            Self::Outdated => "outdated",
            Self::Refused(_) => "refused",
        }
    }
}

/// Sends an apply.
///
/// # Errors
/// When it is not known what became of it. Sending it again is harmless: it carries the
/// resourceVersion that it was planned on.
pub async fn send(caller: &Caller, apply: &Apply, mode: Mode) -> Result<Applied, CallError> {
    let request = Request::new(core::Namespace::url_path(&(), None));
    let mut parameters = PatchParams::apply(FIELD_MANAGER);
    parameters.force = apply.force;
    parameters.dry_run = mode == Mode::DryRun;
    let body = body(apply);
    let request = request.patch(&apply.name, &parameters, &Patch::Apply(&body));
    let reply = caller.write(request).await?;
    if reply.is_success() {
        let warnings = warnings::from_headers(&reply.headers);
        return Ok(Applied::Done {
            namespace: Box::new(reply.decode()?),
            warnings,
        });
    }
    Ok(refusal(&reply))
}

/// INVARIANT: uid and resourceVersion are always sent. Without the uid an account that may create
/// namespaces would make one that was deleted meanwhile; the resourceVersion does not prevent it.
fn body(apply: &Apply) -> serde_json::Value {
    let Apply {
        name,
        uid,
        resource_version,
        labels,
        annotations,
        force: _,
    } = apply;
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "uid": uid,
            "resourceVersion": resource_version,
            "labels": labels,
            "annotations": annotations,
        },
    })
}

fn refusal(reply: &Reply) -> Applied {
    let causes = reply.causes();
    match reply.code {
        409 => {
            let conflicts = conflicts(&causes);
            if conflicts.is_empty() {
                Applied::Outdated
            } else {
                Applied::Conflict(conflicts)
            }
        }
        404 => Applied::Outdated,
        // A namespace that was created anew has another uid, which must not change.
        422 if causes.iter().any(|cause| cause.field == "metadata.uid") => Applied::Outdated,
        403 if wants_to_create(&reply.status().message) => Applied::Outdated,
        _ => Applied::Refused(reply.status().message),
    }
}

/// An apply to a namespace that is gone is authorized as a create, which our account lacks. Only
/// the authorizer's text tells that from a patch that it does not allow.
fn wants_to_create(message: &str) -> bool {
    message.contains(r#"cannot create resource "namespaces""#)
}

fn conflicts(causes: &[StatusCause]) -> BTreeMap<String, Vec<String>> {
    let mut conflicts = BTreeMap::<String, Vec<String>>::new();
    for cause in causes.iter().filter(|cause| cause.reason == OWNERSHIP) {
        let owners = conflicts.entry(key(&cause.field).to_owned()).or_default();
        if let Some(manager) = manager(&cause.message)
            && let Err(at) = owners.binary_search_by(|known| known.as_str().cmp(manager))
        {
            owners.insert(at, manager.to_owned());
        }
    }
    conflicts
}

/// The label or annotation that a field path names: `.metadata.labels.KEY`.
fn key(field: &str) -> &str {
    field
        .strip_prefix(".metadata.labels.")
        .or_else(|| field.strip_prefix(".metadata.annotations."))
        .unwrap_or(field)
}

/// The manager in `conflict with "NAME" using v1` and its variants.
fn manager(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once('"')?;
    rest.split_once('"').map(|(manager, _)| manager)
}

#[cfg(test)]
mod tests {
    use kube::core::response::StatusCause;

    use super::conflicts;

    fn cause(reason: &str, message: &str, field: &str) -> StatusCause {
        StatusCause {
            reason: reason.into(),
            message: message.into(),
            field: field.into(),
        }
    }

    #[test]
    fn only_conflicts_of_ownership_count() {
        const ENFORCE: &str = ".metadata.labels.pod-security.kubernetes.io/enforce";
        let causes = [
            cause("FieldValueInvalid", "conflict with \"x\"", ENFORCE),
            cause(
                "FieldManagerConflict",
                "conflict with \"kubectl-label\" using v1",
                ENFORCE,
            ),
            cause("FieldManagerConflict", "conflict with \"argo\"", ENFORCE),
            cause(
                "FieldManagerConflict",
                "conflict with \"argo\" with subresource \"status\"",
                ENFORCE,
            ),
            cause(
                "FieldManagerConflict",
                "no name",
                ".metadata.annotations.state.podfence.dev/policy",
            ),
        ];
        let conflicts = conflicts(&causes);
        let want = [
            (
                "pod-security.kubernetes.io/enforce",
                vec!["argo", "kubectl-label"],
            ),
            ("state.podfence.dev/policy", vec![]),
        ];
        let found: Vec<(&str, Vec<&str>)> = conflicts
            .iter()
            .map(|(key, owners)| (key.as_str(), owners.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!(found, want);
    }
}
