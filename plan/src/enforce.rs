//! What to do with the enforced pair: keep it, or change it, and why. No I/O.
//!
//! The order of the questions is the safety argument: what would lower a half is refused first,
//! then what would raise one on incomplete sight, and only then is the soak looked at.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use podfence_crd::{Loosening, Phase, Reason, Strategy, WhileViolating};
use podfence_podsecurity::{Level, LevelVersion, Version};

use crate::pair::Change;
use crate::state::CleanSince;

/// What the decision is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// The pair in effect, if a level label is there.
    pub(crate) live: Option<LevelVersion>,
    /// The pair that the profile asks for, resolved by `resolve_target`.
    pub(crate) target: LevelVersion,
    pub(crate) strategy: Strategy,
    pub(crate) soak: SignedDuration,
    pub(crate) while_violating: WhileViolating,
    pub(crate) loosening: Loosening,
    /// Podfence is the only owner of the live pair, and this policy is its author.
    pub(crate) ours_alone: bool,
    /// Why nothing may tighten now, if something cannot be seen.
    pub(crate) unseen: Option<Reason>,
    pub(crate) clean: &'a CleanSince,
    /// The namespace is younger than the policy and nothing ever ran in it.
    pub(crate) born_clean: bool,
    pub(crate) now: Timestamp,
}

/// A phase with its reason, and when time alone will change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) phase: Phase,
    pub(crate) reason: Reason,
    pub(crate) due: Option<Timestamp>,
}

impl Standing {
    pub(crate) fn new(phase: Phase, reason: Reason) -> Self {
        Self {
            phase,
            reason,
            due: None,
        }
    }
}

/// What to do with the enforced pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Both halves are what the profile asks for.
    AtTarget,
    /// The live pair stays.
    Keep(Standing),
    /// Write this pair; a tightening is asked about first. The standing holds once it is written.
    Write {
        to: LevelVersion,
        tightens: bool,
        then: Standing,
    },
}

/// The pair that a target means for this namespace.
///
/// Under `Guarded` and `DryRun`, `latest` is the lowest minor that an API server in use knows, so
/// that an upgraded server enforces no new rule before a soak. A version that is already higher
/// stays: the spec asks for the latest, so a downgraded server is no reason to lower anything.
/// `None` when no API server's version is known yet.
pub(crate) fn resolve_target(
    target: LevelVersion,
    strategy: Strategy,
    live: Option<LevelVersion>,
    lowest_server: Option<Version>,
) -> Option<LevelVersion> {
    if target.version != Version::Latest || strategy == Strategy::Immediate {
        return Some(target);
    }
    let lowest = lowest_server?;
    let version = live.map_or(lowest, |live| live.version.max(lowest));
    Some(LevelVersion {
        level: target.level,
        version,
    })
}

pub(crate) fn decide(question: &Question<'_>) -> Decision {
    let change = Change::between(question.live, question.target);
    if change.is_none() {
        return Decision::AtTarget;
    }
    if change.loosens && !may_loosen(question) {
        return Decision::Keep(Standing::new(kept_phase(question), Reason::StricterKept));
    }
    if change.loosens && !change.tightens {
        return write(
            question.target,
            false,
            Standing::new(Phase::Enforced, Reason::AtTarget),
        );
    }
    if let Some(reason) = question.unseen {
        return Decision::Keep(Standing::new(Phase::Unknown, reason));
    }
    match question.strategy {
        Strategy::Immediate => write(
            question.target,
            true,
            Standing::new(Phase::Enforced, Reason::AtTarget),
        ),
        Strategy::Guarded | Strategy::DryRun => guarded(question, change),
    }
}

/// A pair that may not be lowered counts as enforced only if its level is no lower than the target's.
/// Where it is stricter by its version alone, the target's level is held back.
fn kept_phase(question: &Question<'_>) -> Phase {
    let short = question
        .live
        .is_some_and(|live| live.level < question.target.level);
    if short {
        Phase::Held
    } else {
        Phase::StricterKept
    }
}

fn write(to: LevelVersion, tightens: bool, then: Standing) -> Decision {
    Decision::Write { to, tightens, then }
}

fn may_loosen(question: &Question<'_>) -> bool {
    match question.loosening {
        Loosening::Always => true,
        Loosening::OwnOnly => question.ours_alone,
    }
}

/// How far a level is from being safe to enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    Ready,
    SoakingUntil(Timestamp),
    Violated,
}

fn readiness(question: &Question<'_>, level: Level) -> Readiness {
    let Some(since) = question.clean.at(level) else {
        return Readiness::Violated;
    };
    if question.born_clean || level == Level::Privileged {
        return Readiness::Ready;
    }
    let until = since
        .saturating_add(question.soak)
        .unwrap_or(Timestamp::MAX);
    if until <= question.now {
        Readiness::Ready
    } else {
        Readiness::SoakingUntil(until)
    }
}

/// The strictest candidate that is ready is written; the standing is that of the target.
fn guarded(question: &Question<'_>, change: Change) -> Decision {
    let target = question.target;
    let mut due: Option<Timestamp> = None;
    let mut ready = None;
    for level in candidates(question, change) {
        match readiness(question, level) {
            Readiness::Ready => {
                ready = Some(LevelVersion {
                    level,
                    version: target.version,
                });
                break;
            }
            Readiness::SoakingUntil(until) => {
                due = Some(due.map_or(until, |earlier| earlier.min(until)));
            }
            Readiness::Violated => {}
        }
    }
    let then = match readiness(question, target.level) {
        Readiness::Ready => Standing::new(Phase::Enforced, Reason::AtTarget),
        Readiness::SoakingUntil(_) => Standing {
            phase: Phase::Soaking,
            reason: Reason::Soaking,
            due,
        },
        Readiness::Violated => Standing {
            phase: Phase::Held,
            reason: Reason::ViolatingWorkloads,
            due,
        },
    };
    match ready {
        Some(to) if Change::between(question.live, to).tightens => write(to, true, then),
        _ => Decision::Keep(then),
    }
}

/// The levels that may be enforced on the way, strictest first. Below the target only what lowers
/// nothing, and never privileged: on a namespace without a label it could undercut the cluster's
/// own default, which nobody asked for.
fn candidates(question: &Question<'_>, change: Change) -> impl Iterator<Item = Level> {
    let target = question.target.level;
    let only_target = question.while_violating == WhileViolating::Hold || change.loosens;
    let floor = question
        .live
        .map_or(Level::Baseline, |live| live.level.max(Level::Baseline));
    [Level::Restricted, Level::Baseline, Level::Privileged]
        .into_iter()
        .filter(move |level| {
            *level == target || (!only_target && *level < target && *level >= floor)
        })
}
