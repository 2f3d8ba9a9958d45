//! The operator's program: parse, set up the log, run. Does I/O.

use std::io::IsTerminal;

use clap::Parser;
use podfence_operator::args::{Args, Config, LogFormat};
use podfence_operator::run::run;
use tracing_subscriber::EnvFilter;

fn main() -> anyhow::Result<()> {
    let config = Args::parse().resolve()?;
    start_log(&config)?;
    // Watches and writes wait far more than they compute, and planning is one task.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(run(config));
    if let Err(error) = &outcome {
        tracing::error!(error = error as &dyn std::error::Error, "ended");
    }
    // Nothing that is left has anything to finish, and some of it would take seconds to end.
    runtime.shutdown_background();
    Ok(outcome?)
}

/// One thread plans, another one decodes. More would only add memory: every thread has its own
/// arena in the allocator.
const WORKERS: usize = 2;

fn start_log(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(&config.log_filter)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.init(),
    }
    Ok(())
}
