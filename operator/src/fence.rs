//! Whether this process may write, asked right before every write. No I/O.

use tokio::sync::watch;
use tokio::time::Instant;

/// The right to write, for as long as the Lease is known to be held. Cheap to clone and to ask.
#[derive(Debug, Clone)]
pub struct Fence(watch::Receiver<Option<Instant>>);

impl Fence {
    /// Whether the Lease is held, on this machine's monotonic clock: a process that was stopped
    /// for a while learns of it here and not from the election, which slept as well.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// A fence that opens and closes as the sender says, for whoever has another right to write.
    #[must_use]
    pub fn controlled(until: watch::Receiver<Option<Instant>>) -> Self {
        Self(until)
    }
}
