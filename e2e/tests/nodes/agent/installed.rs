//! What only stories of the agent itself ask of installed agents.

use std::{fs, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
    rbac::v1::ClusterRole,
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use podfence_e2e::{
    eventually,
    lab::{Lab, Node},
    story::{AGENT_NAME, AGENT_NAMESPACE, AGENT_USER, Agents},
};
use serde_json::json;
use tokio::process::Command;

use crate::nodes::{PATIENCE, first_container, is_running};

/// How long nothing must be written: several looks, and two questions to the kubelet.
const IDLE: Duration = Duration::from_secs(35);

/// Installs the agents where there is no operator, and so not even their kind.
pub(crate) async fn install<'a>(
    lab: &'a Lab,
    nodes: &[&Arc<Node>],
    without: &[&str],
) -> anyhow::Result<Agents<'a>> {
    let kinds = format!("{}/../config/crd", env!("CARGO_MANIFEST_DIR"));
    lab.kubectl(&["apply", "--server-side", "-k", &kinds])
        .await?;
    let reports = "crd/nodereports.podfence.dev";
    lab.kubectl(&["wait", "--for=condition=Established", reports])
        .await?;
    Agents::install(lab, nodes, without).await
}

/// Nobody writes for a while, though the agents go on looking.
pub(crate) async fn write_nothing_while_nothing_changes(agents: &Agents<'_>) -> anyhow::Result<()> {
    let mark = agents.lab().audit().mark().await?;
    // Not a condition: that nothing happens takes as long as it is watched.
    tokio::time::sleep(IDLE).await;
    let written = agents.lab().audit().writes_by(AGENT_USER, mark).await?;
    ensure!(written.is_empty(), "{written:#?}");
    Ok(())
}

/// What the agent on a node had resident at most.
pub(crate) async fn peak_kibibytes(agents: &Agents<'_>, node: &Node) -> anyhow::Result<u64> {
    let status = format!("/proc/{}/status", process(agents, node).await?);
    let status = fs::read_to_string(status)?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
    Ok(peak.context("no VmHWM")?.parse()?)
}

async fn process(agents: &Agents<'_>, node: &Node) -> anyhow::Result<u32> {
    let pod = agents.pod(node).await?;
    let container = first_container(&pod).and_then(|container| container.container_id.clone());
    node.process_of(&container.context("no container")?)
}

/// Asks the agent on a node to end, and waits until it has, by itself and well.
pub(crate) async fn end_when_asked(agents: &Agents<'_>, node: &Node) -> anyhow::Result<()> {
    let process = process(agents, node).await?.to_string();
    let killed = Command::new("kill")
        .args(["-TERM", &process])
        .status()
        .await?;
    ensure!(killed.success(), "{killed}");
    eventually(PATIENCE, async || {
        let pod = agents.pod(node).await?;
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
pub(crate) async fn grant(agents: &Agents<'_>, resource: &str) -> anyhow::Result<()> {
    let roles: Api<ClusterRole> = Api::all(agents.lab().client());
    let rule = json!({ "apiGroups": [""], "resources": [resource], "verbs": ["get"] });
    let patch = json!([{ "op": "add", "path": "/rules/-", "value": rule }]);
    let patch: Patch<ClusterRole> = Patch::Json(serde_json::from_value(patch)?);
    roles
        .patch(AGENT_NAME, &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

/// A token as the kubelet of a node gives it to the agent's pod.
pub(crate) async fn token_of(agents: &Agents<'_>, node: &Node) -> anyhow::Result<String> {
    let pod = agents.pod(node).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(agents.lab().client(), AGENT_NAMESPACE);
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
    let answer = accounts.create_token_request(AGENT_NAME, &parameters, &request);
    let status = answer.await?.status.context("no token")?;
    Ok(status.token)
}
