//! Older API servers: they know fewer rules, and `latest` means less there.

use anyhow::ensure;
use podfence_crd::{ConditionType, Phase, Reason};
use podfence_e2e::{
    harness::Shared,
    lab::{KubernetesVersion, Lab, LabBuilder},
    story::{Cluster, Passes, Running},
};
use serde_json::json;

pub(crate) async fn of_1_34_are_served(_: Shared<Running>) -> anyhow::Result<()> {
    labels_at(Lab::builder().kubernetes(KubernetesVersion::V1_34), "v1.34").await
}

/// Pod Security follows the version that a server emulates, not the one that it is.
pub(crate) async fn that_emulate_an_older_one_are_believed(
    _: Shared<Running>,
) -> anyhow::Result<()> {
    labels_at(Lab::builder().emulated_version("1.36"), "v1.36").await
}

async fn labels_at(builder: LabBuilder, latest: &str) -> anyhow::Result<()> {
    let cluster = Cluster::start_with(builder).await?;
    let operator = cluster.operator().await?.start().await?;
    let story = cluster.story("older").await?;
    let restricted = json!({ "level": "restricted" });
    story
        .profile(
            "restricted",
            json!({ "enforce": restricted, "audit": restricted, "warn": restricted }),
        )
        .await?;
    story.namespace("clean").await?;
    story.namespace("dirty").await?;
    story.deploys("dirty", "web", Passes::Baseline).await?;
    story
        .policy("apps", "restricted", json!({ "rollout": { "soak": "0s" } }))
        .await?;
    let seen = "audit=restricted:latest warn=restricted:latest";
    story
        .sees_labels("clean", &format!("enforce=restricted:{latest} {seen}"))
        .await?;
    story
        .sees_labels("dirty", &format!("enforce=baseline:{latest} {seen}"))
        .await?;
    story
        .sees_phase("apps", "clean", Phase::Enforced, Reason::AtTarget)
        .await?;
    story
        .sees_phase("apps", "dirty", Phase::Held, Reason::ViolatingWorkloads)
        .await?;
    story
        .sees_condition(
            "apps",
            ConditionType::ReportComplete,
            "True",
            Reason::Complete,
        )
        .await?;
    let events = ["get", "events.events.k8s.io", "-A", "-o", "name"];
    let events = cluster.lab().kubectl(&events).await?.stdout;
    ensure!(!events.is_empty(), "nothing was told");
    story.end().await?;
    operator.stop().await?;
    drop(operator);
    cluster.stop().await
}
