//! Where the programs of the lab's Kubernetes are. Runs `e2e/cluster/build`, which builds what is
//! missing.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

/// A Kubernetes release that the lab can run; patch releases are pinned in `e2e/cluster`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KubernetesVersion {
    /// The oldest one tested. Only its API server runs: no controllers and no scheduler.
    V1_34,
    /// The newest one.
    #[default]
    V1_37,
}

/// The executables of one lab.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    pub(super) etcd: PathBuf,
    pub(super) kube_apiserver: PathBuf,
    pub(super) kube_controller_manager: PathBuf,
    pub(super) kube_scheduler: PathBuf,
    pub(super) kubectl: PathBuf,
}

/// The executables of a node, of the newest Kubernetes.
#[derive(Debug, Clone)]
pub(super) struct NodeBinaries {
    pub(super) kubelet: PathBuf,
    /// The folder of containerd, its shim and ctr.
    pub(super) containerd: PathBuf,
    /// The folder of runc.
    pub(super) runc: PathBuf,
    /// The folder of the network plugins.
    pub(super) cni: PathBuf,
}

impl KubernetesVersion {
    fn module(self) -> &'static str {
        match self {
            Self::V1_34 => "kubernetes-1.34",
            Self::V1_37 => "kubernetes",
        }
    }
}

impl Binaries {
    /// Finds the programs, and builds them first where they are missing: minutes on a new machine,
    /// milliseconds afterwards.
    pub(super) async fn find(version: KubernetesVersion) -> anyhow::Result<Self> {
        // kubectl and the controllers are always the newest.
        let newest = KubernetesVersion::default().module();
        let folders = build(&["etcd", newest, version.module()]).await?;
        let [etcd, newest, chosen] = folders.as_slice() else {
            anyhow::bail!("e2e/cluster/build printed {folders:?} instead of three folders");
        };
        Ok(Self {
            etcd: etcd.join("etcd"),
            kube_apiserver: chosen.join("kube-apiserver"),
            kube_controller_manager: newest.join("kube-controller-manager"),
            kube_scheduler: newest.join("kube-scheduler"),
            kubectl: newest.join("kubectl"),
        })
    }
}

impl NodeBinaries {
    /// As [`Binaries::find`].
    pub(super) async fn find() -> anyhow::Result<Self> {
        let kubernetes = KubernetesVersion::default().module();
        let folders = build(&[kubernetes, "containerd", "runc", "cni"]).await?;
        let [kubernetes, containerd, runc, cni] = <[PathBuf; 4]>::try_from(folders)
            .map_err(|folders| anyhow::anyhow!("e2e/cluster/build printed {folders:?}"))?;
        Ok(Self {
            kubelet: kubernetes.join("kubelet"),
            containerd,
            runc,
            cni,
        })
    }
}

async fn build(modules: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/build");
    let output = Command::new(&script)
        .args(modules)
        .stdin(Stdio::null())
        // Whoever waits for minutes sees why.
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("failed to run {}", script.display()))?;
    ensure!(
        output.status.success(),
        "{} failed: {}",
        script.display(),
        output.status
    );
    Ok(String::from_utf8(output.stdout)?
        .lines()
        .map(PathBuf::from)
        .collect())
}
