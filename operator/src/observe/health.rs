//! Which resources are seen, and since when one is not. No I/O; `now` is an argument.
//!
//! A list or a watch that fails for a moment is nothing: kube-runtime tries again, and what is
//! known stays known. What lasts is said, and until it is over nothing tightens.

use std::collections::BTreeMap;
use std::time::Duration;

use podfence_plan::Unseen;
use tokio::time::Instant;

use super::source::Source;
use super::watch::{Cause, Failure, News};

/// How long a resource may be out of sight before what is known of it no longer counts.
pub const GRACE: Duration = Duration::from_secs(60);

/// How long a first list must be refused before it is taken for a missing right or definition. An
/// API server that has just come up refuses everybody until it knows its roles, and everything that
/// is not its own until it knows the definitions.
pub const REFUSAL: Duration = Duration::from_secs(10);

/// The health of every watch.
#[derive(Debug)]
pub struct Health {
    watches: BTreeMap<Source, Watch>,
}

#[derive(Debug, Clone, Default)]
struct Watch {
    /// A list was complete at least once.
    listed: bool,
    /// Why the last request failed, unless one succeeded since.
    failure: Option<Failure>,
    /// Since when there has been no watch.
    down_since: Option<Instant>,
}

impl Default for Health {
    /// Every resource waits for its first list.
    fn default() -> Self {
        Self {
            watches: Source::all()
                .map(|source| (source, Watch::default()))
                .collect(),
        }
    }
}

impl Health {
    /// Every resource waits for its first list.
    #[must_use]
    pub fn new() -> Self {
        Self {
            watches: Source::all()
                .map(|source| (source, Watch::default()))
                .collect(),
        }
    }

    /// Takes in what happened to a watch. True when it is a failure that is not known yet.
    pub fn note(&mut self, source: Source, news: &News, now: Instant) -> bool {
        let watch = self.watches.entry(source).or_default();
        match news {
            News::Started => {
                if watch.listed {
                    watch.down_since.get_or_insert(now);
                }
            }
            News::Listed => {
                *watch = Watch {
                    listed: true,
                    ..Watch::default()
                }
            }
            News::Established => {
                // A watch that is there says nothing about a list that never was.
                if watch.listed {
                    *watch = Watch {
                        listed: true,
                        ..Watch::default()
                    };
                }
            }
            News::Failed(failure) => {
                watch.down_since.get_or_insert(now);
                let known = watch.failure.replace(failure.clone());
                return known.is_none_or(|known| known.cause != failure.cause);
            }
            News::Applied(_) | News::Deleted { .. } => {}
        }
        false
    }

    /// Whether everything that labels depend on was listed once, or is known not to be to be had.
    /// Until then an empty index looks like an empty cluster, and nothing is planned.
    #[must_use]
    pub fn is_settled(&self, now: Instant) -> bool {
        let mut watches = self.watches.iter();
        watches.all(|(source, watch)| !source.decides_labels() || watch.is_settled(*source, now))
    }

    /// The same for all that statuses depend on.
    #[must_use]
    pub fn is_all_settled(&self, now: Instant) -> bool {
        let mut watches = self.watches.iter();
        watches.all(|(source, watch)| watch.is_settled(*source, now))
    }

    /// Whether a list of this resource was ever complete.
    #[must_use]
    pub fn was_listed(&self, source: Source) -> bool {
        self.watches.get(&source).is_some_and(|watch| watch.listed)
    }

    /// The resources that are awaited, for people.
    #[must_use]
    pub fn awaited(&self, now: Instant) -> Vec<Source> {
        let waits = |(source, watch): &(&Source, &Watch)| !watch.is_settled(**source, now);
        self.watches
            .iter()
            .filter(waits)
            .map(|(source, _)| *source)
            .collect()
    }

    /// What must be known for labels and is not, sorted.
    #[must_use]
    pub fn unseen(&self, now: Instant) -> Vec<Unseen> {
        self.unseen_among(Source::decides_labels, now)
    }

    /// What must be known for the verdicts on SeccompDefault beside that, and is not, sorted.
    #[must_use]
    pub fn unseen_of_seccomp(&self, now: Instant) -> Vec<Unseen> {
        self.unseen_among(|source| !source.decides_labels(), now)
    }

    fn unseen_among(&self, of: fn(Source) -> bool, now: Instant) -> Vec<Unseen> {
        let mut unseen: Vec<_> = self
            .watches
            .iter()
            .filter(|(source, _)| of(**source))
            .filter_map(|(source, watch)| watch.unseen(*source, now))
            .collect();
        unseen.sort();
        unseen
    }

    /// When time alone changes what `is_settled` and `unseen` say.
    #[must_use]
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        let downs = self.watches.values().filter_map(|watch| watch.down_since);
        let ends = downs.flat_map(|since| [since + REFUSAL, since + GRACE]);
        ends.filter(|end| *end > now).min()
    }
}

impl Watch {
    fn is_down(&self, now: Instant) -> bool {
        self.is_down_for(GRACE, now)
    }

    fn is_down_for(&self, how_long: Duration, now: Instant) -> bool {
        self.down_since
            .is_some_and(|since| now.duration_since(since) >= how_long)
    }

    fn cause(&self) -> Option<Cause> {
        self.failure.as_ref().map(|failure| failure.cause)
    }

    fn is_settled(&self, source: Source, now: Instant) -> bool {
        self.listed || self.has_failed(source, now)
    }

    /// Whether to go on without it.
    fn has_failed(&self, source: Source, now: Instant) -> bool {
        match self.cause() {
            Some(Cause::Forbidden) => self.is_down_for(REFUSAL, now),
            Some(Cause::NotFound) if source.is_ours() => self.is_down_for(REFUSAL, now),
            _ => self.is_down(now),
        }
    }

