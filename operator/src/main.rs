//! The operator's program: parse, set up the log, run. Does I/O.

use clap::Parser;
use podfence_daemon::process;
use podfence_operator::args::Args;
use podfence_operator::run::run;

/// One thread plans, another one decodes. More would only add memory: every thread has its own
/// arena in the allocator.
const WORKERS: usize = 2;

fn main() -> anyhow::Result<()> {
    let config = Args::parse().resolve()?;
    process::start_log(&config.log_filter, config.log_format)?;
    // Watches and writes wait far more than they compute, and planning is one task.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    Ok(process::run(runtime, run(config))?)
}
