//! Policies that write nothing: dry runs and suspended ones, which report all the same.

use anyhow::ensure;
use podfence_crd::{ConditionType, Phase, Reason};
use podfence_e2e::{
    harness::Shared,
    story::{Passes, Running},
};
use serde_json::json;

pub(crate) async fn a_dry_run_reports_and_writes_nothing(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("dry-run").await?;
    story.restricted().await?;
    story.namespace("clean").await?;
    story.namespace("dirty").await?;
    story.deploys("dirty", "web", Passes::Privileged).await?;
    let rollout = json!({ "rollout": { "strategy": "DryRun", "soak": "0s" } });
    story.policy("survey", "restricted", rollout).await?;
    story
        .sees_phase("survey", "clean", Phase::DryRun, Reason::DryRun)
        .await?;
    let dirty = story
        .sees_phase("survey", "dirty", Phase::DryRun, Reason::ViolatingWorkloads)
        .await?;
    ensure!(
        dirty.worst.first().is_some_and(|it| it.name == "web"),
        "{dirty:?}"
    );
    story
        .sees_condition("survey", ConditionType::Ready, "True", Reason::DryRun)
        .await?;

    // What comes later is looked at as well.
    story.namespace("later").await?;
    story
        .sees_phase("survey", "later", Phase::DryRun, Reason::DryRun)
        .await?;
    let requests = story.requests().await?;
    ensure!(requests.is_empty(), "{requests:#?}");
    for namespace in ["clean", "dirty", "later"] {
        let metadata = story.get_namespace(namespace).await?.metadata;
        ensure!(metadata.annotations.is_none(), "{metadata:?}");
    }
    story.end().await
}

pub(crate) async fn a_suspended_policy_wins_and_writes_nothing(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("suspend").await?;
    story.restricted().await?;
    story
        .profile("baseline", json!({ "enforce": { "level": "baseline" } }))
        .await?;
    story.namespace("shop").await?;
    let suspended =
        json!({ "suspend": true, "priority": 10, "rollout": { "strategy": "Immediate" } });
    story.policy("apps", "restricted", suspended).await?;
    story
        .policy(
            "rest",
            "baseline",
            json!({ "rollout": { "strategy": "Immediate" } }),
        )
        .await?;
    story
        .sees_phase("apps", "shop", Phase::Suspended, Reason::Suspended)
        .await?;
    story
        .sees_condition("apps", ConditionType::Ready, "True", Reason::Suspended)
        .await?;
    story
        .sees_condition("rest", ConditionType::Ready, "True", Reason::Superseded)
        .await?;
    let requests = story.requests().await?;
    ensure!(requests.is_empty(), "{requests:#?}");

    let awake = json!({ "priority": 10, "rollout": { "strategy": "Immediate" } });
    story.policy("apps", "restricted", awake).await?;
    let restricted = "enforce=restricted:v1.34 audit=restricted:latest warn=restricted:latest";
    story.sees_labels("shop", restricted).await?;

    // Suspended again, it keeps its hands off even where labels are taken away.
    let suspended =
        json!({ "suspend": true, "priority": 10, "rollout": { "strategy": "Immediate" } });
    story.policy("apps", "restricted", suspended).await?;
    story
        .sees_phase("apps", "shop", Phase::Suspended, Reason::Suspended)
        .await?;
    let before = story.writes_to("shop").await?.len();
    story
        .labels_by_hand("shop", "pod-security.kubernetes.io/warn", None)
        .await?;
    story
        .sees("apps", |status| {
            let ready = status.conditions.iter().find(|it| it.type_ == "Ready");
            ensure!(
                ready.is_some_and(|it| it.reason == "Suspended"),
                "{ready:?}"
            );
            Ok(())
        })
        .await?;
    // The namespace that comes after the change was seen after it.
    story.namespace("later").await?;
    story
        .sees_phase("apps", "later", Phase::Suspended, Reason::Suspended)
        .await?;
    ensure!(
        story.writes_to("shop").await?.len() == before,
        "a suspended policy has written"
    );
    story.end().await
}
