//! The lab: a whole Kubernetes control plane of one's own, on the loopback address. Starts
//! processes, does I/O.
//!
//! ```no_run
//! # async fn story() -> anyhow::Result<()> {
//! use podfence_e2e::lab::Lab;
//!
//! let lab = Lab::start().await?;
//! lab.kubectl(&["create", "namespace", "shop"]).await?;
//! lab.stop().await
//! # }
//! ```
//!
//! One file a process: `etcd`, `apiserver`, `controller_manager` and `scheduler`. Each is
//! planned first (ports, files, arguments), which makes the addresses known to all, and started
//! then. The programs are built from Go modules by `e2e/cluster/build`. A lab takes about three
//! seconds and 500 MB, and any number of them run side by side: each has its own ports, keys and
//! folder. Stories that may share one are told by [`crate::harness`].
//!
//! A story that succeeds ends with [`Lab::stop`], which removes the lab's folder. A lab that is
//! dropped without it is a failure's, by a panic or by `?`: its processes are killed, its folder is
//! kept, and the folder's path and the ends of all logs are printed. `supervisor` says why no
//! process outlives its test, however that ends.
//!
//! [`Lab::node`] adds a real node, with containerd, runc and a kubelet (`node`, `containerd`,
//! `kubelet`), to stories that run pods. Nodes need root, and live in a `place` of their own.

mod access;
mod admission;
mod apiserver;
mod audit;
mod binaries;
mod builder;
mod certificates;
mod cgroup;
mod containerd;
mod controller_manager;
mod credentials;
mod etcd;
mod folder;
mod guard;
mod health;
mod image;
mod kubeconfig;
mod kubectl;
mod kubelet;
mod node;
mod place;
mod plan;
mod ports;
mod process;
mod scheduler;
mod supervisor;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex as StdMutex, PoisonError, atomic::AtomicUsize},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::{Api, Client, ResourceExt as _, api::PostParams};
use tokio::sync::Mutex;

pub use self::{
    audit::{AuditEvent, AuditLog, AuditMark, AuditObject, AuditStatus, AuditUser},
    binaries::KubernetesVersion,
    builder::{LabBuilder, PodSecurityConfiguration, PodSecurityDefault, PodSecurityExemptions},
    certificates::{Authority, Identity},
    image::{Image, Layer, compile_program, compile_program_with},
    kubeconfig::Credential,
    kubectl::{KubectlOutput, cell},
    node::{Node, NodeBuilder},
    process::{Process, Program},
};
use self::{
    binaries::Binaries,
    credentials::Credentials,
    folder::Folder,
    health::PortTaken,
    plan::{Plan, Processes},
};
use crate::eventually;

/// A port is lost to a stranger only in the milliseconds between choosing it and listening on it.
const START_ATTEMPTS: usize = 3;
/// The API server waits for open requests; on a busy machine that takes seconds.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// The controllers make a namespace's default service account at once, unless the machine is very
/// busy.
const NAMESPACE_TIMEOUT: Duration = Duration::from_secs(30);

/// How a process of the lab is made to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM: it finishes what it has begun.
    Gracefully,
    /// SIGKILL: as when its machine fails.
    Kill,
}

/// A running Kubernetes.
pub struct Lab {
    // INVARIANT: fields are dropped in this order, so that nothing complains about a server that
    // went before it, and the folder goes when nobody writes there any more. The nodes are ended
    // before all of it.
    nodes: StdMutex<Vec<Arc<Node>>>,
    scheduler: Option<Process>,
    controller_manager: Option<Process>,
    apiserver: Mutex<Option<Process>>,
    etcd: Process,
    client: Client,
    kubeconfig: PathBuf,
    plan: Plan,
    credentials: Credentials,
    kubectl: PathBuf,
    kubeconfigs: AtomicUsize,
    succeeded: bool,
    folder: Folder,
}

impl Lab {
    /// Starts a lab with the newest Kubernetes and all its defaults, and returns when every process
    /// is healthy.
    ///
    /// # Errors
    ///
    /// When the programs cannot be built, or a process does not become healthy in two minutes; the
    /// error ends with the end of its log.
    pub async fn start() -> anyhow::Result<Self> {
        Self::builder().start().await
    }

    /// Options of a lab to start.
    pub fn builder() -> LabBuilder {
        LabBuilder::default()
    }

    async fn from_builder(options: &LabBuilder) -> anyhow::Result<Self> {
        let binaries = Binaries::find(options.version).await?;
        let mut attempt = 1;
        loop {
            match Self::attempt(options, &binaries).await {
                Err(error) if error.is::<PortTaken>() && attempt < START_ATTEMPTS => attempt += 1,
                result => return result.context("failed to start a lab"),
            }
        }
    }

