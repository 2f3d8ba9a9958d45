//! A namespace with the policy that won it: what holds before any workload is looked at. No I/O.

use k8s_openapi::jiff::Timestamp;
use podfence_crd::{Phase, Reason};
use podfence_podsecurity::{LevelVersion, Mode};

use crate::clean::LastViolated;
use crate::enforce::Standing;
use crate::event::Regarding;
use crate::keys::labels_of;
use crate::namespace::Namespace;
use crate::namespace_plan::{Context, Memory, NamespacePlan};
use crate::outcome::Outcome;
use crate::pair::Live;
use crate::planned::Planned;
use crate::policy::{Policy, Profile};
use crate::state::{State, whole_seconds};
use crate::workloads::{Assessment, Workloads};

/// A namespace and the policy that won it.
pub(crate) struct Governed<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) namespace: &'a Namespace,
    pub(crate) memory: &'a Memory,
    pub(crate) policy: &'a Policy,
    pub(crate) superseded: Vec<String>,
    pub(crate) state: State,
    pub(crate) live: Live,
}

impl<'a> Governed<'a> {
    pub(crate) fn new(
        context: &'a Context<'a>,
        namespace: &'a Namespace,
        memory: &'a Memory,
        policy: &'a Policy,
        superseded: Vec<String>,
    ) -> Self {
        Self {
            context,
            namespace,
            memory,
            policy,
            superseded,
            state: State::parse(&namespace.state, context.now),
            live: Live::read(Mode::Enforce, &namespace.labels),
        }
    }

    pub(crate) fn plan(&self, workloads: &mut Workloads) -> NamespacePlan {
        // An unreadable policy that wrote this namespace may still want it; nobody can tell.
        let claimed = self
            .state
            .policy
            .as_deref()
            .filter(|name| *name != self.policy.name);
        if claimed.is_some_and(|name| self.context.policies.is_unusable(name)) {
            return self.frozen(workloads, Reason::MalformedObject);
        }
        let targets = match &self.policy.profile {
            Profile::Missing => return self.frozen(workloads, Reason::ProfileMissing),
            Profile::Invalid(_) => return self.frozen(workloads, Reason::ProfileInvalid),
            Profile::Found(targets, _) => targets,
        };
        Planned::new(self, targets, workloads).finish(workloads)
    }

    /// Nothing is written while it cannot be known what should be.
    pub(crate) fn frozen(&self, workloads: &mut Workloads, reason: Reason) -> NamespacePlan {
        let phase = if self.policy.suspend {
            Phase::Suspended
        } else {
            Phase::Unknown
        };
        let assessment = workloads.unevaluated();
        let outcome = self.outcome(Standing::new(phase, reason), None, false, assessment);
        NamespacePlan {
            outcome: Some(outcome),
            interrupts: self.interrupted(),
            ..NamespacePlan::nothing()
        }
    }

    /// The policy whose record of cleanness is stored here, if that is another than the winner.
    pub(crate) fn interrupted(&self) -> Option<String> {
        let State {
            policy,
            clean_since,
            ..
        } = &self.state;
        policy
            .clone()
            .filter(|claimed| *claimed != self.policy.name && clean_since.is_some())
    }

    pub(crate) fn outcome(
        &self,
        standing: Standing,
        target: Option<LevelVersion>,
        at_target: bool,
        mut assessment: Assessment,
    ) -> Outcome {
        assessment.violating.truncate(Outcome::FINDINGS);
        // Only plans need it, and it would make every outcome differ from the one before.
        assessment.last_violated = LastViolated::default();
        let invalid_labels: Vec<_> = Mode::ALL
            .into_iter()
            .flat_map(|mode| Live::read(mode, &self.namespace.labels).invalid)
            .collect();
        Outcome {
            policy: self.policy.name.clone(),
            generation: self.policy.generation,
            superseded: self.superseded.clone(),
            phase: standing.phase,
            reason: standing.reason,
            since: self.since(standing.phase),
            next_change: standing.due.filter(|_| standing.phase == Phase::Soaking),
            current: self.live.pair,
            target,
            at_target,
            assessment,
            unseen: Vec::new(),
            managers: Vec::new(),
            invalid_labels,
            disagreement: Vec::new(),
            failure: None,
        }
    }

    /// Since when the namespace is in a phase: as stored, as remembered, or from now on.
    pub(crate) fn since(&self, phase: Phase) -> Timestamp {
        // What is stored comes first: memory may still hold the phase before the last write.
        let known = [self.state.phase, self.memory.previous];
        let since = known
            .into_iter()
            .flatten()
            .find(|(known, _)| *known == phase);
        let since = since.map(|(_, since)| since);
        whole_seconds(since.unwrap_or(self.context.now))
    }

    /// Whether Podfence is the only owner of the live enforce labels, and this policy their author.
    pub(crate) fn ours_alone(&self) -> bool {
        let sole = labels_of(Mode::Enforce)
            .into_iter()
            .filter(|key| self.namespace.labels.contains_key(*key))
            .all(|key| {
                let owners = self.namespace.ownership.label(key);
                owners.ours && owners.others.is_empty()
            });
        sole && self
            .live
            .pair
            .is_some_and(|live| self.state.is_author(&self.policy.name, live))
    }

    pub(crate) fn about(&self) -> Regarding {
        Regarding::Namespace {
            name: self.namespace.name.clone(),
            uid: self.namespace.uid.clone(),
        }
    }
}
