//! The cluster as kubectl finds it, with our own bounds on waiting. Does I/O.

use std::time::Duration;

use crate::failure::StartError;

/// How long one request may take, answer included. The API server gives up on a request after a
/// minute; whoever waits as long for a server that is gone is lost for everything else.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Finds the cluster: `$KUBECONFIG`, `~/.kube/config`, and inside of a pod the service account.
///
/// A connection may be silent for the second argument while an answer is awaited, watches included;
/// without a bound, whoever waits on a connection that died would wait for ever.
///
/// # Errors
/// When there is none of them, or one that cannot be read.
pub async fn find(read_timeout: Duration) -> Result<kube::Config, StartError> {
    let mut cluster = kube::Config::infer().await?;
    // kube would try a request for up to three minutes, in which whoever asked does nothing else.
    // Here each object has a backoff of its own, and a failure is seen.
    cluster.default_retry = false;
    cluster.connect_timeout = Some(REQUEST_TIMEOUT);
    cluster.read_timeout = Some(read_timeout);
    // Otherwise the time for which a pooled connection lay idle counts as silence of the server.
    cluster.reset_reader_on_write = true;
    Ok(cluster)
}
