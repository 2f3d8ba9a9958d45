//! The operator as a process: under its own account's token, started, paused and ended by a story.
//! Starts processes.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use rustix::process::Signal;
use tokio::sync::OnceCell;

use super::{OPERATOR_NAMESPACE, PATIENCE};
use crate::{
    build_program, eventually,
    lab::{Process, Program},
};

/// The Lease that the shipped Role names.
const LEASE: &str = "podfence-operator";
/// As long as `terminationGracePeriodSeconds` of the shipped Deployment.
const STOP_GRACE: Duration = Duration::from_secs(30);

/// Builds the operator, in the profile of this program, and returns its executable.
/// `PODFENCE_OPERATOR` names another one to be used as it is.
///
/// # Errors
///
/// When it does not compile.
pub async fn build_operator() -> anyhow::Result<PathBuf> {
    static EXECUTABLE: OnceCell<PathBuf> = OnceCell::const_new();
    EXECUTABLE.get_or_try_init(build).await.cloned()
}

async fn build() -> anyhow::Result<PathBuf> {
    if let Some(executable) = std::env::var_os("PODFENCE_OPERATOR") {
        return Ok(executable.into());
    }
    build_program("podfence-operator").await
}

/// How an operator is started. The flags are the shipped ones unless said otherwise.
#[must_use = "an operator is started with start()"]
pub struct OperatorBuilder {
    client: Client,
    program: Program,
    log: PathBuf,
    identity: String,
}

impl OperatorBuilder {
    pub(super) fn new(client: Client, executable: &Path, folder: &Path, number: usize) -> Self {
        let identity = format!("operator-{number}");
        let program = Program::new(&identity, executable)
            .flag("identity", &identity)
            .flag("lease-namespace", OPERATOR_NAMESPACE)
            .flag("metrics-address", "127.0.0.1:0")
            .flag("health-address", "127.0.0.1:0")
            .flag("log-format", "text");
        let log = folder.join(format!("{identity}.log"));
        Self {
            client,
            program,
            log,
            identity,
        }
    }

    /// Reaches the API server as this kubeconfig says.
    pub fn kubeconfig(mut self, kubeconfig: &Path) -> Self {
        self.program = self.program.environment("KUBECONFIG", kubeconfig);
        self
    }

    /// Holds a Lease of six seconds, so that another takes over soon after it has gone, and an API
    /// server on a busy machine still gets to renew it.
    pub fn short_lease(self) -> Self {
        self.flag("lease-duration", "6s")
            .flag("lease-renew-deadline", "5s")
            .flag("lease-retry-period", "250ms")
    }

    /// Adds one flag.
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.program = self.program.flag(name, value);
        self
    }

    /// Starts the process and waits until it holds the Lease.
    ///
    /// # Errors
    ///
    /// When it ends, or does not get the Lease.
    pub async fn start(self) -> anyhow::Result<Operator> {
        let operator = self.start_waiting().await?;
        operator.leads().await?;
        Ok(operator)
    }

    /// Starts the process and waits for nothing: another one may hold the Lease.
    ///
    /// # Errors
    ///
    /// When no process can be started.
    pub async fn start_waiting(self) -> anyhow::Result<Operator> {
        let process = self.program.start(&self.log).await?;
        Ok(Operator {
            process,
            client: self.client,
            program: self.program,
            log: self.log,
            identity: self.identity,
        })
    }
}

/// A running operator; killed when this value is dropped.
pub struct Operator {
    process: Process,
    client: Client,
    program: Program,
    log: PathBuf,
    identity: String,
}

impl Operator {
    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until it holds the Lease.
    ///
    /// # Errors
    ///
    /// When it ends or does not get the Lease; the error holds the end of its log.
    pub async fn leads(&self) -> anyhow::Result<()> {
        let prefix = format!("{}_", self.identity);
        let elected = eventually(PATIENCE, async || {
            let holder = lease_holder(&self.client).await?;
            ensure!(
                holder.starts_with(&prefix),
                "the Lease is held by {holder:?}"
            );
            Ok(())
        });
        tokio::select! {
            elected = elected => elected.with_context(|| self.process.log_tail()),
            ended = self.process.wait(PATIENCE * 2) => {
                anyhow::bail!("the operator ended ({ended:?})\n{}", self.process.log_tail())
            }
        }
    }

    /// Stops it as Kubernetes stops a pod.
    ///
    /// # Errors
    ///
    /// When it does not end within the grace period of the shipped Deployment, or says that it
    /// failed.
    pub async fn stop(&self) -> anyhow::Result<()> {
        let status = self.process.stop(STOP_GRACE).await?;
        ensure!(
            status.success(),
            "the operator ended with {status}\n{}",
            self.process.log_tail()
        );
        Ok(())
    }

    /// Kills it, as when its node fails.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    ///
    /// When it goes on.
    pub async fn ended(&self) -> anyhow::Result<ExitStatus> {
        self.process.wait(PATIENCE).await
    }

    /// Starts it again after it ended, and waits until it holds the Lease.
    ///
    /// # Errors
    ///
    /// As [`OperatorBuilder::start`], or when it still runs.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        ensure!(
            self.process.exited().is_some(),
            "{} still runs",
            self.identity
        );
        // A restarted pod keeps its name; the operator makes its identity unique itself, and the
        // Lease is free or expires, so a stale holder of the same prefix must be gone first.
        let before = lease_holder(&self.client).await.unwrap_or_default();
        self.process = self.program.start(&self.log).await?;
        let changed = eventually(PATIENCE, async || {
            let holder = lease_holder(&self.client).await?;
            ensure!(
                !holder.is_empty() && holder != before,
                "the Lease is held by {holder:?}"
            );
            Ok(())
        });
        changed.await.with_context(|| self.process.log_tail())
    }

    /// Freezes it in the middle of whatever it does.
    pub fn pause(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it go on; it does not know that time has passed.
    pub fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    /// What it serves at a path: `/metrics`, `/healthz` or `/readyz`.
    ///
    /// # Errors
    ///
    /// When it says that something is wrong with it, or has not begun to serve.
    pub async fn serves(&self, path: &str) -> anyhow::Result<String> {
        let field = if path == "/metrics" {
            "metrics_at="
        } else {
            "health_at="
        };
        let log = tokio::fs::read_to_string(&self.log).await?;
        // Each start logs the free ports that it took.
        let address = log
            .split_whitespace()
            .rev()
            .find_map(|word| word.strip_prefix(field))
            .with_context(|| format!("no {field} in {log}"))?;
        let config = kube::Config::new(format!("http://{address}").parse()?);
        let request = http::Request::get(path).body(Vec::new())?;
        Ok(Client::try_from(config)?.request_text(request).await?)
    }

    /// Its resident memory in bytes.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.status_kilobytes("VmRSS:")
            .map(|kilobytes| kilobytes * 1024)
    }

    /// The most resident memory that it ever had, in bytes.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn peak_resident_bytes(&self) -> anyhow::Result<u64> {
        self.status_kilobytes("VmHWM:")
            .map(|kilobytes| kilobytes * 1024)
    }

    fn status_kilobytes(&self, field: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(number
            .with_context(|| format!("no {field} in {status}"))?
            .parse()?)
    }
}

/// Who holds the operators' Lease; empty when nobody does.
pub(super) async fn lease_holder(client: &Client) -> anyhow::Result<String> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let lease = leases.get(LEASE).await?;
    Ok(lease
        .spec
        .and_then(|spec| spec.holder_identity)
        .unwrap_or_default())
}
