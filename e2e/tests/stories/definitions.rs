//! The kinds themselves go and come back.

use anyhow::ensure;
use podfence_crd::{Phase, Reason};
use podfence_e2e::{
    eventually,
    harness::Shared,
    story::{Cluster, PATIENCE, Running, pod_security_labels},
};
use serde_json::json;

const RESTRICTED: &str = "enforce=restricted:v1.34 audit=restricted:latest warn=restricted:latest";
const DEFINITION: &str = "customresourcedefinitions/namespacepolicies.podfence.dev";

/// Deleting the kind deletes every policy, and nobody means by that to open the cluster.
pub(crate) async fn deleted_under_a_policy_with_remove_strip_nothing(
    _: Shared<Running>,
) -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let operator = cluster.operator().await?.start().await?;
    let story = cluster.story("definition").await?;
    story.restricted().await?;
    story.namespace("shop").await?;
    let spec = json!({ "deletionPolicy": "Remove", "rollout": { "strategy": "Immediate" } });
    story.policy("apps", "restricted", spec.clone()).await?;
    story.sees_labels("shop", RESTRICTED).await?;
    story
        .sees_phase("apps", "shop", Phase::Enforced, Reason::AtTarget)
        .await?;
    eventually(PATIENCE, async || {
        let finalizers = story.get_policy("apps").await?.metadata.finalizers;
        ensure!(
            finalizers.as_ref().is_some_and(|it| it.len() == 1),
            "{finalizers:?}"
        );
        Ok(())
    })
    .await?;

    let lab = cluster.lab();
    lab.kubectl(&["delete", DEFINITION, "--timeout=60s"])
        .await?;
    let labels = story
        .get_namespace("shop")
        .await?
        .metadata
        .labels
        .unwrap_or_default();
    ensure!(pod_security_labels(&labels) == RESTRICTED, "{labels:?}");

    // It comes back, and the same process goes on.
    let manifests = format!("{}/../config/crd", env!("CARGO_MANIFEST_DIR"));
    lab.kubectl(&["apply", "--server-side", "-k", &manifests])
        .await?;
    lab.kubectl(&["wait", "--for=condition=Established", DEFINITION])
        .await?;
    eventually(PATIENCE, async || {
        story.policy("apps", "restricted", spec.clone()).await
    })
    .await?;
    story
        .sees_phase("apps", "shop", Phase::Enforced, Reason::AtTarget)
        .await?;
    story.namespace("later").await?;
    story.sees_labels("later", RESTRICTED).await?;
    ensure!(
        operator.process().exited().is_none(),
        "the operator has ended"
    );
    story.end().await?;
    operator.stop().await?;
    drop(operator);
    cluster.stop().await
}
