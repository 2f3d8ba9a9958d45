//! When soaks had to start again for reasons that no namespace shows. No I/O.
//!
//! A suspended, frozen or dry-run policy writes no namespace, and nobody watches a namespace while
//! no operator runs. So what those stretches undo cannot be written where the soak is kept. It is
//! kept here instead: one small annotation on the leader's Lease.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The annotation on the Lease that holds the ledger.
pub const ANNOTATION: &str = "state.podfence.dev/soaks";

/// A new leader that comes later than this after the last renewal of the Lease cannot know what
/// happened in between, and starts every soak again. Five minutes let an upgrade of the operator or
/// the loss of its node pass without a day of soaking lost.
pub const LONGEST_ABSENCE: SignedDuration = SignedDuration::from_mins(5);

/// How many namespaces are kept by name. With names of at most 63 bytes that is a fraction of what
/// an object's annotations may take; beyond it a policy's soaks start again as a whole.
const MOST_NAMESPACES: usize = 500;

/// The longest soak that the API accepts, one year. An older entry can undo nothing any more.
const LONGEST_SOAK: SignedDuration = SignedDuration::from_hours(8760);

/// What counts for a soak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mark {
    /// Nothing before this instant counts.
    CountedFrom(Timestamp),
    /// Nothing counts now: the policy is suspended, frozen or a dry run, or something is unseen.
    Paused,
}

/// The marks: one for everything, and one for each policy that was paused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    everything: Option<Mark>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    policies: BTreeMap<String, Mark>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    namespaces: BTreeMap<String, Timestamp>,
}

impl Ledger {
    /// A ledger in which nothing counts before `now`: what a leader starts with that knows nothing.
    #[must_use]
    pub fn starting(now: Timestamp) -> Self {
        Self {
            everything: Some(Mark::CountedFrom(now)),
            ..Self::default()
        }
    }

    /// Reads the annotation. Absent, malformed or from the future, it says nothing about the past,
    /// so every soak starts again; so it does after `LONGEST_ABSENCE` without a leader, and after a
    /// leader that ended while it could not see everything. `last_renewal` is the Lease's own.
    #[must_use]
    pub fn take_over(
        annotation: Option<&str>,
        last_renewal: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let absent = last_renewal.is_none_or(|renewed| {
            let gone = now.duration_since(renewed);
            gone > LONGEST_ABSENCE || gone < -LONGEST_ABSENCE
        });
        let stored: Option<Self> = annotation.and_then(|text| serde_json::from_str(text).ok());
        let Some(mut ledger) = stored.filter(|ledger| !absent && !ledger.is_ahead_of(now)) else {
            return Self::starting(now);
        };
        if ledger.everything == Some(Mark::Paused) {
            ledger.everything = Some(Mark::CountedFrom(now));
        }
        ledger
    }

