//! The two nodes that stories share.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStatus, Namespace, Pod};
use podfence_e2e::{
    harness::Stage,
    lab::{Image, Lab, Node, compile_program},
};
use serde_json::{Value, json};

pub(crate) use podfence_e2e::on_nodes::{
    PATIENCE, crash_loops, create, deployment, first_container, is_running, needs_nodes, sees,
};

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
        let (on, off) = lab.on_and_off().await?;
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
