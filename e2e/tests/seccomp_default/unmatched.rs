//! Workloads that no policy speaks of run on nodes all the same.

use anyhow::ensure;
use kube::{Api, ResourceExt as _, api::ListParams};
use podfence_crd::NamespacePolicy;
use podfence_e2e::harness::Shared;
use serde_json::json;

use crate::rollout::{Rollout, pod};

pub(crate) async fn workloads_count_for_the_nodes_alone(
    shared: Shared<Rollout>,
) -> anyhow::Result<()> {
    let rollout = shared.get().await?;
    let _bustle = rollout.bustle.read().await;
    let story = rollout.story("unmatched").await?;
    story.namespace("shop").await?;
    let unsaid = pod("personality", &json!({}));
    rollout.runs_on_both(&story, "shop", "web", &unsaid).await?;
    rollout.sees_it_fail(&story, "shop", "web").await?;
    let namespace = story.full("shop");
    rollout.reports_accuse(&namespace, "web").await?;

    let policies: Api<NamespacePolicy> = Api::all(story.client());
    for policy in policies.list(&ListParams::default()).await? {
        let status = serde_json::to_string(&policy.status)?;
        ensure!(
            !status.contains(&namespace),
            "{} speaks of it: {status}",
            policy.name_any()
        );
    }
    story.end().await
}
