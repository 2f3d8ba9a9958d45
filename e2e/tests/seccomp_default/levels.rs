//! SeccompDefault in namespaces that enforce a Pod Security level.

use anyhow::{Context as _, ensure};
use podfence_e2e::{harness::Shared, story::Story};
use serde_json::json;

use crate::rollout::{ONE_FAILS, Rollout, assess, listed, pod, sees_said};

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// Under restricted every new pod says its profile; one that is older than the label does not, and
/// is still there.
pub(crate) async fn that_came_later_exempt_no_pod_and_rule_out_fixes(
    shared: Shared<Rollout>,
) -> anyhow::Result<()> {
    let rollout = shared.get().await?;
    let _bustle = rollout.bustle.read().await;
    let story = rollout.story("levels").await?;
    let namespaces = ["restricted", "baseline"];
    let unsaid = pod("keyctl", &json!({}));
    for namespace in namespaces {
        assess(&story, namespace).await?;
    }
    // This one is admitted by its level. It knows of no profile.
    story
        .labels_by_hand("baseline", ENFORCE, Some("baseline"))
        .await?;
    for namespace in namespaces {
        rollout
            .runs_on_both(&story, namespace, "web", &unsaid)
            .await?;
    }
    let restricted = rollout.sees_it_fail(&story, "restricted", "web").await?;
    story
        .labels_by_hand("restricted", ENFORCE, Some("restricted"))
        .await?;
    for namespace in namespaces {
        is_accused_without_that_fix(&story, namespace)
            .await
            .with_context(|| namespace)?;
    }
    // They are still the same pods.
    let now = rollout.sees_it_fail(&story, "restricted", "web").await?;
    for (pod, before) in now.iter().zip(&restricted) {
        ensure!(pod.metadata.uid == before.metadata.uid, "{pod:?}");
    }
    story.end().await
}

/// Waits until the workload fails, and is offered something that the level admits.
async fn is_accused_without_that_fix(story: &Story, namespace: &str) -> anyhow::Result<()> {
    sees_said(story, namespace, ONE_FAILS).await?;
    story
        .sees(namespace, |status| {
            let assessed = status.seccomp_default.as_ref();
            let workloads = assessed.map(|it| &*it.workloads).unwrap_or_default();
            let entry = listed(workloads, &story.full(namespace), "web");
            let entry = entry.with_context(|| format!("{status:?}"))?;
            ensure!(entry.verdict.as_str() == "Failing", "{entry:?}");
            let fix = entry.fix.as_deref().context("nothing is offered")?;
            ensure!(fix.starts_with("NodesWithoutSeccompDefault"), "{entry:?}");
            Ok(())
        })
        .await
}
