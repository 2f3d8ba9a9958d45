//! Which objects wait for a round, and which come back later. No I/O; `now` is an argument.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// The longest time that an object sleeps. Whoever sleeps until an instant of the wall clock may be
/// wrong about how long that is, because the clock may be set; it is looked at again after this.
const LONGEST_NAP: Duration = Duration::from_secs(600);

/// A queue that holds every object at most once, with an alarm clock for each.
#[derive(Debug)]
pub struct Queue<K> {
    ready: VecDeque<K>,
    /// Everything in `ready`, with when it was marked.
    marked: HashMap<K, Instant>,
    alarms: BTreeSet<(Instant, K)>,
    alarm: HashMap<K, Instant>,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self {
            ready: VecDeque::new(),
            marked: HashMap::new(),
            alarms: BTreeSet::new(),
            alarm: HashMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// Marks an object for a round. False when it waits already.
    pub fn mark(&mut self, key: K, now: Instant) -> bool {
        if self.marked.contains_key(&key) {
            return false;
        }
        self.marked.insert(key.clone(), now);
        self.ready.push_back(key);
        true
    }

    /// The next object that may have a round, and when it was marked. Those that may not keep their
    /// place.
    pub fn pop(&mut self, may: impl Fn(&K) -> bool) -> Option<(K, Instant)> {
        let at = self.ready.iter().position(may)?;
        let key = self.ready.remove(at)?;
        let marked = self.marked.remove(&key)?;
        Some((key, marked))
    }

    /// Marks an object `after` a while, in place of what was set for it before.
    pub fn wake(&mut self, key: K, after: Duration, now: Instant) {
        self.silence(&key);
        let at = now + after.min(LONGEST_NAP);
        self.alarm.insert(key.clone(), at);
        self.alarms.insert((at, key));
    }

    /// Takes back what `wake` set.
    pub fn silence(&mut self, key: &K) {
        if let Some(at) = self.alarm.remove(key) {
            self.alarms.remove(&(at, key.clone()));
        }
    }

    /// Marks everything whose time has come. How many were marked.
    pub fn ring(&mut self, now: Instant) -> usize {
        let mut rung = 0;
        while let Some((at, _)) = self.alarms.first()
            && *at <= now
            && let Some((_, key)) = self.alarms.pop_first()
        {
            self.alarm.remove(&key);
            rung += usize::from(self.mark(key, now));
        }
        rung
    }

    /// When `ring` has something to do.
    #[must_use]
    pub fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Forgets an object that is gone.
    pub fn forget(&mut self, key: &K) {
        self.silence(key);
        if self.marked.remove(key).is_some() {
            self.ready.retain(|waiting| waiting != key);
        }
    }

    /// The objects that wait, in no order, and when each was marked.
    pub fn waiting(&self) -> impl Iterator<Item = (&K, Instant)> {
        self.marked.iter().map(|(key, marked)| (key, *marked))
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{LONGEST_NAP, Queue};

    fn drain(queue: &mut Queue<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.pop(|_| true))
            .map(|(key, _)| key)
            .collect()
    }

    #[test]
    fn holds_each_object_once_and_in_order() {
        let now = Instant::now();
        let mut queue = Queue::default();
        for key in ["a", "b", "a", "c"] {
            queue.mark(key, now);
        }
        assert_eq!(queue.len(), 3);
        assert_eq!(queue.pop(|key| *key != "a").map(|(key, _)| key), Some("b"));
        queue.forget(&"c");
        queue.mark("b", now);
        assert_eq!(drain(&mut queue), ["a", "b"]);
        assert!(queue.is_empty() && queue.waiting().next().is_none());
    }

    #[test]
    fn wakes_at_the_time_set_last() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut queue = Queue::default();
        queue.wake("late", second, now);
        queue.wake("late", 3 * second, now);
        queue.wake("soon", 2 * second, now);
        queue.wake("never", second, now);
        queue.silence(&"never");
        assert_eq!(queue.ring(now + second), 0);
        assert_eq!(queue.next_alarm(), Some(now + 2 * second));
        assert_eq!(queue.ring(now + 2 * second), 1);
        assert_eq!(drain(&mut queue), ["soon"]);
        queue.mark("late", now);
        assert_eq!(queue.ring(now + 3 * second), 0, "it waits already");
        assert_eq!(queue.next_alarm(), None);
    }

    #[test]
    fn nobody_sleeps_for_long() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.wake("a", Duration::from_secs(86_400), now);
        assert_eq!(queue.next_alarm(), Some(now + LONGEST_NAP));
    }
}
