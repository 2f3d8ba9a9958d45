//! A node of a lab: a containerd and a kubelet, in a place of their own. Starts processes.
//!
//! ```no_run
//! # async fn story(lab: &podfence_e2e::lab::Lab) -> anyhow::Result<()> {
//! use podfence_e2e::lab::Image;
//!
//! let node = lab.node("on").seccomp_default(true).start().await?;
//! node.import(&Image::busybox()).await?;
//! std::fs::write(node.seccomp_folder()?.join("strict.json"), "{}")?;
//! node.set_seccomp_default(false).await
//! # }
//! ```
//!
//! A node needs root; [`Node::obstacle`] says what is missing. It goes with its lab, at the latest;
//! `guard` says why nothing of it outlives its test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, ensure};
use k8s_openapi::api::core::v1 as core;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{
    Lab,
    binaries::NodeBinaries,
    cgroup,
    containerd::{self, Containerd},
    image::{self, Image},
    kubelet::{self, Kubelet},
    place::Place,
    process::Process,
};
use crate::eventually;

/// It takes seconds; but several nodes start side by side, next to a compiler.
const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// Options of a node to start.
#[must_use = "a node is started with start()"]
pub struct NodeBuilder<'a> {
    lab: &'a Lab,
    name: String,
    seccomp_default: bool,
    taint: Option<String>,
}

/// A running node.
pub struct Node {
    name: String,
    client: Client,
    // INVARIANT: dropped in this order, so that nobody starts a container while the others end.
    kubelet_process: Mutex<Option<Process>>,
    containerd: Containerd,
    kubelet: Kubelet,
    place: Place,
}

impl Lab {
    /// Options of a node to start in this lab; pods find it by the label
    /// `kubernetes.io/hostname`.
    pub fn node(&self, name: impl Into<String>) -> NodeBuilder<'_> {
        NodeBuilder {
            lab: self,
            name: name.into(),
            seccomp_default: false,
            taint: None,
        }
    }

    /// Starts two nodes, `on` with SeccompDefault and `off` without.
    ///
    /// # Errors
    ///
    /// When one of them does not start.
    pub async fn on_and_off(&self) -> anyhow::Result<(Arc<Node>, Arc<Node>)> {
        tokio::try_join!(
            self.node("on").seccomp_default(true).start(),
            self.node("off").start(),
        )
    }
}

impl NodeBuilder<'_> {
    /// Whether a container without a profile gets `RuntimeDefault`; without this it gets none.
    pub fn seccomp_default(mut self, seccomp_default: bool) -> Self {
        self.seccomp_default = seccomp_default;
        self
    }

    /// Keeps all pods away that do not tolerate this taint, from the moment on in which there is
    /// the node.
    pub fn taint(mut self, key: impl Into<String>) -> Self {
        self.taint = Some(key.into());
        self
    }

    /// Starts the node and returns when it is ready for pods.
    ///
    /// # Errors
    ///
    /// When this machine cannot run one, or a program does not become healthy; the error ends with
    /// the end of its log.
    pub async fn start(self) -> anyhow::Result<Arc<Node>> {
        let Self {
            lab,
            name,
            seccomp_default,
            taint,
        } = self;
        let node = lab.start_node(&name, seccomp_default, taint).await;
        let node = node.with_context(|| format!("failed to start node {name:?}"))?;
        // Before it is ready: whatever happens now, the lab ends it.
        let node = Arc::new(node);
        lab.keep_node(&node);
        node.wait_until_ready().await?;
        Ok(node)
    }
}

impl Lab {
    async fn start_node(
        &self,
        name: &str,
        seccomp_default: bool,
        taint: Option<String>,
    ) -> anyhow::Result<Node> {
        if let Some(obstacle) = Node::obstacle() {
            return Err(anyhow!(obstacle));
        }
        let binaries = NodeBinaries::find().await?;
        let place = Place::create(&self.folder, name)?;
        let (executable, url) = (&binaries.kubelet, self.url());
        let kubelet = Kubelet::plan(executable, &self.folder, &self.credentials, &url, name)?;
        let kubelet = kubelet.registers_with(taint);
        let log = self.folder().join(format!("containerd-{name}.log"));
        let containerd = Containerd::start(&binaries, &place, &kubelet.subnet(), log).await?;
        let pause = [Image::pause()];
        let (process, ()) = tokio::try_join!(
            kubelet.start(&place, containerd.process(), seccomp_default),
            containerd.import(&pause),
        )?;
        Ok(Node {
            name: name.to_owned(),
            client: self.client(),
            kubelet_process: Mutex::new(Some(process)),
            containerd,
            kubelet,
            place,
        })
    }
}

