//! Nodes of which too little is known to say that they could be switched.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1 as core;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use podfence_crd::{NodeReport, Reason, Setting};
use podfence_e2e::{eventually, harness::Shared, lab::Lab, on_nodes::PATIENCE, story::Cluster};
use serde_json::json;

use crate::rollout::{NODE_LABEL, Rollout, ready, say_setting, sees_report, start_operator};

struct Silent {
    name: &'static str,
    /// The value of the label that an administrator sets.
    label: Option<&'static str>,
    runtime: &'static str,
    setting: Setting,
    reason: Reason,
    profile: Option<&'static str>,
}

/// Without any workload: that nothing fails is not enough.
const NODES: [Silent; 4] = [
    Silent {
        name: "of-an-unknown-runtime",
        label: Some("true"),
        runtime: "wasm://0.1",
        setting: Setting::Enabled,
        reason: Reason::RuntimeUnknown,
        profile: None,
    },
    Silent {
        name: "without-a-label",
        label: None,
        runtime: "containerd://2.3.7",
        setting: Setting::Unknown,
        reason: Reason::AgentMissing,
        profile: Some("containerd/2.3.7"),
    },
    Silent {
        name: "with-another-label",
        label: Some("perhaps"),
        runtime: "containerd://2.3.7",
        setting: Setting::Unknown,
        reason: Reason::AgentMissing,
        profile: Some("containerd/2.3.7"),
    },
    Silent {
        name: "of-no-runtime",
        label: Some("false"),
        runtime: "",
        setting: Setting::Disabled,
        reason: Reason::RuntimeUnknown,
        profile: None,
    },
];

pub(crate) async fn of_which_too_little_is_known_are_never_ready(
    _: Shared<Rollout>,
) -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let operator = start_operator(&cluster).await?;
    for node in &NODES {
        create(cluster.lab(), node).await?;
    }
    for node in &NODES {
        sees_report(cluster.lab(), node.name, |status| {
            let ready = ready(&status.conditions)?;
            let is = (ready.status.as_str(), ready.reason.as_str());
            ensure!(is == ("Unknown", node.reason.as_str()), "{ready:?}");
            ensure!(status.seccomp_default == node.setting, "{status:?}");
            ensure!(status.profile.as_deref() == node.profile, "{status:?}");
            Ok(())
        })
        .await?;
    }
    // Nor were they for a moment.
    for node in &NODES {
        for version in cluster.history().of("NodeReport", node.name) {
            let conditions = version.object["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            let ready = conditions.find(|it| it["type"] == "SeccompDefaultReady");
            ensure!(
                ready.is_none_or(|it| it["status"] != "True"),
                "it was ready: {}",
                version.object
            );
        }
    }
    // Once somebody says it, there is nothing in the way.
    let [_, unlabelled, ..] = &NODES;
    say_setting(cluster.lab(), unlabelled.name, "false").await?;
    sees_report(cluster.lab(), unlabelled.name, |status| {
        let ready = ready(&status.conditions)?;
        ensure!(ready.status == "True", "{ready:?}");
        ensure!(status.seccomp_default == Setting::Disabled, "{status:?}");
        Ok(())
    })
    .await?;
    goes_with_its_node(cluster.lab(), unlabelled.name).await?;
    operator.stop().await?;
    drop(operator);
    cluster.stop().await
}

/// Deletes a Node, and waits until there is no report on it.
async fn goes_with_its_node(lab: &Lab, name: &str) -> anyhow::Result<()> {
    let nodes: Api<core::Node> = Api::all(lab.client());
    nodes.delete(name, &DeleteParams::default()).await?;
    let reports: Api<NodeReport> = Api::all(lab.client());
    eventually(PATIENCE, async || {
        let report = reports.get_opt(name).await?;
        ensure!(report.is_none(), "{report:?}");
        Ok(())
    })
    .await
}

/// Makes a Node that no kubelet stands behind.
async fn create(lab: &Lab, node: &Silent) -> anyhow::Result<()> {
    let nodes: Api<core::Node> = Api::all(lab.client());
    let labels: BTreeMap<_, _> = node
        .label
        .map(|value| (NODE_LABEL, value))
        .into_iter()
        .collect();
    let object = json!({ "metadata": { "name": node.name, "labels": labels } });
    let object: core::Node = serde_json::from_value(object)?;
    nodes.create(&PostParams::default(), &object).await?;
    let status = json!({ "status": { "nodeInfo": {
        "architecture": "amd64",
        "bootID": "", "machineID": "", "systemUUID": "",
        "containerRuntimeVersion": node.runtime,
        "kernelVersion": "6.18.5",
        "kubeProxyVersion": "", "kubeletVersion": "v1.37.0",
        "operatingSystem": "linux", "osImage": "",
    } } });
    let parameters = PatchParams::default();
    nodes
        .patch_status(node.name, &parameters, &Patch::Merge(status))
        .await
        .map(drop)
        .with_context(|| node.name)
}
