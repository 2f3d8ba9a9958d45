//! The finalizer of policies that remove their labels when they go. Does I/O in spawned tasks.
//!
//! Only `deletionPolicy: Remove` has one: whoever uninstalls Podfence must not be left with policies
//! that nothing can delete.

use std::collections::HashMap;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::core::Request;
use kube::{Resource, ResourceExt};
use podfence_crd::{NamespacePolicy, Strategy};
use podfence_daemon::failure::described;
use podfence_plan::{FIELD_MANAGER, FINALIZER, Policy, State};
use serde_json::json;
use tokio::time::Instant;

use super::{Done, Driver, wall_clock};
use crate::call::{CallError, Reply};

/// How often a policy that is being deleted is looked at for what it still waits for, and how long
/// a finalizer that could not be changed is left alone.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Which finalizers are on their way, and when to look at all of them.
#[derive(Debug, Default)]
pub(super) struct Finalizers {
    look_at: Option<Instant>,
    /// The resourceVersion that a change was sent on. It is not sent again on the same one.
    sent: HashMap<String, String>,
}

impl Finalizers {
    pub(super) fn look_now(&mut self, now: Instant) {
        self.look_at = Some(now);
    }

    pub(super) fn next_look(&self) -> Option<Instant> {
        self.look_at
    }
}

impl Driver {
    /// Adds and lifts finalizers where that is due.
    pub(super) fn tend_finalizers(&mut self, now: Instant) {
        if self.finalizers.look_at.is_none_or(|at| at > now) {
            return;
        }
        self.finalizers.look_at = None;
        let policies = self.index.compiled();
        let mut wanted = Vec::new();
        for policy in policies.iter() {
            let wants = self.wants_finalizer(policy);
            if wants != policy.has_finalizer {
                wanted.push((policy.name.clone(), wants));
            }
            if policy.deleting && policy.has_finalizer {
                self.finalizers.look_at = Some(now + LOOK_AGAIN);
            }
        }
        let index = &self.index;
        self.finalizers
            .sent
            .retain(|name, _| index.policy(name).is_some());
        for (name, wants) in wanted {
            self.change_finalizer(name, wants);
        }
    }

    /// A policy that is being deleted keeps its finalizer for as long as something is to be removed.
    fn wants_finalizer(&self, policy: &Policy) -> bool {
        if !policy.removes() {
            return false;
        }
        if !policy.deleting {
            return true;
        }
        // Such a policy writes nothing, removals included, so it has nothing to wait for.
        if policy.suspend || policy.strategy == Strategy::DryRun {
            return false;
        }
        let now = wall_clock();
        self.index.namespaces().any(|(name, entry)| {
            let Some(namespace) = entry.namespace.as_deref() else {
                return false;
            };
            let author = || State::parse(&namespace.state, now).policy;
            // A namespace that another policy won is that one's to write.
            !namespace.terminating
                && author().as_deref() == Some(&*policy.name)
                && self.index.winner(name).is_none()
        })
    }

    fn change_finalizer(&mut self, name: String, wants: bool) {
        let Some(Ok(policy)) = self.index.policy(&name) else {
            return;
        };
        let Some(version) = policy.resource_version() else {
            return;
        };
        if self.finalizers.sent.get(&name) == Some(&version) {
            return;
        }
        let others = policy
            .finalizers()
            .iter()
            .filter(|known| *known != FINALIZER);
        let ours = wants.then(|| FINALIZER.to_owned());
        let finalizers: Vec<String> = others.cloned().chain(ours).collect();
        // With the resourceVersion: the list is written whole, and must not undo somebody's change.
        let body = json!({
            "metadata": { "resourceVersion": version, "finalizers": finalizers },
        });
        tracing::info!(policy = name, wants, "changing the finalizer");
        self.finalizers.sent.insert(name.clone(), version);
        let caller = self.out.caller.clone();
        self.calls.spawn(async move {
            let parameters = PatchParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            let request = Request::new(NamespacePolicy::url_path(&(), None));
            let request = request.patch(&name, &parameters, &Patch::Merge(&body));
            let result = caller.write(request).await;
            Done::Finalizer(name, result)
        });
    }

    /// Takes in what became of a finalizer. A success comes back through the watch, and so does
    /// what makes a conflict.
    pub(super) fn note_finalizer(&mut self, name: &str, result: Result<Reply, CallError>) {
        let problem = match result {
            Ok(reply) if reply.is_success() || matches!(reply.code, 404 | 409) => return,
            Ok(reply) => reply.status().message,
            Err(CallError::NotLeading) => return,
            Err(error) => described(&error),
        };
        tracing::warn!(
            policy = name,
            error = problem,
            "could not change the finalizer"
        );
        self.finalizers.sent.remove(name);
        self.finalizers.look_at = Some(Instant::now() + LOOK_AGAIN);
    }
}
