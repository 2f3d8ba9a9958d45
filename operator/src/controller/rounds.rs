//! One namespace from a mark to an outcome: plan, carry out a step, plan again, until there is
//! nothing left to do. Does I/O in spawned tasks.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use podfence_crd::Phase;
use podfence_daemon::failure::described;
use podfence_plan::{Answer, Apply, Event, Namespace, NamespacePlan, Outcome, Refused, Step};
use podfence_podsecurity::LevelVersion;
use tokio::time::Instant;

use super::{Done, Driver, Term, wall_clock};
use crate::apply::{self, Applied, Mode};
use crate::call::CallError;
use crate::crd_state::CrdState;
use crate::metrics::{Queue as QueueLabel, Written};
use crate::observe::index::Circumstances;

/// Steps in one round. A question, a conflict and an apply are three, the last plan is the fourth;
/// somebody who changes the namespace in between can add a few. More is a dispute that a pause
/// serves better.
const MOST_STEPS: u32 = 8;

/// Rounds begun before inputs are heard again.
const PLANS_PER_TURN: usize = 256;

/// Failures in a row, about two seconds of them, after which a namespace says so in the status. A
/// single timeout must not make `Ready` flap.
const FAILURES_TO_SAY: u32 = 4;

/// A namespace that is being worked on.
pub(super) struct Round {
    began: Instant,
    pub(super) marked: Instant,
    steps: u32,
    /// The outcome of the last plan, for the case that its step fails.
    pub(super) outcome: Option<Outcome>,
}

/// What a step came to.
pub(super) struct StepDone {
    pub(super) apply: Apply,
    pub(super) kind: StepKind,
    pub(super) result: Result<Applied, CallError>,
}

/// The step that it was.
pub(super) enum StepKind {
    Ask {
        pair: LevelVersion,
        revision: u64,
        asked_at: Timestamp,
    },
    Apply {
        events: Vec<Event>,
    },
    Leave {
        before: Box<Namespace>,
        crd: Option<(Instant, CrdState)>,
    },
}

impl Driver {
    pub(super) fn has_ready_round(&self) -> bool {
        // What waits for the end of its own round becomes ready with an input.
        self.namespaces.len() > self.rounds.len()
            || self
                .namespaces
                .waiting()
                .any(|(name, _)| !self.rounds.contains_key(name))
    }

    /// Begins rounds while there is room for their requests.
    pub(super) fn start_rounds(&mut self) {
        for _ in 0..PLANS_PER_TURN {
            if !self.has_room() {
                return;
            }
            let rounds = &self.rounds;
            let Some((name, marked)) = self.namespaces.pop(|name| !rounds.contains_key(name))
            else {
                return;
            };
            let began = Instant::now();
            let queue = QueueLabel { name: "namespace" };
            let waited = began.duration_since(marked).as_secs_f64();
            self.out
                .metrics
                .queue_seconds
                .get_or_create(&queue)
                .observe(waited);
            let round = Round {
                began,
                marked,
                steps: 0,
                outcome: None,
            };
            self.rounds.insert(Arc::clone(&name), round);
            self.plan(name);
        }
    }

    /// Plans a namespace and begins the plan's step.
    fn plan(&mut self, name: Arc<str>) {
        let Some(round) = self.rounds.get_mut(&name) else {
            return;
        };
        round.steps += 1;
        if round.steps > MOST_STEPS {
            return self.put_off(&name, "too many steps in a row");
        }
        let Term::Leading { ledger, .. } = &self.term else {
            return self.drop_round(&name);
        };
        let at = Circumstances {
            now: wall_clock(),
            servers: self.versions.servers(),
            unseen: &self.unseen,
            ledger,
        };
        let Some(plan) = self.index.plan(&name, at) else {
            return self.forget(&name);
        };
        let NamespacePlan {
            step,
            outcome,
            requeue_at,
            events,
            interrupts,
        } = plan;
        match step {
            Step::Nothing => {
                let again = requeue_at.map(|due| until(due, at.now));
                self.note_interrupted(&name, interrupts.as_deref());
                self.settle(&name, outcome, again);
            }
            Step::Ask(apply, pair) => {
                let entry = self.index.entry(&name);
                let revision = entry
                    .map(|entry| entry.workloads.revision())
                    .unwrap_or_default();
                let kind = StepKind::Ask {
                    pair,
                    revision,
                    asked_at: at.now,
                };
                self.carry_out(name, apply, kind, outcome, Mode::DryRun);
            }
            Step::Apply(apply) => {
                self.carry_out(
                    name,
                    apply,
                    StepKind::Apply { events },
                    outcome,
                    Mode::Write,
                );
            }
            Step::Remove { remove, retain } => self.leave(name, remove, retain),
        }
    }

