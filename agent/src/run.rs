//! Puts the parts together, and takes them apart again. Does I/O.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use podfence_daemon::failure::StartError;
use podfence_daemon::server::{self, Site, Vitals};
use podfence_daemon::{cluster, process};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::args::Config;
use crate::cluster::Source;
use crate::driver::{Driver, End};
use crate::looker::Looker;
use crate::observe::eyes::KernelEyes;
use crate::observe::link::{self, Observing};
use crate::watch::{NEWS, spawn};
use crate::write::Writer;

/// How long a connection may be silent while an answer is awaited. Longer than a watch, which the
/// server ends.
const READ_TIMEOUT: Duration = Duration::from_secs(305);

/// The loop is taken for stuck when it shows no sign of life for this long. A look takes
/// milliseconds; the kubelet and the API server may each take their timeout.
const STUCK: Duration = Duration::from_secs(60);

/// Connections at once: the kubelet's probes.
const CONNECTIONS: usize = 8;

/// Why the agent ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It did not begin.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A mistake of ours. The process begins anew.
    #[error("a look panicked")]
    Look(#[from] tokio::task::JoinError),
    /// A mistake of ours. The process begins anew.
    #[error("the watches ended")]
    WatchesEnded,
}

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start, or by a mistake of ours.
pub async fn run(config: Config) -> Result<(), RunError> {
    let shutdown = process::asked_to_end()?;
    let cluster = cluster::find(READ_TIMEOUT).await?;
    let client = Client::try_from(cluster).map_err(StartError::from)?;

    let (vitals, vitals_out) = watch::channel(Vitals::starting(Instant::now()));
    let site = Arc::new(Site::new(CONNECTIONS).probes(vitals_out, STUCK));
    let (health_at, _server) = server::serve(config.health_address, site).await?;
    let (version, node) = (env!("CARGO_PKG_VERSION"), &config.node_name);
    tracing::info!(%health_at, version, node, functions = ?config.functions, "serving");

    let (reports, reports_in) = mpsc::channel(NEWS);
    let pods = config.functions.need_pods().then_some(Source::Pods);
    let sources = [Source::Node, Source::Report].into_iter().chain(pods);
    let _watches = spawn(sources, &client, node, &reports);
    drop(reports);

    let looker = Looker::new(config.functions, config.places);
    let writer = Writer::new(client.clone(), node);
    let observing = config.functions.system_calls;
    let observing =
        observing.then(|| link::start(KernelEyes::default(), client, node, config.record_pace));
    let link = observing.as_ref().map(Observing::link);
    let driver = Driver::new(
        config.functions,
        config.kubelet,
        looker,
        writer,
        vitals,
        link,
    );
    let end = driver.run(reports_in, shutdown).await;
    if let Some(observing) = observing {
        observing.end().await;
    }
    match end? {
        End::Shutdown => {
            tracing::info!("asked to end");
            Ok(())
        }
        End::WatchesEnded => Err(RunError::WatchesEnded),
    }
}
