//! A point in time, and a stretch between two. Pure: nothing here reads a clock.

use std::collections::BTreeSet;
use std::time::Duration;

/// A point in time, to the second: what records keep and what conditions print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The moment so many seconds after the beginning of 1970, UTC.
    #[must_use]
    pub const fn from_unix_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the beginning of 1970, UTC.
    #[must_use]
    pub const fn unix_seconds(self) -> u64 {
        self.0
    }

    /// How long after an earlier moment it is; nothing where that one is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// The moment that much earlier, or 1970.
    #[must_use]
    pub const fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by.as_secs()))
    }

    /// The moment that much later, or the last that there is.
    #[must_use]
    pub const fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by.as_secs()))
    }
}

/// From when to when something was seen, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    first: Moment,
    last: Moment,
}

impl Span {
    /// The span between two moments, whichever is the earlier: clocks of nodes differ, and a record
    /// whose ends changed places still says when something was seen.
    #[must_use]
    pub fn new(one: Moment, other: Moment) -> Self {
        Self {
            first: one.min(other),
            last: one.max(other),
        }
    }

    /// Its beginning.
    #[must_use]
    pub const fn first(self) -> Moment {
        self.first
    }

    /// Its end.
    #[must_use]
    pub const fn last(self) -> Moment {
        self.last
    }

    /// The shortest span that holds both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }

    /// Whether the two have a moment in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Adds it to others, as one with those that it overlaps, so that a set of them stays as small as it
    /// can be: an observer says every minute what it has watched since the last one.
    pub fn add_to(self, spans: &mut BTreeSet<Self>) {
        // INVARIANT: no two of them overlap. So of those that begin before it, only the last can reach
        // into it.
        let end_of_time = Moment::from_unix_seconds(u64::MAX);
        let mut before = spans.range(..Self::new(self.first, self.first));
        let begun = before.next_back().filter(|known| known.overlaps(self));
        let later =
            spans.range(Self::new(self.first, self.first)..=Self::new(self.last, end_of_time));
        let overlapped: Vec<Self> = begun.into_iter().chain(later).copied().collect();
        let mut united = self;
        for known in overlapped {
            spans.remove(&known);
            united = united.join(known);
        }
        spans.insert(united);
    }

    /// Whether the moment is in it.
    #[must_use]
    pub fn holds(self, moment: Moment) -> bool {
        self.first <= moment && moment <= self.last
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::{Moment, Span};

    fn span(one: u64, other: u64) -> Span {
        let at = Moment::from_unix_seconds;
        Span::new(at(one), at(other))
    }

    #[test]
    fn spans() {
        assert_eq!(span(7, 3), span(3, 7), "whichever is the earlier");
        assert_eq!(span(3, 7).join(span(5, 9)), span(3, 9));
        for (other, want) in [
            ((0, 2), false),
            ((0, 3), true),
            ((7, 9), true),
            ((8, 9), false),
        ] {
            assert_eq!(
                span(3, 7).overlaps(span(other.0, other.1)),
                want,
                "{other:?}"
            );
            assert_eq!(
                span(other.0, other.1).overlaps(span(3, 7)),
                want,
                "{other:?}"
            );
        }
    }

    /// Few moments, so that a set of them says the same as the spans.
    const MOMENTS: u64 = 40;

    #[test]
    fn united_spans_are_apart_and_hold_the_same_moments() {
        let at = Moment::from_unix_seconds;
        for seed in 0..500 {
            let rng = &mut fastrand::Rng::with_seed(seed);
            let (mut spans, mut held) = (BTreeSet::new(), BTreeSet::new());
            for _ in 0..rng.usize(..12) {
                let first = rng.u64(..MOMENTS);
                let last = (first + rng.u64(..6)).min(MOMENTS - 1);
                held.extend(first..=last);
                Span::new(at(first), at(last)).add_to(&mut spans);
            }
            let holds = |moment| spans.iter().any(|span| span.holds(at(moment)));
            for moment in 0..MOMENTS {
                assert_eq!(holds(moment), held.contains(&moment), "{seed}: {moment}");
            }
            let next = spans.iter().skip(1);
            for (one, other) in spans.iter().zip(next) {
                assert!(!one.overlaps(*other), "{seed}: {one:?} {other:?}");
            }
        }
    }

    #[test]
    fn moments_have_ends() {
        let (first, last) = (
            Moment::from_unix_seconds(0),
            Moment::from_unix_seconds(u64::MAX),
        );
        assert_eq!(first.before(Duration::from_secs(1)), first);
        assert_eq!(last.after(Duration::from_secs(1)), last);
        assert_eq!(first.since(last), Duration::ZERO);
        assert_eq!(last.since(first), Duration::from_secs(u64::MAX));
    }
}
