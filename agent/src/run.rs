//! Puts the parts together, and takes them apart again. Does I/O.

use std::time::Duration;

use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::args::{Config, REQUEST_TIMEOUT};
use crate::cluster::Source;
use crate::driver::{Driver, End};
use crate::looker::Looker;
use crate::observe::eyes::KernelEyes;
use crate::observe::link::{self, Observing};
use crate::server::{self, Vitals};
use crate::watch::{NEWS, spawn};
use crate::write::Writer;

/// How long a connection may be silent while an answer is awaited. Longer than a watch, which the
/// server ends; without it, a watch on a connection that died would wait for ever.
const READ_TIMEOUT: Duration = Duration::from_secs(305);

/// Why the agent ended before it was asked to.
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
    let shutdown = shutdown_signal()?;
    let mut cluster = kube::Config::infer().await?;
    // kube would try a request for up to three minutes, in which nothing is looked at.
    cluster.default_retry = false;
    cluster.connect_timeout = Some(REQUEST_TIMEOUT);
    cluster.read_timeout = Some(READ_TIMEOUT);
    let client = Client::try_from(cluster)?;

    let (vitals, vitals_out) = watch::channel(Vitals::starting(Instant::now()));
    let (health_at, _server) = server::serve(config.health_address, vitals_out).await?;
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

/// Resolves at SIGTERM or SIGINT.
fn shutdown_signal() -> Result<impl Future<Output = ()>, std::io::Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
