//! Growing pauses after failures. No I/O.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A pause that doubles with every failure in a row, up to a bound, with jitter.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Without a failure so far.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// The pause after one more failure.
    pub fn pause(&mut self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures);
        let pause = self.first.saturating_mul(doubled).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        jittered(pause)
    }

    /// The failures in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Forgets the failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Between half and all of a pause: what failed together, as everything does when the API server is
/// gone, must not come back together.
fn jittered(pause: Duration) -> Duration {
    // The hasher's random keys are all the randomness that jitter needs.
    let random = RandomState::new().hash_one(()) % 256;
    let half = pause / 2;
    half + half.mul_f64(f64::from(u8::try_from(random).unwrap_or(u8::MAX)) / 255.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;

    #[test]
    fn pauses_double_up_to_the_bound_and_begin_anew() {
        let longest = Duration::from_secs(5);
        let mut backoff = Backoff::new(Duration::from_millis(500), longest);
        for want in [500, 1000, 2000, 4000, 5000, 5000] {
            let pause = backoff.pause();
            let want = Duration::from_millis(want);
            assert!(
                pause <= want && pause >= want / 2,
                "{pause:?}, not about {want:?}"
            );
        }
        for _ in 0..100 {
            backoff.pause();
        }
        assert!(backoff.pause() <= longest, "far beyond what fits a number");
        assert_eq!(backoff.failures(), 107);
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(500));
    }

    #[test]
    fn what_failed_together_does_not_come_back_together() {
        let mut backoffs = [Backoff::new(Duration::from_secs(1), Duration::from_secs(1)); 64];
        let mut pauses: Vec<_> = backoffs.iter_mut().map(Backoff::pause).collect();
        pauses.sort_unstable();
        pauses.dedup();
        assert!(pauses.len() > 16, "{pauses:?}");
    }
}
