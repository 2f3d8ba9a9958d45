//! How far a namespace is: what its plan leaves for the status. No I/O.

use k8s_openapi::jiff::Timestamp;
use podfence_crd::{Phase, Reason};
use podfence_podsecurity::LevelVersion;

use crate::servers::Unseen;
use crate::state::whole_seconds;
use crate::workloads::Assessment;

/// What is known of one namespace that a policy won, when there is nothing left to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The winner.
    pub policy: String,
    /// The winner's generation that was planned with.
    pub generation: i64,
    /// The policies that match the namespace too and lost it, in order of precedence.
    pub superseded: Vec<String>,
    /// How far it is.
    pub phase: Phase,
    /// Why.
    pub reason: Reason,
    /// Since when it is in this phase, in whole seconds.
    pub since: Timestamp,
    /// When time alone ends the phase.
    pub next_change: Option<Timestamp>,
    /// What is enforced, if there is a level label.
    pub current: Option<LevelVersion>,
    /// What is to be enforced, if the profile says and is there.
    pub target: Option<LevelVersion>,
    /// Whether every mode that the profile names is what it asks for, enforce being stricter
    /// counted as well.
    pub at_target: bool,
    /// What the workloads show.
    pub assessment: Assessment,
    /// What of this namespace could not be seen.
    pub unseen: Vec<Unseen>,
    /// The managers that hold labels which the policy wants to be different, sorted.
    pub managers: Vec<String>,
    /// Labels that the API server could not parse, as `key=value`.
    pub invalid_labels: Vec<String>,
    /// What the API server said about existing pods, where that holds enforcement back.
    pub disagreement: Vec<String>,
    /// Why the last write failed, if it did.
    pub failure: Option<String>,
}

impl Outcome {
    /// How many violating workloads are kept by name: as many as a status shows of a namespace.
    pub(crate) const FINDINGS: usize = podfence_crd::MAX_WORST_WORKLOADS;

    /// What is known when the step of the plan failed: nothing of what it would have brought about
    /// is there. `before` is the outcome that was known until now.
    #[must_use]
    pub fn failed(self, message: String, before: Option<&Self>, now: Timestamp) -> Self {
        let lasting = before.filter(|it| it.failure.is_some() && it.policy == self.policy);
        Self {
            phase: Phase::Held,
            reason: Reason::ApplyFailed,
            since: lasting.map_or_else(|| whole_seconds(now), |it| it.since),
            next_change: None,
            failure: Some(message),
            ..self
        }
    }
}
