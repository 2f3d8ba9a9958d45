//! Waits until a server of the lab answers its health endpoint. Makes HTTP requests.

use std::{fs, time::Duration};

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep, timeout};

use super::process::Process;

/// On two cores a lab is up in about five seconds; several start side by side, next to a compiler.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(120);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A server that could not listen, because a stranger took its port between the choice and the
/// start.
#[derive(Debug, thiserror::Error)]
#[error("{0} found its port taken")]
pub(super) struct PortTaken(String);

/// Returns when `GET path` answers with success.
///
/// # Errors
///
/// [`PortTaken`], or that the process ended or was not healthy in time, with the end of its log.
pub(super) async fn until_healthy(
    process: &Process,
    client: &kube::Client,
    path: &str,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + STARTUP_TIMEOUT;
    loop {
        let request = http::Request::get(path).body(Vec::new())?;
        let answer = timeout(REQUEST_TIMEOUT, client.request_text(request)).await;
        // Looked at after the answer: on a taken port a stranger may be the one who answers.
        if let Some(status) = process.exited() {
            if fs::read_to_string(process.log())?.contains("address already in use") {
                return Err(PortTaken(process.name().to_owned()).into());
            }
            bail!(
                "{} ended with {status}\n{}",
                process.name(),
                process.log_tail()
            );
        }
        let seen = match answer {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => anyhow::Error::new(error),
            Err(_) => anyhow::anyhow!("no answer within {REQUEST_TIMEOUT:?}"),
        };
        if Instant::now() >= deadline {
            return Err(seen).with_context(|| {
                let (name, tail) = (process.name(), process.log_tail());
                format!("{name} was not healthy within {STARTUP_TIMEOUT:?}\n{tail}")
            });
        }
        sleep(POLL_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Program, ports::Port};

    /// The error of a server that writes this to its log and ends; nothing listens on its port.
    async fn error_of(output: &str) -> anyhow::Error {
        let folder = tempfile::tempdir().unwrap();
        let server = Program::new("server", "/bin/sh")
            .arguments(["-c", &format!("echo '{output}'; exit 1")])
            .start(&folder.path().join("server.log"))
            .await
            .unwrap();
        let port = Port::reserve().unwrap();
        let config = kube::Config::new(port.url("http").parse().unwrap());
        let client = kube::Client::try_from(config).unwrap();
        until_healthy(&server, &client, "/healthz")
            .await
            .unwrap_err()
    }

    #[tokio::test]
    async fn a_taken_port_is_told_from_other_failures() {
        let taken = error_of("listen tcp 127.0.0.1:20001: bind: address already in use").await;
        assert!(taken.is::<PortTaken>(), "{taken:#}");
        assert_eq!(taken.to_string(), "server found its port taken");
        let other = error_of("unknown flag: --nonsense").await;
        assert!(!other.is::<PortTaken>());
        let other = other.to_string();
        assert!(
            other.starts_with("server ended with exit status: 1\n"),
            "{other}"
        );
        assert!(other.contains("unknown flag: --nonsense"), "{other}");
    }
}
