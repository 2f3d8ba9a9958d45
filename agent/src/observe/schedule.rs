//! When which record is written. Pure: the instant is given.
//!
//! News is told within seconds. What grows all the time, such as how long a container was watched, is
//! told ever more rarely: after a day it makes little difference whether a minute more is known.
//! However much there is to tell, a node writes only so often, and what waits is merged.

use std::collections::BTreeMap;
use std::time::Duration;

use podfence_daemon::backoff::Backoff;
use tokio::time::Instant;

use super::book::Urgency;
use crate::backoff::backoff;

/// How long news is gathered: a program makes most of its calls right after its start.
const SETTLE: Duration = Duration::from_secs(2);

/// After how long growth is told first, and how long at most. It doubles in between.
const FIRST: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Writes of a node at once.
const BURST: u32 = 8;

/// How soon there is another one, unless it is told otherwise: with a thousand nodes at most a hundred
/// writes a second, and only while all of them have something to tell.
pub const PACE: Duration = Duration::from_secs(10);

/// When each record is written.
#[derive(Debug)]
pub struct Schedule<K> {
    turns: BTreeMap<K, Turn>,
    bucket: Bucket,
}

/// When a record is written.
#[derive(Debug)]
struct Turn {
    /// Whether there is something to tell.
    is_unwritten: bool,
    /// When news is told, if there is some.
    news: Option<Instant>,
    /// When growth is told.
    growth: Instant,
    interval: Duration,
    /// While it is written, whether that is for news.
    under_way: Option<bool>,
    backoff: Backoff,
    not_before: Option<Instant>,
}

/// Allows so many writes.
#[derive(Debug)]
struct Bucket {
    left: u32,
    /// How soon there is another one.
    pace: Duration,
    /// Since when the next one is on its way, if some are missing.
    since: Instant,
}

impl<K: Ord + Clone> Schedule<K> {
    /// Nothing is to be written, and in the long run only once in so long a time.
    #[must_use]
    pub fn new(now: Instant, pace: Duration) -> Self {
        Self {
            turns: BTreeMap::new(),
            bucket: Bucket {
                left: BURST,
                pace,
                since: now,
            },
        }
    }

    /// There is something to tell.
    pub fn note(&mut self, key: &K, urgency: Urgency, now: Instant) {
        let turn = self.turns.entry(key.clone()).or_insert_with(|| Turn {
            is_unwritten: false,
            news: None,
            growth: now + FIRST,
            interval: FIRST,
            under_way: None,
            backoff: backoff(),
            not_before: None,
        });
        turn.is_unwritten = true;
        match urgency {
            Urgency::Growth => {}
            Urgency::Start => {
                turn.interval = FIRST;
                turn.growth = turn.growth.min(now + FIRST);
            }
            Urgency::News => {
                turn.news.get_or_insert(now + SETTLE);
            }
        }
    }

    /// The record that is to be written now, if one is. It is under way from then on.
    pub fn next(&mut self, now: Instant) -> Option<K> {
        let due = self
            .turns
            .iter()
            .filter_map(|(key, turn)| Some((turn.due(now)?, key.clone())))
            .min()?;
        if !self.bucket.take(now) {
            return None;
        }
        let (_, key) = due;
        self.begin(&key);
        Some(key)
    }

