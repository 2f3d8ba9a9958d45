//! `config/agent` in a lab: its image on the nodes, its DaemonSet as the lab's network needs it.

use std::{collections::BTreeMap, fs, net::TcpListener, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{Pod, ServiceAccount},
    rbac::v1::ClusterRole,
};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use podfence_crd::{NodeReport, NodeReportSpec};
use podfence_e2e::{
    build_static_program, eventually,
    lab::{AuditMark, Image, Lab, Node},
};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::nodes::{PATIENCE, first_container, is_running};

pub(crate) const NAMESPACE: &str = "podfence-agent";
/// How the audit log calls the agents.
pub(crate) const USER: &str = "system:serviceaccount:podfence-agent:podfence-agent";
const NAME: &str = "podfence-agent";

/// How long nothing must be written: several looks, and two questions to the kubelet.
const IDLE: Duration = Duration::from_secs(35);

/// The agents of a lab.
pub(crate) struct Agents<'a> {
    lab: &'a Lab,
    /// Before they were there.
    pub(crate) installed: AuditMark,
}

impl<'a> Agents<'a> {
    /// Installs them on these nodes, without rights on these resources.
    pub(crate) async fn install(
        lab: &'a Lab,
        nodes: &[&Arc<Node>],
        without: &[&str],
    ) -> anyhow::Result<Self> {
        let image = Image::of_program(NAME, executable().await?);
        for node in nodes {
            node.import(&image).await?;
        }
        lab.kubectl(&["apply", "--server-side", "-k", &config("crd")])
            .await?;
        let reports = "crd/nodereports.podfence.dev";
        lab.kubectl(&["wait", "--for=condition=Established", reports])
            .await?;
        let shipped = lab.kubectl(&["kustomize", &config("agent")]).await?.stdout;
        let mut objects = Vec::new();
        for document in shipped.split("\n---\n") {
            let mut object: Value = serde_saphyr::from_str(document)?;
            match object["kind"].as_str() {
                Some("DaemonSet") => {
                    for node in nodes {
                        objects.push(on(node, &object, lab, &image)?);
                    }
                }
                Some("ClusterRole") => {
                    remove_rights(&mut object, without);
                    objects.push(object);
                }
                _ => objects.push(object),
            }
        }
        let installed = lab.audit().mark().await?;
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string();
        let applied = lab
            .kubectl_with_input(&["apply", "--server-side", "-f", "-"], &list)
            .await?;
        ensure!(applied.stderr.is_empty(), "{}", applied.stderr);
        Ok(Self { lab, installed })
    }

    /// Waits until the agent of a node is ready and its report is as described, and returns it.
    pub(crate) async fn sees(
        &self,
        node: &Node,
        is_so: impl Fn(&NodeReportSpec) -> anyhow::Result<()>,
    ) -> anyhow::Result<NodeReportSpec> {
        let seen = eventually(PATIENCE, async || {
            let spec = self.spec(node).await?;
            is_so(&spec)?;
            let pod = self.pod(node).await?;
            let ready = first_container(&pod).is_some_and(|container| container.ready);
            ensure!(ready, "{:?}", pod.status);
            Ok(spec)
        });
        match seen.await {
            Ok(spec) => Ok(spec),
            Err(error) => Err(error.context(self.log(node).await)),
        }
    }

    /// The report of a node as it is.
    pub(crate) async fn spec(&self, node: &Node) -> anyhow::Result<NodeReportSpec> {
        let reports: Api<NodeReport> = Api::all(self.lab.client());
        Ok(reports.get(node.name()).await?.spec)
    }

