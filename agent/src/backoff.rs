//! Growing pauses after failures. No I/O.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The first pause of each.
const FIRST: Duration = Duration::from_millis(500);

/// The longest. A right that was granted or a definition that was installed is noticed within half
/// a minute, and an agent on each of thousands of nodes that knocks as often is no load.
const LONGEST: Duration = Duration::from_secs(30);

/// A pause that doubles with every failure in a row, up to a bound, with jitter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure.
    pub fn pause(&mut self) -> Duration {
        let pause = FIRST.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        jittered(pause.min(LONGEST))
    }

    /// Forgets the failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Between half and all of a pause: the agents of all nodes fail together when the API server does,
/// and must not come back together.
fn jittered(pause: Duration) -> Duration {
    // The hasher's random keys are all the randomness that jitter needs.
    let random = RandomState::new().hash_one(()) % 256;
    let half = pause / 2;
    half + half.mul_f64(f64::from(u8::try_from(random).unwrap_or(u8::MAX)) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::{Backoff, FIRST, LONGEST};

    #[test]
    fn pauses_grow_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..100).map(|_| backoff.pause()).collect();
        assert!(pauses[0] >= FIRST / 2 && pauses[0] <= FIRST);
        assert!(pauses[3] > FIRST);
        assert!(pauses[99] >= LONGEST / 2 && pauses[99] <= LONGEST);
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