    /// Everything that is unwritten, the most urgent first, regardless of when it is due.
    #[must_use]
    pub fn rest(&self) -> Vec<K> {
        let unwritten = self
            .turns
            .iter()
            .filter(|(_, turn)| turn.is_unwritten || turn.under_way.is_some());
        let mut keys: Vec<_> = unwritten
            .map(|(key, turn)| (turn.news.is_none(), key.clone()))
            .collect();
        keys.sort();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// A record is being written.
    fn begin(&mut self, key: &K) {
        if let Some(turn) = self.turns.get_mut(key) {
            turn.is_unwritten = false;
            turn.under_way = Some(turn.news.take().is_some());
        }
    }

    /// It was written.
    pub fn wrote(&mut self, key: &K, now: Instant) {
        if let Some(turn) = self.turns.get_mut(key) {
            if turn.under_way.take() == Some(false) {
                turn.interval = (turn.interval * 2).min(LONGEST);
            }
            turn.growth = now + turn.interval;
            turn.backoff.reset();
            turn.not_before = None;
        }
    }

    /// It could not be written, and is tried again.
    pub fn failed(&mut self, key: &K, now: Instant) {
        if let Some(turn) = self.turns.get_mut(key) {
            turn.is_unwritten = true;
            if turn.under_way.take() == Some(true) {
                turn.news.get_or_insert(now);
            }
            turn.not_before = Some(now + turn.backoff.pause());
        }
    }

    /// There is no such record any more.
    pub fn forget(&mut self, key: &K) {
        self.turns.remove(key);
    }
}

impl Turn {
    /// Since when it is due, news first; none where it is not.
    fn due(&self, now: Instant) -> Option<(bool, Instant)> {
        let waits = self.not_before.is_some_and(|until| now < until);
        if !self.is_unwritten || self.under_way.is_some() || waits {
            return None;
        }
        let news = self.news.filter(|at| *at <= now).map(|at| (false, at));
        news.or_else(|| (self.growth <= now).then_some((true, self.growth)))
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        while self.left < BURST && now.duration_since(self.since) >= self.pace {
            self.left += 1;
            self.since += self.pace;
        }
        if self.left == BURST {
            self.since = now;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{PACE, Schedule, Urgency};

    /// When records are written within this many seconds, if each write takes no time. `notes` are
    /// when there is something to tell, of which and how urgent.
    fn written(seconds: u64, notes: &[(u64, &'static str, Urgency)]) -> Vec<(u64, &'static str)> {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, PACE);
        let mut written = Vec::new();
        let mut notes = notes.to_vec();
        notes.sort_by_key(|(at, ..)| *at);
        let mut notes = notes.into_iter().peekable();
        for second in 0..seconds {
            let now = start + Duration::from_secs(second);
            while let Some((_, key, urgency)) = notes.next_if(|(at, ..)| *at == second) {
                schedule.note(&key, urgency, now);
            }
            while let Some(key) = schedule.next(now) {
                schedule.wrote(&key, now);
                written.push((second, key));
            }
        }
        written
    }

    const DAY: u64 = 24 * 60 * 60;

    #[test]
    fn nothing_is_written_where_there_is_nothing_to_tell() {
        assert_eq!(written(DAY, &[]), []);
        assert_eq!(written(DAY, &[(0, "a", Urgency::Growth)]), [(15, "a")]);
        assert_eq!(written(DAY, &[(5, "a", Urgency::News)]), [(7, "a")]);
    }

    #[test]
    fn growth_is_told_ever_more_rarely() {
        let notes: Vec<_> = (0..DAY).map(|at| (at, "a", Urgency::Growth)).collect();
        let times: Vec<u64> = written(DAY, &notes).into_iter().map(|(at, _)| at).collect();
        assert_eq!(times[..5], [15, 45, 105, 225, 465]);
        let last = times.windows(2).last().expect("some");
        assert_eq!(last[1] - last[0], 3600);
        assert!(times.len() < 35, "{}", times.len());
    }

    #[test]
    fn news_does_not_wait_and_a_first_start_begins_anew() {
        let mut notes: Vec<_> = (0..DAY).map(|at| (at, "a", Urgency::Growth)).collect();
        notes.extend([(10_000, "a", Urgency::News), (10_001, "a", Urgency::News)]);
        notes.push((20_000, "a", Urgency::Start));
        let times: Vec<u64> = written(DAY, &notes).into_iter().map(|(at, _)| at).collect();
        assert!(times.contains(&10_002) && !times.contains(&10_003));
        let after: Vec<_> = times.iter().filter(|at| **at > 20_000).take(3).collect();
        assert_eq!(after, [&20_015, &20_045, &20_105]);
    }

    #[test]
    fn however_much_there_is_to_tell_a_node_writes_only_so_often() {
        const NAMES: [&str; 20] = [
            "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q",
            "r", "s", "t",
        ];
        let all_the_time = |seconds: u64| {
            let notes = (0..seconds)
                .flat_map(|at| NAMES.iter().map(move |name| (at, *name, Urgency::News)));
            written(seconds, &notes.collect::<Vec<_>>())
        };
        let written = all_the_time(600);
        let count = |from: u64, to: u64| {
            let within = written.iter().filter(|(at, _)| (from..to).contains(at));
            within.count()
        };
        assert_eq!(count(0, 3), 8);
        assert_eq!(count(60, 120), 6);
        assert_eq!(count(0, 600), 8 + 59);
        // Whoever has waited longest comes first, so that nobody waits for ever.
        for name in NAMES {
            assert!(written.iter().any(|(_, of)| *of == name), "{name}");
        }
    }

    #[test]
    fn what_fails_is_tried_again_later_and_nothing_is_lost() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, PACE);
        schedule.note(&"a", Urgency::News, start);
        let now = start + Duration::from_secs(2);
        assert_eq!(schedule.next(now), Some("a"));
        assert_eq!(schedule.next(now), None, "it is under way");
        assert_eq!(schedule.rest(), ["a"], "and not written yet");
        schedule.failed(&"a", now);
        assert_eq!(schedule.next(now), None, "there is a pause");
        assert_eq!(schedule.rest(), ["a"]);
        let later = now + Duration::from_secs(60);
        assert_eq!(schedule.next(later), Some("a"));
        // What comes while it is written is written after it.
        schedule.note(&"a", Urgency::News, later);
        schedule.wrote(&"a", later);
        assert_eq!(schedule.rest(), ["a"]);
        assert_eq!(schedule.next(later + Duration::from_secs(2)), Some("a"));
        schedule.wrote(&"a", later);
        assert!(schedule.rest().is_empty());
        schedule.note(&"b", Urgency::Growth, later);
        schedule.note(&"c", Urgency::News, later);
        assert_eq!(schedule.rest(), ["c", "b"], "the most urgent first");
    }
}
