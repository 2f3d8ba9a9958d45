//! Which policy decides on which namespace.

use anyhow::ensure;
use podfence_crd::{ConditionType, Phase, Reason};
use podfence_e2e::{harness::Shared, story::Running};
use serde_json::json;

const BASELINE: &str = "enforce=baseline:latest";
const RESTRICTED: &str = "enforce=restricted:v1.34 audit=restricted:latest warn=restricted:latest";

pub(crate) async fn goes_by_selector_and_exclusion(shared: Shared<Running>) -> anyhow::Result<()> {
    let story = shared.get().await?.story("selector").await?;
    story
        .profile("baseline", json!({ "enforce": { "level": "baseline" } }))
        .await?;
    for (name, labels) in [
        ("shop", json!({ "tier": "apps", "team": "web" })),
        ("legacy-crm", json!({ "tier": "apps", "team": "web" })),
        ("legacy", json!({ "tier": "apps", "team": "web" })),
        ("tools", json!({ "tier": "tools", "team": "web" })),
        ("ownerless", json!({ "tier": "apps" })),
    ] {
        story.namespace_with(name, labels).await?;
    }
    let spec = json!({
        "namespaceSelector": {
            "matchLabels": { "podfence-story": "selector", "tier": "apps" },
            "matchExpressions": [{ "key": "team", "operator": "Exists" }],
        },
        "excludedNamespaces": [story.full("legacy-*")],
        "rollout": { "strategy": "Immediate" },
    });
    story.policy("apps", "baseline", spec).await?;
    story
        .sees("apps", |status| {
            ensure!(
                status.summary.namespaces_matched == 2,
                "{:?}",
                status.summary
            );
            ensure!(
                status.summary.namespaces_enforced == 2,
                "{:?}",
                status.summary
            );
            Ok(())
        })
        .await?;
    for (name, want) in [
        ("shop", BASELINE),
        ("legacy", BASELINE),
        ("legacy-crm", ""),
        ("tools", ""),
        ("ownerless", ""),
    ] {
        story.sees_labels(name, want).await?;
    }

    // A namespace comes in by a label, and one that leaves keeps its level but not our notes.
    story
        .labels_by_hand("ownerless", "team", Some("web"))
        .await?;
    story.sees_labels("ownerless", BASELINE).await?;
    story.labels_by_hand("shop", "tier", Some("tools")).await?;
    story
        .sees("apps", |status| {
            let names: Vec<_> = status.namespaces.iter().map(|it| it.name.clone()).collect();
            ensure!(
                names == [story.full("legacy"), story.full("ownerless")],
                "{names:?}"
            );
            Ok(())
        })
        .await?;
    story.sees_no_state("shop").await?;
    story.sees_labels("shop", BASELINE).await?;
    story.end().await
}

pub(crate) async fn of_two_policies_the_higher_priority_wins_whole(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("precedence").await?;
    story.restricted().await?;
    let baseline = json!({ "enforce": { "level": "baseline", "version": "v1.34" } });
    story.profile("baseline", baseline).await?;
    story.namespace("pay").await?;
    let at =
        |priority: i32| json!({ "priority": priority, "rollout": { "strategy": "Immediate" } });
    story.policy("first", "baseline", at(10)).await?;
    story.policy("second", "restricted", at(20)).await?;
    // Nothing of the loser is merged in.
    story.sees_labels("pay", RESTRICTED).await?;
    let message = story
        .sees_condition("first", ConditionType::Ready, "True", Reason::Superseded)
        .await?;
    let named = [story.full("pay"), story.full("second")];
    ensure!(named.iter().all(|name| message.contains(name)), "{message}");
    story
        .sees("first", |status| {
            ensure!(
                status.summary.namespaces_matched == 0,
                "{:?}",
                status.summary
            );
            Ok(())
        })
        .await?;
    story
        .sees_phase("second", "pay", Phase::Enforced, Reason::AtTarget)
        .await?;

    // Of equals the lexically first wins. What it finds stricter than its own target, it keeps.
    story.policy("second", "restricted", at(10)).await?;
    story
        .sees_phase("first", "pay", Phase::StricterKept, Reason::StricterKept)
        .await?;
    story
        .sees_condition("second", ConditionType::Ready, "True", Reason::Superseded)
        .await?;
    story.end().await
}
