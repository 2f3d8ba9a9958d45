//! Waits for a condition instead of sleeping. Sleeps between two looks.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep, timeout_at};

/// Often enough that no story notices, rare enough that 30 waiting stories cost nothing.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Calls `probe` every 50 ms until it succeeds, and returns its value.
///
/// An error of the probe means "not yet" and says what was seen, so that `anyhow::ensure!(phase ==
/// "Enforced", "phase is {phase:?}")` reads well when the story fails.
///
/// # Errors
///
/// When `timeout` has passed: the last error of the probe, or that the probe itself never returned.
pub async fn eventually<T, Probe, Seen>(timeout: Duration, mut probe: Probe) -> anyhow::Result<T>
where
    Probe: FnMut() -> Seen,
    Seen: Future<Output = anyhow::Result<T>>,
{
    let deadline = Instant::now() + timeout;
    let mut last = anyhow::anyhow!("the condition itself never answered");
    loop {
        match timeout_at(deadline, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => last = seen,
            Err(_) => break,
        }
        if Instant::now() + POLL_INTERVAL >= deadline {
            break;
        }
        sleep(POLL_INTERVAL).await;
    }
    Err(last).with_context(|| format!("not so within {timeout:?}"))
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use anyhow::ensure;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn returns_the_value_of_the_first_success() {
        let looks = Cell::new(0);
        let value = eventually(Duration::from_secs(1), async || {
            looks.set(looks.get() + 1);
            ensure!(looks.get() == 3, "looked {} times", looks.get());
            Ok("seen")
        })
        .await
        .unwrap();
        assert_eq!((value, looks.get()), ("seen", 3));
    }

    #[tokio::test(start_paused = true)]
    async fn says_what_was_seen_last() {
        let looks = Cell::new(0);
        let error = eventually(Duration::from_millis(120), async || {
            looks.set(looks.get() + 1);
            anyhow::bail!("looked {} times", looks.get());
            #[expect(unreachable_code, reason = "gives the closure its type")]
            Ok(())
        })
        .await
        .unwrap_err();
        assert_eq!(format!("{error:#}"), "not so within 120ms: looked 3 times");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_is_given_up() {
        let error = eventually::<(), _, _>(Duration::from_secs(1), pending)
            .await
            .unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "not so within 1s: the condition itself never answered"
        );
    }
}
