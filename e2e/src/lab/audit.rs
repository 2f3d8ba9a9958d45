//! The API server's audit log: who wrote what, as the server itself saw it. Reads a file, makes
//! requests.
//!
//! It is the oracle of every write of the operator: nothing that the operator says of itself is
//! believed.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;

use crate::eventually;

/// The server writes an event right after its answer; on a busy machine that may be a while.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

/// One finished request that changed something, or tried to.
///
/// Source: <https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/>.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// The same for all events of one request.
    #[serde(rename = "auditID")]
    pub audit_id: String,
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// Path and query of the request.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// Who asked.
    pub user: AuditUser,
    /// What the client calls itself.
    #[serde(default)]
    pub user_agent: String,
    /// What was asked for; absent for requests that name no object.
    #[serde(default)]
    pub object_ref: AuditObject,
    /// How it ended; absent when the connection broke first.
    #[serde(default)]
    pub response_status: AuditStatus,
    /// The body of the request, for audited users only.
    pub request_object: Option<Value>,
    /// The body of the answer, for audited users only.
    pub response_object: Option<Value>,
    /// When the request came in.
    pub request_received_timestamp: MicroTime,
    /// When it was answered.
    pub stage_timestamp: MicroTime,
    /// What authorization and admission left, such as Pod Security's violations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// The user of a request.
#[derive(Debug, Clone, Deserialize)]
pub struct AuditUser {
    /// `system:serviceaccount:NAMESPACE:NAME` for a service account.
    pub username: String,
}

/// The object of a request; what does not apply is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditObject {
    /// The plural, `namespaces`.
    pub resource: String,
    /// The namespace; for a namespace itself its own name.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The API group, empty for the core group.
    pub api_group: String,
    /// `status`, `finalize`, ...
    pub subresource: String,
}

/// The answer to a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AuditStatus {
    /// The HTTP status code; 0 when there was no answer.
    pub code: u16,
    /// Why it failed, in words.
    pub message: String,
    /// Why it failed, in one word.
    pub reason: String,
}

impl AuditEvent {
    /// Whether nothing would have been stored in any case.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.parameter("dryRun").is_some_and(|value| value == "All")
    }

    /// Whether the server carried it out.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.response_status.code)
    }

    /// Whether it is about a Lease: renewals go on for ever and are no sign of work.
    #[must_use]
    pub fn is_lease(&self) -> bool {
        self.object_ref.resource == "leases" && self.object_ref.api_group == "coordination.k8s.io"
    }

    /// Whether it asked for an object of this resource and name, whatever the subresource.
    #[must_use]
    pub fn is_about(&self, resource: &str, name: &str) -> bool {
        self.object_ref.resource == resource && self.object_ref.name == name
    }

    /// The field manager that the client named.
    #[must_use]
    pub fn field_manager(&self) -> Option<String> {
        self.parameter("fieldManager")
    }

    /// Whether it was an apply that takes fields from other managers.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.parameter("force").is_some_and(|value| value == "true")
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.request_uri.split_once('?')?;
        form_urlencoded::parse(query.as_bytes())
            .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    }
}

/// A place in the log, between two requests.
#[derive(Debug, Clone, Copy)]
pub struct AuditMark(u64);

impl AuditMark {
    /// Before the first request of the lab.
    pub const START: Self = Self(0);
}

/// Reads the log of one lab.
#[derive(Clone)]
pub struct AuditLog {
    path: PathBuf,
    client: Client,
}

impl AuditLog {
    pub(super) fn new(path: &Path, client: Client) -> Self {
        Self {
            path: path.to_owned(),
            client,
        }
    }

    /// The place after all requests that have been answered by now.
    ///
    /// # Errors
    ///
    /// When the API server does not answer.
    pub async fn mark(&self) -> anyhow::Result<AuditMark> {
        self.settle().await
    }

    /// All requests after the mark that have been answered by now: everybody's, failed ones and dry
    /// runs included.
    ///
    /// # Errors
    ///
    /// When the API server does not answer; use [`AuditLog::read_since`] while it is stopped.
    pub async fn since(&self, mark: AuditMark) -> anyhow::Result<Vec<AuditEvent>> {
        self.settle().await?;
        self.read_since(mark)
    }

    /// The writes of one user after the mark, failed ones included: what it sent, save the dry
    /// runs.
    ///
    /// # Errors
    ///
    /// As [`AuditLog::since`].
    pub async fn writes_by(&self, user: &str, mark: AuditMark) -> anyhow::Result<Vec<AuditEvent>> {
        let mut events = self.since(mark).await?;
        events.retain(|event| event.user.username == user && !event.is_dry_run());
        Ok(events)
    }

