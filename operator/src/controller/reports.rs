//! The reports of nodes: that there is one of each, and their statuses. Does I/O in spawned tasks.

use kube::api::{Patch, PatchParams};
use kube::core::Request;
use kube::{Resource, ResourceExt};
use podfence_crd::{NodeReport, NodeReportStatus};
use podfence_daemon::failure::described;
use podfence_plan::FIELD_MANAGER;
use podfence_plan::seccomp_default::{NodeView, plan_node_status};
use serde_json::json;
use tokio::time::Instant;

use super::statuses::{Key, Sent, body};
use super::{Done, Driver, wall_clock};
use crate::call::{CallError, Reply};

impl Driver {
    /// Notes a report that is new, changed or gone.
    pub(super) fn note_report_seen(&mut self, name: String, now: Instant) {
        if self.index.ground().report(&name).is_none() {
            self.seccomp.unreported.mark(name.clone(), now);
        }
        self.statuses.mark_report(name, now);
    }

    /// Computes the status of a node's report, and begins to write it where it changed.
    pub(super) fn write_report_status(&mut self, name: &str, key: Key) {
        let Some(kept) = self.index.ground().report(name) else {
            return self.forget_status(&key);
        };
        let Some(node) = self.seccomp.nodes.get(name) else {
            // Its Node is gone, and the report goes with it.
            return;
        };
        let (uid, generation, previous) = match kept {
            Ok(report) => (
                report.uid(),
                report.metadata.generation.unwrap_or_default(),
                report.status.clone(),
            ),
            Err(malformed) => (None, malformed.generation, None),
        };
        let status = self.with_seccomp_view(
            |_| true,
            0,
            |seccomp| {
                plan_node_status(&NodeView {
                    node,
                    generation,
                    seccomp,
                    previous: previous.as_ref(),
                    now: wall_clock(),
                })
            },
        );
        let is_new = previous.as_ref() != Some(&status);
        let body = body::<NodeReport>(name, uid, &status);
        self.show_conditions(&key, &status.conditions);
        self.send_status::<NodeReport>(key, Sent::Report(Box::new(status)), is_new, body);
    }

    /// Notes a status that was written.
    pub(super) fn note_report_status(&mut self, name: &str, status: NodeReportStatus) {
        if let Some(report) = self.index.ground_mut().report_mut(name) {
            report.status = Some(status);
        }
    }

    /// Creates the reports of nodes that have none, so that a node without an agent is in the plan of
    /// a rollout too. A report goes with its Node.
    pub(super) fn create_reports(&mut self) {
        while self.has_room() {
            let Some((name, _)) = self.seccomp.unreported.pop(|_| true) else {
                return;
            };
            let ground = self.index.ground();
            let Some(node) = ground
                .node(&name)
                .filter(|_| ground.report(&name).is_none())
            else {
                continue;
            };
            let report = json!({
                "apiVersion": NodeReport::api_version(&()),
                "kind": NodeReport::kind(&()),
                "metadata": { "name": name, "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Node", "name": name, "uid": node.uid,
                }] },
                "spec": {},
            });
            let caller = self.out.caller.clone();
            self.calls.spawn(async move {
                let parameters = PatchParams::apply(FIELD_MANAGER);
                let request = Request::new(NodeReport::url_path(&(), None));
                let patch = request.patch(&name, &parameters, &Patch::Apply(&report));
                let result = caller.write(patch).await;
                Done::Report(name, result)
            });
        }
    }

    /// Takes in what became of a report that was to be created.
    pub(super) fn note_report(&mut self, name: String, result: Result<Reply, CallError>) {
        let problem = match result {
            Ok(reply) if reply.is_success() => None,
            Ok(reply) => Some(reply.status().message),
            Err(CallError::NotLeading) => return,
            Err(error) => Some(described(&error)),
        };
        let Some(problem) = problem else {
            self.seccomp.backoffs.succeeded(&name);
            return;
        };
        tracing::warn!(name, error = problem, "could not create a node's report");
        let (pause, _) = self.seccomp.backoffs.failed(name.clone());
        self.seccomp.unreported.wake(name, pause, Instant::now());
    }
}
