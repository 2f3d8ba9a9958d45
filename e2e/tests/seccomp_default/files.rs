//! Profile files that workloads choose, and nodes that have them or not, as their agents say.

use std::fs;

use anyhow::{Context as _, ensure};
use podfence_crd::{ConditionType, Reason};
use podfence_e2e::{
    harness::Shared,
    lab::Node,
    on_nodes::{is_running, sees_on, spread},
    story::{Agents, Story},
};
use serde_json::json;

use crate::rollout::{Rollout, assess, pod, preferring};

const FILE: &str = "files/open.json";
const CONTENT: &str = r#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [] }"#;

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
    // It runs where the file is, and may run on the other node the next time.
    let pod = pod("keyctl", &json!({ "seccompProfile": profile }));
    let pod = preferring(&rollout.off, pod);
    let namespace = story.full(name);
    story.apply(spread(&namespace, name, 1, &pod)).await?;
    let lab = rollout.cluster.lab();
    sees_on(&rollout.off, lab, &namespace, name, is_running).await?;

    // Nobody says which files there are.
    sees_files(&story, name, "Unknown", Reason::ProfilesUnknown).await?;
    Agents::install(lab, &[&rollout.on, &rollout.off], &[]).await?;
    let message = sees_files(&story, name, "False", Reason::ProfilesMissing).await?;
    ensure!(message.contains(FILE), "{message}");
    ensure!(message.contains(rollout.on.name()), "{message}");
    report_says(&rollout, &rollout.on, "False", Reason::ProfilesMissing).await?;

    write_profile(&rollout.on)?;
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
