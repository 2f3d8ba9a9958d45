//! What the API server's own Pod Security admission said to a dry run, and what that means.
//! No I/O.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use podfence_podsecurity::{
    LevelVersion, WarningLine, as_sent, existing_pods_warnings, parse_warning,
};

use crate::namespace::Namespace;
use crate::workloads::{Evaluation, Workloads};

/// After a refusal nothing changed may cure (the admission controller looks at no more than a
/// second's worth of pods), so it is asked again now and then.
const ASK_AGAIN: SignedDuration = SignedDuration::from_mins(5);

/// Pods change by the hundred; the API server is not asked more often than this about one
/// namespace that it has just refused.
const ASK_AT_MOST_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// The answer to a dry run of an apply that raises the enforced pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The namespace's uid and resourceVersion that were asked with.
    pub uid: String,
    /// See `uid`.
    pub resource_version: String,
    /// The `Workloads::revision` when it was asked.
    pub revision: u64,
    /// The pair that was asked about.
    pub pair: LevelVersion,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// The texts of the response's Warning headers.
    pub warnings: Vec<String>,
}

/// What an answer means for the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// There is no answer to this question: ask.
    Ask,
    /// Nothing is in the way.
    Clear,
    /// The namespace is exempt: the labels will have no effect.
    Exempt,
    /// Existing pods violate the pair, though our own evaluation does not explain it by finished
    /// pods. Asked again at `again`.
    Disagrees {
        lines: Vec<String>,
        again: Timestamp,
    },
}

/// Rules on the last answer for a namespace.
pub(crate) fn rule(
    answer: Option<&Answer>,
    namespace: &Namespace,
    workloads: &Workloads,
    pair: LevelVersion,
    at: Evaluation,
    now: Timestamp,
) -> Ruling {
    let Some(answer) = answer.filter(|it| it.uid == namespace.uid && it.pair == pair) else {
        return Ruling::Ask;
    };
    let unchanged = answer.revision == workloads.revision();
    let lines = complaints(answer, namespace, workloads, pair, at);
    if !lines.is_empty() {
        let patience = if unchanged {
            ASK_AGAIN
        } else {
            ASK_AT_MOST_EVERY
        };
        let again = answer
            .asked_at
            .saturating_add(patience)
            .unwrap_or(Timestamp::MAX);
        // A clock set back must not make an old refusal hold for ever.
        let current = now < again && answer.asked_at <= now;
        return if current {
            Ruling::Disagrees { lines, again }
        } else {
            Ruling::Ask
        };
    }
    // What permits a tightening must be about exactly what is going to be written.
    if !unchanged || answer.resource_version != namespace.resource_version {
        return Ruling::Ask;
    }
    let exempt = answer
        .warnings
        .iter()
        .any(|line| parse_warning(line) == WarningLine::Exempt);
    if exempt {
        Ruling::Exempt
    } else {
        Ruling::Clear
    }
}

/// The lines about existing pods, unless they are exactly the ones that the namespace's finished
/// pods explain. A check that was cut short and names no pod is no complaint; one that could not
/// be made is.
fn complaints(
    answer: &Answer,
    namespace: &Namespace,
    workloads: &Workloads,
    pair: LevelVersion,
    at: Evaluation,
) -> Vec<String> {
    let mut said: Vec<&String> = answer
        .warnings
        .iter()
        .filter(|line| match parse_warning(line) {
            WarningLine::ExistingPodsViolate
            | WarningLine::PodLine { .. }
            | WarningLine::ListFailed => true,
            WarningLine::Truncated { .. } | WarningLine::Exempt | WarningLine::Other => false,
        })
        .collect();
    if said.is_empty() {
        return Vec::new();
    }
    let finished = workloads.finished_reasons(pair.level, at);
    let pods = finished
        .iter()
        .map(|(name, reasons)| (&**name, reasons.as_str()));
    let mut explained = as_sent(&existing_pods_warnings(&namespace.name, pair, pods));
    explained.sort_unstable();
    said.sort_unstable();
    if said.iter().copied().eq(explained.iter()) {
        return Vec::new();
    }
    said.into_iter().cloned().collect()
}