    fn unseen(&self, source: Source, now: Instant) -> Option<Unseen> {
        let resource = || source.resource_name();
        // An API server that has just come up refuses everybody until it knows its roles, so a watch
        // that was there before gets the same patience as after any other failure.
        let refused = self.cause() == Some(Cause::Forbidden);
        if refused && (!self.listed || self.is_down(now)) {
            return Some(Unseen::Forbidden {
                resource: resource(),
            });
        }
        // Before the definition is installed there are no policies, which is not unknown.
        if !self.listed && self.cause() == Some(Cause::NotFound) && source.is_ours() {
            return None;
        }
        if !self.is_down(now) {
            return None;
        }
        Some(if self.listed {
            Unseen::WatchLost {
                resource: resource(),
            }
        } else {
            Unseen::ListFailed {
                resource: resource(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use podfence_plan::Unseen;
    use podfence_workload::Kind;
    use tokio::time::Instant;

    use super::super::source::Source;
    use super::super::watch::{Cause, Failure, News};
    use super::{GRACE, Health, REFUSAL};

    const PODS: Source = Source::Workloads(Kind::Pod);

    fn failed(cause: Cause) -> News {
        News::Failed(Failure {
            cause,
            message: String::new(),
        })
    }

    fn all_listed(now: Instant) -> Health {
        let mut health = Health::default();
        for source in Source::all() {
            health.note(source, &News::Listed, now);
        }
        health
    }

    #[test]
    fn the_first_list_is_awaited() {
        let now = Instant::now();
        let mut health = Health::default();
        assert!(
            !health.is_settled(now + 10 * GRACE),
            "no answer is not a failure"
        );
        for source in Source::all().skip(1) {
            health.note(source, &News::Listed, now);
            assert!(!health.is_settled(now));
        }
        health.note(Source::Namespaces, &News::Started, now);
        assert_eq!(health.awaited(now), [Source::Namespaces]);
        health.note(Source::Namespaces, &News::Listed, now);
        assert!(health.is_settled(now) && health.unseen(now).is_empty());
    }

    #[test]
    fn what_cannot_be_had_is_not_awaited() {
        let resource = || "pods".to_owned();
        let now = Instant::now();
        let forbidden = Unseen::Forbidden {
            resource: resource(),
        };
        let list_failed = Unseen::ListFailed {
            resource: resource(),
        };
        for (name, cause, after, settled, unseen) in [
            (
                "forbidden",
                Cause::Forbidden,
                REFUSAL,
                true,
                Some(&forbidden),
            ),
            (
                "refused for a moment",
                Cause::Forbidden,
                REFUSAL / 2,
                false,
                Some(&forbidden),
            ),
            ("a moment", Cause::Other, GRACE / 2, false, None),
            (
                "a kind of Kubernetes's own",
                Cause::NotFound,
                GRACE / 2,
                false,
                None,
            ),
            ("for long", Cause::Other, GRACE, true, Some(&list_failed)),
        ] {
            let mut health = all_listed(now);
            health.watches.insert(PODS, super::Watch::default());
            health.note(PODS, &failed(cause), now);
            health.note(PODS, &News::Started, now + after / 2);
            health.note(PODS, &failed(cause), now + after);
            assert_eq!(health.is_settled(now + after), settled, "{name}");
            assert_eq!(health.unseen(now + after).first(), unseen, "{name}");
        }
    }

    #[test]
    fn a_definition_that_is_not_installed_is_no_unknown() {
        let now = Instant::now();
        let mut health = all_listed(now);
        health
            .watches
            .insert(Source::Policies, super::Watch::default());
        health.note(Source::Policies, &failed(Cause::NotFound), now);
        assert!(!health.is_settled(now) && health.is_settled(now + REFUSAL));
        assert!(health.unseen(now + 10 * GRACE).is_empty());
    }

    #[test]
    fn a_lost_watch_counts_after_the_grace() {
        let now = Instant::now();
        let mut health = all_listed(now);
        health.note(PODS, &failed(Cause::Other), now);
        assert_eq!(health.next_change(now + REFUSAL), Some(now + GRACE));
        health.note(PODS, &failed(Cause::Other), now + GRACE / 2);
        assert!(health.unseen(now + GRACE / 2).is_empty());
        let lost = [Unseen::WatchLost {
            resource: "pods".to_owned(),
        }];
        assert_eq!(health.unseen(now + GRACE), lost);
        assert!(health.is_settled(now + GRACE), "it was listed once");
        health.note(PODS, &News::Established, now + GRACE);
        assert!(health.unseen(now + 10 * GRACE).is_empty());
    }

    #[test]
    fn a_refusal_after_a_list_counts_after_the_grace_too() {
        let now = Instant::now();
        let mut health = all_listed(now);
        health.note(PODS, &failed(Cause::Forbidden), now);
        assert!(health.unseen(now + GRACE / 2).is_empty());
        let forbidden = [Unseen::Forbidden {
            resource: "pods".to_owned(),
        }];
        assert_eq!(health.unseen(now + GRACE), forbidden);
        health.note(PODS, &News::Established, now + GRACE);
        assert!(health.unseen(now + 10 * GRACE).is_empty());
    }

    #[test]
    fn an_expired_watch_is_down_until_it_is_listed_again() {
        let now = Instant::now();
        let mut health = all_listed(now);
        health.note(PODS, &failed(Cause::Expired), now);
        health.note(PODS, &News::Started, now);
        assert_eq!(health.unseen(now + GRACE).len(), 1);
        health.note(PODS, &News::Listed, now + GRACE);
        assert!(health.unseen(now + GRACE).is_empty());
    }
}
