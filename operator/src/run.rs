//! Puts the parts together, and takes them apart again. Does I/O.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::client::ClientBuilder;
use podfence_daemon::failure::StartError;
use podfence_daemon::server::{self, Site, Vitals};
use podfence_daemon::{cluster, process};
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::args::Config;
use crate::call::Caller;
use crate::controller::{Driver, End, Inputs, Outputs};
use crate::events::Publisher;
use crate::lease;
use crate::metrics::{Metrics, page};
use crate::observe::watch::{EstablishedLayer, READ_TIMEOUT, REPORTS, spawn_all};
use crate::version;

/// The event loop is taken for stuck when it shows no sign of life for this long. A whole plan of
/// ten thousand namespaces takes a fraction of it.
const STUCK: Duration = Duration::from_secs(30);

/// Connections at once: probes and a few scrapers.
const CONNECTIONS: usize = 64;

/// Why the operator ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It did not begin.
    #[error(transparent)]
    Start(#[from] StartError),
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
    let shutdown = process::asked_to_end()?;
    let cluster = cluster::find(READ_TIMEOUT).await?;
    let (reports, reports_in) = mpsc::channel(REPORTS);
    let client = ClientBuilder::try_from(cluster.clone())
        .map_err(StartError::from)?
        .with_layer(&EstablishedLayer::new(reports.clone()))
        .build();
    let (metrics, registry) = Metrics::register(config.concurrency);
    let (vitals, vitals_out) = watch::channel(Vitals::starting(Instant::now()));
    let site = Arc::new(site(vitals_out, registry));
    let (metrics_at, _metrics_server) =
        server::serve(config.metrics_address, Arc::clone(&site)).await?;
    let (health_at, _health_server) = server::serve(config.health_address, site).await?;
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

/// What is served: the probes and the metrics, at either address.
#[must_use]
pub fn site(vitals: watch::Receiver<Vitals>, registry: Registry) -> Site {
    Site::new(CONNECTIONS)
        .probes(vitals, STUCK)
        .page("/metrics", move || page(&registry))
}
