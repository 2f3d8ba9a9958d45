//! Labels that somebody else holds as well: yielded, taken over, and never fought about for ever.

use std::time::Duration;

use anyhow::ensure;
use podfence_crd::{ConditionType, Phase, Reason};
use podfence_e2e::{harness::Shared, story::Running};
use serde_json::json;
use tokio::time::{Instant, sleep};

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const RESTRICTED: &str = "enforce=restricted:v1.34 audit=restricted:latest warn=restricted:latest";

pub(crate) async fn a_label_set_by_hand_is_yielded_to(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("yield").await?;
    story.restricted().await?;
    story.namespace("crm").await?;
    story
        .labels_by_hand("crm", ENFORCE, Some("privileged"))
        .await?;
    story
        .policy(
            "apps",
            "restricted",
            json!({ "rollout": { "strategy": "Immediate" } }),
        )
        .await?;
    // The rest is applied.
    story
        .sees_labels(
            "crm",
            "enforce=privileged audit=restricted:latest warn=restricted:latest",
        )
        .await?;
    story
        .sees_phase("apps", "crm", Phase::Yielded, Reason::Yielded)
        .await?;
    let message = story
        .sees_condition("apps", ConditionType::Ready, "False", Reason::Yielded)
        .await?;
    ensure!(
        message.contains("kubectl-label") && message.contains(&story.full("crm")),
        "{message}"
    );
    ensure!(message.contains("TakeOver"), "what to do? {message}");

    // The same after our own label is overwritten.
    story.namespace("shop").await?;
    story.sees_labels("shop", RESTRICTED).await?;
    story
        .labels_by_hand("shop", ENFORCE, Some("baseline"))
        .await?;
    story
        .sees_phase("apps", "shop", Phase::Yielded, Reason::Yielded)
        .await?;
    ensure!(
        story.labels("shop").await?.starts_with("enforce=baseline"),
        "it was taken back"
    );

    // Whoever takes the hand off gets the policy's level.
    story.labels_by_hand("crm", ENFORCE, None).await?;
    story.sees_labels("crm", RESTRICTED).await?;
    story.end().await
}

pub(crate) async fn a_label_set_by_hand_is_taken_over_where_the_policy_says_so(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("takeover").await?;
    story.restricted().await?;
    story.namespace("builds").await?;
    story
        .labels_by_hand("builds", ENFORCE, Some("privileged"))
        .await?;
    let spec = json!({ "conflictPolicy": "TakeOver", "rollout": { "strategy": "Immediate" } });
    story.policy("apps", "restricted", spec).await?;
    story.sees_labels("builds", RESTRICTED).await?;
    story
        .sees_phase("apps", "builds", Phase::Enforced, Reason::AtTarget)
        .await?;

    story
        .labels_by_hand("builds", ENFORCE, Some("baseline"))
        .await?;
    story.sees_labels("builds", RESTRICTED).await?;
    story.end().await
}

pub(crate) async fn a_fight_stops_and_names_the_other(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("fight").await?;
    story.restricted().await?;
    story.namespace("shop").await?;
    let spec = json!({ "conflictPolicy": "TakeOver", "rollout": { "strategy": "Immediate" } });
    story.policy("apps", "restricted", spec).await?;
    story.sees_labels("shop", RESTRICTED).await?;

    // As Argo CD does with the metadata of managed namespaces: at every sync, by force.
    let rival = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": story.full("shop"), "labels": { ENFORCE: "privileged" } },
    });
    let before = story.writes_to("shop").await?.len();
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        story.apply_as("argocd-controller", rival.clone()).await?;
        // The other side's own rhythm, not a wait for ours.
        sleep(Duration::from_millis(200)).await;
    }
    story
        .sees_phase("apps", "shop", Phase::Contended, Reason::Contended)
        .await?;
    let message = story
        .sees_condition("apps", ConditionType::Ready, "False", Reason::Contended)
        .await?;
    ensure!(message.contains("argocd-controller"), "{message}");
    ensure!(
        !story
            .get_policy("apps")
            .await?
            .status
            .is_some_and(|status| { status.conditions.iter().any(|it| it.type_ == "Stalled") })
    );
    // One correction in five minutes, and one write for the annotations of the new phase.
    let writes = story.writes_to("shop").await?;
    let forced = writes
        .iter()
        .skip(before)
        .filter(|event| event.is_forced())
        .count();
    ensure!(forced == 1, "{forced} forced corrections");
    ensure!(
        writes.len() <= before + 3,
        "{} writes in the fight",
        writes.len() - before
    );
    ensure!(
        story
            .labels("shop")
            .await?
            .starts_with("enforce=privileged")
    );
    story.end().await
}
