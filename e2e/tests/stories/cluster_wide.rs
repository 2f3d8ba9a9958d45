//! A policy for the whole cluster, and namespaces that the API server itself leaves alone.

use anyhow::ensure;
use podfence_crd::{ConditionType, Phase, Reason};
use podfence_e2e::{
    harness::Shared,
    lab::{Lab, PodSecurityConfiguration},
    story::{Cluster, OPERATOR_NAMESPACE, Running, pod_security_labels},
};
use serde_json::json;

/// The namespaces that make a cluster a cluster; a mistake there is a mistake everywhere.
const SYSTEM: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

pub(crate) async fn system_namespaces_stay_out_unless_asked_for(
    _: Shared<Running>,
) -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let operator = cluster.operator().await?.start().await?;
    let story = cluster.story("everything").await?;
    story
        .profile("baseline", json!({ "warn": { "level": "baseline" } }))
        .await?;
    let spec = json!({ "namespaceSelector": {}, "rollout": { "strategy": "Immediate" } });
    story.policy("all", "baseline", spec).await?;
    story
        .sees("all", |status| {
            let names: Vec<_> = status
                .namespaces
                .iter()
                .map(|it| it.name.as_str())
                .collect();
            ensure!(names == ["default"], "{names:?}");
            ensure!(
                status.summary.namespaces_enforced == 1,
                "{:?}",
                status.summary
            );
            Ok(())
        })
        .await?;

    let spec = json!({
        "namespaceSelector": {},
        "includeSystemNamespaces": true,
        "excludedNamespaces": ["kube-public"],
        "rollout": { "strategy": "Immediate" },
    });
    story.policy("all", "baseline", spec).await?;
    story
        .sees("all", |status| {
            let mut names: Vec<_> = status
                .namespaces
                .iter()
                .map(|it| it.name.as_str())
                .collect();
            names.sort_unstable();
            ensure!(
                names
                    == [
                        "default",
                        "kube-node-lease",
                        "kube-system",
                        OPERATOR_NAMESPACE
                    ],
                "{names:?}"
            );
            // Podfence's own namespace is labelled by its manifest, and the policy yields to that.
            ensure!(
                status.summary.namespaces_enforced == 3,
                "{:?}",
                status.summary
            );
            ensure!(
                status.summary.namespaces_conflicting == 1,
                "{:?}",
                status.summary
            );
            Ok(())
        })
        .await?;
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> =
        kube::Api::all(cluster.lab().client());
    for name in SYSTEM {
        let labels = namespaces
            .get(name)
            .await?
            .metadata
            .labels
            .unwrap_or_default();
        let want = if name == "kube-public" {
            ""
        } else {
            "warn=baseline:latest"
        };
        ensure!(pod_security_labels(&labels) == want, "{name}: {labels:?}");
    }
    story.end().await?;
    operator.stop().await?;
    drop(operator);
    cluster.stop().await
}

/// Labels have no effect there, so nobody may believe that they are enforced.
pub(crate) async fn an_exempt_namespace_is_labelled_and_not_called_enforced(
    _: Shared<Running>,
) -> anyhow::Result<()> {
    let mut configuration = PodSecurityConfiguration::default();
    configuration.exemptions.namespaces = vec!["exempt-ci".to_owned()];
    let cluster = Cluster::start_with(Lab::builder().pod_security(configuration)).await?;
    let operator = cluster.operator().await?.start().await?;
    let story = cluster.story("exempt").await?;
    story.restricted().await?;
    story.namespace("ci").await?;
    story.namespace("shop").await?;
    story
        .policy("apps", "restricted", json!({ "rollout": { "soak": "0s" } }))
        .await?;
    let restricted = "enforce=restricted:v1.34 audit=restricted:latest warn=restricted:latest";
    story.sees_labels("ci", restricted).await?;
    story.sees_labels("shop", restricted).await?;
    story
        .sees_phase("apps", "ci", Phase::Exempt, Reason::Exempt)
        .await?;
    story
        .sees_phase("apps", "shop", Phase::Enforced, Reason::AtTarget)
        .await?;
    story
        .sees_condition("apps", ConditionType::Enforced, "False", Reason::Exempt)
        .await?;
    story
        .sees("apps", |status| {
            let summary = status.summary;
            let counts = (
                summary.namespaces_matched,
                summary.namespaces_enforced,
                summary.namespaces_held,
            );
            ensure!(counts == (2, 1, 1), "{summary:?}");
            Ok(())
        })
        .await?;
    story.end().await?;
    operator.stop().await?;
    drop(operator);
    cluster.stop().await
}