    async fn attempt(options: &LabBuilder, binaries: &Binaries) -> anyhow::Result<Self> {
        let folder = Folder::create()?;
        let credentials = Credentials::create(&folder)?;
        let plan = Plan::new(options, binaries, &folder, &credentials)?;
        let url = plan.apiserver.url();
        let kubeconfig =
            credentials.kubeconfig_of(&folder, &url, "lab-admin", Some("system:masters"))?;
        let client = credentials::client_of(&kubeconfig).await?;
        let Processes {
            etcd,
            apiserver,
            controller_manager,
            scheduler,
        } = plan.start().await?;
        Ok(Self {
            nodes: StdMutex::default(),
            scheduler,
            controller_manager,
            apiserver: Mutex::new(Some(apiserver)),
            etcd,
            client,
            kubeconfig,
            plan,
            credentials,
            kubectl: binaries.kubectl.clone(),
            kubeconfigs: AtomicUsize::new(0),
            succeeded: false,
            folder,
        })
    }

    /// A client of the cluster's administrator, without retries. It works on the runtime that
    /// started the lab.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The kubeconfig of the cluster's administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The URL of the API server.
    #[must_use]
    pub fn url(&self) -> String {
        self.plan.apiserver.url()
    }

    /// The certificate authority that every process of this lab trusts, to put a server of one's
    /// own between them.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        self.credentials.authority()
    }

    /// The folder with all data, logs and kubeconfigs of this lab.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Creates a namespace and, where the controller manager runs, waits until pods can be created
    /// in it.
    ///
    /// # Errors
    ///
    /// When the API server refuses it, or no default service account appears.
    pub async fn create_namespace(&self, namespace: &Namespace) -> anyhow::Result<Namespace> {
        let namespaces: Api<Namespace> = Api::all(self.client());
        let created = namespaces.create(&PostParams::default(), namespace).await?;
        if self.controller_manager.is_some() {
            let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), &created.name_any());
            eventually(NAMESPACE_TIMEOUT, async || {
                Ok(accounts.get("default").await?)
            })
            .await?;
        }
        Ok(created)
    }

    /// The audit log of the API server: every write, by whom and how it ended.
    #[must_use]
    pub fn audit(&self) -> AuditLog {
        AuditLog::new(self.plan.apiserver.audit_log(), self.client())
    }

    /// The process of etcd, to stop and continue it by signals.
    #[must_use]
    pub fn etcd(&self) -> &Process {
        &self.etcd
    }

    /// The ids of all processes of this lab that run.
    pub async fn process_ids(&self) -> Vec<u32> {
        let apiserver = self.apiserver.lock().await;
        [
            apiserver.as_ref(),
            self.controller_manager.as_ref(),
            self.scheduler.as_ref(),
        ]
        .into_iter()
        .flatten()
        .chain([&self.etcd])
        .filter(|process| process.exited().is_none())
        .map(Process::pid)
        .collect()
    }

    /// Stops the API server; everything else goes on, and complains.
    ///
    /// # Errors
    ///
    /// When it does not run, or did not end when asked to.
    pub async fn stop_apiserver(&self, how: Stop) -> anyhow::Result<()> {
        let process = self
            .apiserver
            .lock()
            .await
            .take()
            .context("the API server does not run")?;
        match how {
            Stop::Gracefully => drop(process.stop(STOP_GRACE).await?),
            Stop::Kill => process.kill(),
        }
        Ok(())
    }

    /// Starts the API server again, at the same address and with the same arguments, and waits
    /// until it is ready.
    ///
    /// # Errors
    ///
    /// When it runs already, or does not become ready.
    pub async fn start_apiserver(&self) -> anyhow::Result<()> {
        let mut apiserver = self.apiserver.lock().await;
        ensure!(apiserver.is_none(), "the API server runs already");
        *apiserver = Some(self.plan.apiserver.start().await?);
        Ok(())
    }

    /// Stops the API server and starts it again.
    ///
    /// # Errors
    ///
    /// As the two.
    pub async fn restart_apiserver(&self, how: Stop) -> anyhow::Result<()> {
        self.stop_apiserver(how).await?;
        self.start_apiserver().await
    }

    /// Ends the nodes, asks every other process to end, users first, and removes the folder: the
    /// end of a story that succeeded.
    ///
    /// # Errors
    ///
    /// When one had to be killed.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.end_nodes()?;
        let apiserver = self.apiserver.get_mut();
        let processes = [&self.scheduler, &self.controller_manager, &*apiserver];
        for process in processes.into_iter().flatten().chain([&self.etcd]) {
            process.stop(STOP_GRACE).await?;
        }
        self.succeeded = true;
        Ok(())
    }
}

impl Lab {
    /// Makes the lab end the node, whoever else holds it.
    fn keep_node(&self, node: &Arc<Node>) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.push(Arc::clone(node));
    }

    fn end_nodes(&mut self) -> anyhow::Result<()> {
        let nodes = self.nodes.get_mut().unwrap_or_else(PoisonError::into_inner);
        let ended: Vec<_> = nodes.drain(..).map(|node| node.end()).collect();
        ended.into_iter().collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = self.end_nodes() {
            eprintln!("lab: {error:#}");
        }
        if !self.succeeded {
            self.folder.keep();
            eprintln!(
                "lab kept in {}\n{}",
                self.folder.path().display(),
                self.folder.log_tails()
            );
        }
    }
}
