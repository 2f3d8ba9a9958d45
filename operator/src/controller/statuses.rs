//! The statuses of policies and profiles. Does I/O in spawned tasks.
//!
//! A status is computed from the outcomes of namespaces, so it speaks of what was applied. It is
//! written when it differs from what is there, the first time at once, and then not too often.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::core::Request;
use kube::{Resource, ResourceExt};
use podfence_crd::{
    NamespacePolicy, NamespacePolicyStatus, NodeReportStatus, Phase, PolicyProfile,
    PolicyProfileStatus,
};
use podfence_daemon::backoff::Backoff;
use podfence_daemon::failure::described;
use podfence_plan::{
    FIELD_MANAGER, Outcome, PolicyView, Profile, Subject, plan_profile_status, plan_status,
};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::{Done, Driver, wall_clock};
use crate::backoff::for_writes;
use crate::call::{CallError, Caller, Reply};
use crate::metrics::{InPhase, StatusWritten};
use crate::queue::Queue;

/// One status write per object in this time. Quick enough for a person who waits, and a policy over
/// ten thousand namespaces in motion costs the API server half a write a second.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long a status waits for namespaces that are being worked on. A namespace that appears and is
/// labelled at once never shows as work under way, and a restart does not make `Ready` flap.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same, for the first pass over everything after a start. Until then most namespaces are not
/// known, and what the leader before wrote says more than a status that counts only some of them.
const FIRST_PATIENCE: Duration = Duration::from_secs(30);

/// Whose status.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    Policy(String),
    Profile(String),
    Report(String),
}

impl Key {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Policy(_) => "NamespacePolicy",
            Self::Profile(_) => "PolicyProfile",
            Self::Report(_) => "NodeReport",
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Policy(name) | Self::Profile(name) | Self::Report(name) => name,
        }
    }
}

/// A status on its way.
pub(super) enum Sent {
    Policy(Box<NamespacePolicyStatus>),
    Profile(Box<PolicyProfileStatus>),
    Report(Box<NodeReportStatus>),
}

/// What a status write came to.
pub(super) struct StatusDone {
    sent: Sent,
    result: Result<Reply, CallError>,
}

/// What is known of the status of one object.
struct Track {
    /// Since when it has been waiting to be computed.
    dirty_since: Option<Instant>,
    written_at: Option<Instant>,
    busy: bool,
    backoff: Backoff,
    /// The last status sent for an object that cannot be read.
    unread: Option<NamespacePolicyStatus>,
    /// The condition types that the metrics show.
    shown: BTreeSet<String>,
}

impl Default for Track {
    fn default() -> Self {
        Self {
            dirty_since: None,
            written_at: None,
            busy: false,
            backoff: for_writes(),
            unread: None,
            shown: BTreeSet::new(),
        }
    }
}

/// All statuses that are to be computed.
#[derive(Default)]
pub(super) struct Statuses {
    queue: Queue<Key>,
    tracks: HashMap<Key, Track>,
    /// Those that wait for namespaces to be done.
    patient: BTreeSet<Key>,
    /// Everything was planned at least once.
    passed: bool,
}

impl Statuses {
    pub(super) fn mark_policy(&mut self, name: String, now: Instant) -> bool {
        self.mark(Key::Policy(name), now)
    }

    pub(super) fn mark_profile(&mut self, name: String, now: Instant) -> bool {
        self.mark(Key::Profile(name), now)
    }

    pub(super) fn mark_report(&mut self, name: String, now: Instant) -> bool {
        self.mark(Key::Report(name), now)
    }

    /// Marks a policy one of whose namespaces has another outcome. Where the status waits for its
    /// namespaces anyway, its alarm is set: to look again at each of ten thousand outcomes would
    /// count the namespaces that are not done ten thousand times.
    pub(super) fn mark_outcome(&mut self, name: String, now: Instant) {
        let key = Key::Policy(name);
        if !self.patient.contains(&key) {
            self.mark(key, now);
        }
    }

