//! The operator is killed at its writes: before one is sent, and after the API server has carried
//! it out.
//!
//! `make test` tells a sample of the first fifty writes, `make fuzz` all of them:
//! `PODFENCE_STORIES=all`.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use podfence_crd::{Phase, Reason};
use podfence_e2e::{
    fault_proxy::{FaultProxy, Moment},
    harness::Shared,
    story::{
        Cluster, OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, PATIENCE, Passes, Running, Story,
        everything_is_told,
    },
};
use serde_json::json;

/// Every kill is before or after one of so many writes.
const WRITES: usize = 50;
/// What a sample looks at: the first write of all, and some in the thick of it.
const SAMPLE: [(usize, Moment); 6] = [
    (1, Moment::BeforeForwarding),
    (1, Moment::AfterCommit),
    (4, Moment::AfterCommit),
    (9, Moment::BeforeForwarding),
    (17, Moment::AfterCommit),
    (33, Moment::BeforeForwarding),
];
/// With their events and the policies' statuses these make more than fifty writes.
const CLEAN: usize = 14;
const SEEN: &str = "audit=restricted:latest warn=restricted:latest";

pub(crate) async fn at_any_write_change_nothing_in_the_end(
    _: Shared<Running>,
) -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let moments: Vec<_> = if everything_is_told() {
        let each = [Moment::BeforeForwarding, Moment::AfterCommit];
        (1..=WRITES)
            .flat_map(|nth| each.map(|moment| (nth, moment)))
            .collect()
    } else {
        SAMPLE.to_vec()
    };
    for (nth, moment) in moments {
        let at = format!("killed at write {nth}, {moment:?}");
        killed_at(&cluster, nth, moment).await.with_context(|| at)?;
    }
    cluster.stop().await
}

async fn killed_at(cluster: &Arc<Cluster>, nth: usize, moment: Moment) -> anyhow::Result<()> {
    let when = if moment == Moment::AfterCommit {
        "after"
    } else {
        "before"
    };
    let story = cluster.story(&format!("{when}-{nth}")).await?;
    prepare(&story).await?;

    let proxy = FaultProxy::start(cluster.lab()).await?;
    let (namespace, account) = (OPERATOR_NAMESPACE, OPERATOR_ACCOUNT);
    let kubeconfig = proxy
        .service_account_kubeconfig(cluster.lab(), namespace, account)
        .await?;
    let mut trap = proxy.trap(nth, moment);
    let builder = cluster
        .operator()
        .await?
        .kubeconfig(&kubeconfig)
        .short_lease();
    let mut operator = builder.start_waiting().await?;
    trap.sprung(PATIENCE).await?;
    operator.kill();
    drop(trap);

    operator.start_again().await?;
    sees_the_plan(&story).await?;
    // Nothing that was there is written again by one who starts with everything in order.
    let before = story.requests().await?.len();
    operator.stop().await?;
    operator.start_again().await?;
    story
        .namespace_with("later", json!({ "kind": "clean" }))
        .await?;
    story
        .sees_labels("later", &format!("enforce=restricted:v1.34 {SEEN}"))
        .await?;
    let mut requests = story.requests().await?.split_off(before);
    requests.retain(|event| event.object_ref.name != story.full("later"));
    ensure!(requests.is_empty(), "{requests:#?}");
    story.end().await?;
    operator.stop().await
}

/// Everything that an operator could do on its first day.
async fn prepare(story: &Story) -> anyhow::Result<()> {
    story.restricted().await?;
    for number in 0..CLEAN {
        story
            .namespace_with(&format!("clean-{number}"), json!({ "kind": "clean" }))
            .await?;
    }
    story
        .namespace_with("dirty", json!({ "kind": "clean" }))
        .await?;
    story.deploys("dirty", "web", Passes::Baseline).await?;
    story
        .namespace_with("by-hand", json!({ "kind": "immediate" }))
        .await?;
    story
        .labels_by_hand(
            "by-hand",
            "pod-security.kubernetes.io/warn",
            Some("baseline"),
        )
        .await?;
    story
        .namespace_with("taken", json!({ "kind": "immediate" }))
        .await?;
    let policy = |kind: &str, rollout: serde_json::Value| {
        let labels = json!({ "podfence-story": story.label(), "kind": kind });
        json!({
            "namespaceSelector": { "matchLabels": labels },
            "rollout": rollout,
            "deletionPolicy": "Remove",
        })
    };
    let guarded = policy("clean", json!({ "strategy": "Guarded", "soak": "0s" }));
    story.policy("guarded", "restricted", guarded).await?;
    let immediate = policy("immediate", json!({ "strategy": "Immediate" }));
    story.policy("immediate", "restricted", immediate).await
}

async fn sees_the_plan(story: &Story) -> anyhow::Result<()> {
    for number in 0..CLEAN {
        let name = format!("clean-{number}");
        story
            .sees_labels(&name, &format!("enforce=restricted:v1.34 {SEEN}"))
            .await?;
        story
            .sees_phase("guarded", &name, Phase::Enforced, Reason::AtTarget)
            .await?;
    }
    story
        .sees_labels("dirty", &format!("enforce=baseline:v1.34 {SEEN}"))
        .await?;
    story
        .sees_phase("guarded", "dirty", Phase::Held, Reason::ViolatingWorkloads)
        .await?;
    let yielded = "enforce=restricted:v1.34 audit=restricted:latest warn=baseline";
    story.sees_labels("by-hand", yielded).await?;
    story
        .sees_phase("immediate", "by-hand", Phase::Yielded, Reason::Yielded)
        .await?;
    story
        .sees_labels("taken", &format!("enforce=restricted:v1.34 {SEEN}"))
        .await?;
    story
        .sees_phase("immediate", "taken", Phase::Enforced, Reason::AtTarget)
        .await?;
    for policy in ["guarded", "immediate"] {
        story
            .sees(policy, |status| {
                ensure!(
                    status.conditions.iter().all(|it| it.type_ != "Reconciling"),
                    "{status:?}"
                );
                Ok(())
            })
            .await?;
        let finalizers = story.get_policy(policy).await?.metadata.finalizers;
        ensure!(finalizers.is_some(), "{policy} has no finalizer");
    }
    Ok(())
}
