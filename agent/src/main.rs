//! The agent's program: parse, set up the log, run. Does I/O.

use std::io::IsTerminal;

use clap::Parser;
use podfence_agent::args::{Args, Config, LogFormat};
use podfence_agent::run::run;
use tracing_subscriber::EnvFilter;

fn main() -> anyhow::Result<()> {
    let config = Args::parse().resolve()?;
    start_log(&config)?;
    // One thread waits for everything, and a second one reads files now and then: more threads
    // would only have more arenas in the allocator, on every node.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(run(config));
    if let Err(error) = &outcome {
        tracing::error!(error = error as &dyn std::error::Error, "ended");
    }
    // Nothing that is left has anything to finish.
    runtime.shutdown_background();
    Ok(outcome?)
}

/// One reads files; the other is for the resolver, should the API server be given by name.
const BLOCKING_THREADS: usize = 2;

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
