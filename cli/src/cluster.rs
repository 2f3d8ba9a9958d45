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
    #[error("failed to {doing}: {}", why(source))]
    Request {
        doing: String,
        #[source]
        source: Box<kube::Error>,
    },
}

impl ClusterError {
    /// Whether the API server has no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Request { source, .. }
            if matches!(&**source, kube::Error::Api(status) if status.code == 404))
    }
}

/// In the API server's own words, which name the right that is missing, without what a program sees.
fn why(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
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

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::ClusterError;

    #[test]
    fn the_server_is_quoted() {
        let message = "pods is forbidden: User \"eve\" cannot list resource \"pods\"";
        for (code, message, want) in [
            (403, message, message),
            // Whatever kube says of a status without words.
            (500, "", "ApiError"),
        ] {
            let status = Status {
                code,
                ..Status::failure(message, "Reason")
            };
            let error = ClusterError::Request {
                doing: "list pods".to_owned(),
                source: Box::new(kube::Error::Api(Box::new(status))),
            };
            let said = error.to_string();
            let said = said.strip_prefix("failed to list pods: ").expect(want);
            assert!(said.starts_with(want), "{said}");
            assert!(code != 403 || said == message, "{said}");
            assert!(!error.is_not_found());
        }
    }
}
