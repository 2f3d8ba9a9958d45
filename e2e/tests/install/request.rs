//! Requests as the tables write them, and what became of them. Makes requests.

use std::fmt;

use anyhow::{Context as _, ensure};
use http::Method;
use kube::Client;
use serde_json::{Value, json};

use crate::{CONFINE, CONFINE_POLICIES, GUARD, LIVED_IN, NAMESPACES};

/// A request as it goes to the API server; always a dry run, so that no row depends on another.
pub(crate) struct Request {
    pub(crate) method: Method,
    path: String,
    content_type: &'static str,
    body: Value,
}

/// A row of a table: what is tried, and how.
pub(crate) type Row = (&'static str, Request);

impl Request {
    pub(crate) fn new(method: Method, path: &str, content_type: &'static str, body: Value) -> Self {
        let path = format!(
            "{path}{}dryRun=All",
            if path.contains('?') { '&' } else { '?' }
        );
        Self {
            method,
            path,
            content_type,
            body,
        }
    }
}

pub(crate) fn merge(path: &str, body: Value) -> Request {
    Request::new(Method::PATCH, path, "application/merge-patch+json", body)
}

/// Adds, changes or (null) removes one label.
pub(crate) fn label(path: &str, key: &str, value: impl Into<Value>) -> Request {
    merge(
        path,
        json!({ "metadata": { "labels": { key: value.into() } } }),
    )
}

/// Adds, changes or (null) removes one annotation.
pub(crate) fn annotation(path: &str, key: &str, value: impl Into<Value>) -> Request {
    merge(
        path,
        json!({ "metadata": { "annotations": { key: value.into() } } }),
    )
}

/// Server-side apply of a namespace's metadata by the operator's field manager, forced.
pub(crate) fn apply(path: &str, metadata: &Value) -> Request {
    let path = format!("{path}?fieldManager=podfence&force=true");
    Request::new(
        Method::PATCH,
        &path,
        "application/apply-patch+yaml",
        namespace(metadata),
    )
}

pub(crate) fn create(path: &str, body: Value) -> Request {
    Request::new(Method::POST, path, "application/json", body)
}

pub(crate) fn create_namespace(metadata: &Value) -> Request {
    create(NAMESPACES, namespace(metadata))
}

/// A whole namespace in place of the one that is there, as `kubectl replace` does.
pub(crate) fn replace(path: &str, labels: &Value, annotations: &Value) -> Request {
    let body = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": LIVED_IN, "labels": labels, "annotations": annotations },
        "spec": { "finalizers": ["kubernetes"] },
    });
    Request::new(Method::PUT, path, "application/json", body)
}

pub(crate) fn delete(path: &str) -> Request {
    // With a body, the API server looks nowhere else for options.
    let options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"] });
    Request::new(Method::DELETE, path, "application/json", options)
}

pub(crate) fn namespace(metadata: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata })
}

/// What became of a request.
#[derive(PartialEq, Eq)]
pub(crate) enum Outcome {
    Allowed,
    /// Refused by an admission policy.
    DeniedBy(&'static str),
    /// Refused in another way, such as by RBAC.
    Other(String),
}

impl fmt::Debug for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => write!(formatter, "allowed"),
            Self::DeniedBy(policy) => write!(formatter, "denied by {policy}"),
            Self::Other(message) => write!(formatter, "refused otherwise: {message}"),
        }
    }
}

pub(crate) async fn send(client: &Client, request: &Request) -> anyhow::Result<Outcome> {
    let http = http::Request::builder()
        .method(request.method.clone())
        .uri(&request.path)
        .header(http::header::CONTENT_TYPE, request.content_type)
        .body(serde_json::to_vec(&request.body)?)?;
    match client.request_text(http).await {
        Ok(_) => Ok(Outcome::Allowed),
        Err(kube::Error::Api(status)) => {
            let by = |policy: &&&str| {
                let start = format!(
                    "ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request"
                );
                status.code == 403 && status.message.contains(&start)
            };
            Ok(match [CONFINE, CONFINE_POLICIES, GUARD].iter().find(by) {
                Some(policy) => Outcome::DeniedBy(policy),
                None => Outcome::Other(format!("{} {}", status.code, status.message)),
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// Sends every row and reports all that came out otherwise.
pub(crate) async fn check(
    client: &Client,
    who: &str,
    want: &Outcome,
    rows: &[Row],
) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for (name, request) in rows {
        let got = send(client, request)
            .await
            .with_context(|| format!("{who}: {name}"))?;
        if got != *want {
            wrong.push(format!("{name}: {got:?}"));
        }
    }
    ensure!(
        wrong.is_empty(),
        "{who}, want {want:?}:\n{}",
        wrong.join("\n")
    );
    Ok(())
}
