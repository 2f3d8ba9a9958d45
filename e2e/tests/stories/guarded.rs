//! Guarded tightens where nothing breaks, and says what stands in the way elsewhere.

use anyhow::{Context as _, ensure};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use podfence_crd::{ConditionType, Phase, Reason};
use podfence_e2e::{
    eventually,
    harness::Shared,
    lab::AuditEvent,
    story::{PATIENCE, Passes, Running, Story},
};
use serde_json::json;

const RESTRICTED: &str = "enforce=restricted:v1.34 audit=restricted:latest warn=restricted:latest";
const SEEN_ONLY: &str = "audit=restricted:latest warn=restricted:latest";

/// When the operator first wrote this level into the enforce label.
async fn enforced_at(story: &Story, namespace: &str, level: &str) -> anyhow::Result<Timestamp> {
    let says = |event: &AuditEvent| {
        let request = event.request_object.as_ref();
        let labels = request.map(|body| &body["metadata"]["labels"]);
        labels.is_some_and(|labels| labels["pod-security.kubernetes.io/enforce"] == level)
    };
    let writes = story.writes_to(namespace).await?;
    let write = writes.iter().find(|event| says(event));
    Ok(write
        .with_context(|| format!("enforce was never {level}"))?
        .request_received_timestamp
        .0)
}

pub(crate) async fn holds_on_a_violating_deployment_until_it_is_fixed_and_soaked(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("guarded").await?;
    story.restricted().await?;
    story.namespace("shop").await?;
    story.deploys("shop", "web", Passes::Baseline).await?;
    let rollout = json!({ "rollout": { "soak": "8s", "whileViolating": "Hold" } });
    story.policy("apps", "restricted", rollout).await?;

    let held = story
        .sees_phase("apps", "shop", Phase::Held, Reason::ViolatingWorkloads)
        .await?;
    ensure!(held.violating_workloads == 1, "{held:?}");
    let worst: Vec<_> = held
        .worst
        .iter()
        .map(|it| (it.kind.as_str(), it.name.as_str()))
        .collect();
    ensure!(worst == [("Deployment", "web")], "{held:?}");
    let checks = serde_json::to_value(&held.worst[0].checks)?;
    ensure!(
        checks
            == json!([
                "allowPrivilegeEscalation",
                "capabilities_restricted",
                "runAsNonRoot",
                "seccompProfile_restricted",
            ]),
        "{checks}"
    );
    story.sees_labels("shop", SEEN_ONLY).await?;
    let message = story
        .sees_condition(
            "apps",
            ConditionType::Enforced,
            "False",
            Reason::ViolatingWorkloads,
        )
        .await?;
    ensure!(
        message.contains("Deployment/web"),
        "who is to blame? {message}"
    );
    story
        .sees_condition("apps", ConditionType::Ready, "True", Reason::Succeeded)
        .await?;

    let fixed_at = Timestamp::now();
    story.deploys("shop", "web", Passes::Restricted).await?;
    let soaking = story
        .sees_phase("apps", "shop", Phase::Soaking, Reason::Soaking)
        .await?;
    ensure!(
        soaking
            .next_change_time
            .as_ref()
            .is_some_and(|it| it.0 > fixed_at),
        "{soaking:?}"
    );
    story.sees_labels("shop", RESTRICTED).await?;
    let soaked = enforced_at(&story, "shop", "restricted")
        .await?
        .duration_since(fixed_at);
    ensure!(
        soaked >= SignedDuration::from_secs(8),
        "tightened after {soaked:?}"
    );
    story
        .sees_phase("apps", "shop", Phase::Enforced, Reason::AtTarget)
        .await?;
    story
        .sees_condition("apps", ConditionType::Enforced, "True", Reason::AtTarget)
        .await?;
    story.end().await
}

