//! The agent's program: parse, set up the log, run. Does I/O.

use clap::Parser;
use podfence_agent::args::Args;
use podfence_agent::run::run;
use podfence_daemon::process;

/// One reads files; the other is for the resolver, should the API server be given by name.
const BLOCKING_THREADS: usize = 2;

fn main() -> anyhow::Result<()> {
    let config = Args::parse().resolve()?;
    process::start_log(&config.log_filter, config.log_format)?;
    // One thread waits for everything, and a second one reads files now and then: more threads
    // would only have more arenas in the allocator, on every node.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?;
    Ok(process::run(runtime, run(config))?)
}
