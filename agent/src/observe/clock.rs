//! What time it is, by the calendar and since boot: the programs in the kernel know only the latter.
//! Reads both clocks.

use std::time::{Duration, SystemTime};

use podfence_seccomp::Moment;
use rustix::time::{ClockId, clock_gettime};

/// Both clocks at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Since 1970.
    pub calendar: Duration,
    /// Since boot, times of sleep included.
    pub since_boot: Duration,
}

impl Clock {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let since_boot = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(since_boot.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(since_boot.tv_nsec).unwrap_or_default();
        let calendar = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            calendar: calendar.unwrap_or_default(),
            since_boot: Duration::new(seconds, nanoseconds),
        }
    }

    /// The moment of the calendar at so many nanoseconds since boot, as this clock tells it.
    #[must_use]
    pub fn moment(self, nanoseconds: u64) -> Moment {
        let boot = self.calendar.saturating_sub(self.since_boot);
        Moment::from_unix_seconds((boot + Duration::from_nanos(nanoseconds)).as_secs())
    }
}