    fn mark(&mut self, key: Key, now: Instant) -> bool {
        self.tracks
            .entry(key.clone())
            .or_default()
            .dirty_since
            .get_or_insert(now);
        self.queue.mark(key, now)
    }

    pub(super) fn ring(&mut self, now: Instant) {
        self.queue.ring(now);
    }

    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.queue.next_alarm()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    fn is_busy(&self, key: &Key) -> bool {
        self.tracks.get(key).is_some_and(|track| track.busy)
    }
}

impl Driver {
    pub(super) fn has_ready_status(&self) -> bool {
        self.statuses
            .queue
            .waiting()
            .any(|(key, _)| !self.statuses.is_busy(key))
    }

    /// Computes the statuses that are due, and begins to write those that changed.
    pub(super) fn write_statuses(&mut self, now: Instant) {
        let mut pending = None;
        while self.has_room() {
            let tracks = &self.statuses.tracks;
            let free = |key: &Key| tracks.get(key).is_none_or(|track| !track.busy);
            let Some((key, _)) = self.statuses.queue.pop(free) else {
                return;
            };
            let written = self
                .statuses
                .tracks
                .get(&key)
                .and_then(|track| track.written_at);
            if let Some(next) = written.map(|at| at + INTERVAL).filter(|next| *next > now) {
                self.statuses.queue.wake(key, next - now, now);
                continue;
            }
            match &key {
                Key::Profile(name) => self.write_profile_status(&name.clone(), key),
                Key::Report(name) => self.write_report_status(&name.clone(), key),
                Key::Policy(name) => {
                    let name = name.clone();
                    let pending = pending.get_or_insert_with(|| self.pending());
                    let pending = pending.get(&name).copied().unwrap_or_default();
                    self.write_policy_status(&name, key, pending, now);
                }
            }
        }
    }

    /// Lets go on what waited only for namespaces that are done by now. One that cannot be written
    /// keeps the status of its own policies waiting, and no other.
    pub(super) fn end_patience(&mut self, now: Instant) {
        if !self.namespaces.is_empty() {
            return;
        }
        if !self.statuses.passed && self.rounds.is_empty() {
            self.statuses.passed = true;
            // From now on less patience is asked of them.
            for key in std::mem::take(&mut self.statuses.patient) {
                self.statuses.queue.mark(key, now);
            }
        }
        if self.statuses.patient.is_empty() {
            return;
        }
        let pending = self.pending();
        let waits = |key: &Key| matches!(key, Key::Policy(name) if pending.contains_key(name));
        let (patient, done) = std::mem::take(&mut self.statuses.patient)
            .into_iter()
            .partition(waits);
        self.statuses.patient = patient;
        let done: BTreeSet<Key> = done;
        for key in done {
            self.statuses.queue.mark(key, now);
        }
    }

    /// How many namespaces each policy has that are not done.
    fn pending(&self) -> BTreeMap<String, usize> {
        let waiting = self.namespaces.waiting().map(|(name, _)| name);
        let names: BTreeSet<_> = waiting
            .chain(self.rounds.keys())
            .chain(&self.unsettled)
            .collect();
        let mut pending = BTreeMap::new();
        for name in names {
            if let Some(policy) = self.index.winner(name) {
                *pending.entry(policy.name.clone()).or_default() += 1;
            }
        }
        pending
    }