    fn carry_out(
        &mut self,
        name: Arc<str>,
        apply: Apply,
        kind: StepKind,
        outcome: Option<Outcome>,
        mode: Mode,
    ) {
        if let Some(round) = self.rounds.get_mut(&name) {
            round.outcome = outcome;
        }
        let caller = self.out.caller.clone();
        self.calls.spawn(async move {
            let result = apply::send(&caller, &apply, mode).await;
            Done::Round(
                name,
                StepDone {
                    apply,
                    kind,
                    result,
                },
            )
        });
    }

    /// Takes in what a step came to, and goes on with the round.
    pub(super) fn note_step(
        &mut self,
        name: Arc<str>,
        StepDone {
            apply,
            kind,
            result,
        }: StepDone,
    ) {
        let counter = match kind {
            StepKind::Ask { .. } => &self.out.metrics.dry_runs,
            StepKind::Apply { .. } | StepKind::Leave { .. } => &self.out.metrics.label_writes,
        };
        let label = result
            .as_ref()
            .map_or_else(CallError::label, Applied::label);
        counter.get_or_create(&Written { result: label }).inc();
        match result {
            Ok(Applied::Done {
                namespace,
                warnings,
            }) => {
                match kind {
                    StepKind::Ask {
                        pair,
                        revision,
                        asked_at,
                    } => {
                        self.note_answer(&name, &apply, pair, revision, asked_at, warnings);
                    }
                    StepKind::Apply { events } => {
                        log_applied(&name, &events);
                        self.index.wrote(&apply.resource_version, namespace);
                        for event in events {
                            self.out.publisher.publish(event);
                        }
                    }
                    StepKind::Leave { before, crd } => {
                        self.note_left(&before, &namespace, &apply, crd);
                        self.index.wrote(&apply.resource_version, namespace);
                    }
                }
                self.plan(name);
            }
            Ok(Applied::Conflict(keys)) => {
                tracing::info!(namespace = &*name, ?keys, "other managers own labels");
                if let Some(entry) = self.index.entry_mut(&name) {
                    let resource_version = apply.resource_version;
                    entry.memory.refused = Some(Refused {
                        resource_version,
                        keys,
                    });
                }
                self.plan(name);
            }
            // Nothing is wrong: the watch brings the new version and with it a mark. Should it
            // have been quicker than the answer, the mark is there already.
            Ok(Applied::Outdated) => self.put_off(&name, "the namespace has changed"),
            Ok(Applied::Refused(message)) => self.fail(&name, message, true),
            Err(CallError::NotLeading) => self.drop_round(&name),
            Err(error) => self.fail(&name, described(&error), false),
        }
    }

    fn note_answer(
        &mut self,
        name: &str,
        asked: &Apply,
        pair: LevelVersion,
        revision: u64,
        asked_at: Timestamp,
        warnings: Vec<String>,
    ) {
        let Some(entry) = self.index.entry_mut(name) else {
            return;
        };
        let (uid, resource_version) = (asked.uid.clone(), asked.resource_version.clone());
        entry.memory.answer = Some(Answer {
            uid,
            resource_version,
            revision,
            pair,
            asked_at,
            warnings,
        });
    }

