//! Processor time of processes. Reads `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// Linux counts in hundredths for everybody, whatever its own clock.
const TICK: Duration = Duration::from_millis(10);

/// What a process has taken, and those of its children that have ended, and so on.
pub(crate) fn of_process(id: u32) -> Result<Duration> {
    ticks(id, 4)
}

/// What the ended children of this process have taken.
pub(crate) fn of_children() -> Result<Duration> {
    let own = std::process::id();
    Ok(ticks(own, 4)?.saturating_sub(ticks(own, 2)?))
}

/// So many of the fields 14 to 17 of proc(5): in user mode and in the kernel, and the same of ended
/// children.
fn ticks(id: u32, fields: usize) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The program's name may hold anything, a parenthesis as well.
    let (_, rest) = stat.rsplit_once(')').context("no name in /proc/ID/stat")?;
    let ticks = rest.split_whitespace().skip(11).take(fields);
    let ticks: Vec<u32> = ticks.map(str::parse).collect::<Result<_, _>>()?;
    ensure!(ticks.len() == fields, "/proc/{id}/stat is {stat:?}");
    Ok(TICK * ticks.iter().sum())
}
