//! Growing pauses after failures. No I/O.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

/// A pause that doubles with every failure in a row, up to a bound, with jitter.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// For watches. A server that is back, a right that was granted or a definition that was
    /// installed is noticed within seconds; a dozen watches that knock every five seconds are no
    /// load.
    #[must_use]
    pub const fn for_watches() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(5))
    }

    /// For writes of one object. Longer: whatever refuses a write may go on refusing it, on
    /// thousands of namespaces at once.
    #[must_use]
    pub const fn for_writes() -> Self {
        Self::new(Duration::from_millis(250), Duration::from_secs(60))
    }

    const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// The pause after one more failure.
    pub fn pause(&mut self) -> Duration {
        let pause = self
            .first
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(self.longest);
        self.failures = self.failures.saturating_add(1);
        jittered(pause)
    }

    /// Forgets the failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Between three quarters and all of a pause: what failed together is not tried again together.
#[must_use]
pub fn jittered(pause: Duration) -> Duration {
    // The hasher's random keys are all the randomness that jitter needs.
    let random = RandomState::new().hash_one(()) % 256;
    let quarter = pause / 4;
    3 * quarter + quarter.saturating_mul(u32::try_from(random).unwrap_or(0)) / 256
}

/// The backoffs of many objects. Only those that fail take memory.
#[derive(Debug)]
pub struct Backoffs<K>(HashMap<K, Backoff>);

impl<K> Default for Backoffs<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Backoffs<K> {
    /// The pause after one more failure of this object, and how many there were in a row.
    pub fn failed(&mut self, key: K) -> (Duration, u32) {
        let backoff = self.0.entry(key).or_insert_with(Backoff::for_writes);
        (backoff.pause(), backoff.failures)
    }

    /// Forgets the failures of an object that succeeded or is gone.
    pub fn succeeded<Q>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, Backoffs};

    #[test]
    fn pauses_double_up_to_the_bound() {
        let mut backoff = Backoff::for_watches();
        for want in [500, 1000, 2000, 4000, 5000, 5000] {
            let pause = backoff.pause();
            let want = Duration::from_millis(want);
            assert!(
                pause <= want && pause >= want * 3 / 4,
                "{pause:?}, not about {want:?}"
            );
        }
        for _ in 0..100 {
            backoff.pause();
        }
        assert!(
            backoff.pause() <= Duration::from_secs(5),
            "far beyond what fits into a number"
        );
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(500));
    }

    #[test]
    fn each_object_has_its_own() {
        let mut backoffs = Backoffs::default();
        for (key, want, failures) in [("a", 250, 1), ("a", 500, 2), ("b", 250, 1)] {
            let (pause, counted) = backoffs.failed(key);
            assert!(pause <= Duration::from_millis(want), "{key}: {pause:?}");
            assert_eq!(counted, failures, "{key}");
        }
        backoffs.succeeded("a");
        assert_eq!(backoffs.failed("a").1, 1);
    }
}