    /// The agent's pod on a node.
    async fn pod(&self, node: &Node) -> anyhow::Result<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.lab.client(), NAMESPACE);
        let labelled = ListParams::default()
            .labels("app.kubernetes.io/name=podfence-agent")
            .fields(&format!("spec.nodeName={}", node.name()));
        let pods = pods.list(&labelled).await?.items;
        let pod = pods
            .into_iter()
            .find(|pod| pod.metadata.deletion_timestamp.is_none());
        pod.with_context(|| format!("no agent on {}", node.name()))
    }

    /// What it says, for whoever has to find out why it says nothing.
    async fn log(&self, node: &Node) -> String {
        let Ok(pod) = self.pod(node).await else {
            return "there is no agent".to_owned();
        };
        let name = pod.name_any();
        let logs = ["logs", "--namespace", NAMESPACE, "--tail=20", &name];
        let log = self.lab.kubectl(&logs).await.map(|output| output.stdout);
        format!("{:?}\n{log:?}", first_container(&pod))
    }

    /// Nobody writes for a while, though the agents go on looking.
    pub(crate) async fn write_nothing_while_nothing_changes(&self) -> anyhow::Result<()> {
        let mark = self.lab.audit().mark().await?;
        // Not a condition: that nothing happens takes as long as it is watched.
        tokio::time::sleep(IDLE).await;
        let written = self.lab.audit().writes_by(USER, mark).await?;
        ensure!(written.is_empty(), "{written:#?}");
        Ok(())
    }

    /// What the agent on a node had resident at most.
    pub(crate) async fn peak_kibibytes(&self, node: &Node) -> anyhow::Result<u64> {
        let status = format!("/proc/{}/status", self.process(node).await?);
        let status = fs::read_to_string(status)?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        Ok(peak.context("no VmHWM")?.parse()?)
    }

    async fn process(&self, node: &Node) -> anyhow::Result<u32> {
        let pod = self.pod(node).await?;
        let container = first_container(&pod).and_then(|container| container.container_id.clone());
        node.process_of(&container.context("no container")?)
    }

    /// Asks the agent on a node to end, and waits until it has, by itself and well.
    pub(crate) async fn end_when_asked(&self, node: &Node) -> anyhow::Result<()> {
        let process = self.process(node).await?.to_string();
        let killed = Command::new("kill")
            .args(["-TERM", &process])
            .status()
            .await?;
        ensure!(killed.success(), "{killed}");
        eventually(PATIENCE, async || {
            let pod = self.pod(node).await?;
            let container = first_container(&pod).context("no container")?;
            let last = container
                .last_state
                .as_ref()
                .and_then(|last| last.terminated.as_ref());
            ensure!(
                last.is_some_and(|last| last.exit_code == 0),
                "{container:?}"
            );
            ensure!(is_running(container) && container.ready, "{container:?}");
            Ok(())
        })
        .await
    }

    /// Gives the agents a right that they were installed without.
    pub(crate) async fn grant(&self, resource: &str) -> anyhow::Result<()> {
        let roles: Api<ClusterRole> = Api::all(self.lab.client());
        let rule = json!({ "apiGroups": [""], "resources": [resource], "verbs": ["get"] });
        let patch = json!([{ "op": "add", "path": "/rules/-", "value": rule }]);
        let patch: Patch<ClusterRole> = Patch::Json(serde_json::from_value(patch)?);
        roles.patch(NAME, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// A token as the kubelet of a node gives it to the agent's pod.
    pub(crate) async fn token_of(&self, node: &Node) -> anyhow::Result<String> {
        let pod = self.pod(node).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.lab.client(), NAMESPACE);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: pod.metadata.name,
                    uid: pod.metadata.uid,
                }),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let parameters = PostParams::default();
        let answer = accounts.create_token_request(NAME, &parameters, &request);
        let status = answer.await?.status.context("no token")?;
        Ok(status.token)
    }
}

/// `PODFENCE_AGENT` names a static program to be used as it is, such as a release.
async fn executable() -> anyhow::Result<PathBuf> {
    match std::env::var_os("PODFENCE_AGENT") {
        Some(executable) => Ok(executable.into()),
        None => build_static_program(NAME).await,
    }
}

fn config(folder: &str) -> String {
    format!("{}/../config/{folder}", env!("CARGO_MANIFEST_DIR"))
}

/// The DaemonSet for one node. The lab's nodes share their network with this machine, on whose
/// loopback address alone the API server and the kubelets listen: so the agent uses it too, each
/// with a port of its own for its probes.
fn on(node: &Node, shipped: &Value, lab: &Lab, image: &Image) -> anyhow::Result<Value> {
    let mut daemon_set = shipped.clone();
    let name = format!("{NAME}-{}", node.name());
    let labels: BTreeMap<&str, &str> = BTreeMap::from([("lab", node.name())]);
    daemon_set["metadata"]["name"] = json!(name);
    daemon_set["spec"]["selector"]["matchLabels"]["lab"] = json!(labels["lab"]);
    let template = &mut daemon_set["spec"]["template"];
    template["metadata"]["labels"]["lab"] = json!(labels["lab"]);
    let pod = &mut template["spec"];
    pod["hostNetwork"] = json!(true);
    pod["nodeSelector"]["kubernetes.io/hostname"] = json!(node.name());
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let url: http::Uri = lab.url().parse()?;
    let container = &mut pod["containers"][0];
    container["image"] = json!(image.name());
    container["ports"][0]["containerPort"] = json!(port);
    let arguments = container["args"].as_array_mut().context("no arguments")?;
    arguments.retain(|argument| argument != "--health-address=0.0.0.0:8081");
    arguments.push(json!(format!("--health-address=127.0.0.1:{port}")));
    for probe in ["livenessProbe", "readinessProbe"] {
        container[probe]["httpGet"]["host"] = json!("127.0.0.1");
    }
    let environment = container["env"].as_array_mut().context("no environment")?;
    let host = url.host().context("no host")?;
    let service_port = url.port_u16().context("no port")?.to_string();
    environment.push(json!({ "name": "KUBERNETES_SERVICE_HOST", "value": host }));
    environment.push(json!({ "name": "KUBERNETES_SERVICE_PORT", "value": service_port }));
    Ok(daemon_set)
}

fn remove_rights(role: &mut Value, resources: &[&str]) {
    for rule in role["rules"].as_array_mut().into_iter().flatten() {
        if let Some(granted) = rule["resources"].as_array_mut() {
            granted.retain(|granted| !resources.iter().any(|removed| granted == removed));
        }
    }
    if let Some(rules) = role["rules"].as_array_mut() {
        rules.retain(|rule| rule["resources"] != json!([]));
    }
}
