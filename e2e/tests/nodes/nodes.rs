//! The two nodes that stories share, and words for what runs on them.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{ContainerStatus, Namespace, Pod};
use kube::{Api, api::ListParams};
use podfence_e2e::{
    eventually,
    harness::{Stage, skipped},
    lab::{Image, Lab, Node, compile_program},
};
use serde_json::{Value, json};

/// A pod runs a second after it was made, unless the machine is very busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// Makes a user namespace: `e2e/programs/user_namespace.c`.
pub(crate) const USER_NAMESPACE: &str = "user_namespace";

/// A lab with one node that has `seccompDefault` and one that does not.
pub(crate) struct Nodes {
    pub(crate) lab: Lab,
    pub(crate) on: Arc<Node>,
    pub(crate) off: Arc<Node>,
}

impl Stage for Nodes {
    async fn build() -> anyhow::Result<Self> {
        needs_nodes()?;
        let lab = Lab::start().await?;
        let (on, off) = tokio::try_join!(
            lab.node("on").seccomp_default(true).start(),
            lab.node("off").start(),
        )?;
        let folder = tempfile::tempdir()?;
        let program = compile_program(USER_NAMESPACE, folder.path())?;
        for image in [Image::busybox(), Image::of_program(USER_NAMESPACE, program)] {
            tokio::try_join!(on.import(&image), off.import(&image))?;
        }
        Ok(Self { lab, on, off })
    }

    async fn strike(self) -> anyhow::Result<()> {
        self.lab.stop().await
    }
}

/// Ends a story on a machine that can run no nodes.
pub(crate) fn needs_nodes() -> anyhow::Result<()> {
    Node::obstacle().map_or(Ok(()), |obstacle| Err(skipped(obstacle)))
}

impl Nodes {
    pub(crate) async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespace = json!({ "metadata": { "name": name } });
        let namespace: Namespace = serde_json::from_value(namespace)?;
        self.lab.create_namespace(&namespace).await.map(drop)
    }

    /// Creates an object that its manifest describes.
    pub(crate) async fn create(&self, manifest: &Value) -> anyhow::Result<()> {
        create(&self.lab, manifest).await
    }

    /// Waits until the first container of a pod with this label `app` is as described, and returns
    /// its pod.
    pub(crate) async fn sees(
        &self,
        namespace: &str,
        app: &str,
        is_so: impl Fn(&ContainerStatus) -> bool,
    ) -> anyhow::Result<Pod> {
        sees(&self.lab, namespace, app, is_so).await
    }
}

/// Creates an object that its manifest describes.
pub(crate) async fn create(lab: &Lab, manifest: &Value) -> anyhow::Result<()> {
    let manifest = manifest.to_string();
    lab.kubectl_with_input(&["create", "-f", "-"], &manifest)
        .await
        .map(drop)
}

/// As [`Nodes::sees`].
pub(crate) async fn sees(
    lab: &Lab,
    namespace: &str,
    app: &str,
    is_so: impl Fn(&ContainerStatus) -> bool,
) -> anyhow::Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(lab.client(), namespace);
    let labelled = ListParams::default().labels(&format!("app={app}"));
    eventually(PATIENCE, async || {
        let pods = pods.list(&labelled).await?.items;
        let statuses: Vec<_> = pods.iter().map(first_container).collect();
        let found = pods
            .iter()
            .position(|pod| first_container(pod).is_some_and(&is_so));
        let found = found.with_context(|| format!("{app} is {statuses:?}"))?;
        Ok(pods[found].clone())
    })
    .await
}

/// The status of a pod's first container, once there is one.
pub(crate) fn first_container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

pub(crate) fn is_running(container: &ContainerStatus) -> bool {
    container
        .state
        .as_ref()
        .is_some_and(|state| state.running.is_some())
}

/// Its container ended twice and waits before it is started again.
pub(crate) fn crash_loops(container: &ContainerStatus) -> bool {
    let waiting = container
        .state
        .as_ref()
        .and_then(|state| state.waiting.as_ref());
    waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some("CrashLoopBackOff"))
}

/// A Deployment of one pod on a node; the pod's label `app` is its name.
pub(crate) fn deployment(namespace: &str, name: &str, node: &str, image: &str) -> Value {
    let labels = json!({ "app": name });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "nodeSelector": { "kubernetes.io/hostname": node },
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{ "name": "main", "image": image }],
                },
            },
        },
    })
}
