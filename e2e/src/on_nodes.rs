//! Words for what runs on the nodes of a lab. Runs kubectl, makes requests.

#![allow(clippy::indexing_slicing, reason = "a JSON object takes any field")]

use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{self as core, ContainerState, ContainerStatus, Pod};
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    build_program, eventually,
    harness::skipped,
    lab::{Lab, Node},
};

/// A pod runs a second after it was made, and fails, settles or is reported within half a minute, unless
/// the machine is very busy.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// Ends a story on a machine that can run no nodes.
///
/// # Errors
///
/// On such a machine, with what is missing.
pub fn needs_nodes() -> anyhow::Result<()> {
    Node::obstacle().map_or(Ok(()), |obstacle| Err(skipped(obstacle)))
}

/// What the runtime of a node says of itself, through the kubelet.
///
/// # Errors
///
/// When the Node says nothing.
pub async fn facts_of(lab: &Lab, node: &Node) -> anyhow::Result<core::NodeSystemInfo> {
    let objects: Api<core::Node> = Api::all(lab.client());
    let status = objects.get(node.name()).await?.status;
    let facts = status.and_then(|status| status.node_info);
    facts.context("the node says nothing of itself")
}

/// `RuntimeDefault` of the node's runtime, as its Node says it, with these calls allowed: what the
/// command line writes.
///
/// # Errors
///
/// When the command does not compile, or refuses.
pub async fn render_profile(lab: &Lab, node: &Node, allowed: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new(build_program("kubectl-podfence").await?)
        .args(render_arguments(lab, node, allowed).await?)
        .output()
        .await?;
    ensure!(output.status.success(), "{output:?}");
    Ok(output.stdout)
}

/// What one types behind `kubectl podfence` for that.
///
/// # Errors
///
/// When the Node says nothing of its runtime.
pub async fn render_arguments(
    lab: &Lab,
    node: &Node,
    allowed: &[&str],
) -> anyhow::Result<Vec<String>> {
    let facts = facts_of(lab, node).await?;
    let allowed = allowed.iter().flat_map(|call| ["--allow", call]);
    let arguments = ["render", "seccomp-profile"].into_iter().chain(allowed);
    let facts = [
        "--profile",
        &facts.container_runtime_version,
        "--arch",
        &facts.architecture,
        "--kernel",
        &facts.kernel_version,
    ];
    Ok(arguments.chain(facts).map(str::to_owned).collect())
}

/// Creates an object that its manifest describes.
///
/// # Errors
///
/// When the API server refuses.
pub async fn create(lab: &Lab, manifest: &Value) -> anyhow::Result<()> {
    let manifest = manifest.to_string();
    lab.kubectl_with_input(&["create", "-f", "-"], &manifest)
        .await
        .map(drop)
}

/// Waits until the first container of a pod with this label `app` is as described, and returns its
/// pod.
///
/// # Errors
///
/// When none becomes so; the error holds how they are.
pub async fn sees(
    lab: &Lab,
    namespace: &str,
    app: &str,
    is_so: impl Fn(&ContainerStatus) -> bool,
) -> anyhow::Result<Pod> {
    find(lab, namespace, app, |pod| {
        first_container(pod).is_some_and(&is_so)
    })
    .await
}

/// As [`sees`], of the pods on one node.
///
/// # Errors
///
/// As [`sees`].
pub async fn sees_on(
    node: &Node,
    lab: &Lab,
    namespace: &str,
    app: &str,
    is_so: impl Fn(&ContainerStatus) -> bool,
) -> anyhow::Result<Pod> {
    find(lab, namespace, app, |pod| {
        let on = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        on == Some(node.name()) && first_container(pod).is_some_and(&is_so)
    })
    .await
}