impl Node {
    /// Why no node can run on this machine, if so.
    #[must_use]
    pub fn obstacle() -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("a node needs root".to_owned());
        }
        if !Path::new(image::BUSYBOX).exists() {
            return Some("a node needs Debian's busybox-static".to_owned());
        }
        if let Some(obstacle) = cgroup::obstacle() {
            return Some(format!("a node needs control groups: {obstacle}"));
        }
        // Root of a container may have no right to mount anything.
        let mount = Command::new("unshare").args(["--mount", "true"]).output();
        if !mount.is_ok_and(|output| output.status.success()) {
            return Some(
                "a node needs a mount namespace: root has no right to make one".to_owned(),
            );
        }
        None
    }

    /// The name of the node's object.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the kubelet's own API answers, for callers whose certificate or token it asks the API
    /// server about.
    #[must_use]
    pub fn kubelet_url(&self) -> String {
        self.kubelet.url()
    }

    /// The addresses of the node's pods, as CIDR.
    #[must_use]
    pub fn subnet(&self) -> String {
        self.kubelet.subnet()
    }

    /// The node's control group, in each hierarchy that the kernel has.
    #[must_use]
    pub fn control_groups(&self) -> Vec<PathBuf> {
        self.place.group().folders()
    }

    /// The containerd socket, as this machine sees it; inside the node it is where every node has
    /// it.
    #[must_use]
    pub fn containerd_socket(&self) -> PathBuf {
        self.place.outside(containerd::SOCKET)
    }

    /// The folder of the profiles that `Localhost` names, as this machine sees it. It is made when
    /// it is not there.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn seccomp_folder(&self) -> anyhow::Result<PathBuf> {
        let folder = self.place.outside(&format!("{}/seccomp", kubelet::ROOT));
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Makes an image known to the node, for pods that do not insist on pulling it.
    ///
    /// # Errors
    ///
    /// When containerd refuses it.
    pub async fn import(&self, image: &Image) -> anyhow::Result<()> {
        self.import_all(std::slice::from_ref(image)).await
    }

    /// As [`Self::import`], of several images at once. What they share is imported once.
    ///
    /// # Errors
    ///
    /// As [`Self::import`].
    pub async fn import_all(&self, images: &[Image]) -> anyhow::Result<()> {
        self.containerd.import(images).await
    }

    /// The OCI configuration that containerd wrote for a container that runs, by its id as the
    /// pod's status has it.
    ///
    /// # Errors
    ///
    /// When there is no such container, or none any more.
    pub fn oci_configuration(&self, container: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(
            &self.bundled(container, "config.json")?,
        )?)
    }

    /// The process of a container that runs, as this machine numbers it.
    ///
    /// # Errors
    ///
    /// As [`Self::oci_configuration`].
    pub fn process_of(&self, container: &str) -> anyhow::Result<u32> {
        Ok(self.bundled(container, "init.pid")?.trim().parse()?)
    }

    fn bundled(&self, container: &str, file: &str) -> anyhow::Result<String> {
        let file = self.place.outside(&containerd::bundled(container, file));
        fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))
    }

    /// Starts the kubelet again, with another `seccompDefault`, and returns when it is healthy.
    /// Containers that run keep what they have.
    ///
    /// # Errors
    ///
    /// When it does not become healthy, or the node has ended.
    pub async fn set_seccomp_default(&self, seccomp_default: bool) -> anyhow::Result<()> {
        let mut process = self.kubelet_process.lock().await;
        process.take().context("the node has ended")?.kill();
        let runtime = self.containerd.process();
        let started = self.kubelet.start(&self.place, runtime, seccomp_default);
        *process = Some(started.await?);
        Ok(())
    }

    /// Waits until pods can be placed on the node.
    ///
    /// # Errors
    ///
    /// When it is not ready in two minutes: its conditions and the end of the kubelet's log.
    pub async fn wait_until_ready(&self) -> anyhow::Result<()> {
        let nodes: Api<core::Node> = Api::all(self.client.clone());
        eventually(READY_TIMEOUT, async || Ok(nodes.get(&self.name).await?)).await?;
        // The kubelet names no loopback address by itself, and without one the API server cannot
        // reach it for logs and commands.
        let addresses = json!({ "status": { "addresses": [
            { "type": "Hostname", "address": self.name },
            { "type": "InternalIP", "address": "127.0.0.1" },
        ] } });
        let patch = Patch::Merge(addresses);
        nodes
            .patch_status(&self.name, &PatchParams::default(), &patch)
            .await?;
        let ready = eventually(READY_TIMEOUT, async || {
            let status = nodes.get(&self.name).await?.status.unwrap_or_default();
            let conditions = status.conditions.unwrap_or_default();
            let ready = conditions
                .iter()
                .find(|condition| condition.type_ == "Ready");
            ensure!(
                ready.is_some_and(|ready| ready.status == "True"),
                "{ready:?}"
            );
            Ok(())
        });
        ready
            .await
            .with_context(|| format!("node {:?} is not ready", self.name))
    }

    /// Ends every process of the node at once, as when its machine fails. It blocks.
    pub(super) fn end(&self) -> anyhow::Result<()> {
        // The kubelet first, for it would start again what ends.
        if let Ok(mut process) = self.kubelet_process.try_lock() {
            drop(process.take());
        }
        self.containerd.process().kill();
        self.place.clear()
    }
}
