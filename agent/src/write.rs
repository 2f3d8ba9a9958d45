//! Applies a report, and decides when. Does I/O.

use std::time::Duration;

use kube::api::{ApiResource, Patch, PatchParams};
use kube::{Api, Client};
use podfence_crd::{NodeReport, NodeReportSpec};
use podfence_daemon::backoff::Backoff;
use podfence_daemon::cluster::REQUEST_TIMEOUT;
use podfence_daemon::failure::described;
use podfence_daemon::raw::RawObject;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::backoff::backoff;
use crate::cluster::Live;

/// Owns what the agent writes. It must never change, or what an older agent wrote would stay.
pub const FIELD_MANAGER: &str = "podfence-agent";

/// How long what somebody else made of a report stays before it is applied again: a report that two
/// keep writing costs the API server little.
const CORRECTION: Duration = Duration::from_secs(60);

/// Why a report was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The API server says no, or cannot be reached.
    #[error("failed to apply the report: {0}")]
    Refused(String),
    /// No answer in time. It may have been done all the same.
    #[error("failed to apply the report: no answer in {REQUEST_TIMEOUT:?}")]
    Timeout,
}

/// Applies reports.
#[derive(Debug)]
pub struct Writer {
    api: Api<RawObject>,
    node: String,
    schedule: Schedule,
}

/// When a report is to be applied. Pure.
#[derive(Debug)]
struct Schedule {
    /// What was applied last, and when.
    applied: Option<(NodeReportSpec, String, Instant)>,
    backoff: Backoff,
    not_before: Option<Instant>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            applied: None,
            backoff: backoff(),
            not_before: None,
        }
    }
}

impl Schedule {
    fn is_due(&self, spec: &NodeReportSpec, uid: &str, live: &Live, now: Instant) -> bool {
        if self.not_before.is_some_and(|until| now < until) {
            return false;
        }
        match live {
            // Whether it says so already will be known in a moment.
            Live::Unknown => false,
            Live::Present(Some(written))
                if written.spec == *spec && written.owners.contains(uid) =>
            {
                false
            }
            Live::Absent | Live::Present(_) => match &self.applied {
                // The watch has not said it yet, or somebody else has written since.
                Some((applied, owner, at)) if applied == spec && owner == uid => {
                    now - *at >= CORRECTION
                }
                _ => true,
            },
        }
    }

    /// Whether the report says this, as far as is known.
    fn is_written(&self, spec: &NodeReportSpec, uid: &str, live: &Live) -> bool {
        let applied = self.applied.as_ref();
        let by_us = applied.is_some_and(|(applied, owner, _)| applied == spec && owner == uid);
        by_us || matches!(live, Live::Present(Some(written)) if written.spec == *spec)
    }
}

impl Writer {
    /// Applies the report of this node.
    #[must_use]
    pub fn new(client: Client, node: &str) -> Self {
        let resource = ApiResource::erase::<NodeReport>(&());
        Self {
            api: Api::all_with(client, &resource),
            node: node.to_owned(),
            schedule: Schedule::default(),
        }
    }

    /// Applies the report if it does not say this, and not too often. Says whether it says this now.
    ///
    /// # Errors
    /// When it could not be applied; it is tried again later.
    pub async fn write(
        &mut self,
        spec: &NodeReportSpec,
        uid: &str,
        live: &Live,
    ) -> Result<bool, WriteError> {
        if self.schedule.is_due(spec, uid, live, Instant::now()) {
            let applied = self.apply(&body(&self.node, uid, spec)).await;
            let now = Instant::now();
            if let Err(error) = applied {
                self.schedule.not_before = Some(now + self.schedule.backoff.pause());
                return Err(error);
            }
            self.schedule.backoff.reset();
            self.schedule.not_before = None;
            self.schedule.applied = Some((spec.clone(), uid.to_owned(), now));
            tracing::info!(problems = spec.problems.len(), "report written");
        }
        Ok(self.schedule.is_written(spec, uid, live))
    }

    async fn apply(&self, body: &Value) -> Result<(), WriteError> {
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(body);
        let answer = self.api.patch(&self.node, &parameters, &patch);
        let answer = timeout(REQUEST_TIMEOUT, answer).await;
        match answer.map_err(|_| WriteError::Timeout)? {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) => {
                let message = format!("{}: {}", status.code, status.message);
                Err(WriteError::Refused(message))
            }
            Err(error) => Err(WriteError::Refused(described(&error))),
        }
    }
}

/// The whole report as far as it is ours. INVARIANT: no status, which is the operator's.
fn body(node: &str, uid: &str, spec: &NodeReportSpec) -> Value {
    json!({
        "apiVersion": "podfence.dev/v1alpha1",
        "kind": "NodeReport",
        "metadata": {
            "name": node,
            "ownerReferences": [
                { "apiVersion": "v1", "kind": "Node", "name": node, "uid": uid },
            ],
        },
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use podfence_crd::NodeReportSpec;
    use tokio::time::Instant;

    use super::{Live, Schedule, body};
    use crate::cluster::Written;

    fn spec(uid: &str) -> NodeReportSpec {
        NodeReportSpec {
            node_uid: Some(uid.to_owned()),
            ..NodeReportSpec::default()
        }
    }

    fn live(says: &str, owner: &str) -> Live {
        Live::Present(Some(Box::new(Written {
            spec: spec(says),
            owners: BTreeSet::from([owner.to_owned()]),
        })))
    }

    #[test]
    fn it_is_written_only_when_it_says_something_else() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let fresh = Schedule::default();
        let after = |says: &str| Schedule {
            applied: Some((spec(says), "a".to_owned(), now)),
            ..Schedule::default()
        };
        let failed = Schedule {
            not_before: Some(later(5)),
            ..Schedule::default()
        };
        for (name, schedule, live, at, want) in [
            ("not seen yet", &fresh, Live::Unknown, now, false),
            ("absent", &fresh, Live::Absent, now, true),
            ("unreadable", &fresh, Live::Present(None), now, true),
            ("the same from before", &fresh, live("a", "a"), now, false),
            (
                "the same of another node",
                &fresh,
                live("a", "b"),
                now,
                true,
            ),
            ("something else", &fresh, live("b", "a"), now, true),
            (
                "the watch is behind",
                &after("a"),
                live("b", "a"),
                later(1),
                false,
            ),
            (
                "somebody else wrote",
                &after("a"),
                live("b", "a"),
                later(60),
                true,
            ),
            (
                "somebody removed it",
                &after("a"),
                Live::Absent,
                later(60),
                true,
            ),
            ("it changed", &after("b"), live("b", "a"), later(1), true),
            ("it failed just now", &failed, Live::Absent, later(4), false),
            ("it failed", &failed, Live::Absent, later(5), true),
        ] {
            assert_eq!(schedule.is_due(&spec("a"), "a", &live, at), want, "{name}");
        }
    }

    #[test]
    fn a_report_belongs_to_its_node_and_has_no_status() {
        let body = body("node-1", "u", &spec("u"));
        assert_eq!(body["metadata"]["name"], "node-1");
        assert_eq!(body["metadata"]["ownerReferences"][0]["uid"], "u");
        assert_eq!(body["spec"]["nodeUid"], "u");
        assert!(body.get("status").is_none());
    }
}
