//! Puts the parts together, and takes them apart again. Does I/O.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::client::ClientBuilder;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::args::{Config, REQUEST_TIMEOUT};
use crate::call::Caller;
use crate::controller::{Driver, End, Inputs, Outputs};
use crate::events::Publisher;
use crate::lease;
use crate::metrics::Metrics;
use crate::observe::watch::{EstablishedLayer, READ_TIMEOUT, REPORTS, spawn_all};
use crate::server::{self, Served, Vitals};
use crate::version;

/// Why the operator ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No cluster is configured.
    #[error("failed to find the cluster's configuration")]
    Config(#[from] kube::config::InferConfigError),
    /// The client cannot be made, for example because a certificate cannot be read.
    #[error("failed to make a client")]
    Client(#[from] kube::Error),
    /// An address cannot be served.
    #[error(transparent)]
    Serve(#[from] server::ServeError),
    /// Signals cannot be listened to.
    #[error("failed to listen to signals")]
    Signal(#[from] std::io::Error),
    /// A watch ended, which is a mistake of ours. The process begins anew.
    #[error("a watch ended")]
    WatchEnded,
    /// Another replica took over. What is known here may be outdated, so the process begins anew.
    #[error("the lease was lost")]
    LeaseLost,
}

/// Runs the operator until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start, or when the Lease is lost.
pub async fn run(config: Config) -> Result<(), RunError> {
    let shutdown = shutdown_signal()?;
    let cluster = cluster_config().await?;
    let (reports, reports_in) = mpsc::channel(REPORTS);
    let client = connect(&cluster, &EstablishedLayer::new(reports.clone()))?;
    let (metrics, registry) = Metrics::register(config.concurrency);
    let (vitals, vitals_out) = watch::channel(Vitals::starting(Instant::now()));
    let served = Served {
        vitals: vitals_out,
        registry: Arc::new(registry),
    };
    let (metrics_at, _metrics_server) =
        server::serve(config.metrics_address, served.clone()).await?;
    let (health_at, _health_server) = server::serve(config.health_address, served).await?;
    tracing::info!(%metrics_at, %health_at, version = env!("CARGO_PKG_VERSION"), "serving");

    let election = lease::spawn(client.clone(), config.lease.clone(), Timestamp::now);
    let fence = election.fence();
    let publisher = Publisher::spawn(
        client.clone(),
        &config.lease.identity,
        fence.clone(),
        metrics.clone(),
    );
    let (versions, versions_in) = mpsc::channel(1);
    let asking = version::spawn(move || Client::try_from(cluster.clone()), versions);
    let mut watches = spawn_all(&client, &reports);
    drop(reports);

    let out = Outputs {
        caller: Caller::new(client, fence),
        publisher,
        metrics,
        vitals,
    };
    let inputs = Inputs {
        reports: reports_in,
        versions: versions_in,
        election,
    };
    let driver = Driver::new(
        out,
        config.lease.namespace,
        config.seccomp,
        config.concurrency,
    );
    let outcome = tokio::select! {
        end = driver.run(inputs, shutdown) => match end {
            End::Shutdown => Ok(()),
            End::LeaseLost => Err(RunError::LeaseLost),
        },
        // What is known of a kind that nobody watches would be taken for the truth.
        _ = watches.join_next() => Err(RunError::WatchEnded),
    };
    asking.abort();
    outcome
}

/// The cluster as kubectl finds it, with our own bounds on waiting.
async fn cluster_config() -> Result<kube::Config, RunError> {
    let mut cluster = kube::Config::infer().await?;
    // kube would try a request for up to three minutes, in which its worker does nothing else. Our
    // own backoff is for each object, and a failure is seen.
    cluster.default_retry = false;
    cluster.connect_timeout = Some(REQUEST_TIMEOUT);
    cluster.read_timeout = Some(READ_TIMEOUT);
    // Otherwise the time for which a pooled connection lay idle counts as silence of the server.
    cluster.reset_reader_on_write = true;
    Ok(cluster)
}

fn connect(cluster: &kube::Config, layer: &EstablishedLayer) -> Result<Client, kube::Error> {
    Ok(ClientBuilder::try_from(cluster.clone())?
        .with_layer(layer)
        .build())
}

/// Resolves at SIGTERM or SIGINT. From here on neither ends the process by itself; a second one
/// does, for those who cannot wait.
fn shutdown_signal() -> Result<impl Future<Output = ()>, std::io::Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
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
            tracing::warn!("asked twice to shut down, ending at once");
            std::process::exit(1);
        });
    })
}
