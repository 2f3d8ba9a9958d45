//! The scheduler: without nodes it says why a pod is pending, with nodes it places it. Starts a
//! process.

use std::path::{Path, PathBuf};

use kube::Client;

use super::{
    credentials::Credentials,
    folder::Folder,
    health,
    ports::Port,
    process::{Process, Program},
};

pub(super) struct Scheduler {
    _port: Port,
    client: Client,
    program: Program,
    log: PathBuf,
}

impl Scheduler {
    pub(super) fn plan(
        executable: &Path,
        folder: &Folder,
        credentials: &Credentials,
        apiserver_url: &str,
    ) -> anyhow::Result<Self> {
        let port = Port::reserve()?;
        let kubeconfig =
            credentials.kubeconfig_of(folder, apiserver_url, "system:kube-scheduler", None)?;
        let program = Program::new("kube-scheduler", executable)
            .flag("kubeconfig", &kubeconfig)
            .flag("authentication-kubeconfig", &kubeconfig)
            .flag("authorization-kubeconfig", &kubeconfig)
            .flag("bind-address", "127.0.0.1")
            .flag("secure-port", port.number().to_string())
            .flag("tls-cert-file", credentials.server_certificate())
            .flag("tls-private-key-file", credentials.server_key())
            .flag("leader-elect", "false");
        Ok(Self {
            client: credentials.anonymous_client(&port.url("https"))?,
            _port: port,
            program,
            log: folder.path().join("kube-scheduler.log"),
        })
    }

    /// Starts the process and returns when it is healthy.
    pub(super) async fn start(&self) -> anyhow::Result<Process> {
        let process = self.program.start(&self.log).await?;
        health::until_healthy(&process, &self.client, "/healthz").await?;
        Ok(process)
    }
}
