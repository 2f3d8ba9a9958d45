//! How soon an agent tries again what failed. No I/O.

use std::time::Duration;

use podfence_daemon::backoff::Backoff;

/// From half a second to half a minute. A right that was granted or a definition that was installed
/// is noticed within that, and an agent on each of thousands of nodes that knocks as often is no
/// load.
#[must_use]
pub const fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(500), Duration::from_secs(30))
}
