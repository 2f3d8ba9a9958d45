//! `config/agent` in a lab: its image on the nodes, its DaemonSet as the lab's network needs it. Runs
//! kubectl, makes requests.

use std::{net::TcpListener, path::PathBuf, sync::Arc};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _, api::ListParams};
use podfence_crd::{NodeReport, NodeReportSpec};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::installation;
use crate::{
    build_static_program, eventually,
    lab::{AuditMark, Image, Lab, Node},
    on_nodes::{PATIENCE, first_container},
};

/// Where `config/agent` puts the agents.
pub const AGENT_NAMESPACE: &str = "podfence-agent";
/// The folder of the checkout that installs them with the observer.
pub const OBSERVER: &str = "config/agent-observer";
/// How the audit log calls the agents.
pub const AGENT_USER: &str = "system:serviceaccount:podfence-agent:podfence-agent";
/// The name of everything that `config/agent` has, of the program, and of its image.
pub const AGENT_NAME: &str = "podfence-agent";

/// Builds the agent as for its image, and returns its executable. `PODFENCE_AGENT` names another
/// static one to be used as it is, such as a release.
///
/// # Errors
///
/// When it does not compile.
pub async fn build_agent() -> anyhow::Result<PathBuf> {
    static EXECUTABLE: OnceCell<PathBuf> = OnceCell::const_new();
    let build = async || match std::env::var_os("PODFENCE_AGENT") {
        Some(executable) => Ok(executable.into()),
        None => build_static_program(AGENT_NAME).await,
    };
    EXECUTABLE.get_or_try_init(build).await.cloned()
}

/// The agents of a lab.
pub struct Agents<'a> {
    lab: &'a Lab,
    installed: AuditMark,
}

impl<'a> Agents<'a> {
    /// Installs them on these nodes, without rights on these resources. The API server serves
    /// their kind already.
    ///
    /// # Errors
    ///
    /// When the agent does not compile, or the API server refuses.
    pub async fn install(
        lab: &'a Lab,
        nodes: &[&Arc<Node>],
        without: &[&str],
    ) -> anyhow::Result<Self> {
        Self::install_from("config/agent", lab, nodes, without, &[]).await
    }

    /// As [`Self::install`], from this folder of the checkout, which is an overlay of `config/agent`,
    /// with more arguments.
    ///
    /// # Errors
    ///
    /// As [`Self::install`].
    pub async fn install_from(
        folder: &str,
        lab: &'a Lab,
        nodes: &[&Arc<Node>],
        without: &[&str],
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let image = Image::of_program(AGENT_NAME, build_agent().await?);
        for node in nodes {
            node.import(&image).await?;
        }
        let folder = installation::path(folder)?;
        let shipped = lab.kubectl(&["kustomize", &folder]).await?.stdout;
        let mut objects = Vec::new();
        for document in shipped.split("\n---\n") {
            let mut object: Value = serde_saphyr::from_str(document)?;
            match object["kind"].as_str() {
                Some("DaemonSet") => {
                    for node in nodes {
                        objects.push(on(node, &object, lab, &image, arguments)?);
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

    /// The lab that they are in.
    #[must_use]
    pub fn lab(&self) -> &'a Lab {
        self.lab
    }

    /// Before they were there.
    #[must_use]
    pub fn installed(&self) -> AuditMark {
        self.installed
    }

    /// Waits until the agent of a node is ready and its report is as described, and returns it.
    ///
    /// # Errors
    ///
    /// When it does not become so; the error holds what the agent says.
    pub async fn sees(
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
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn spec(&self, node: &Node) -> anyhow::Result<NodeReportSpec> {
        let reports: Api<NodeReport> = Api::all(self.lab.client());
        Ok(reports.get(node.name()).await?.spec)
    }

    /// The agent's pod on a node.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn pod(&self, node: &Node) -> anyhow::Result<Pod> {
        agent_pod(self.lab, node).await
    }

    /// What it says, for whoever has to find out why it says nothing.
    async fn log(&self, node: &Node) -> String {
        let Ok(pod) = self.pod(node).await else {
            return "there is no agent".to_owned();
        };
        let name = pod.name_any();
        let logs = ["logs", "--namespace", AGENT_NAMESPACE, "--tail=20", &name];
        let log = self.lab.kubectl(&logs).await.map(|output| output.stdout);
        format!("{:?}\n{log:?}", first_container(&pod))
    }
}

/// The agent's pod on a node.
///
/// # Errors
///
/// When there is none.
pub async fn agent_pod(lab: &Lab, node: &Node) -> anyhow::Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(lab.client(), AGENT_NAMESPACE);
    let labelled = ListParams::default()
        .labels(&format!("app.kubernetes.io/name={AGENT_NAME}"))
        .fields(&format!("spec.nodeName={}", node.name()));
    let pods = pods.list(&labelled).await?.items;
    let pod = pods
        .into_iter()
        .find(|pod| pod.metadata.deletion_timestamp.is_none());
    pod.with_context(|| format!("no agent on {}", node.name()))
}

/// The DaemonSet for one node. The lab's nodes share their network with this machine, on whose
/// loopback address alone the API server and the kubelets listen: so the agent uses it too, each
/// with a port of its own for its probes.
fn on(
    node: &Node,
    shipped: &Value,
    lab: &Lab,
    image: &Image,
    more: &[&str],
) -> anyhow::Result<Value> {
    let mut daemon_set = shipped.clone();
    let name = format!("{AGENT_NAME}-{}", node.name());
    daemon_set["metadata"]["name"] = json!(name);
    daemon_set["spec"]["selector"]["matchLabels"]["lab"] = json!(node.name());
    let template = &mut daemon_set["spec"]["template"];
    template["metadata"]["labels"]["lab"] = json!(node.name());
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
    arguments.extend(more.iter().map(|argument| json!(argument)));
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