    /// Ends a round with nothing left to do.
    fn settle(&mut self, name: &Arc<str>, outcome: Option<Outcome>, again: Option<Duration>) {
        self.end_round(name, "success");
        self.backoffs.succeeded(name);
        self.unsettled.remove(name);
        self.remember(
            name,
            outcome
                .as_ref()
                .map(|outcome| (outcome.phase, outcome.since)),
        );
        self.conclude(name, outcome);
        match again {
            Some(after) => self
                .namespaces
                .wake(Arc::clone(name), after, Instant::now()),
            None => self.namespaces.silence(name),
        }
        let seconds = wall_clock().as_second();
        // Far below 2^52 for the next hundred million years.
        #[allow(clippy::cast_precision_loss)]
        self.out.metrics.last_plan_seconds.set(seconds as f64);
    }

    /// Ends a round that is to be repeated soon, with nothing to say about it.
    fn put_off(&mut self, name: &Arc<str>, why: &'static str) {
        tracing::debug!(namespace = &**name, why, "put off");
        self.end_round(name, "requeue");
        self.repeat(name);
    }

    /// Ends a round whose step failed. A refusal is said at once, anything else when it lasts.
    fn fail(&mut self, name: &Arc<str>, message: String, refused: bool) {
        let outcome = self
            .rounds
            .get_mut(name)
            .and_then(|round| round.outcome.take());
        self.end_round(name, "error");
        let failures = self.repeat(name);
        tracing::warn!(
            namespace = &**name,
            failures,
            error = message,
            "could not write"
        );
        if refused || failures >= FAILURES_TO_SAY {
            let before = self.outcomes.get(name);
            let failed = outcome.map(|outcome| outcome.failed(message, before, wall_clock()));
            self.unsettled.remove(name);
            self.conclude(name, failed);
        }
    }

    fn repeat(&mut self, name: &Arc<str>) -> u32 {
        let queue = QueueLabel { name: "namespace" };
        self.out.metrics.queue_retries.get_or_create(&queue).inc();
        let (pause, failures) = self.backoffs.failed(Arc::clone(name));
        self.namespaces
            .wake(Arc::clone(name), pause, Instant::now());
        self.unsettled.insert(Arc::clone(name));
        failures
    }

    /// Ends a round without any trace: we may not write any more.
    fn drop_round(&mut self, name: &Arc<str>) {
        self.rounds.remove(name);
    }

    /// Ends a round of a namespace that is gone.
    pub(super) fn forget(&mut self, name: &Arc<str>) {
        self.end_round(name, "success");
        self.backoffs.succeeded(name);
        self.unsettled.remove(name);
        self.namespaces.silence(name);
        self.note_interrupted(name, None);
        self.conclude(name, None);
    }

    fn end_round(&mut self, name: &Arc<str>, result: &'static str) {
        if let Some(round) = self.rounds.remove(name) {
            self.out
                .metrics
                .reconciled("namespace", result, round.began.elapsed());
        }
    }

    fn remember(&mut self, name: &str, phase: Option<(Phase, Timestamp)>) {
        if let Some(entry) = self.index.entry_mut(name) {
            entry.memory.previous = phase;
        }
    }

    fn conclude(&mut self, name: &Arc<str>, outcome: Option<Outcome>) {
        let now = Instant::now();
        for policy in self.outcomes.set(name, outcome) {
            self.statuses.mark_outcome(policy, now);
        }
    }
}

fn log_applied(name: &str, events: &[Event]) {
    if let Some(event) = events.first() {
        tracing::info!(
            namespace = name,
            reason = event.reason,
            note = event.note,
            "applied"
        );
    } else {
        tracing::debug!(namespace = name, "applied");
    }
}

/// How long until an instant of the wall clock; a moment when it has passed already, so that a plan
/// that asks for the past cannot spin.
fn until(due: Timestamp, now: Timestamp) -> Duration {
    const MOMENT: Duration = Duration::from_millis(10);
    Duration::try_from(due.duration_since(now))
        .unwrap_or_default()
        .max(MOMENT)
}
