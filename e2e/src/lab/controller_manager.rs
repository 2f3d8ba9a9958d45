//! The controller manager: default service accounts, the pods of workloads, garbage collection, the
//! end of namespaces. Starts a process.

use std::path::{Path, PathBuf};

use kube::Client;

use super::{
    credentials::Credentials,
    folder::Folder,
    health,
    ports::Port,
    process::{Process, Program},
};

/// Everything but what needs a cloud or a node's network, which ends the process or fills the log.
const CONTROLLERS: &str = "*,-persistentvolume-attach-detach-controller,-node-ipam-controller";

pub(super) struct ControllerManager {
    _port: Port,
    client: Client,
    program: Program,
    log: PathBuf,
}

impl ControllerManager {
    pub(super) fn plan(
        executable: &Path,
        folder: &Folder,
        credentials: &Credentials,
        apiserver_url: &str,
        extra_arguments: &[String],
    ) -> anyhow::Result<Self> {
        let port = Port::reserve()?;
        let kubeconfig = credentials.kubeconfig_of(
            folder,
            apiserver_url,
            "system:kube-controller-manager",
            None,
        )?;
        let program = Program::new("kube-controller-manager", executable)
            .flag("kubeconfig", &kubeconfig)
            .flag("authentication-kubeconfig", &kubeconfig)
            .flag("authorization-kubeconfig", &kubeconfig)
            .flag("bind-address", "127.0.0.1")
            .flag("secure-port", port.number().to_string())
            .flag("tls-cert-file", credentials.server_certificate())
            .flag("tls-private-key-file", credentials.server_key())
            .flag("root-ca-file", credentials.authority_certificate())
            .flag(
                "service-account-private-key-file",
                credentials.token_private_key(),
            )
            // Each controller under its own account, as clusters run it: the audit log tells them
            // apart.
            .flag("use-service-account-credentials", "true")
            .flag("leader-elect", "false")
            .flag("controllers", CONTROLLERS)
            .arguments(extra_arguments);
        Ok(Self {
            client: credentials.anonymous_client(&port.url("https"))?,
            _port: port,
            program,
            log: folder.path().join("kube-controller-manager.log"),
        })
    }

    /// Starts the process and returns when it is healthy.
    pub(super) async fn start(&self) -> anyhow::Result<Process> {
        let process = self.program.start(&self.log).await?;
        health::until_healthy(&process, &self.client, "/healthz").await?;
        Ok(process)
    }
}
