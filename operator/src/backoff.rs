//! How soon what failed is tried again. No I/O.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use podfence_daemon::backoff::Backoff;

/// For watches. A server that is back, a right that was granted or a definition that was installed
/// is noticed within seconds; a dozen watches that knock every five seconds are no load.
#[must_use]
pub const fn for_watches() -> Backoff {
    Backoff::new(Duration::from_millis(500), Duration::from_secs(5))
}

/// For writes of one object. Longer: whatever refuses a write may go on refusing it, on thousands of
/// namespaces at once.
#[must_use]
pub const fn for_writes() -> Backoff {
    Backoff::new(Duration::from_millis(250), Duration::from_secs(60))
}

/// The backoffs of writes to many objects. Only those that fail take memory.
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
        let backoff = self.0.entry(key).or_insert_with(for_writes);
        (backoff.pause(), backoff.failures())
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

    use super::Backoffs;

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
