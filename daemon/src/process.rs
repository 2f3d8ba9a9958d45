//! The life of a program: its log, its run, the signals that end it. Does I/O.

use std::error::Error;
use std::io::IsTerminal;

use clap::ValueEnum;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::failure::StartError;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Logs to standard error from here on, what passes a filter in the syntax of [`EnvFilter`].
///
/// # Errors
/// When the filter cannot be read.
pub fn start_log(filter: &str, format: LogFormat) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.init(),
    }
    Ok(())
}

/// Runs a program to its end, and logs why it ended when it was not asked to.
///
/// # Errors
/// The program's.
pub fn run<E: Error + 'static>(
    runtime: Runtime,
    program: impl Future<Output = Result<(), E>>,
) -> Result<(), E> {
    let outcome = runtime.block_on(program);
    if let Err(error) = &outcome {
        tracing::error!(error = error as &dyn Error, "ended");
    }
    // Nothing that is left has anything to finish, and some of it would take seconds to end.
    runtime.shutdown_background();
    outcome
}

/// Resolves at SIGTERM or SIGINT. From here on neither ends the process by itself; a second one
/// does, for those who cannot wait.
///
/// # Errors
/// When signals cannot be listened to.
pub fn asked_to_end() -> Result<impl Future<Output = ()>, StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signal)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("asked twice to end, ending at once");
            std::process::exit(1);
        });
    })
}