    /// What is in the log right now: the last answers may be missing.
    ///
    /// # Errors
    ///
    /// When the log cannot be read or understood.
    pub fn read_since(&self, mark: AuditMark) -> anyhow::Result<Vec<AuditEvent>> {
        let content = self.content_since(mark.0)?;
        content
            .split_inclusive(|byte| *byte == b'\n')
            // The server may be in the middle of the last line.
            .filter(|line| line.ends_with(b"\n"))
            .map(|line| {
                serde_json::from_slice(line).with_context(|| {
                    format!(
                        "failed to understand an audit event: {}",
                        line.escape_ascii()
                    )
                })
            })
            .collect()
    }

    /// Waits until the event of a request of our own is in the log, and so are those of the
    /// requests answered before it.
    async fn settle(&self) -> anyhow::Result<AuditMark> {
        static REQUESTS: AtomicU64 = AtomicU64::new(0);
        let number = REQUESTS.fetch_add(1, Ordering::Relaxed);
        // Deleting what does not exist passes no admission, and is audited like any write.
        let name = format!("podfence-lab-audit-{}-{number}", std::process::id());
        let path = format!("/api/v1/namespaces/default/configmaps/{name}?dryRun=All");
        let start = self.length()?;
        let request = http::Request::delete(path).body(Vec::new())?;
        match self.client.request_text(request).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            other => anyhow::bail!("deleting a config map that does not exist gave {other:?}"),
        }
        eventually(SETTLE_TIMEOUT, async || {
            let content = self.content_since(start)?;
            let event = find(&content, name.as_bytes()).context("the event is not in the log")?;
            let rest = content.get(event..).unwrap_or_default();
            let end = find(rest, b"\n").context("the event is not complete")? + 1;
            Ok(AuditMark(start + u64::try_from(event + end)?))
        })
        .await
        .context("the audit log does not follow the API server")
    }

    fn length(&self) -> anyhow::Result<u64> {
        // The server makes the file with its first event.
        if !self.path.exists() {
            return Ok(0);
        }
        Ok(self.path.metadata()?.len())
    }

    fn content_since(&self, offset: u64) -> anyhow::Result<Vec<u8>> {
        let mut content = Vec::new();
        if self.path.exists() {
            let mut file = File::open(&self.path)?;
            let length = file.metadata()?.len();
            ensure!(
                offset <= length,
                "the audit log has shrunk to {length} bytes"
            );
            file.seek(SeekFrom::Start(offset))?;
            file.read_to_end(&mut content)?;
        }
        Ok(content)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(uri: &str, code: u16) -> AuditEvent {
        serde_json::from_value(serde_json::json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata",
            "auditID": "1", "stage": "ResponseComplete", "requestURI": uri, "verb": "patch",
            "user": { "username": "system:serviceaccount:a:b", "groups": ["system:authenticated"] },
            "sourceIPs": ["127.0.0.1"],
            "objectRef": {
                "resource": "namespaces", "namespace": "shop", "name": "shop", "apiVersion": "v1",
            },
            "responseStatus": { "metadata": {}, "code": code },
            "requestReceivedTimestamp": "2026-11-24T02:55:01.123456Z",
            "stageTimestamp": "2026-11-24T02:55:01.223456Z",
        }))
        .unwrap()
    }

    #[test]
    fn the_query_tells_dry_runs_managers_and_force() {
        let plain = event("/api/v1/namespaces/shop", 200);
        assert!(!plain.is_dry_run() && !plain.is_forced() && plain.field_manager().is_none());
        let apply = event(
            "/api/v1/namespaces/shop?fieldManager=kubectl%2Dlabel&force=true",
            200,
        );
        assert_eq!(apply.field_manager().as_deref(), Some("kubectl-label"));
        assert!(apply.is_forced() && !apply.is_dry_run());
        assert!(event("/api/v1/namespaces/shop?dryRun=All&force=false", 200).is_dry_run());
        assert!(!event("/api/v1/namespaces/shop?dryRun=", 200).is_dry_run());
        assert!(!event("/api/v1/namespaces/dryRun=All", 200).is_dry_run());
    }

    #[test]
    fn only_codes_of_success_are_success() {
        for (code, want) in [
            (0, false),
            (200, true),
            (201, true),
            (301, false),
            (409, false),
        ] {
            assert_eq!(event("/x", code).succeeded(), want, "{code}");
        }
    }

    #[test]
    fn an_event_without_object_and_answer_is_understood() {
        let event: AuditEvent = serde_json::from_value(serde_json::json!({
            "auditID": "1", "stage": "Panic", "requestURI": "/", "verb": "create",
            "user": { "username": "system:anonymous" },
            "requestReceivedTimestamp": "2026-11-24T02:55:01.123456Z",
            "stageTimestamp": "2026-11-24T02:55:01.223456Z",
        }))
        .unwrap();
        assert_eq!(event.object_ref, AuditObject::default());
        assert!(!event.succeeded() && !event.is_lease());
    }
}
