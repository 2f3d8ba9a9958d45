//! The way to a cluster: the kubeconfig's, as for kubectl. Makes requests.

use std::future::Future;
use std::time::Duration;

use kube::config::{InferConfigError, KubeConfigOptions, KubeconfigError};
use kube::{Client, Config};

/// An API server that does not answer for so long is not there.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why the cluster did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    #[error("failed to start: {0}")]
    Start(#[from] std::io::Error),
    #[error("failed to read the kubeconfig: {0}")]
    Kubeconfig(#[from] KubeconfigError),
    #[error("failed to find the cluster: {0}")]
    Infer(#[from] InferConfigError),
    #[error("failed to {doing}: {source}")]
    Request {
        doing: String,
        #[source]
        source: Box<kube::Error>,
    },
}

/// A request, with what it is for where it fails.
///
/// # Errors
///
/// [`ClusterError::Request`] when it fails.
pub(crate) async fn ask<T>(
    doing: impl Into<String>,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, ClusterError> {
    request.await.map_err(|source| ClusterError::Request {
        doing: doing.into(),
        source: Box::new(source),
    })
}

/// Works with a client of a context, or of the current one.
///
/// # Errors
///
/// When there is no way to the cluster, or the work fails.
pub(crate) fn with_client<T, E: From<ClusterError>>(
    context: Option<&str>,
    work: impl AsyncFnOnce(Client) -> Result<T, E>,
) -> Result<T, E> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ClusterError::from)?;
    runtime.block_on(async {
        let client = client(context).await?;
        work(client).await
    })
}

async fn client(context: Option<&str>) -> Result<Client, ClusterError> {
    let mut config = match context {
        Some(context) => {
            let options = KubeConfigOptions {
                context: Some(context.to_owned()),
                ..KubeConfigOptions::default()
            };
            Config::from_kubeconfig(&options).await?
        }
        None => Config::infer().await?,
    };
    config.connect_timeout = Some(TIMEOUT);
    config.read_timeout = Some(TIMEOUT);
    ask("make a client", async { Client::try_from(config) }).await
}
