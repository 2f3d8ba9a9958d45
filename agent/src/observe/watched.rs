//! Since when nothing that a container did can have escaped the observer. Pure.
//!
//! It is one stretch for all runs of a container in a pod, and goes on between them and after the
//! last: nothing runs then.

use podfence_seccomp::{Moment, Span};

use std::time::Duration;

/// How long a run may go on of which no program was seen. The kubelet says that it runs, and what
/// was seen of it comes within seconds; after that, it was not seen.
const GRACE: Duration = Duration::from_secs(60);

/// What is known of a run of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// When it was started, as the kubelet says.
    pub(super) started: Option<Moment>,
    /// When its first program was executed, if that was seen.
    pub(super) begun: Option<Moment>,
    /// Whether it does what nobody sees.
    pub(super) blind: bool,
    /// Whether it goes on.
    pub(super) is_running: bool,
}

/// Since when the observer watches, and since when it does so by the same rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Since {
    pub(super) observer: Moment,
    pub(super) rules: Moment,
}

/// The stretch under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Watched(Option<Span>);

impl Seen {
    /// Whether it is older than the observer.
    pub(super) fn is_older(&self, since: Since) -> bool {
        self.begun.is_none() && self.started.is_some_and(|at| at <= since.observer)
    }

    /// From when on all of it is seen; none where some of it is not.
    fn from(&self, since: Since) -> Option<Moment> {
        match self.begun {
            _ if self.blind => None,
            Some(at) => Some(at.max(since.rules)),
            None => self.is_older(since).then_some(since.rules),
        }
    }
}

impl Watched {
    /// What was watched since the last time. `runs` are those that are known, the last one last.
    pub(super) fn turn(&mut self, runs: &[Seen], since: Since, now: Moment) -> Option<Span> {
        let last = runs.last()?;
        let from = match last.from(since) {
            Some(from) => from,
            // It does nothing any more, and the next run begins anew.
            None if last.blind && !last.is_running => now,
            None => {
                let is_overdue = last.started.is_some_and(|at| now.since(at) > GRACE);
                if last.blind || is_overdue {
                    self.0 = None;
                }
                return None;
            }
        };
        let is_whole = runs.iter().all(|run| run.from(since).is_some());
        let watched = match self.0 {
            Some(before) if is_whole => Span::new(before.last(), now.max(before.last())),
            // What was seen of this run alone.
            _ => Span::new(from.min(now), now),
        };
        self.0 = Some(watched);
        Some(watched)
    }
}

#[cfg(test)]
mod tests {
    use podfence_seccomp::{Moment, Span};

    use super::{Seen, Since, Watched};

    fn at(second: u64) -> Moment {
        Moment::from_unix_seconds(second)
    }

    const RUN: Seen = Seen {
        started: None,
        begun: None,
        blind: false,
        is_running: true,
    };

    fn run(started: u64, begun: Option<u64>) -> Seen {
        Seen {
            started: Some(at(started)),
            begun: begun.map(at),
            ..RUN
        }
    }

    /// What is watched at each of these seconds, under an observer that began at 100.
    fn watched(turns: &[(u64, &[Seen])]) -> Vec<Option<(u64, u64)>> {
        let since = Since {
            observer: at(100),
            rules: at(100),
        };
        let mut watched = Watched::default();
        let seconds = |span: Span| (span.first().unix_seconds(), span.last().unix_seconds());
        turns
            .iter()
            .map(|(now, runs)| watched.turn(runs, since, at(*now)).map(seconds))
            .collect()
    }

    #[test]
    fn what_was_not_seen_from_its_start_is_not_watched() {
        let unseen = run(120, None);
        let unknown = RUN;
        for (name, turns, want) in [
            ("no run", vec![(101, &[][..])], vec![None]),
            ("unseen", vec![(121, &[unseen])], vec![None]),
            ("of unknown age", vec![(121, &[unknown])], vec![None]),
            (
                "unseen for good",
                vec![(121, &[unseen]), (300, &[unseen])],
                vec![None, None],
            ),
        ] {
            assert_eq!(watched(&turns), want, "{name}");
        }
    }

    #[test]
    fn a_stretch_goes_on_over_all_that_was_seen() {
        let old = run(50, None);
        let (new, next) = (run(120, Some(119)), run(130, Some(129)));
        let late = run(130, None);
        let ended = Seen {
            is_running: false,
            ..new
        };
        let blind = Seen { blind: true, ..new };
        let was_blind = Seen {
            is_running: false,
            ..blind
        };
        for (name, turns, want) in [
            (
                "older than the observer",
                vec![(101, &[old][..]), (102, &[old])],
                vec![Some((100, 101)), Some((101, 102))],
            ),
            (
                "from its start, and after its end",
                vec![(121, &[new]), (122, &[ended]), (999, &[ended])],
                vec![Some((119, 121)), Some((121, 122)), Some((122, 999))],
            ),
            (
                "a second run",
                vec![(121, &[new]), (131, &[ended, next])],
                vec![Some((119, 121)), Some((121, 131))],
            ),
            (
                "that is seen late",
                vec![(121, &[new]), (131, &[ended, late]), (133, &[ended, next])],
                vec![Some((119, 121)), None, Some((121, 133))],
            ),
            (
                "that is not seen, and a third that is",
                vec![
                    (121, &[new]),
                    (131, &[ended, late]),
                    (300, &[late, run(290, Some(290))]),
                ],
                vec![Some((119, 121)), None, Some((290, 300))],
            ),
            (
                "blind as long as it lives",
                vec![(121, &[new]), (122, &[blind]), (140, &[was_blind])],
                vec![Some((119, 121)), None, Some((140, 140))],
            ),
            (
                "and anew after that",
                vec![(122, &[blind]), (131, &[was_blind, next])],
                vec![None, Some((129, 131))],
            ),
            (
                "a clock that was set back",
                vec![(121, &[new]), (118, &[new])],
                vec![Some((119, 121)), Some((121, 121))],
            ),
        ] {
            assert_eq!(watched(&turns), want, "{name}");
        }
    }
}
