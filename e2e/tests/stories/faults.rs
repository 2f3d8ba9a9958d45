//! A bad network and a busy API server, through a proxy in between.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::ensure;
use podfence_crd::{ConditionType, Phase, Reason};
use podfence_e2e::{
    fault_proxy::{FaultProxy, Refusal},
    harness::Shared,
    story::{Cluster, OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, Operator, Passes, Running},
};
use serde_json::json;

const RESTRICTED: &str = "enforce=restricted:v1.34 audit=restricted:latest warn=restricted:latest";
const SEEN: &str = "audit=restricted:latest warn=restricted:latest";
/// A watch that is not there for a minute counts as lost.
const WATCH_PATIENCE: Duration = Duration::from_secs(60);

/// A cluster whose operator reaches the API server through a proxy.
async fn through_a_proxy() -> anyhow::Result<(Arc<Cluster>, FaultProxy, Operator)> {
    let cluster = Cluster::start().await?;
    let proxy = FaultProxy::start(cluster.lab()).await?;
    let (namespace, account) = (OPERATOR_NAMESPACE, OPERATOR_ACCOUNT);
    let kubeconfig = proxy
        .service_account_kubeconfig(cluster.lab(), namespace, account)
        .await?;
    let operator = cluster
        .operator()
        .await?
        .kubeconfig(&kubeconfig)
        .start()
        .await?;
    Ok((cluster, proxy, operator))
}

async fn end(cluster: Arc<Cluster>, proxy: FaultProxy, operator: Operator) -> anyhow::Result<()> {
    operator.stop().await?;
    drop((operator, proxy));
    cluster.stop().await
}

/// Whatever the operator has not heard of yet, the API server has: it is asked right before enforce
/// tightens.
pub(crate) async fn a_pod_that_no_watch_has_shown_holds_enforcement(
    _: Shared<Running>,
) -> anyhow::Result<()> {
    let (cluster, proxy, operator) = through_a_proxy().await?;
    let story = cluster.story("unheard").await?;
    story.restricted().await?;
    story.namespace("shop").await?;
    let held = proxy.hold_watches("pods");
    story.runs("shop", "web", Passes::Privileged).await?;
    story
        .policy("apps", "restricted", json!({ "rollout": { "soak": "0s" } }))
        .await?;
    story
        .sees_phase("apps", "shop", Phase::Held, Reason::AdmissionDisagrees)
        .await?;
    let message = story
        .sees_condition(
            "apps",
            ConditionType::Enforced,
            "False",
            Reason::AdmissionDisagrees,
        )
        .await?;
    ensure!(
        message.contains("web"),
        "the API server names the pod: {message}"
    );
    story.sees_labels("shop", SEEN).await?;

    drop(held);
    story
        .sees_phase("apps", "shop", Phase::Held, Reason::ViolatingWorkloads)
        .await?;
    story.deletes_in("shop", "Pod", "web").await?;
    story.sees_labels("shop", RESTRICTED).await?;
    story.end().await?;
    end(cluster, proxy, operator).await
}

pub(crate) async fn forgotten_watches_refused_writes_and_cut_connections_pass(
    _: Shared<Running>,
) -> anyhow::Result<()> {
    let (cluster, proxy, operator) = through_a_proxy().await?;
    let story = cluster.story("weather").await?;
    story.restricted().await?;
    story
        .policy(
            "apps",
            "restricted",
            json!({ "rollout": { "strategy": "Immediate" } }),
        )
        .await?;

    // Too many requests, with a time to wait.
    let busy = Refusal {
        retry_after_seconds: Some(1),
        times: 3,
        ..Refusal::new(429, "TooManyRequests")
    };
    proxy.refuse(busy, |request| {
        request.resource == "namespaces" && request.is_write()
    });
    story.namespace("busy").await?;
    story.sees_labels("busy", RESTRICTED).await?;

    // The server has forgotten the version that the watches are at, in the middle of everything.
    for resource in [
        "namespaces",
        "pods",
        "namespacepolicies",
        "policyprofiles",
        "deployments",
    ] {
        proxy.expire_watches(resource);
    }
    story.namespace("forgotten").await?;
    story.sees_labels("forgotten", RESTRICTED).await?;

    proxy.cut_connections();
    story.namespace("cut").await?;
    story.sees_labels("cut", RESTRICTED).await?;

    // A write that was refused for no good reason is tried again.
    let broken = Refusal {
        times: 2,
        ..Refusal::new(500, "InternalError")
    };
    proxy.refuse(broken, |request| {
        request.resource == "namespaces" && request.is_write()
    });
    story.namespace("broken").await?;
    story.sees_labels("broken", RESTRICTED).await?;
    story
        .sees("apps", |status| {
            ensure!(
                status.summary.namespaces_enforced == 4,
                "{:?}",
                status.summary
            );
            Ok(())
        })
        .await?;
    story
        .sees_condition("apps", ConditionType::Ready, "True", Reason::Succeeded)
        .await?;
    story.end().await?;
    end(cluster, proxy, operator).await
}

/// What is not seen for a minute is Unknown: it tightens nothing, takes nothing back, and is said.
pub(crate) async fn a_watch_that_is_lost_tightens_nothing_until_it_is_back(
    _: Shared<Running>,
) -> anyhow::Result<()> {
    let (cluster, proxy, operator) = through_a_proxy().await?;
    let story = cluster.story("blind").await?;
    story.restricted().await?;
    story.namespace("before").await?;
    story
        .policy("apps", "restricted", json!({ "rollout": { "soak": "0s" } }))
        .await?;
    story.sees_labels("before", RESTRICTED).await?;

    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let refusal = Refusal {
        times: usize::MAX,
        ..Refusal::new(503, "ServiceUnavailable")
    };
    proxy.refuse(refusal, move |request| {
        request.resource == "pods" && is_down.load(Ordering::Relaxed)
    });
    proxy.cut_connections();
    // As long as this takes, a story waits for nothing else.
    tokio::time::sleep(WATCH_PATIENCE).await;
    let message = story
        .sees_condition(
            "apps",
            ConditionType::ReportComplete,
            "False",
            Reason::WatchLost,
        )
        .await?;
    ensure!(message.contains("pods"), "{message}");
    story.namespace("during").await?;
    story.sees_labels("during", SEEN).await?;
    story
        .sees_phase("apps", "during", Phase::Unknown, Reason::WatchLost)
        .await?;
    story.sees_labels("before", RESTRICTED).await?;

    down.store(false, Ordering::Relaxed);
    story.sees_labels("during", RESTRICTED).await?;
    story
        .sees_condition(
            "apps",
            ConditionType::ReportComplete,
            "True",
            Reason::Complete,
        )
        .await?;
    story.end().await?;
    end(cluster, proxy, operator).await
}
