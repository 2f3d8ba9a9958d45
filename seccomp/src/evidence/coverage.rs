//! How much of a container's life was observed, and whether that is enough. Pure.
//!
//! Only Podfence's own observer counts here. Recorders of names and audit logs can show that a call
//! was made, never that none was: nobody says what they lost.

use std::time::Duration;

use crate::{Moment, Span};

/// A container's start that the observer saw.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Start {
    /// When.
    pub at: Moment,
    /// The pod.
    pub pod: Box<str>,
}

/// What an observer saw of a container, all its pods together, since the last loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Coverage {
    /// For how long. Pods that were observed at the same time do not count twice.
    pub observed: Duration,
    /// How many starts.
    pub starts: usize,
    /// Whether something was lost before. What was observed until then does not count.
    pub lost: bool,
    /// Since when it was observed.
    pub since: Option<Moment>,
}

/// Why there is not enough evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gap {
    /// Nothing was observed.
    NothingObserved,
    /// Something was lost, and since then there is not yet enough.
    Lost,
    /// No start was observed, and programs try most of what they need when they start.
    NoStart,
    /// It was not observed for long enough.
    TooShort,
}

impl Coverage {
    /// What these come to between the two moments.
    ///
    /// A loss begins the window anew: what was lost can be anything.
    pub(crate) fn of<'a>(
        stretches: impl Iterator<Item = &'a Span>,
        starts: impl Iterator<Item = &'a Start>,
        losses: impl Iterator<Item = &'a Span>,
        (oldest, now): (Moment, Moment),
    ) -> Self {
        let lost = losses
            .map(|loss| loss.last())
            .filter(|last| *last >= oldest);
        let last_loss = lost.max().map(|last| last.min(now));
        let begin = last_loss.unwrap_or(oldest).max(oldest);
        // Nothing can have been observed yet that is still to come, whatever a node's clock says.
        let mut counted: Vec<Span> = stretches
            .filter(|stretch| stretch.last() >= begin && stretch.first() <= now)
            .map(|stretch| Span::new(stretch.first().max(begin), stretch.last().min(now)))
            .collect();
        counted.sort_unstable();
        let (mut observed, mut reached) = (Duration::ZERO, begin);
        for stretch in &counted {
            observed += stretch.last().since(stretch.first().max(reached));
            reached = reached.max(stretch.last());
        }
        let starts = starts
            .filter(|start| counted.iter().any(|stretch| stretch.holds(start.at)))
            .count();
        Self {
            observed,
            starts,
            lost: last_loss.is_some(),
            since: counted.first().map(|stretch| stretch.first()),
        }
    }

    /// What is missing to this much; none where it is enough.
    #[must_use]
    pub fn gap(&self, minimum: Duration) -> Option<Gap> {
        let is_short = self.observed < minimum;
        if !is_short && self.starts > 0 {
            None
        } else if self.lost {
            Some(Gap::Lost)
        } else if self.since.is_none() {
            Some(Gap::NothingObserved)
        } else if is_short {
            Some(Gap::TooShort)
        } else {
            Some(Gap::NoStart)
        }
    }

    /// The weaker of the two in every respect, since a whole is seen no better than its parts.
    #[must_use]
    pub fn weaker(self, other: Self) -> Self {
        Self {
            observed: self.observed.min(other.observed),
            starts: self.starts.min(other.starts),
            lost: self.lost || other.lost,
            since: match (self.since, other.since) {
                (Some(one), Some(other)) => Some(one.max(other)),
                _ => None,
            },
        }
    }
}
