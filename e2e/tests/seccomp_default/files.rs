//! Profile files that workloads choose, and nodes that have them or not.

use std::fs;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use podfence_crd::{ConditionType, NodeReport, ProfileFile, ProfileFiles, Reason};
use podfence_e2e::{
    eventually,
    harness::Shared,
    lab::Node,
    on_nodes::{is_running, sees_on, spread},
    story::Story,
};
use serde_json::json;

use crate::rollout::{PATIENCE, Rollout, assess, pod};

/// Where the operator looks for agents, and the name by which it knows them.
const AGENTS: &str = "podfence-agent";
const FILE: &str = "files/open.json";
const CONTENT: &str = r#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [] }"#;
/// What `sha256sum` prints for the content.
const SHA256: &str = "b7e7f2cc1b552a9bb5d58ab4ef71b5fdd207049b9d6d910c6f09c152ed0e74fb";

pub(crate) async fn that_a_node_lacks_are_missed_and_found(
    shared: Shared<Rollout>,
) -> anyhow::Result<()> {
    let rollout = shared.get().await?;
    let _bustle = rollout.bustle.read().await;
    let story = rollout.story("files").await?;
    let name = "web";
    assess(&story, name).await?;
    write_profile(&rollout.off)?;
    let profile = json!({ "type": "Localhost", "localhostProfile": FILE });
    let mut pod = pod("keyctl", &json!({ "seccompProfile": profile }));
    // It runs where the file is, and may run on the other node the next time.
    let there = json!([{
        "weight": 100,
        "preference": { "matchExpressions": [{
            "key": "kubernetes.io/hostname", "operator": "In", "values": [rollout.off.name()],
        }] },
    }]);
    pod["affinity"] =
        json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": there } });
    let namespace = story.full(name);
    story.apply(spread(&namespace, name, 1, &pod)).await?;
    let lab = rollout.cluster.lab();
    sees_on(&rollout.off, lab, &namespace, name, is_running).await?;

    // Nobody says which files there are.
    sees_files(&story, name, "Unknown", Reason::ProfilesUnknown).await?;
    run_agents(&rollout, &story).await?;
    report_files(&rollout, &rollout.off, true).await?;
    report_files(&rollout, &rollout.on, false).await?;
    let message = sees_files(&story, name, "False", Reason::ProfilesMissing).await?;
    ensure!(message.contains(FILE), "{message}");
    ensure!(message.contains(rollout.on.name()), "{message}");
    report_says(&rollout, &rollout.on, "False", Reason::ProfilesMissing).await?;

    write_profile(&rollout.on)?;
    report_files(&rollout, &rollout.on, true).await?;
    sees_files(&story, name, "True", Reason::ProfilesPresent).await?;
    story.end().await
}

async fn sees_files(
    story: &Story,
    policy: &str,
    status: &str,
    reason: Reason,
) -> anyhow::Result<String> {
    let kind = ConditionType::ProfilesAvailable;
    story.sees_condition(policy, kind, status, reason).await
}

fn write_profile(node: &Node) -> anyhow::Result<()> {
    let file = node.seccomp_folder()?.join(FILE);
    fs::create_dir_all(file.parent().context("no folder")?)?;
    Ok(fs::write(file, CONTENT)?)
}

/// Runs what is taken for agents: reports count only where one is. Until the agent itself runs in
/// these stories they are programs that sleep.
async fn run_agents(rollout: &Rollout, story: &Story) -> anyhow::Result<()> {
    let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": AGENTS } }))?;
    rollout.cluster.lab().create_namespace(&namespace).await?;
    let mut agents = spread(AGENTS, "agent", 2, &pod("tolerant", &json!({})));
    agents["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] = json!(AGENTS);
    story.apply(agents).await?;
    for node in [&rollout.on, &rollout.off] {
        sees_on(node, rollout.cluster.lab(), AGENTS, "agent", is_running).await?;
    }
    Ok(())
}

/// Says which files a node has, as its agent does. By hand as long as none runs in these stories.
async fn report_files(rollout: &Rollout, node: &Node, is_there: bool) -> anyhow::Result<()> {
    let file = ProfileFile {
        path: FILE.to_owned(),
        sha256: SHA256.to_owned(),
        valid: true,
    };
    let files = ProfileFiles {
        files: is_there.then_some(file).into_iter().collect(),
        omitted: 0,
    };
    let reports: Api<NodeReport> = Api::all(rollout.cluster.lab().client());
    let patch = Patch::Merge(json!({ "spec": { "seccompProfiles": files } }));
    // The operator makes the report, as soon as it has seen the node.
    eventually(PATIENCE, async || {
        let parameters = PatchParams::default();
        Ok(reports.patch(node.name(), &parameters, &patch).await?)
    })
    .await
    .map(drop)
}

async fn report_says(
    rollout: &Rollout,
    node: &Node,
    status: &str,
    reason: Reason,
) -> anyhow::Result<()> {
    crate::rollout::sees_report(rollout.cluster.lab(), node.name(), |report| {
        let kind = ConditionType::ProfilesAvailable;
        let said = crate::rollout::condition(&report.conditions, kind)?;
        let is = (said.status.as_str(), said.reason.as_str());
        ensure!(is == (status, reason.as_str()), "{said:?}");
        ensure!(said.message.contains(FILE), "{said:?}");
        Ok(())
    })
    .await
}
