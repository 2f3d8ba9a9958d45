//! What the observer of system calls costs those that it watches, and its node.
//!
//! Everything is measured beside programs that do nothing on the same tracepoints, in turns within
//! one run: what every program there costs is the kernel's, and another machine has other figures.
//! Needs root, and says so and does nothing without.
//!
//! Of the parts `calls`, `services`, `memory` and `storm` those are run that are named as arguments,
//! or all. `PODFENCE_BENCH_ROUNDS` changes how often everything is measured, and
//! `PODFENCE_BENCH_OBSERVER` names another compiled `observer.c` that is measured beside ours.

mod attach;
mod calls;
mod memory;
mod servers;
mod services;
mod spread;
mod storm;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use attach::Workshop;
use rustix::process::{geteuid, setpriority_process};

/// Far before what has no priority of its own, and behind what the kernel needs.
const PRIORITY: i32 = -15;
const PARTS: [&str; 4] = ["calls", "services", "memory", "storm"];

fn main() -> Result<ExitCode> {
    // Cargo says that this is a bench.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if !geteuid().is_root() {
        println!("skipped: only root loads programs into the kernel");
        return Ok(ExitCode::SUCCESS);
    }
    if arguments
        .first()
        .is_some_and(|first| first == memory::OBSERVE)
    {
        memory::observe()?;
        return Ok(ExitCode::SUCCESS);
    }
    // Neighbours disturb less. What is started from here inherits it.
    setpriority_process(None, PRIORITY)?;
    let workshop = Workshop::new()?;
    let mut holds = true;
    let named = if arguments.is_empty() {
        PARTS.map(str::to_owned).to_vec()
    } else {
        arguments
    };
    for part in named {
        match part.as_str() {
            "calls" => holds &= calls::measure(&workshop, rounds(31)?)?,
            "services" => holds &= services::measure(&workshop, rounds(1000)?)?,
            "memory" => holds &= memory::measure(&workshop)?,
            "storm" => holds &= storm::measure(&workshop)?,
            other => bail!("no part is named {other:?}: there are {PARTS:?}"),
        }
        println!();
    }
    if holds {
        return Ok(ExitCode::SUCCESS);
    }
    println!("a bar is not held");
    Ok(ExitCode::FAILURE)
}

fn rounds(usual: usize) -> Result<usize> {
    let Ok(text) = std::env::var("PODFENCE_BENCH_ROUNDS") else {
        return Ok(usual);
    };
    text.parse()
        .context("PODFENCE_BENCH_ROUNDS is not a number")
}