    fn write_policy_status(&mut self, name: &str, key: Key, pending: usize, now: Instant) {
        let Some(kept) = self.index.policy(name) else {
            return self.forget_status(&key);
        };
        let track = self.statuses.tracks.entry(key.clone()).or_default();
        let patience = if self.statuses.passed {
            PATIENCE
        } else {
            FIRST_PATIENCE
        };
        let ready_at = track.dirty_since.unwrap_or(now) + patience;
        if pending > 0 && now < ready_at {
            self.statuses.queue.wake(key.clone(), ready_at - now, now);
            self.statuses.patient.insert(key);
            return;
        }
        let compiled = self.index.compiled();
        let unusable = || compiled.unusable().find(|(known, _)| *known == name);
        let subject = match compiled.get(name) {
            Some(policy) => Subject::Policy(policy),
            None => match unusable() {
                Some((_, unusable)) => Subject::Unusable(unusable),
                None => return,
            },
        };
        let (uid, previous) = match kept {
            Ok(policy) => (policy.uid(), policy.status.clone()),
            Err(_) => (None, track.unread.clone()),
        };
        let won = self.outcomes.won(name);
        let is_won = |namespace: &str| {
            won.binary_search_by(|(known, _)| (*known).cmp(namespace))
                .is_ok()
        };
        let status = self.with_seccomp_view(is_won, self.outside(), |seccomp| {
            plan_status(&PolicyView {
                now: wall_clock(),
                subject,
                won: &won,
                lost: &self.outcomes.lost(name),
                pending,
                unseen: &self.unseen,
                seccomp,
                previous: previous.as_ref(),
            })
        });
        self.show_phases(name, &won);
        let is_new = previous.as_ref() != Some(&status);
        let body = body::<NamespacePolicy>(name, uid, &status);
        self.show_conditions(&key, &status.conditions);
        self.send_status::<NamespacePolicy>(key, Sent::Policy(Box::new(status)), is_new, body);
        // While namespaces are being worked on, their number is part of the status.
        if pending > 0 {
            self.statuses.mark_policy(name.to_owned(), now);
        }
    }

    fn write_profile_status(&mut self, name: &str, key: Key) {
        let Some(kept) = self.index.profile(name) else {
            return self.forget_status(&key);
        };
        let used_by = self
            .index
            .compiled()
            .iter()
            .filter(|policy| policy.profile_name == name)
            .count();
        let (generation, problem, previous, uid) = match kept {
            Ok(profile) => {
                let problem = match Profile::read(profile) {
                    Profile::Invalid(problem) => Some(problem),
                    Profile::Found(..) | Profile::Missing => None,
                };
                let generation = profile.metadata.generation.unwrap_or_default();
                (generation, problem, profile.status.clone(), profile.uid())
            }
            Err(malformed) => (
                malformed.generation,
                Some(malformed.error.clone()),
                None,
                None,
            ),
        };
        let status = plan_profile_status(
            generation,
            problem.as_deref(),
            used_by,
            previous.as_ref(),
            wall_clock(),
        );
        let is_new = previous.as_ref() != Some(&status);
        let body = body::<PolicyProfile>(name, uid, &status);
        self.show_conditions(&key, &status.conditions);
        self.send_status::<PolicyProfile>(key, Sent::Profile(Box::new(status)), is_new, body);
    }

    pub(super) fn send_status<K: Resource<DynamicType = ()>>(
        &mut self,
        key: Key,
        sent: Sent,
        is_new: bool,
        body: serde_json::Value,
    ) {
        let track = self.statuses.tracks.entry(key.clone()).or_default();
        track.dirty_since = None;
        self.statuses.patient.remove(&key);
        let result = if is_new { "written" } else { "skipped" };
        let labels = StatusWritten {
            kind: key.kind(),
            result,
        };
        self.out.metrics.status_writes.get_or_create(&labels).inc();
        if !is_new {
            return;
        }
        track.busy = true;
        track.written_at = Some(Instant::now());
        let caller = self.out.caller.clone();
        self.calls.spawn(async move {
            let result = patch_status::<K>(&caller, key.name(), &body).await;
            Done::Status(key, StatusDone { sent, result })
        });
    }

