//! `kubectl podfence explain`: what is in a cluster, judged as the operator judges it. Makes requests.

mod gather;
mod list;
mod namespace;
mod node;
mod text;
mod workload;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use podfence_seccomp::Moment;

use crate::args::{ObjectName, WhyArguments, kinds};
use crate::cluster::{ClusterError, with_client};

/// What is to be printed.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) warnings: Vec<String>,
    /// Whether something fails, or would.
    pub(crate) fails: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WhyError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("failed to write JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error(
        "no pod and no template in namespace {namespace:?} belongs to a {kind} {name:?}; kinds of \
         workloads are {}, and whatever else controls pods",
        known_kinds()
    )]
    NoWorkload {
        namespace: String,
        kind: String,
        name: String,
    },
    #[error("{kind} {name:?} cannot be read: {error}")]
    Malformed {
        kind: &'static str,
        name: String,
        error: String,
    },
}

fn known_kinds() -> String {
    let kinds = kinds().map(|kind| kind.as_str().to_ascii_lowercase());
    kinds.collect::<Vec<_>>().join(", ")
}

/// Reads the cluster and says why.
///
/// # Errors
///
/// When it does not answer, or has no such object.
pub(crate) fn explain(arguments: &WhyArguments) -> Result<Answer, WhyError> {
    with_client(
        arguments.context.as_deref(),
        async |client: Client| match &arguments.object {
            ObjectName::Node(name) => {
                let seen = gather::node(&client, arguments, name).await?;
                node::answer(seen, arguments)
            }
            ObjectName::Namespace(name) => {
                let seen = gather::namespace(&client, arguments, name, now()).await?;
                namespace::answer(seen, arguments.output)
            }
            ObjectName::Workload { kind, name } => {
                let namespace = arguments.namespace.as_deref();
                let namespace = namespace.unwrap_or(client.default_namespace());
                let seen = gather::namespace(&client, arguments, namespace, now()).await?;
                workload::answer(seen, kind, name, arguments.output)
            }
        },
    )
}

fn now() -> Moment {
    let seconds = u64::try_from(Timestamp::now().as_second());
    Moment::from_unix_seconds(seconds.unwrap_or_default())
}
