//! Events as values: one function each, told apart by reason. No I/O.
//!
//! They are made on transitions only. What an event says is also in a status: events may be lost.

use podfence_crd::{Phase, Reason};
use podfence_podsecurity::LevelVersion;
use podfence_seccomp::Verdict;

/// The longest note that the events API takes, in bytes.
const LONGEST_NOTE: usize = 1024;

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regarding {
    /// A namespace.
    Namespace {
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
    /// A workload.
    Workload {
        /// Its group and version.
        api_version: String,
        /// Its kind.
        kind: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its uid; empty where nobody has seen the object itself.
        uid: String,
    },
    /// A policy.
    Policy {
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
}

/// An event to be published once what it tells is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it is about.
    pub regarding: Regarding,
    /// Whether somebody should look.
    pub warning: bool,
    /// The reason: events about one object are told apart by it.
    pub reason: &'static str,
    /// What was done.
    pub action: &'static str,
    /// For people, at most 1 KiB.
    pub note: String,
}

impl Event {
    fn new(
        regarding: Regarding,
        warning: bool,
        reason: &'static str,
        action: &'static str,
        note: String,
    ) -> Self {
        Self {
            regarding,
            warning,
            reason,
            action,
            note: bounded(note, LONGEST_NOTE),
        }
    }

    /// The enforced pair was raised.
    pub(crate) fn tightened(
        about: Regarding,
        policy: &str,
        from: Option<LevelVersion>,
        to: LevelVersion,
    ) -> Self {
        let note = format!(
            "policy {policy} raised enforce from {} to {to}",
            or_unset(from)
        );
        Self::new(about, false, "Tightened", "ApplyLabels", note)
    }

    /// The enforced pair was lowered.
    pub(crate) fn loosened(
        about: Regarding,
        policy: &str,
        from: Option<LevelVersion>,
        to: LevelVersion,
    ) -> Self {
        let note = format!(
            "policy {policy} lowered enforce from {} to {to}",
            or_unset(from)
        );
        Self::new(about, false, "Loosened", "ApplyLabels", note)
    }

    /// The namespace came into another phase.
    pub(crate) fn phase(about: Regarding, policy: &str, phase: Phase, reason: Reason) -> Self {
        let warning = matches!(phase, Phase::Held | Phase::Yielded | Phase::Contended);
        let note = format!(
            "policy {policy}: {phase} ({reason})",
            phase = phase.as_str()
        );
        Self::new(about, warning, phase.as_str(), "Plan", note)
    }

    /// A workload has come to fail under RuntimeDefault, or is known to from now on.
    pub(crate) fn seccomp(about: Regarding, verdict: Verdict, why: String) -> Self {
        Self::new(about, true, verdict.as_str(), "AssessSeccompDefault", why)
    }

    /// Enforce was tightened under Immediate although the API server warned.
    pub(crate) fn admission_warned(about: Regarding, lines: &[String]) -> Self {
        let note = format!(
            "enforce was raised; the API server warned: {}",
            lines.join("; ")
        );
        Self::new(about, true, "ExistingPodsViolate", "ApplyLabels", note)
    }

    /// Labels were to be removed, and stayed because somebody else owns them too.
    #[must_use]
    pub fn co_owned(about: Regarding, keys: &[String]) -> Self {
        let note = format!(
            "not removed, because another manager owns them too: {}",
            keys.join(", ")
        );
        Self::new(about, true, "CoOwned", "RemoveLabels", note)
    }

    /// A policy asked for its labels to be removed, and they were kept.
    #[must_use]
    pub fn removal_skipped(about: Regarding, why: &str) -> Self {
        let note = format!("labels are kept although deletionPolicy is Remove: {why}");
        Self::new(about, true, "RemovalSkipped", "RemoveLabels", note)
    }
}

fn or_unset(pair: Option<LevelVersion>) -> String {
    pair.map_or_else(|| "unset".to_owned(), |pair| pair.to_string())
}

/// Cuts a text to at most so many bytes, at a character's boundary, and shows that it was cut.
pub(crate) fn bounded(mut text: String, bytes: usize) -> String {
    const CUT: &str = "…";
    if text.len() <= bytes {
        return text;
    }
    let mut end = bytes.saturating_sub(CUT.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push_str(CUT);
    text
}
