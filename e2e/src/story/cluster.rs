//! A lab with Podfence installed. Starts processes, makes requests.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::Context as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{History, Operator, OperatorBuilder, Story, build_operator, installation};
use crate::{
    harness::Stage,
    lab::{Lab, LabBuilder},
};

/// Where `config/default` puts the operator.
pub const OPERATOR_NAMESPACE: &str = "podfence-system";
/// The service account that the operator runs under.
pub const OPERATOR_ACCOUNT: &str = "podfence-operator";
/// How the audit log calls that account.
pub const OPERATOR_USER: &str = "system:serviceaccount:podfence-system:podfence-operator";

/// A control plane at rest takes a quarter of a core; more of them at once than this only slow each
/// other down.
static LABS: Semaphore = Semaphore::const_new(3);

/// A lab with the shipped installation, and everything that happened in it on record.
pub struct Cluster {
    // INVARIANT: dropped first, so that its watches end before the server they watch.
    history: History,
    lab: Lab,
    executable: PathBuf,
    operators: AtomicUsize,
    _permit: SemaphorePermit<'static>,
}

impl Cluster {
    /// The newest Kubernetes with all its defaults.
    ///
    /// # Errors
    ///
    /// When the lab does not start or the API server does not take the installation.
    pub async fn start() -> anyhow::Result<Arc<Self>> {
        Self::start_with(Lab::builder()).await
    }

    /// A Kubernetes of the story's choice.
    ///
    /// # Errors
    ///
    /// As [`Cluster::start`].
    pub async fn start_with(builder: LabBuilder) -> anyhow::Result<Arc<Self>> {
        // The scheduler has no nodes to offer, and its events would only fill the log.
        Self::install_in(builder.without_scheduler()).await
    }

    /// The newest Kubernetes, for a story that starts nodes in it.
    ///
    /// # Errors
    ///
    /// As [`Cluster::start`].
    pub async fn start_for_nodes() -> anyhow::Result<Arc<Self>> {
        Self::install_in(Lab::builder()).await
    }

    async fn install_in(builder: LabBuilder) -> anyhow::Result<Arc<Self>> {
        let permit = LABS.acquire().await?;
        let executable = build_operator().await?;
        let lab = builder.start().await?;
        installation::install(&lab)
            .await
            .context("failed to install Podfence")?;
        let history = History::record(&lab.client()).await?;
        let operators = AtomicUsize::new(0);
        Ok(Arc::new(Self {
            history,
            lab,
            executable,
            operators,
            _permit: permit,
        }))
    }

    /// The lab itself.
    #[must_use]
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Every version of every namespace, policy, profile and report since the installation.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// An operator to start, with a new token of its own account.
    ///
    /// # Errors
    ///
    /// When the API server gives no token.
    pub async fn operator(&self) -> anyhow::Result<OperatorBuilder> {
        let number = self.operators.fetch_add(1, Ordering::Relaxed);
        let kubeconfig = self
            .lab
            .service_account_kubeconfig(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT)
            .await?;
        let folder = self.lab.folder();
        let builder = OperatorBuilder::new(self.lab.client(), &self.executable, folder, number);
        Ok(builder.kubeconfig(&kubeconfig))
    }

    /// Begins a story; `name` is the prefix of all that it owns.
    ///
    /// # Errors
    ///
    /// When the API server does not answer.
    pub async fn story(self: &Arc<Self>, name: &str) -> anyhow::Result<Story> {
        Story::begin(Arc::clone(self), name).await
    }

    /// Stops the lab: the end of a story that succeeded, when nobody else holds the cluster.
    ///
    /// # Errors
    ///
    /// When somebody does, or a process had to be killed.
    pub async fn stop(self: Arc<Self>) -> anyhow::Result<()> {
        let cluster = Arc::into_inner(self).context("a story still holds the cluster")?;
        drop(cluster.history);
        cluster.lab.stop().await
    }
}

/// A cluster in which one operator works, for all stories that leave both alone.
pub struct Running {
    // INVARIANT: dropped before the cluster, so that it does not complain about a server that has
    // gone.
    operator: Operator,
    cluster: Arc<Cluster>,
}

impl Running {
    /// Begins a story; `name` is the prefix of all that it owns.
    ///
    /// # Errors
    ///
    /// When the API server does not answer.
    pub async fn story(&self, name: &str) -> anyhow::Result<Story> {
        self.cluster.story(name).await
    }
}

impl Stage for Running {
    async fn build() -> anyhow::Result<Self> {
        let cluster = Cluster::start().await?;
        let operator = cluster.operator().await?.start().await?;
        Ok(Self { operator, cluster })
    }

    async fn strike(self) -> anyhow::Result<()> {
        self.operator.stop().await?;
        self.cluster.stop().await
    }
}
