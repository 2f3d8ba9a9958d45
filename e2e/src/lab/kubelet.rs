//! The kubelet of one node. Starts a process.

use std::{
    fs,
    path::{Path, PathBuf},
};

use kube::Client;
use serde_json::{Value, json};

use super::{
    containerd, credentials::Credentials, folder::Folder, health, place::Place, ports::Port,
    process::Process,
};

/// Where a node has its kubelet's files.
pub(super) const ROOT: &str = "/var/lib/kubelet";

/// One kubelet, as it is started first and again with another configuration.
pub(super) struct Kubelet {
    node: String,
    executable: PathBuf,
    port: Port,
    health_port: Port,
    client: Client,
    kubeconfig: PathBuf,
    configuration: PathBuf,
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    log: PathBuf,
    taint: Option<String>,
}

impl Kubelet {
    /// Reserves the ports and makes the credentials of the node's own user, whom the API server
    /// lets see what concerns this node.
    pub(super) fn plan(
        executable: &Path,
        folder: &Folder,
        credentials: &Credentials,
        apiserver_url: &str,
        node: &str,
    ) -> anyhow::Result<Self> {
        let (port, health_port) = (Port::reserve()?, Port::reserve()?);
        let user = format!("system:node:{node}");
        let kubeconfig =
            credentials.kubeconfig_of(folder, apiserver_url, &user, Some("system:nodes"))?;
        Ok(Self {
            node: node.to_owned(),
            executable: executable.to_owned(),
            client: Client::try_from(kube::Config::new(health_port.url("http").parse()?))?,
            port,
            health_port,
            kubeconfig,
            configuration: folder.path().join(format!("kubelet-{node}.json")),
            authority: credentials.authority_certificate(),
            certificate: credentials.server_certificate(),
            key: credentials.server_key(),
            log: folder.path().join(format!("kubelet-{node}.log")),
            taint: None,
        })
    }

    /// Gives the node a taint with this key, so that there is no moment in which it has none.
    pub(super) fn registers_with(self, taint: Option<String>) -> Self {
        Self { taint, ..self }
    }

    /// Where the kubelet's own API answers.
    pub(super) fn url(&self) -> String {
        self.port.url("https")
    }

    /// The addresses of the node's pods: 256 that no other node of this machine has, for no other
    /// has its port. They are of the range that is nobody's in particular (RFC 6598), so that they
    /// are no neighbour's of this machine.
    pub(super) fn subnet(&self) -> String {
        // Ports begin at 20000 and there are 12,000 of them; the range has room for 16,384.
        let number = self.port.offset();
        format!("100.{}.{}.0/24", 64 + number / 256, number % 256)
    }

    /// Starts the process beside `runtime`, and returns when it is healthy.
    pub(super) async fn start(
        &self,
        place: &Place,
        runtime: &Process,
        seccomp_default: bool,
    ) -> anyhow::Result<Process> {
        let configuration = self.configuration(place, seccomp_default);
        fs::write(&self.configuration, format!("{configuration:#}\n"))?;
        let process = place
            .program("kubelet", &self.executable, runtime.pid())
            .flag("config", &self.configuration)
            .flag("kubeconfig", &self.kubeconfig)
            .flag("hostname-override", &self.node)
            .flag("root-dir", ROOT)
            .flag("node-ip", "127.0.0.1")
            .start(&self.log)
            .await?;
        health::until_healthy(&process, &self.client, "/healthz").await?;
        Ok(process)
    }

    /// Source: <https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/>.
    fn configuration(&self, place: &Place, seccomp_default: bool) -> Value {
        let taints = self.taint.iter();
        let taints = taints.map(|key| json!({ "key": key, "effect": "NoSchedule" }));
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "seccompDefault": seccomp_default,
            "registerWithTaints": taints.collect::<Vec<_>>(),
            "containerRuntimeEndpoint": format!("unix://{}", containerd::SOCKET),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": place.group().path(),
            // Without effect where there is version 2.
            "failCgroupV1": false,
            "address": "127.0.0.1",
            "port": self.port.number(),
            "healthzBindAddress": "127.0.0.1",
            "healthzPort": self.health_port.number(),
            "readOnlyPort": 0,
            "tlsCertFile": self.certificate,
            "tlsPrivateKeyFile": self.key,
            "authentication": {
                "anonymous": { "enabled": false },
                "webhook": { "enabled": true },
                "x509": { "clientCAFile": self.authority },
            },
            "authorization": { "mode": "Webhook" },
            // Nobody here resolves names, and the machine's file may lie in its own /run.
            "resolvConf": "",
            "volumePluginDir": format!("{ROOT}/volume-plugins"),
            // The machine is shared: what others use of it is no reason to end a pod or to remove
            // an image that nobody could pull again.
            "failSwapOn": false,
            "enforceNodeAllocatable": [],
            "evictionHard": {
                "memory.available": "10Mi", "nodefs.available": "1%", "imagefs.available": "1%",
            },
            "imageGCHighThresholdPercent": 100,
            "localStorageCapacityIsolation": false,
            // Many pods start at once, and all of the images are there.
            "serializeImagePulls": false,
            "registryPullQPS": 0,
            "kubeAPIQPS": 500,
            "kubeAPIBurst": 1000,
            "eventRecordQPS": 0,
        })
    }
}