    /// Takes in what became of a status.
    pub(super) fn note_status(&mut self, key: &Key, StatusDone { sent, result }: StatusDone) {
        let now = Instant::now();
        let Some(track) = self.statuses.tracks.get_mut(key) else {
            return;
        };
        track.busy = false;
        let problem = match result {
            Ok(reply) if reply.is_success() => None,
            // Gone, or another one by now: the watch tells.
            Ok(reply) if matches!(reply.code, 404 | 409) => return,
            Ok(reply) => Some(reply.status().message),
            Err(CallError::NotLeading) => return,
            Err(error) => Some(described(&error)),
        };
        let took = track.written_at.map(|at| at.elapsed()).unwrap_or_default();
        let result = if problem.is_some() {
            "error"
        } else {
            "success"
        };
        self.out.metrics.reconciled("policy", result, took);
        if let Some(problem) = problem {
            let (kind, name) = (key.kind(), key.name());
            tracing::warn!(kind, name, error = problem, "could not write a status");
            let pause = track.backoff.pause();
            track.dirty_since.get_or_insert(now);
            self.statuses.queue.wake(key.clone(), pause, now);
            return;
        }
        track.backoff.reset();
        match sent {
            Sent::Policy(status) => match self.index.policy_mut(key.name()) {
                Some(policy) => policy.status = Some(*status),
                None => track.unread = Some(*status),
            },
            Sent::Report(status) => self.note_report_status(key.name(), *status),
            Sent::Profile(status) => {
                if let Some(profile) = self.index.profile_mut(key.name()) {
                    profile.status = Some(*status);
                }
            }
        }
    }

    /// Forgets an object that is gone.
    pub(super) fn forget_status(&mut self, key: &Key) {
        self.show_conditions(key, &[]);
        if let Key::Policy(name) = key {
            self.show_phases(name, &[]);
        }
        self.statuses.tracks.remove(key);
        self.statuses.patient.remove(key);
        self.statuses.queue.forget(key);
    }

    pub(super) fn show_conditions(&mut self, key: &Key, conditions: &[Condition]) {
        let Some(track) = self.statuses.tracks.get_mut(key) else {
            return;
        };
        let (kind, name) = (key.kind(), key.name());
        for Condition { type_, status, .. } in conditions {
            self.out.metrics.show_condition(kind, name, type_, status);
        }
        let shown: BTreeSet<_> = conditions.iter().map(|it| it.type_.clone()).collect();
        for gone in track.shown.difference(&shown) {
            self.out.metrics.hide_condition(kind, name, gone);
        }
        track.shown = shown;
    }

    /// Shows how many namespaces a policy has in each phase; phases without any are not shown.
    fn show_phases(&self, policy: &str, won: &[(&str, &Outcome)]) {
        for phase in Phase::ALL {
            let labels = InPhase {
                policy: policy.to_owned(),
                phase: phase.as_str(),
            };
            let count = won
                .iter()
                .filter(|(_, outcome)| outcome.phase == *phase)
                .count();
            if count == 0 {
                self.out.metrics.phases.remove(&labels);
            } else {
                let gauge = self.out.metrics.phases.get_or_create(&labels);
                gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }
}

/// The body of an apply of the whole status. With the uid, an object that was created anew meanwhile
/// does not get the status of the old one.
pub(super) fn body<K: Resource<DynamicType = ()>>(
    name: &str,
    uid: Option<String>,
    status: &impl Serialize,
) -> serde_json::Value {
    let mut metadata = json!({ "name": name });
    if let (Some(uid), Some(fields)) = (uid, metadata.as_object_mut()) {
        fields.insert("uid".to_owned(), uid.into());
    }
    json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": metadata,
        "status": status,
    })
}

/// Applies a status by force: it is ours alone, whoever touched it meanwhile.
async fn patch_status<K: Resource<DynamicType = ()>>(
    caller: &Caller,
    name: &str,
    body: &serde_json::Value,
) -> Result<Reply, CallError> {
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let request = Request::new(K::url_path(&(), None));
    caller
        .write(request.patch_subresource("status", name, &parameters, &Patch::Apply(body)))
        .await
}