    /// The text for the annotation.
    #[must_use]
    pub fn to_annotation(&self) -> String {
        // A map of strings to instants always serialises; an empty text would read as malformed
        // and so only ever start soaks again.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The instant before which nothing counts for this policy in this namespace; `None` when all
    /// that is stored on the namespace counts. Paused means that nothing counts before now.
    #[must_use]
    pub fn counted_from(&self, policy: &str, namespace: &str, now: Timestamp) -> Option<Timestamp> {
        let instant = |mark: Mark| match mark {
            Mark::CountedFrom(from) => from,
            Mark::Paused => now,
        };
        let own = self.policies.get(policy).copied().map(instant);
        let all = self.everything.map(instant);
        own.max(all).max(self.namespaces.get(namespace).copied())
    }

    /// Records that nothing counts for this policy from now on. True when that is new.
    pub fn pause(&mut self, policy: &str) -> bool {
        self.policies.insert(policy.to_owned(), Mark::Paused) != Some(Mark::Paused)
    }

    /// Records that a paused policy counts again, from now. True when it was paused.
    pub fn resume(&mut self, policy: &str, now: Timestamp) -> bool {
        match self.policies.get_mut(policy) {
            Some(mark @ Mark::Paused) => {
                *mark = Mark::CountedFrom(now);
                true
            }
            _ => false,
        }
    }

    /// Records that a namespace which `policy` last wrote has come under a policy that writes
    /// nothing: what is stored there no longer counts. True when that is new.
    pub fn interrupt(&mut self, namespace: &str, policy: &str, now: Timestamp) -> bool {
        if self.namespaces.contains_key(namespace) {
            return false;
        }
        if self.namespaces.len() < MOST_NAMESPACES {
            self.namespaces.insert(namespace.to_owned(), now);
            return true;
        }
        // Too many to name: whoever wrote them starts again everywhere.
        let mark = self
            .policies
            .entry(policy.to_owned())
            .or_insert(Mark::CountedFrom(Timestamp::MIN));
        let news = matches!(mark, Mark::CountedFrom(from) if *from < now);
        if news {
            *mark = Mark::CountedFrom(now);
        }
        news
    }

    /// Records that a namespace is gone, or written again, so that it keeps its own record. True
    /// when that is new.
    pub fn continue_in(&mut self, namespace: &str) -> bool {
        self.namespaces.remove(namespace).is_some()
    }

    /// Records that something of the cluster cannot be seen. True when that is new.
    pub fn pause_everything(&mut self) -> bool {
        self.everything.replace(Mark::Paused) != Some(Mark::Paused)
    }

    /// Records that everything is seen again, from now. True when it was not.
    pub fn resume_everything(&mut self, now: Timestamp) -> bool {
        if self.everything == Some(Mark::Paused) {
            self.everything = Some(Mark::CountedFrom(now));
            return true;
        }
        false
    }

    /// Drops what can undo nothing any more: policies that are gone, and instants older than the
    /// longest soak. True when something was dropped.
    pub fn prune(&mut self, now: Timestamp, exists: impl Fn(&str) -> bool) -> bool {
        let before = self.policies.len();
        self.policies.retain(|name, mark| match mark {
            Mark::CountedFrom(from) => exists(name) && now.duration_since(*from) < LONGEST_SOAK,
            Mark::Paused => exists(name),
        });
        before != self.policies.len()
    }

    fn is_ahead_of(&self, now: Timestamp) -> bool {
        let marks = self.everything.iter().chain(self.policies.values());
        marks
            .copied()
            .any(|mark| matches!(mark, Mark::CountedFrom(from) if from > now))
            || self.namespaces.values().any(|from| *from > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn takes_over() {
        let now = at("2026-11-20T10:00:00Z");
        let long_ago = at("2026-11-01T00:00:00Z");
        let kept = r#"{"everything":{"countedFrom":"2026-11-01T00:00:00Z"}}"#;
        let blind = r#"{"everything":"paused"}"#;
        let ahead = r#"{"everything":{"countedFrom":"2027-01-01T00:00:00Z"}}"#;
        let recent = Some(at("2026-11-20T09:59:00Z"));
        for (name, annotation, renewed, want) in [
            ("no annotation", None, recent, now),
            ("malformed", Some("{"), recent, now),
            ("from the future", Some(ahead), recent, now),
            ("no renewal", Some(kept), None, now),
            (
                "absent for too long",
                Some(kept),
                Some(at("2026-11-20T09:54:59Z")),
                now,
            ),
            (
                "renewed in the future",
                Some(kept),
                Some(at("2026-11-20T10:06:00Z")),
                now,
            ),
            ("ended blind", Some(blind), recent, now),
            (
                "absent for five minutes",
                Some(kept),
                Some(at("2026-11-20T09:55:00Z")),
                long_ago,
            ),
            ("kept", Some(kept), recent, long_ago),
        ] {
            let ledger = Ledger::take_over(annotation, renewed, now);
            assert_eq!(
                ledger.counted_from("apps", "shop", now),
                Some(want),
                "{name}"
            );
        }
    }

    #[test]
    fn pausing_undoes_what_was_counted() {
        let (start, later, now) = (
            at("2026-11-01T00:00:00Z"),
            at("2026-11-02T00:00:00Z"),
            at("2026-11-03T00:00:00Z"),
        );
        let mut ledger = Ledger::starting(start);
        assert!(!ledger.resume("apps", later), "never paused");
        assert!(ledger.pause("apps") && !ledger.pause("apps"));
        assert_eq!(ledger.counted_from("apps", "shop", now), Some(now));
        assert_eq!(ledger.counted_from("other", "shop", now), Some(start));
        assert!(ledger.resume("apps", later));
        assert_eq!(ledger.counted_from("apps", "shop", now), Some(later));
        assert!(ledger.pause_everything() && !ledger.pause_everything());
        assert_eq!(ledger.counted_from("other", "shop", now), Some(now));
        assert!(ledger.resume_everything(now) && !ledger.resume_everything(now));
        assert_eq!(ledger.counted_from("apps", "shop", now), Some(now));
    }

    #[test]
    fn survives_the_annotation_and_is_pruned() {
        let start = at("2026-11-01T00:00:00Z");
        let mut ledger = Ledger::starting(start);
        ledger.pause("suspended");
        ledger.pause("gone");
        ledger.pause("resumed");
        ledger.resume("resumed", start);
        let text = ledger.to_annotation();
        assert_eq!(Ledger::take_over(Some(&text), Some(start), start), ledger);
        let next_month = at("2026-12-01T00:00:00Z");
        assert!(ledger.prune(next_month, |name| name != "gone"));
        assert!(!ledger.prune(next_month, |name| name != "gone"));
        let two_years_on = at("2028-12-01T00:00:00Z");
        assert!(
            ledger.prune(two_years_on, |_| true),
            "older than the longest soak"
        );
        assert_eq!(
            ledger.counted_from("suspended", "shop", two_years_on),
            Some(two_years_on)
        );
    }

    #[test]
    fn interrupted_namespaces() {
        let (start, later) = (at("2026-11-01T00:00:00Z"), at("2026-11-02T00:00:00Z"));
        let mut ledger = Ledger::starting(start);
        assert!(ledger.interrupt("shop", "apps", later));
        assert!(
            !ledger.interrupt("shop", "apps", at("2026-11-03T00:00:00Z")),
            "from the start"
        );
        assert_eq!(ledger.counted_from("apps", "shop", later), Some(later));
        assert_eq!(ledger.counted_from("apps", "other", later), Some(start));
        assert!(ledger.continue_in("shop") && !ledger.continue_in("shop"));
        assert_eq!(ledger.counted_from("apps", "shop", later), Some(start));
        for number in 0..MOST_NAMESPACES {
            assert!(ledger.interrupt(&format!("namespace-{number}"), "apps", start));
        }
        assert!(
            ledger.interrupt("one-more", "apps", later),
            "there are too many to name"
        );
        assert_eq!(ledger.counted_from("apps", "anywhere", later), Some(later));
        assert!(ledger.to_annotation().len() < 64 * 1024);
    }
}
