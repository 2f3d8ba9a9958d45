//! etcd, the store behind the API server. Starts a process.

use std::path::{Path, PathBuf};

use kube::Client;

use super::{
    folder::Folder,
    health,
    ports::Port,
    process::{Process, Program},
};

/// One etcd; it talks plain HTTP on the loopback address, to the API server of its lab alone.
pub(super) struct Etcd {
    client_port: Port,
    _peer_port: Port,
    client: Client,
    program: Program,
    log: PathBuf,
}

impl Etcd {
    pub(super) fn plan(
        executable: &Path,
        folder: &Folder,
        extra_arguments: &[String],
    ) -> anyhow::Result<Self> {
        let (client_port, peer_port) = (Port::reserve()?, Port::reserve()?);
        let client_url = client_port.url("http");
        let peer_url = peer_port.url("http");
        let program = Program::new("etcd", executable)
            .flag("name", "lab")
            .flag("data-dir", folder.data().join("etcd"))
            .flag("listen-client-urls", &client_url)
            .flag("advertise-client-urls", &client_url)
            .flag("listen-peer-urls", &peer_url)
            .flag("initial-advertise-peer-urls", &peer_url)
            .flag("initial-cluster", format!("lab={peer_url}"))
            // The data does not outlive the lab; without this a slow disk sets the pace of every
            // write.
            .argument("--unsafe-no-fsync")
            .arguments(extra_arguments);
        Ok(Self {
            client: Client::try_from(kube::Config::new(client_url.parse()?))?,
            client_port,
            _peer_port: peer_port,
            program,
            log: folder.path().join("etcd.log"),
        })
    }

    /// Where the API server reaches it.
    pub(super) fn url(&self) -> String {
        self.client_port.url("http")
    }

    /// Starts the process and returns when it is healthy.
    pub(super) async fn start(&self) -> anyhow::Result<Process> {
        let process = self.program.start(&self.log).await?;
        health::until_healthy(&process, &self.client, "/health").await?;
        Ok(process)
    }
}
