//! What all plans depend on: who leads, what cannot be seen, when soaks had to start again. No I/O.

use std::sync::Arc;
use std::time::Duration;

use podfence_daemon::server::Vitals;
use podfence_plan::{Ledger, Unseen};
use podfence_podsecurity::ServerVersion;
use tokio::time::Instant;

use super::{Driver, Term, wall_clock};
use crate::lease;
use crate::metrics::{OfKind, Queue as QueueLabel};
use crate::observe::health::GRACE;
use crate::observe::index::Circumstances;
use crate::observe::source::Source;

/// How long a standby keeps in mind what came and went. A leader that is alive has seen it by then;
/// one that died is replaced sooner.
const HINDSIGHT: Duration = Duration::from_secs(60);

/// Namespaces that a standby evaluates in one tick, so that its loop turns on.
const WARMED_AT_ONCE: usize = 256;

impl Driver {
    /// Queues what changed.
    pub(super) fn take_marks(&mut self, now: Instant) {
        let marks = self.index.take_marks();
        if marks.is_empty() {
            return;
        }
        let adds = |name| {
            self.out
                .metrics
                .queue_adds
                .get_or_create_owned(&QueueLabel { name })
        };
        let (namespace_adds, policy_adds) = (adds("namespace"), adds("policy"));
        for name in marks.namespaces {
            self.seccomp.mark(Arc::clone(&name), now);
            namespace_adds.inc_by(u64::from(self.namespaces.mark(name, now)));
        }
        if !marks.policies.is_empty() {
            self.finalizers.look_now(now);
        }
        for name in marks.policies {
            policy_adds.inc_by(u64::from(self.statuses.mark_policy(name, now)));
        }
        for name in marks.seccomp {
            self.seccomp.mark(name, now);
        }
        for name in marks.reports {
            self.note_report_seen(name, now);
        }
        if marks.nodes {
            self.seccomp.mark_nodes(now);
        }
        for name in marks.profiles {
            policy_adds.inc_by(u64::from(self.statuses.mark_profile(name, now)));
        }
    }

    /// Notices what can be seen no longer, or again.
    pub(super) fn look_at_health(&mut self, now: Instant) {
        let mut unseen = self.health.unseen(now);
        if self.versions.servers().is_none() {
            unseen.push(Unseen::ServerVersionUnknown);
            unseen.sort();
        }
        if unseen == self.unseen {
            return;
        }
        self.out
            .metrics
            .unseen
            .set(i64::try_from(unseen.len()).unwrap_or(i64::MAX));
        if !matches!(self.term, Term::Settling) {
            tracing::info!(?unseen, "what can be seen has changed");
        }
        self.unseen = unseen;
        self.index.mark_all();
    }

    /// Whether an empty index would mean an empty cluster.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        let knows_servers = self.versions.servers().is_some();
        self.health.is_settled(now) && (knows_servers || now >= self.started + GRACE)
    }

    pub(super) fn note_version(&mut self, version: ServerVersion) {
        if self.versions.note(version, Instant::now()) {
            tracing::info!(servers = ?self.versions.servers(), "the API servers' versions");
            self.index.mark_all();
        }
    }

    pub(super) fn begin_term(&mut self, ledger: Ledger) {
        self.out.metrics.leader.set(1);
        self.term = Term::Leading {
            ledger,
            changed: false,
            recording: None,
        };
        self.index.mark_all();
    }

    /// Notes what must not count for soaks, and stores that before the plans that depend on it.
    pub(super) fn keep_ledger(&mut self, election: &lease::Handle) {
        let Term::Leading {
            ledger,
            changed,
            recording: recording @ None,
        } = &mut self.term
        else {
            return;
        };
        let now = wall_clock();
        *changed |= if self.unseen.is_empty() {
            ledger.resume_everything(now)
        } else {
            ledger.pause_everything()
        };
        let policies = self.index.compiled();
        for policy in policies.iter() {
            *changed |= if policy.is_idle() {
                ledger.pause(&policy.name)
            } else {
                ledger.resume(&policy.name, now)
            };
        }
        for (name, _) in policies.unusable() {
            *changed |= ledger.pause(name);
        }
        // What was never listed is not gone.
        if self.health.was_listed(Source::Policies) {
            *changed |= ledger.prune(now, |name| self.index.policy(name).is_some());
        }
        if std::mem::take(changed) {
            *recording = Some(election.record(ledger));
        }
    }

    /// Notes that what a namespace has stored of its cleanness does not count any more, because it
    /// came under a policy that writes nothing; or that it keeps its own record again.
    pub(super) fn note_interrupted(&mut self, namespace: &str, by: Option<&str>) {
        if let Term::Leading {
            ledger, changed, ..
        } = &mut self.term
        {
            *changed |= match by {
                Some(author) => ledger.interrupt(namespace, author, wall_clock()),
                None => ledger.continue_in(namespace),
            };
        }
    }

    /// False when the ledger cannot be stored any more, because the Lease is lost.
    pub(super) fn note_recorded(&mut self, stored: bool) -> bool {
        if let Term::Leading { recording, .. } = &mut self.term {
            *recording = None;
        }
        stored
    }

    pub(super) fn show_vitals(&self, now: Instant) {
        let awaited = self.health.awaited(now);
        let kinds: Vec<_> = awaited.into_iter().map(Source::kind).collect();
        let awaits = (!kinds.is_empty()).then(|| format!("the first list of {}", kinds.join(", ")));
        self.out.vitals.send_replace(Vitals { beat: now, awaits });
    }

    /// What is done once a second.
    pub(super) fn tick(&mut self) {
        let metrics = &self.out.metrics;
        let show = |name, depth: usize| {
            let gauge = metrics
                .queue_depth
                .get_or_create_owned(&QueueLabel { name });
            gauge.set(i64::try_from(depth).unwrap_or(i64::MAX));
        };
        show("namespace", self.namespaces.len());
        show("policy", self.statuses.len());
        metrics
            .active_workers
            .set(i64::try_from(self.calls.len()).unwrap_or(i64::MAX));
        for (kind, count) in self.index.unreadable() {
            let gauge = metrics.undecodable.get_or_create_owned(&OfKind { kind });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        if matches!(self.term, Term::Standby) {
            self.stay_warm(Instant::now());
        }
    }

    /// On a standby: evaluates what changed a while ago, and forgets what came and went. What the
    /// leader may not have seen any more is kept.
    fn stay_warm(&mut self, now: Instant) {
        let old = |marked: Instant| now.duration_since(marked) >= HINDSIGHT;
        let waiting = self.namespaces.waiting().filter(|(_, marked)| old(*marked));
        let names: Vec<_> = waiting
            .map(|(name, _)| Arc::clone(name))
            .take(WARMED_AT_ONCE)
            .collect();
        let ledger = Ledger::starting(wall_clock());
        for name in names {
            let at = Circumstances {
                now: wall_clock(),
                servers: self.versions.servers(),
                unseen: &self.unseen,
                ledger: &ledger,
            };
            // Only what it leaves in the caches counts: whoever leads makes the plan that is
            // carried out.
            let _ = self.index.plan(&name, at);
            self.namespaces.forget(&name);
        }
    }
}
