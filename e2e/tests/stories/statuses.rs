//! How often a status is written, and how it is read by other tools.

use anyhow::{Context as _, ensure};
use k8s_openapi::jiff::SignedDuration;
use podfence_e2e::{
    harness::Shared,
    lab::AuditEvent,
    story::{Passes, Running, kstatus::Kstatus},
};
use serde_json::json;

/// Namespaces that come one after the other while the status is looked at.
const NAMESPACES: u32 = 40;

/// A busy cluster changes a status many times a second; whoever watches it is told now and then.
pub(crate) async fn are_written_now_and_then_however_much_happens(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("churn").await?;
    story.restricted().await?;
    story
        .policy("apps", "restricted", json!({ "rollout": { "soak": "0s" } }))
        .await?;
    for number in 0..NAMESPACES {
        let name = format!("n{number}");
        story.namespace(&name).await?;
        // The pod may come before the level, which then waits, or be refused by it.
        let passes = if number % 2 == 0 {
            Passes::Restricted
        } else {
            Passes::Baseline
        };
        let _ = story.runs(&name, "web", passes).await;
    }
    story
        .sees("apps", |status| {
            let matched = status.summary.namespaces_matched;
            ensure!(matched == NAMESPACES, "{:?}", status.summary);
            Ok(())
        })
        .await?;
    let writes = story.status_writes("apps").await?;
    let at = |event: &AuditEvent| event.request_received_timestamp.0;
    for (earlier, later) in writes.iter().zip(writes.iter().skip(1)) {
        let apart = at(later).duration_since(at(earlier));
        ensure!(
            apart >= SignedDuration::from_millis(1_500),
            "two statuses of one policy within {apart:?}"
        );
    }
    story.end().await
}

/// Whoever applies a policy and waits for it, as Flux does, waits until it was seen and no longer.
pub(crate) async fn are_never_current_before_the_policy_was_seen(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("gitops").await?;
    story.restricted().await?;
    story.namespace("shop").await?;
    for soak in ["0s", "1s"] {
        let spec = json!({ "rollout": { "soak": soak } });
        story.policy("apps", "restricted", spec).await?;
        story.sees("apps", |_| Ok(())).await?;
    }
    let name = story.full("apps");
    let versions = story.cluster().history().of("NamespacePolicy", &name);
    let first = versions.first().context("the policy is not on record")?;
    ensure!(
        Kstatus::of(&first.object) == Kstatus::InProgress,
        "a tool would go on before anybody saw the policy: {}",
        first.object
    );
    let generations = versions.iter().filter(|version| {
        let generation = &version.object["metadata"]["generation"];
        let observed = &version.object["status"]["observedGeneration"];
        observed != generation && Kstatus::of(&version.object) == Kstatus::Current
    });
    ensure!(
        generations.count() == 0,
        "a tool would take an old status for the new one: {versions:#?}"
    );
    story.end().await
}
