//! Namespaces get the labels that their policy says, whenever they come.

use anyhow::{Context as _, ensure};
use k8s_openapi::jiff::Timestamp;
use podfence_crd::{ConditionType, Phase, Reason};
use podfence_e2e::{
    eventually,
    harness::Shared,
    story::{PATIENCE, Passes, Running},
};
use serde_json::json;

const RESTRICTED: &str = "enforce=restricted:v1.34 audit=restricted:latest warn=restricted:latest";

pub(crate) async fn reach_existing_and_new_namespaces(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("labels").await?;
    story.namespace("old").await?;
    story.restricted().await?;
    story
        .policy(
            "apps",
            "restricted",
            json!({ "rollout": { "strategy": "Immediate" } }),
        )
        .await?;
    story.sees_labels("old", RESTRICTED).await?;

    story.namespace("new").await?;
    story.sees_labels("new", RESTRICTED).await?;
    for namespace in ["old", "new"] {
        story
            .sees_phase("apps", namespace, Phase::Enforced, Reason::AtTarget)
            .await?;
        let writes = story.writes_to(namespace).await?;
        ensure!(
            writes.len() == 1,
            "Immediate needs one write, not {writes:#?}"
        );
    }
    let ready = story
        .sees_condition("apps", ConditionType::Ready, "True", Reason::Succeeded)
        .await?;
    ensure!(ready == "2 of 2 namespaces enforced", "{ready}");
    story.end().await
}

/// A new namespace has no past that could be soaked, even where the soak is long.
pub(crate) async fn reach_an_empty_new_namespace_without_a_soak(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("born-clean").await?;
    story.restricted().await?;
    story.namespace("old").await?;
    story
        .policy("apps", "restricted", json!({ "rollout": { "soak": "1h" } }))
        .await?;
    let waiting = story
        .sees_phase("apps", "old", Phase::Soaking, Reason::Soaking)
        .await?;
    ensure!(waiting.next_change_time.is_some(), "{waiting:?}");
    story
        .sees_labels("old", "audit=restricted:latest warn=restricted:latest")
        .await?;

    // Kubernetes keeps whole seconds of the time at which an object was created.
    let created = story.get_policy("apps").await?.metadata.creation_timestamp;
    let created = created.context("it was created")?.0;
    eventually(PATIENCE, async || {
        ensure!(
            Timestamp::now().as_second() > created.as_second(),
            "still the same second"
        );
        Ok(())
    })
    .await?;
    story.namespace("new").await?;
    story.sees_labels("new", RESTRICTED).await?;
    story.end().await
}

/// Whoever says Immediate wants it at once, and is told what it breaks.
pub(crate) async fn come_at_once_under_immediate(shared: Shared<Running>) -> anyhow::Result<()> {
    let story = shared.get().await?.story("immediate").await?;
    story.restricted().await?;
    story.namespace("shop").await?;
    story.runs("shop", "web", Passes::Privileged).await?;
    story
        .policy(
            "apps",
            "restricted",
            json!({ "rollout": { "strategy": "Immediate" } }),
        )
        .await?;
    story.sees_labels("shop", RESTRICTED).await?;
    let entry = story
        .sees_phase("apps", "shop", Phase::Enforced, Reason::AtTarget)
        .await?;
    ensure!(entry.violating_workloads == 1, "{entry:?}");
    story
        .sees_condition(
            "apps",
            ConditionType::PodSecurityCompliant,
            "False",
            Reason::ViolatingWorkloads,
        )
        .await?;
    story.end().await
}

/// A profile that names one mode leaves the others to whoever else sets them.
pub(crate) async fn of_modes_left_out_are_not_touched(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("modes").await?;
    story
        .namespace_with(
            "shop",
            json!({ "pod-security.kubernetes.io/enforce": "baseline" }),
        )
        .await?;
    story
        .profile("warned", json!({ "warn": { "level": "restricted" } }))
        .await?;
    story.policy("apps", "warned", json!({})).await?;
    story
        .sees_labels("shop", "enforce=baseline warn=restricted:latest")
        .await?;
    story
        .sees_phase("apps", "shop", Phase::Enforced, Reason::AtTarget)
        .await?;
    story.end().await
}

/// Labels that somebody takes away come back; who does it leaves no trace, so nobody is asked.
pub(crate) async fn come_back_after_a_removal(shared: Shared<Running>) -> anyhow::Result<()> {
    let story = shared.get().await?.story("removal").await?;
    story.restricted().await?;
    story.namespace("shop").await?;
    story
        .policy("apps", "restricted", json!({ "rollout": { "soak": "0s" } }))
        .await?;
    story.sees_labels("shop", RESTRICTED).await?;
    story
        .labels_by_hand("shop", "pod-security.kubernetes.io/enforce", None)
        .await?;
    story.sees_labels("shop", RESTRICTED).await?;
    story
        .sees_phase("apps", "shop", Phase::Enforced, Reason::AtTarget)
        .await?;
    story.end().await
}
