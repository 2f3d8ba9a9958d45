//! containerd, the runtime of one node. Starts a process.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tokio::{net::UnixStream, process::Command};

use super::{
    binaries::NodeBinaries,
    image::{self, Image},
    place::Place,
    process::Process,
};
use crate::eventually;

/// Where a node has its socket.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";
/// Where the configurations of containers are that it gave to runc.
const BUNDLES: &str = "/run/containerd/io.containerd.runtime.v2.task/k8s.io";
/// It takes half a second; but several nodes start side by side.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(60);

/// One containerd.
pub(super) struct Containerd {
    process: Process,
    socket: PathBuf,
    ctr: PathBuf,
    images: PathBuf,
}

impl Containerd {
    /// Starts the process and returns when it answers. The pods of this node have the addresses of
    /// `subnet`.
    pub(super) async fn start(
        binaries: &NodeBinaries,
        place: &Place,
        subnet: &str,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let root = place.root();
        let network = root.join("net.d");
        fs::create_dir_all(&network)?;
        fs::write(
            network.join("lab.conflist"),
            network_configuration(subnet).to_string(),
        )?;
        let plugins = root.join("cni");
        link_plugins(&binaries.cni, place, &plugins)?;
        let file = root.join("containerd.toml");
        fs::write(&file, configuration(&plugins, root))?;
        let mut path = std::env::join_paths([&binaries.containerd, &binaries.runc])?;
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let process = place
            .first_program("containerd", &binaries.containerd.join("containerd"))
            .flag("config", file)
            // It looks here for its shim and for runc.
            .environment("PATH", path)
            .start(&log)
            .await?;
        let socket = place.outside(SOCKET);
        eventually(STARTUP_TIMEOUT, async || {
            Ok(UnixStream::connect(&socket).await.map(drop)?)
        })
        .await
        .with_context(|| format!("containerd does not answer\n{}", process.log_tail()))?;
        Ok(Self {
            process,
            socket,
            ctr: binaries.containerd.join("ctr"),
            images: root.join("images"),
        })
    }

    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    /// Makes images known to the node.
    pub(super) async fn import(&self, images: &[Image]) -> anyhow::Result<()> {
        fs::create_dir_all(&self.images)?;
        let folder = tempfile::tempdir_in(&self.images)?;
        let archive = image::write_archive(images, folder.path())?;
        let output = Command::new(&self.ctr)
            .arg("--address")
            .arg(&self.socket)
            .args(["--namespace", "k8s.io", "images", "import"])
            .arg(archive)
            .kill_on_drop(true)
            .output()
            .await?;
        ensure!(
            output.status.success(),
            "failed to import {:?}: {}",
            images.iter().map(Image::name).collect::<Vec<_>>(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

/// Where a file is, inside the node, of what runc got for a container.
pub(super) fn bundled(container: &str, file: &str) -> String {
    // As the status of a pod names it, it begins with the name of the runtime.
    let id = container.strip_prefix("containerd://").unwrap_or(container);
    format!("{BUNDLES}/{id}/{file}")
}

/// Makes the folder in which containerd looks for network plugins.
fn link_plugins(binaries: &Path, place: &Place, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    for plugin in ["loopback", "host-local"] {
        symlink(binaries.join(plugin), folder.join(plugin))?;
    }
    // This one sets the machine to forward what is not for it.
    let (plugin, blindfold) = (binaries.join("ptp"), place.blindfold());
    let (plugin, blindfold) = (plugin.display(), blindfold.display());
    let script = format!("#!/bin/sh\nexec '{blindfold}' '{plugin}'\n");
    let file = folder.join("ptp");
    fs::write(&file, script)?;
    Ok(fs::set_permissions(file, Permissions::from_mode(0o755))?)
}

/// Source: <https://github.com/containerd/containerd/blob/main/docs/cri/config.md>.
fn configuration(plugins: &Path, root: &Path) -> String {
    let (pause, network, optional) = (image::PAUSE, root.join("net.d"), root.join("opt"));
    format!(
        r#"version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
address = "{SOCKET}"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pause}"

[plugins."io.containerd.cri.v1.runtime"]
# Where root has no CAP_SYS_RESOURCE, as in a virtual machine in a cloud, runc may not lower the
# score of any sandbox.
restrict_oom_score_adj = true
# Under the node's own /run they go with its mount namespace.
netns_mounts_under_state_dir = true

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{plugins}"]
conf_dir = "{network}"

[plugins."io.containerd.internal.v1.opt"]
path = "{optional}"
"#,
        plugins = plugins.display(),
        network = network.display(),
        optional = optional.display(),
    )
}

/// A cable from each pod to the machine; nothing is hidden behind an address of the machine.
fn network_configuration(subnet: &str) -> serde_json::Value {
    serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "lab",
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni",
                "ranges": [[{ "subnet": subnet }]],
                "routes": [],
            },
        }],
    })
}
