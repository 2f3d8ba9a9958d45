//! What is left of a container's calls that are hardly ever the same twice. Does I/O.

use std::collections::HashSet;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use podfence_agent::observe::clock::Clock;
use rustix::time::{ClockId, clock_gettime};

use crate::attach::Workshop;

const SECONDS: &str = "5";
const THREADS: &str = "4";
/// How often the agent looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Prints what was seen and what was lost, and says whether every call is one or the other.
pub(crate) fn measure(workshop: &Workshop) -> Result<bool> {
    let mut kernel = workshop.observer()?;
    workshop.ignore_host(&mut kernel)?;
    let mut storm = workshop
        .contained_calls()
        .args(["storm", SECONDS, THREADS])
        .stdout(Stdio::piped())
        .spawn()?;
    let began = Instant::now();
    let (mut seen, mut lost, mut lost_anywhere, mut longest) = (0, 0, 0, Duration::ZERO);
    let (mut looks, mut processor) = (0_u32, Duration::ZERO);
    let mut different = HashSet::new();
    loop {
        let ended = storm.try_wait()?.is_some();
        let (look, before) = (Instant::now(), processor_time());
        let sight = kernel.look(Clock::now())?;
        processor += processor_time().saturating_sub(before);
        longest = longest.max(look.elapsed());
        looks += 1;
        lost_anywhere += sight.lost;
        lost += sight.spaces.iter().map(|space| space.lost).sum::<u64>();
        for call in sight.calls {
            seen += call.count;
            different.insert((call.number, call.arguments, call.fate));
        }
        if ended {
            break;
        }
        sleep(LOOK_INTERVAL.saturating_sub(look.elapsed()));
    }
    let elapsed = began.elapsed();
    let output = storm.wait_with_output()?;
    ensure!(
        output.status.success(),
        "the storm failed: {}",
        output.status
    );
    let made: u64 = String::from_utf8(output.stdout)?.trim().parse()?;
    println!("a storm of {THREADS} threads for {SECONDS} s: {made} calls");
    println!(
        "  {} different ones seen, {seen} calls counted, {lost} lost of the container, \
         {lost_anywhere} of nobody knows whom",
        different.len()
    );
    let unsaid = made.checked_sub(seen + lost + lost_anywhere);
    let unsaid = unsaid.map_or_else(|| "less than none".to_owned(), |calls| calls.to_string());
    println!("  {unsaid} of the calls neither counted nor said to be lost");
    let share = processor.as_secs_f64() * 100.0 / elapsed.as_secs_f64();
    println!(
        "  {looks} looks took {processor:?} of processor time, {share:.1} % of a processor; the \
         longest took {longest:?}"
    );
    Ok(made == 0 || seen + lost + lost_anywhere > 0 && (lost > 0 || seen >= made))
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or_default(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    )
}
