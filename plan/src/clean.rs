//! Since when a namespace is clean: what a soak is counted from. No I/O.
//!
//! A namespace is clean at a level when no live pod and no counted template violates it, excepted
//! ones included: enforcement would block those too. The record starts again under another winner,
//! version or namespace uid, after a time that cannot be believed, after a violating pod that was
//! seen even if it is gone, and after every stretch in which nothing counts (`ledger`).

use k8s_openapi::jiff::Timestamp;
use podfence_podsecurity::{Level, Version};

use crate::state::CleanSince;

/// The levels that something violates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Violated {
    /// Something violates baseline.
    pub baseline: bool,
    /// Something violates restricted.
    pub restricted: bool,
}

/// When a plan last knew of something that violated a level, for as long as the process remembers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LastViolated {
    /// Violated baseline.
    pub baseline: Option<Timestamp>,
    /// Violated restricted.
    pub restricted: Option<Timestamp>,
}

impl LastViolated {
    /// Notes what a plan knows of now.
    pub(crate) fn note(&mut self, violated: Violated, now: Timestamp) {
        if violated.baseline {
            self.baseline = Some(now);
        }
        if violated.restricted {
            self.restricted = Some(now);
        }
    }
}

/// Whose soak it is, and at what it is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Soak<'a> {
    /// The winner.
    pub policy: &'a str,
    /// The namespace's uid.
    pub uid: &'a str,
    /// The version that the workloads were evaluated at.
    pub version: Version,
    /// The strictest level of interest: nothing above it is remembered, so that pods which violate
    /// a level that nobody asks for cause no writes.
    pub up_to: Level,
    /// Nothing before this instant counts; `None` when all that is stored does.
    pub counted_from: Option<Timestamp>,
    /// The instant of this plan.
    pub now: Timestamp,
}

impl Soak<'_> {
    /// The record as it is to be stored now. `stored` is what the namespace carries, `violated` what
    /// is violated now. What is stored does not count before `last`: a violation may be gone before
    /// the end of the record was written.
    pub(crate) fn continue_from(
        self,
        stored: Option<&CleanSince>,
        violated: Violated,
        last: LastViolated,
    ) -> CleanSince {
        let stored = stored.filter(|stored| {
            stored.policy == self.policy && stored.uid == self.uid && stored.version == self.version
        });
        let since = |level: Level, violated: bool, last: Option<Timestamp>| {
            if violated || level > self.up_to {
                return None;
            }
            let counted_from = self.counted_from.max(last);
            let believed = stored
                .and_then(|stored| stored.at(level))
                .filter(|since| *since <= self.now)
                .filter(|since| counted_from.is_none_or(|from| *since >= from));
            Some(believed.unwrap_or(self.now))
        };
        CleanSince {
            policy: self.policy.to_owned(),
            uid: self.uid.to_owned(),
            version: self.version,
            // What violates baseline violates restricted as well, but the reverse holds for the
            // record only if both are read from the same pods, so each is asked for itself.
            baseline: since(Level::Baseline, violated.baseline, last.baseline),
            restricted: since(Level::Restricted, violated.restricted, last.restricted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    #[allow(clippy::too_many_lines)] // A table.
    fn what_starts_a_soak_again() {
        let monday = at("2026-11-16T00:00:00Z");
        let tuesday = at("2026-11-17T00:00:00Z");
        let now = at("2026-11-18T00:00:00Z");
        let soak = Soak {
            policy: "apps",
            uid: "u1",
            version: Version::Latest,
            up_to: Level::Restricted,
            counted_from: None,
            now,
        };
        let stored = CleanSince {
            policy: "apps".into(),
            uid: "u1".into(),
            version: Version::Latest,
            baseline: Some(monday),
            restricted: Some(tuesday),
        };
        let none = Violated {
            baseline: false,
            restricted: false,
        };
        let some = Violated {
            baseline: false,
            restricted: true,
        };
        let all = Violated {
            baseline: true,
            restricted: true,
        };
        let other_version: Version = "v1.34".parse().expect("a version");
        for (name, soak, stored, violated, baseline, restricted) in [
            ("nothing stored", soak, None, none, Some(now), Some(now)),
            (
                "continued",
                soak,
                Some(&stored),
                none,
                Some(monday),
                Some(tuesday),
            ),
            (
                "a violating pod",
                soak,
                Some(&stored),
                some,
                Some(monday),
                None,
            ),
            (
                "one that violates baseline",
                soak,
                Some(&stored),
                all,
                None,
                None,
            ),
            (
                "another winner",
                Soak {
                    policy: "b",
                    ..soak
                },
                Some(&stored),
                none,
                Some(now),
                Some(now),
            ),
            (
                "another uid",
                Soak { uid: "u2", ..soak },
                Some(&stored),
                none,
                Some(now),
                Some(now),
            ),
            (
                "another version",
                Soak {
                    version: other_version,
                    ..soak
                },
                Some(&stored),
                none,
                Some(now),
                Some(now),
            ),
            (
                "times in the future",
                Soak {
                    now: at("2026-11-16T12:00:00Z"),
                    ..soak
                },
                Some(&stored),
                none,
                Some(monday),
                Some(at("2026-11-16T12:00:00Z")),
            ),
            (
                "a stretch that does not count",
                Soak {
                    counted_from: Some(at("2026-11-16T12:00:00Z")),
                    ..soak
                },
                Some(&stored),
                none,
                Some(now),
                Some(tuesday),
            ),
            (
                "no interest in restricted",
                Soak {
                    up_to: Level::Baseline,
                    ..soak
                },
                Some(&stored),
                some,
                Some(monday),
                None,
            ),
        ] {
            let next = soak.continue_from(stored, violated, LastViolated::default());
            assert_eq!(
                (next.baseline, next.restricted),
                (baseline, restricted),
                "{name}"
            );
        }
    }

    #[test]
    fn what_came_and_went_starts_it_again_once() {
        let (monday, now) = (at("2026-11-16T00:00:00Z"), at("2026-11-18T00:00:00Z"));
        let version = Version::Latest;
        let stored = CleanSince {
            policy: "apps".into(),
            uid: "u1".into(),
            version,
            baseline: Some(monday),
            restricted: Some(monday),
        };
        let up_to = Level::Restricted;
        let soak = Soak {
            policy: "apps",
            uid: "u1",
            version,
            up_to,
            counted_from: None,
            now,
        };
        let mut last = LastViolated::default();
        last.note(
            Violated {
                baseline: false,
                restricted: true,
            },
            now,
        );
        let next = soak.continue_from(Some(&stored), Violated::default(), last);
        assert_eq!((next.baseline, next.restricted), (Some(monday), Some(now)));
        let later = Soak {
            now: at("2026-11-19T00:00:00Z"),
            ..soak
        };
        assert_eq!(
            later.continue_from(Some(&next), Violated::default(), last),
            next
        );
    }
}
