//! Enforcement never gets weaker by itself: only a spec that asks for it, of the policy that set
//! the level, lowers it.

use anyhow::ensure;
use podfence_crd::{Phase, Reason};
use podfence_e2e::{harness::Shared, story::Running};
use serde_json::json;

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const RESTRICTED: &str = "enforce=restricted:v1.34 audit=restricted:latest warn=restricted:latest";

pub(crate) async fn a_level_set_by_hand_that_is_stricter_stays(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("stricter").await?;
    story
        .profile("baseline", json!({ "enforce": { "level": "baseline" } }))
        .await?;
    story.namespace("vault").await?;
    story
        .labels_by_hand("vault", ENFORCE, Some("restricted"))
        .await?;
    for conflict_policy in ["Yield", "TakeOver"] {
        let spec =
            json!({ "conflictPolicy": conflict_policy, "rollout": { "strategy": "Immediate" } });
        story.policy("apps", "baseline", spec).await?;
        story
            .sees_phase("apps", "vault", Phase::StricterKept, Reason::StricterKept)
            .await?;
        story.sees_labels("vault", "enforce=restricted").await?;
    }

    // Whoever means it says so.
    story.asks_to_lower("vault");
    let spec = json!({
        "conflictPolicy": "TakeOver",
        "rollout": { "strategy": "Immediate", "loosening": "Always" },
    });
    story.policy("apps", "baseline", spec).await?;
    story
        .sees_labels("vault", "enforce=baseline:latest")
        .await?;
    story
        .sees_phase("apps", "vault", Phase::Enforced, Reason::AtTarget)
        .await?;
    story.end().await
}

/// The one that set a level may take it back, and nobody else.
pub(crate) async fn a_policy_lowers_what_it_set_itself(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("own").await?;
    let enforce = |level: &str| json!({ "enforce": { "level": level, "version": "v1.34" } });
    story.profile("apps", enforce("restricted")).await?;
    story.namespace("shop").await?;
    story
        .policy(
            "apps",
            "apps",
            json!({ "rollout": { "strategy": "Immediate" } }),
        )
        .await?;
    story
        .sees_labels("shop", "enforce=restricted:v1.34")
        .await?;
    story.asks_to_lower("shop");
    story.profile("apps", enforce("baseline")).await?;
    story.sees_labels("shop", "enforce=baseline:v1.34").await?;
    story
        .sees_phase("apps", "shop", Phase::Enforced, Reason::AtTarget)
        .await?;
    story.end().await
}

pub(crate) async fn a_winner_that_changed_keeps_what_the_other_set(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("winner").await?;
    story.restricted().await?;
    let weak = json!({ "enforce": { "level": "privileged" } });
    story.profile("weak", weak).await?;
    story.namespace("shop").await?;
    story
        .policy(
            "strict",
            "restricted",
            json!({ "rollout": { "strategy": "Immediate" } }),
        )
        .await?;
    story.sees_labels("shop", RESTRICTED).await?;
    let spec = json!({ "priority": 9, "rollout": { "strategy": "Immediate" } });
    story.policy("weak", "weak", spec).await?;
    story
        .sees_phase("weak", "shop", Phase::StricterKept, Reason::StricterKept)
        .await?;
    ensure!(
        story.labels("shop").await? == RESTRICTED,
        "{}",
        story.labels("shop").await?
    );

    // Gone and applied again, the strict one finds its namespace as it was.
    story.deletes("NamespacePolicy", "weak").await?;
    story
        .sees_phase("strict", "shop", Phase::Enforced, Reason::AtTarget)
        .await?;
    story.end().await
}

/// Whoever comes after a deleted policy is not the author of what it left.
pub(crate) async fn a_deleted_policy_leaves_its_level_to_nobody(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("deleted").await?;
    story.restricted().await?;
    story
        .profile("baseline", json!({ "enforce": { "level": "baseline" } }))
        .await?;
    story.namespace("shop").await?;
    story
        .policy(
            "apps",
            "restricted",
            json!({ "rollout": { "strategy": "Immediate" } }),
        )
        .await?;
    story.sees_labels("shop", RESTRICTED).await?;
    story.deletes("NamespacePolicy", "apps").await?;
    story.sees_no_state("shop").await?;
    ensure!(story.labels("shop").await? == RESTRICTED);

    story
        .policy(
            "apps",
            "baseline",
            json!({ "rollout": { "strategy": "Immediate" } }),
        )
        .await?;
    story
        .sees_phase("apps", "shop", Phase::StricterKept, Reason::StricterKept)
        .await?;
    ensure!(
        story
            .labels("shop")
            .await?
            .starts_with("enforce=restricted:v1.34")
    );
    story.end().await
}
