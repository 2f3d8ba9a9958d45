//! How a container fared in one pod, confined or not. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::{Moment, Span};

/// Under what a container ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Confinement {
    /// Under the key's `RuntimeDefault`.
    RuntimeDefault,
    /// Under no profile: the twin to compare with.
    Unconfined,
}

/// How a container fared in one pod.
///
/// Two are compared only if they are of the same template, because the same image does other things
/// with other arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Health {
    /// The template that the pod was made from, by whatever names it.
    pub template: Box<str>,
    /// Under what it ran.
    pub confinement: Confinement,
    /// The pod.
    pub pod: Box<str>,
    /// Its node.
    pub node: Box<str>,
    /// How often it ended in failure since it was last healthy, or since the pod was there. What has
    /// another known cause is not counted: evictions, and kills for want of memory.
    pub failures: u32,
    /// The exit codes of these ends, as far as they are known.
    pub exit_codes: BTreeSet<i32>,
    /// How it is.
    pub state: RunState,
    /// When it was last started.
    pub started: Moment,
    /// How long it may take until it is ready: what its probes allow it.
    pub time_to_start: Duration,
}

/// How a container is at the end of the time that it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunState {
    /// Ready, without interruption, since then.
    Ready {
        /// Since when.
        since: Moment,
    },
    /// Running and not ready, or waiting to be started again.
    NotReady,
    /// It ended by itself with 0, and was meant to end: an init container, a Job's.
    Completed,
    /// It ended in failure and is not started again.
    Ended,
}

/// What a run is worth as evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fared {
    /// It did well, during this time.
    Well(Span),
    /// It did not, with so many ends in failure.
    Badly(u32),
    /// It is too early to say.
    TooEarly,
}

/// From this many on, ends in failure are a crash loop, even if it is ready in between.
pub(crate) const CRASH_LOOP: u32 = 2;

impl Health {
    /// Whether a run that was seen for this time went well; none where it is too early to say.
    /// `settling` is how long it must have been ready for that.
    #[must_use]
    pub fn fares(&self, seen: Span, settling: Duration) -> Option<bool> {
        match self.fared(seen, settling) {
            Fared::Well(_) => Some(true),
            Fared::Badly(_) => Some(false),
            Fared::TooEarly => None,
        }
    }

    /// What a run says that was seen for this time.
    pub(crate) fn fared(&self, seen: Span, settling: Duration) -> Fared {
        let failures = self.failed_ends();
        match self.state {
            RunState::Completed => Fared::Well(seen),
            RunState::Ready { since } if seen.last().since(since) >= settling => {
                Fared::Well(Span::new(since, seen.last()))
            }
            RunState::Ended => Fared::Badly(failures.max(1)),
            RunState::Ready { .. } | RunState::NotReady if failures >= CRASH_LOOP => {
                Fared::Badly(failures)
            }
            RunState::NotReady if seen.last() > self.started.after(self.time_to_start) => {
                Fared::Badly(failures)
            }
            RunState::Ready { .. } | RunState::NotReady => Fared::TooEarly,
        }
    }

    /// A program that only ever ends with 0 does not fail, however often it is started again.
    fn failed_ends(&self) -> u32 {
        let only_success =
            !self.exit_codes.is_empty() && self.exit_codes.iter().all(|code| *code == 0);
        if only_success { 0 } else { self.failures }
    }
}

/// That the same key failed under `RuntimeDefault` in another workload.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FailedElsewhere {
    /// Which one, as people say it: namespace, kind and name.
    pub workload: Box<str>,
    /// The calls that were denied to it, by name; empty where that was not seen.
    pub calls: BTreeSet<Box<str>>,
}