pub(crate) async fn enforces_the_strictest_passing_level_meanwhile(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("strictest").await?;
    story.restricted().await?;
    story.namespace("blog").await?;
    story.deploys("blog", "wordpress", Passes::Baseline).await?;
    story.namespace("node").await?;
    story
        .deploys("node", "exporter", Passes::Privileged)
        .await?;
    story
        .policy("apps", "restricted", json!({ "rollout": { "soak": "0s" } }))
        .await?;
    let baseline = "enforce=baseline:v1.34 audit=restricted:latest warn=restricted:latest";
    story.sees_labels("blog", baseline).await?;
    let held = story
        .sees_phase("apps", "blog", Phase::Held, Reason::ViolatingWorkloads)
        .await?;
    let current = held.current.context("there is a level")?;
    ensure!(
        serde_json::to_value(current)?["level"] == "baseline",
        "{held:?}"
    );
    story
        .sees_phase("apps", "node", Phase::Held, Reason::ViolatingWorkloads)
        .await?;
    story.sees_labels("node", SEEN_ONLY).await?;

    story
        .deploys("blog", "wordpress", Passes::Restricted)
        .await?;
    story.sees_labels("blog", RESTRICTED).await?;
    story.deploys("node", "exporter", Passes::Baseline).await?;
    story.sees_labels("node", baseline).await?;
    story.end().await
}

/// Nobody looks at the right moment, and it counts all the same.
pub(crate) async fn starts_the_soak_again_for_a_pod_that_came_and_went(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("soak").await?;
    story.restricted().await?;
    story.namespace("jobs").await?;
    story
        .policy(
            "apps",
            "restricted",
            json!({ "rollout": { "soak": "10s" } }),
        )
        .await?;
    let before = story
        .sees_phase("apps", "jobs", Phase::Soaking, Reason::Soaking)
        .await?;
    story.runs("jobs", "debug", Passes::Privileged).await?;
    let gone_after = Timestamp::now();
    story.deletes_in("jobs", "Pod", "debug").await?;
    story.sees_labels("jobs", RESTRICTED).await?;
    let soaked = enforced_at(&story, "jobs", "restricted")
        .await?
        .duration_since(gone_after);
    ensure!(
        soaked >= SignedDuration::from_secs(10),
        "{soaked:?} after the pod; before: {before:?}"
    );
    story.end().await
}

/// No pod runs, but the next one would be blocked.
pub(crate) async fn counts_a_deployment_that_is_scaled_to_zero(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("zero").await?;
    story.restricted().await?;
    story.namespace("reports").await?;
    story
        .deploys_replicas("reports", "year-end", Passes::Privileged, 0)
        .await?;
    story
        .policy("apps", "restricted", json!({ "rollout": { "soak": "0s" } }))
        .await?;
    let held = story
        .sees_phase("apps", "reports", Phase::Held, Reason::ViolatingWorkloads)
        .await?;
    ensure!(
        held.worst.iter().any(|it| it.name == "year-end"),
        "{held:?}"
    );
    story.sees_labels("reports", SEEN_ONLY).await?;
    story
        .sees("apps", |status| {
            ensure!(
                status.summary.workloads_violating == 1,
                "{:?}",
                status.summary
            );
            Ok(())
        })
        .await?;
    story.end().await
}

/// An old `ReplicaSet` keeps its template for ever; it must not hold a Deployment that was fixed.
pub(crate) async fn is_not_held_by_an_old_replica_set(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("replicasets").await?;
    story.restricted().await?;
    story.namespace("shop").await?;
    story.deploys("shop", "web", Passes::Privileged).await?;
    story
        .policy("apps", "restricted", json!({ "rollout": { "soak": "0s" } }))
        .await?;
    story
        .sees_phase("apps", "shop", Phase::Held, Reason::ViolatingWorkloads)
        .await?;
    story.deploys("shop", "web", Passes::Restricted).await?;
    story.sees_labels("shop", RESTRICTED).await?;
    let sets = [
        "get",
        "replicasets",
        "-n",
        &story.full("shop"),
        "-o",
        "name",
    ];
    eventually(PATIENCE, async || {
        let sets = story.cluster().lab().kubectl(&sets).await?.stdout;
        ensure!(
            sets.lines().count() == 2,
            "want the old one beside the new one: {sets}"
        );
        Ok(())
    })
    .await?;
    story
        .sees_phase("apps", "shop", Phase::Enforced, Reason::AtTarget)
        .await?;
    story.end().await
}
