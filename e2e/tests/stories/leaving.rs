//! What stays when a policy goes.

use anyhow::ensure;
use podfence_crd::{Phase, Reason};
use podfence_e2e::{harness::Shared, story::Running};
use serde_json::json;

const RESTRICTED: &str = "enforce=restricted:v1.34 audit=restricted:latest warn=restricted:latest";

pub(crate) async fn retain_keeps_the_labels_and_needs_no_finalizer(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("retain").await?;
    story.restricted().await?;
    story.namespace("shop").await?;
    story
        .policy(
            "apps",
            "restricted",
            json!({ "rollout": { "strategy": "Immediate" } }),
        )
        .await?;
    story.sees_labels("shop", RESTRICTED).await?;
    story
        .sees_phase("apps", "shop", Phase::Enforced, Reason::AtTarget)
        .await?;
    let finalizers = story.get_policy("apps").await?.metadata.finalizers;
    ensure!(finalizers.is_none(), "{finalizers:?}");
    story.deletes("NamespacePolicy", "apps").await?;
    story.sees_no_state("shop").await?;
    story.sees_labels("shop", RESTRICTED).await?;
    story.end().await
}

pub(crate) async fn remove_takes_exactly_our_own_labels(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("remove").await?;
    story.restricted().await?;
    story
        .namespace_with("shop", json!({ "team": "web" }))
        .await?;
    story.namespace("shared").await?;
    story
        .labels_by_hand(
            "shared",
            "pod-security.kubernetes.io/warn",
            Some("restricted"),
        )
        .await?;
    let spec = json!({ "deletionPolicy": "Remove", "rollout": { "strategy": "Immediate" } });
    story.policy("apps", "restricted", spec).await?;
    for namespace in ["shop", "shared"] {
        story.sees_labels(namespace, RESTRICTED).await?;
        story
            .sees_phase("apps", namespace, Phase::Enforced, Reason::AtTarget)
            .await?;
        story.asks_to_lower(namespace);
    }
    story.deletes("NamespacePolicy", "apps").await?;
    story.sees_labels("shop", "").await?;
    // Of a level that two manage, one goes and the other stays.
    story.sees_labels("shared", "warn=restricted").await?;
    for namespace in ["shop", "shared"] {
        story.sees_no_state(namespace).await?;
    }
    let labels = story
        .get_namespace("shop")
        .await?
        .metadata
        .labels
        .unwrap_or_default();
    ensure!(
        labels.get("team").is_some_and(|team| team == "web"),
        "{labels:?}"
    );
    story.end().await
}

/// A namespace that another policy wins is no leftover.
pub(crate) async fn remove_spares_what_another_policy_wins(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("heir").await?;
    story.restricted().await?;
    story.namespace("shop").await?;
    let rollout = json!({ "strategy": "Immediate" });
    let removing = json!({ "priority": 5, "deletionPolicy": "Remove", "rollout": rollout });
    story.policy("first", "restricted", removing).await?;
    story
        .policy("heir", "restricted", json!({ "rollout": rollout }))
        .await?;
    story
        .sees_phase("first", "shop", Phase::Enforced, Reason::AtTarget)
        .await?;
    story.deletes("NamespacePolicy", "first").await?;
    story
        .sees_phase("heir", "shop", Phase::Enforced, Reason::AtTarget)
        .await?;
    story.sees_labels("shop", RESTRICTED).await?;
    story.end().await
}
