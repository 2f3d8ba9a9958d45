//! Whatever restarts, nothing is forgotten and nothing is written twice.

use std::time::Duration;

use anyhow::ensure;
use podfence_crd::{Phase, Reason};
use podfence_e2e::{
    harness::Shared,
    lab::{Lab, Stop},
    story::{Cluster, Passes, Running, Story},
};
use rustix::process::Signal;
use serde_json::json;
use tokio::time::sleep;

const RESTRICTED: &str = "enforce=restricted:v1.34 audit=restricted:latest warn=restricted:latest";
const CLEAN_SINCE: &str = "state.podfence.dev/clean-since";
/// Several renewals of the Lease long, and shorter than the time for which a leader tries.
const ETCD_AWAY: Duration = Duration::from_secs(6);

/// One namespace in each situation that a restart could disturb.
async fn settled_namespaces(story: &Story) -> anyhow::Result<()> {
    story.restricted().await?;
    for kind in ["soaking", "held", "enforced"] {
        story.namespace_with(kind, json!({ "kind": kind })).await?;
    }
    story.deploys("held", "web", Passes::Baseline).await?;
    let policy = |kind: &str, soak: &str| {
        let selector = json!({ "podfence-story": story.label(), "kind": kind });
        json!({ "namespaceSelector": { "matchLabels": selector }, "rollout": { "soak": soak } })
    };
    story
        .policy("soaking", "restricted", policy("soaking", "1h"))
        .await?;
    story
        .policy("held", "restricted", policy("held", "0s"))
        .await?;
    story
        .policy("enforced", "restricted", policy("enforced", "0s"))
        .await?;
    sees_all_settled(story).await
}

async fn sees_all_settled(story: &Story) -> anyhow::Result<()> {
    story.sees_labels("enforced", RESTRICTED).await?;
    story
        .sees_phase("soaking", "soaking", Phase::Soaking, Reason::Soaking)
        .await?;
    story
        .sees_phase("held", "held", Phase::Held, Reason::ViolatingWorkloads)
        .await?;
    story
        .sees_phase("enforced", "enforced", Phase::Enforced, Reason::AtTarget)
        .await?;
    Ok(())
}

/// What the operator knows of the soak that is under way.
async fn soak(story: &Story) -> anyhow::Result<String> {
    let annotations = story.get_namespace("soaking").await?.metadata.annotations;
    let since = annotations.unwrap_or_default().remove(CLEAN_SINCE);
    since.ok_or_else(|| anyhow::anyhow!("there is no {CLEAN_SINCE}"))
}

/// A new namespace under one of the policies has been planned, so everything before it has been,
/// too.
async fn sees_a_newcomer(story: &Story, name: &str) -> anyhow::Result<()> {
    story
        .namespace_with(name, json!({ "kind": "enforced" }))
        .await?;
    story.sees_labels(name, RESTRICTED).await?;
    story
        .sees_phase("enforced", name, Phase::Enforced, Reason::AtTarget)
        .await?;
    Ok(())
}

pub(crate) async fn of_the_operator_cost_no_write_and_no_soak(
    _: Shared<Running>,
) -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut operator = cluster.operator().await?.short_lease().start().await?;
    let story = cluster.story("restart").await?;
    settled_namespaces(&story).await?;
    let (before, since) = (story.requests().await?.len(), soak(&story).await?);

    operator.stop().await?;
    operator.start_again().await?;
    sees_all_settled(&story).await?;
    sees_a_newcomer(&story, "after-stop").await?;
    operator.kill();
    operator.start_again().await?;
    sees_all_settled(&story).await?;
    sees_a_newcomer(&story, "after-kill").await?;

    ensure!(
        soak(&story).await? == since,
        "the soak began again: {since}"
    );
    let mut requests = story.requests().await?.split_off(before);
    requests.retain(|event| !event.object_ref.name.contains("after-"));
    ensure!(requests.is_empty(), "{requests:#?}");
    story.end().await?;
    operator.stop().await?;
    drop(operator);
    cluster.stop().await
}