/// Waits until a pod's container has printed this and nothing else, through the API server and the
/// kubelet, as a person would look. One that was just started has printed nothing, and of one that is
/// gone the runtime has nothing any more: a container that ends again and again is asked again.
///
/// # Errors
///
/// When it does not; the error holds what it printed last.
pub async fn prints(lab: &Lab, pod: &Pod, text: &str) -> anyhow::Result<()> {
    let namespace = pod.namespace().context("no namespace")?;
    let logs = ["logs", "--namespace", &namespace, &pod.name_any()];
    eventually(PATIENCE, async || {
        let printed = lab.kubectl(&logs).await?.stdout;
        ensure!(printed == text, "{printed:?}");
        Ok(())
    })
    .await
}

async fn find(
    lab: &Lab,
    namespace: &str,
    app: &str,
    is_it: impl Fn(&Pod) -> bool,
) -> anyhow::Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(lab.client(), namespace);
    let labelled = ListParams::default().labels(&format!("app={app}"));
    eventually(PATIENCE, async || {
        let pods = pods.list(&labelled).await?.items;
        let statuses: Vec<_> = pods.iter().map(first_container).collect();
        let found = pods.iter().find(|pod| is_it(pod)).cloned();
        found.with_context(|| format!("{app} is {statuses:?}"))
    })
    .await
}

/// The status of a pod's first container, once there is one.
#[must_use]
pub fn first_container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

/// Its container runs.
#[must_use]
pub fn is_running(container: &ContainerStatus) -> bool {
    container
        .state
        .as_ref()
        .is_some_and(|state| state.running.is_some())
}

/// Its container ended twice and waits before it is started again.
#[must_use]
pub fn crash_loops(container: &ContainerStatus) -> bool {
    let waiting = container
        .state
        .as_ref()
        .and_then(|state| state.waiting.as_ref());
    waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some("CrashLoopBackOff"))
}

/// How often a container that does not run has ended, as the kubelet counts; none while it runs.
///
/// After an end the kubelet first says how that was, and that it waits before it starts the container
/// again only at its next look, up to ten seconds later.
#[must_use]
pub fn ends(container: &ContainerStatus) -> Option<i32> {
    let has_ended = |state: &Option<ContainerState>| {
        let state = state.as_ref();
        state.is_some_and(|state| state.terminated.is_some())
    };
    let last = has_ended(&container.state) || has_ended(&container.last_state);
    (last && !is_running(container)).then_some(container.restart_count + 1)
}

/// A Deployment of one pod on a node; the pod's label `app` is its name.
#[must_use]
pub fn deployment(namespace: &str, name: &str, node: &str, image: &str) -> Value {
    let labels = json!({ "app": name });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "nodeSelector": { "kubernetes.io/hostname": node },
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{ "name": "main", "image": image }],
                },
            },
        },
    })
}

/// A Deployment whose pods are spread evenly over the nodes, so that of two there is one on each;
/// their label `app` is its name.
///
/// It is recreated rather than rolled: an old pod that goes on meanwhile would be spread as well.
#[must_use]
pub fn spread(namespace: &str, name: &str, replicas: u32, pod: &Value) -> Value {
    let labels = json!({ "app": name });
    let mut pod = pod.clone();
    pod["terminationGracePeriodSeconds"] = json!(0);
    pod["topologySpreadConstraints"] = json!([{
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchLabels": labels },
    }]);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "replicas": replicas,
            "strategy": { "type": "Recreate" },
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": pod },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_counted_between_runs() {
        let (running, waiting) = (json!({ "running": {} }), json!({ "waiting": {} }));
        let ended = json!({ "terminated": { "exitCode": 1 } });
        let nothing = json!({});
        for (restarts, state, last, want) in [
            (0, &waiting, &nothing, None),
            (0, &running, &nothing, None),
            (0, &ended, &nothing, Some(1)),
            (1, &running, &ended, None),
            (1, &ended, &ended, Some(2)),
            (1, &waiting, &ended, Some(2)),
            (2, &ended, &ended, Some(3)),
        ] {
            let container = json!({
                "name": "main", "image": "", "imageID": "", "ready": false,
                "restartCount": restarts, "state": state, "lastState": last,
            });
            let container = serde_json::from_value(container.clone()).unwrap();
            assert_eq!(ends(&container), want, "{restarts} {state} {last}");
        }
    }
}
