//! What a namespace's workloads show at its target, and what that decides. No I/O.

use k8s_openapi::jiff::Timestamp;
use podfence_crd::{Phase, Reason, Strategy};
use podfence_podsecurity::{Level, LevelVersion, Mode};

use crate::clean::{LastViolated, Soak};
use crate::enforce::{Decision, Question, Standing, decide, resolve_target};
use crate::governed::Governed;
use crate::namespace_plan::NamespacePlan;
use crate::pair::{Change, Live};
use crate::policy::Targets;
use crate::servers::Unseen;
use crate::state::CleanSince;
use crate::workloads::{Assessment, Evaluation, Workloads};
use crate::writing::Writing;

/// The plan of a namespace whose target is known, while it is being made.
pub(crate) struct Planned<'a, 'b> {
    pub(crate) governed: &'b Governed<'a>,
    pub(crate) targets: &'b Targets,
    pub(crate) target: Option<LevelVersion>,
    pub(crate) at: Option<Evaluation>,
    pub(crate) unseen: Vec<Unseen>,
    pub(crate) assessment: Assessment,
    pub(crate) clean: Option<CleanSince>,
    pub(crate) decision: Decision,
}

impl<'a, 'b> Planned<'a, 'b> {
    pub(crate) fn new(
        governed: &'b Governed<'a>,
        targets: &'b Targets,
        workloads: &mut Workloads,
    ) -> Self {
        let Governed {
            context,
            policy,
            live,
            namespace,
            ..
        } = governed;
        let lowest = context.servers.map(|servers| servers.lowest_minor());
        let resolve =
            |pair| resolve_target(pair, policy.strategy, live.pair, lowest).unwrap_or(pair);
        let target = targets.enforce.map(resolve);
        let evaluated = target.or_else(|| targets.evaluated());
        let at = context
            .servers
            .zip(evaluated)
            .map(|(servers, pair)| Evaluation {
                version: pair.version,
                servers,
            });
        let assessment = match evaluated.zip(at) {
            Some((pair, at)) => {
                workloads.assess(policy, pair.level, at, &namespace.labels, context.now)
            }
            None => workloads.unevaluated(),
        };
        let mut unseen = Vec::new();
        if at.is_some_and(|at| at.servers.outrun_rules_at(at.version)) {
            unseen.push(Unseen::ServerTooNew);
        }
        if !assessment.malformed.is_empty() {
            unseen.push(Unseen::Malformed {
                objects: assessment.malformed.clone(),
            });
        }
        let mut planned = Self {
            governed,
            targets,
            target,
            at,
            unseen,
            assessment,
            clean: None,
            decision: Decision::AtTarget,
        };
        planned.clean = planned.clean_since();
        if let Some(target) = target {
            planned.decision = decide(&planned.question(target));
        }
        planned
    }

    /// The record of cleanness to store. While something of the cluster is unseen the stored one
    /// stays, since the ledger already says that it does not count; what is unseen of this
    /// namespace alone ends its record.
    pub(crate) fn clean_since(&self) -> Option<CleanSince> {
        let Governed {
            context,
            policy,
            namespace,
            state,
            ..
        } = self.governed;
        let (target, at) = self.target.zip(self.at)?;
        if policy.strategy == Strategy::Immediate || target.level == Level::Privileged {
            return None;
        }
        if !context.unseen.is_empty() {
            return state.clean_since.clone();
        }
        if !self.unseen.is_empty() {
            return None;
        }
        let soak = Soak {
            policy: &policy.name,
            uid: &namespace.uid,
            version: at.version,
            up_to: target.level,
            counted_from: context
                .ledger
                .counted_from(&policy.name, &namespace.name, context.now),
            now: context.now,
        };
        let Assessment {
            violated,
            last_violated,
            ..
        } = self.assessment;
        Some(soak.continue_from(state.clean_since.as_ref(), violated, last_violated))
    }

    pub(crate) fn question(&self, target: LevelVersion) -> Question<'_> {
        const NEVER: &CleanSince = &CleanSince::never();
        let Governed {
            context,
            policy,
            live,
            ..
        } = self.governed;
        let unseen = context
            .unseen
            .first()
            .or(self.unseen.first())
            .map(Unseen::reason);
        Question {
            live: live.pair,
            target,
            strategy: policy.strategy,
            soak: policy.soak,
            while_violating: policy.while_violating,
            loosening: policy.loosening,
            ours_alone: self.governed.ours_alone(),
            unseen: unseen.or_else(|| self.at.is_none().then_some(Reason::ListFailed)),
            clean: self.clean.as_ref().unwrap_or(NEVER),
            born_clean: self.is_born_clean(),
            now: context.now,
        }
    }

    /// A namespace that is younger than its policy, was never written, and in which nothing was
    /// ever seen: there is no past to wait for.
    pub(crate) fn is_born_clean(&self) -> bool {
        let Governed {
            context,
            policy,
            namespace,
            state,
            ..
        } = self.governed;
        let counted_from = context
            .ledger
            .counted_from(&policy.name, &namespace.name, context.now);
        state.is_empty()
            && self.assessment.empty
            && self.assessment.last_violated == LastViolated::default()
            && namespace.created > policy.created
            && counted_from.is_none_or(|from| namespace.created >= from)
    }

    pub(crate) fn finish(self, workloads: &mut Workloads) -> NamespacePlan {
        let policy = self.governed.policy;
        if policy.suspend {
            return self.idle(Standing::new(Phase::Suspended, Reason::Suspended));
        }
        if policy.strategy == Strategy::DryRun {
            let violating = self.assessment.all_violating() > 0;
            let reason = if violating {
                Reason::ViolatingWorkloads
            } else {
                Reason::DryRun
            };
            return self.idle(Standing::new(Phase::DryRun, reason));
        }
        Writing::new(&self, workloads).finish()
    }

    /// Reports without writing.
    pub(crate) fn idle(self, standing: Standing) -> NamespacePlan {
        let requeue_at = self.next_expiry();
        let at_target = self.is_at_target();
        let mut outcome = self
            .governed
            .outcome(standing, self.target, at_target, self.assessment);
        outcome.unseen = self.unseen;
        NamespacePlan {
            outcome: Some(outcome),
            requeue_at,
            interrupts: self.governed.interrupted(),
            ..NamespacePlan::nothing()
        }
    }

    pub(crate) fn next_expiry(&self) -> Option<Timestamp> {
        self.governed.policy.next_expiry(self.governed.context.now)
    }

    /// Whether the labels, as they are, are what the profile asks for.
    pub(crate) fn is_at_target(&self) -> bool {
        let labels = &self.governed.namespace.labels;
        let others = [Mode::Audit, Mode::Warn].into_iter().all(|mode| {
            self.targets
                .of(mode)
                .is_none_or(|pair| Live::read(mode, labels).pair == Some(pair))
        });
        let enforce = self.target.is_none_or(|target| {
            let change = Change::between(self.governed.live.pair, target);
            !change.tightens
        });
        others && enforce
    }
}