/// What people do while nobody looks is found on return.
pub(crate) async fn of_the_operator_find_what_happened_meanwhile(
    _: Shared<Running>,
) -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut operator = cluster.operator().await?.short_lease().start().await?;
    let story = cluster.story("absence").await?;
    story.restricted().await?;
    let of = |kind: &str, more: serde_json::Value| {
        let mut spec = json!({
            "namespaceSelector": { "matchLabels": { "podfence-story": "absence", "kind": kind } },
            "rollout": { "strategy": "Immediate" },
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key.as_str()] = value.clone();
        }
        spec
    };
    for kind in ["retained", "removed", "kept"] {
        story.namespace_with(kind, json!({ "kind": kind })).await?;
    }
    story
        .policy("retained", "restricted", of("retained", json!({})))
        .await?;
    story
        .policy(
            "removed",
            "restricted",
            of("removed", json!({ "deletionPolicy": "Remove" })),
        )
        .await?;
    story
        .policy("kept", "restricted", of("kept", json!({})))
        .await?;
    for kind in ["retained", "removed", "kept"] {
        story.sees_labels(kind, RESTRICTED).await?;
        story
            .sees_phase(kind, kind, Phase::Enforced, Reason::AtTarget)
            .await?;
    }

    operator.kill();
    story.asks_to_lower("removed");
    story.deletes("NamespacePolicy", "retained").await?;
    // Its finalizer waits for an operator.
    story.asks_to_delete("NamespacePolicy", "removed").await?;
    story
        .labels_by_hand("kept", "pod-security.kubernetes.io/audit", None)
        .await?;
    story
        .namespace_with("new", json!({ "kind": "kept" }))
        .await?;

    operator.start_again().await?;
    story.sees_no_state("retained").await?;
    story.sees_labels("retained", RESTRICTED).await?;
    story.sees_labels("removed", "").await?;
    story.sees_no_state("removed").await?;
    story.sees_labels("kept", RESTRICTED).await?;
    story.sees_labels("new", RESTRICTED).await?;
    story.end().await?;
    operator.stop().await?;
    drop(operator);
    cluster.stop().await
}

pub(crate) async fn of_the_api_server_are_survived(_: Shared<Running>) -> anyhow::Result<()> {
    // Otherwise it waits a minute for watches that never end by themselves.
    let lab = Lab::builder().apiserver_argument("--shutdown-watch-termination-grace-period=2s");
    let cluster = Cluster::start_with(lab).await?;
    let operator = cluster.operator().await?.start().await?;
    let story = cluster.story("server").await?;
    settled_namespaces(&story).await?;
    let (before, since) = (story.requests().await?.len(), soak(&story).await?);

    for (how, name) in [(Stop::Gracefully, "after-stop"), (Stop::Kill, "after-kill")] {
        cluster.lab().restart_apiserver(how).await?;
        sees_a_newcomer(&story, name).await?;
        sees_all_settled(&story).await?;
    }
    // The API server answers, but can neither read nor store.
    cluster.lab().etcd().signal(Signal::STOP);
    sleep(ETCD_AWAY).await;
    cluster.lab().etcd().signal(Signal::CONT);
    sees_a_newcomer(&story, "after-pause").await?;
    sees_all_settled(&story).await?;
    // What broke while the connection was down is mended, by the same process.
    story
        .labels_by_hand("enforced", "pod-security.kubernetes.io/warn", None)
        .await?;
    story.sees_labels("enforced", RESTRICTED).await?;
    ensure!(
        operator.process().exited().is_none(),
        "the operator has ended"
    );
    ensure!(
        soak(&story).await? == since,
        "the soak began again: {since}"
    );
    let mut requests = story.requests().await?.split_off(before);
    requests.retain(|event| event.succeeded() && !event.object_ref.name.contains("after-"));
    requests.retain(|event| !event.is_dry_run());
    ensure!(requests.len() == 1, "{requests:#?}");
    story.end().await?;
    operator.stop().await?;
    drop(operator);
    cluster.stop().await
}
