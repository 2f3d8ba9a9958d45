//! The cluster that the programs run in. Starts processes, makes requests.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use kube::Api;
use podfence_e2e::{
    corpus::{Program, table},
    harness::Stage,
    lab::{Image, Lab, Node},
    on_nodes::{create, facts_of, needs_nodes},
    story::{Agents, Cluster, OBSERVER, Operator},
};
use podfence_seccomp::{Container, Filter, Loader, Profile};
use serde_json::json;
use tokio::sync::RwLock;

use crate::images;

/// Where the programs are.
pub(crate) const NAMESPACE: &str = "corpus";
/// How long a program must be watched. A day is no story, and each has done its task by then.
pub(crate) const MINIMUM_OBSERVATION: &str = "10s";
/// How long a program must be ready to fare well, longer than any takes to fail.
pub(crate) const SETTLING: &str = "60s";
/// Here a workload lives for a minute, and there are more of them than on most nodes in a day.
const WRITES: &str = "--records-per-minute=120";

/// A cluster with one node that has `seccompDefault` and one that does not, and the operator.
pub(crate) struct Ground {
    // INVARIANT: dropped before the cluster, so that it does not complain about a server that has
    // gone.
    operator: Operator,
    cluster: Arc<Cluster>,
    pub(crate) on: Arc<Node>,
    pub(crate) off: Arc<Node>,
    /// Held to read by stories that an agent's absence would disturb.
    pub(crate) bustle: RwLock<()>,
    pub(crate) facts: table::Ground,
    /// What a container that adds no capability runs under where SeccompDefault is on.
    pub(crate) filter: Filter,
}

impl Stage for Ground {
    async fn build() -> anyhow::Result<Self> {
        needs_nodes()?;
        let cluster = Cluster::start_for_nodes().await?;
        let lab = cluster.lab();
        let (on, off) = lab.on_and_off().await?;
        let operator = cluster.operator().await?;
        let operator = operator.flag("seccomp-settling-time", SETTLING).start();
        let operator = operator.await?;
        for node in [&on, &off] {
            node.import(&Image::busybox()).await?;
        }
        let agents = Agents::install_from(OBSERVER, lab, &[&on, &off], &[], &[WRITES]).await?;
        for node in [&on, &off] {
            let observes = agents.sees(node, |report| {
                ensure!(report.system_calls.is_some(), "{report:?}");
                ensure!(report.problems.is_empty(), "{report:?}");
                Ok(())
            });
            observes.await?;
        }
        assess(lab).await?;
        let info = facts_of(lab, &off).await?;
        let profile: Profile = info.container_runtime_version.parse()?;
        let container = Container {
            architecture: info.architecture.parse()?,
            bounding: profile.runtime.default_capabilities(),
            kernel: info.kernel_version.parse()?,
        };
        let filter = Filter::load(&profile.rules, container, Loader::default())?;
        let facts = table::Ground {
            runtime: info.container_runtime_version.replace("://", "/"),
            kernel: info.kernel_version,
        };
        Ok(Self {
            operator,
            cluster,
            on,
            off,
            bustle: RwLock::default(),
            facts,
            filter,
        })
    }

    async fn strike(self) -> anyhow::Result<()> {
        self.operator.stop().await?;
        self.cluster.stop().await
    }
}

impl Ground {
    pub(crate) fn lab(&self) -> &Lab {
        self.cluster.lab()
    }

    /// Objects of a kind in the namespace of the programs.
    pub(crate) fn objects<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.lab().client(), NAMESPACE)
    }

    /// Makes the images of these programs known to both nodes.
    pub(crate) async fn import(&self, programs: &[Program]) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let images = images::of(programs, folder.path()).await?;
        let imported = tokio::try_join!(self.on.import_all(&images), self.off.import_all(&images));
        imported.map(drop).context("failed to import the programs")
    }
}

/// Makes the namespace of the programs, and a policy that assesses it and labels next to nothing.
async fn assess(lab: &Lab) -> anyhow::Result<()> {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE },
    });
    let profile = json!({
        "apiVersion": "podfence.dev/v1alpha1", "kind": "PolicyProfile",
        "metadata": { "name": NAMESPACE },
        "spec": {
            "podSecurity": { "audit": { "level": "privileged" } },
            "seccompDefault": { "minimumObservation": MINIMUM_OBSERVATION },
        },
    });
    let policy = json!({
        "apiVersion": "podfence.dev/v1alpha1", "kind": "NamespacePolicy",
        "metadata": { "name": NAMESPACE },
        "spec": {
            "profileRef": { "name": NAMESPACE },
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": NAMESPACE } },
        },
    });
    for object in [namespace, profile, policy] {
        create(lab, &object).await?;
    }
    Ok(())
}
