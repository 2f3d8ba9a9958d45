//! Workloads that make a denied call, or crash, and are not broken by SeccompDefault.

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use podfence_e2e::{
    harness::Shared,
    on_nodes::{ends, sees_on},
    story::Story,
};
use serde_json::{Value, json};

use crate::rollout::{ALL_READY, ONE_UNKNOWN, Rollout, Says, assess, pod, sees_said};

/// So many ends are one more than it takes to fail.
const ENDS: i32 = 3;

struct Exception {
    /// Names its Deployment, its namespace and its policy.
    name: &'static str,
    image: &'static str,
    security: Value,
    /// Whether it crashes, and does so on both nodes.
    crashes: bool,
    says: Says,
}

fn exceptions() -> [Exception; 5] {
    let new = |name, image, security, crashes, says| Exception {
        name,
        image,
        security,
        crashes,
        says,
    };
    let profile = |kind: &str| json!({ "seccompProfile": { "type": kind } });
    [
        // Passing.
        new("tolerant", "tolerant", json!({}), false, ALL_READY),
        // Not affected: the switch changes nothing for them.
        new(
            "privileged",
            "keyctl",
            json!({ "privileged": true }),
            false,
            ALL_READY,
        ),
        new(
            "unconfined",
            "keyctl",
            profile("Unconfined"),
            false,
            ALL_READY,
        ),
        // It fails for its profile, and for that on every node, switched or not.
        new(
            "confined",
            "keyctl",
            profile("RuntimeDefault"),
            true,
            ALL_READY,
        ),
        // What fails on both sides is no failure of seccomp, and nothing is known of what it is.
        new("crashing", "crashing", json!({}), true, ONE_UNKNOWN),
    ]
}

pub(crate) async fn that_are_well_or_have_another_cause_are_not_accused(
    shared: Shared<Rollout>,
) -> anyhow::Result<()> {
    let rollout = shared.get().await?;
    let _bustle = rollout.bustle.read().await;
    let story = rollout.story("exceptions").await?;
    let exceptions = exceptions();
    let told = exceptions.iter().map(async |exception| {
        is_not_accused(&rollout, &story, exception)
            .await
            .with_context(|| exception.name)
    });
    try_join_all(told).await?;
    story.end().await
}

async fn is_not_accused(
    rollout: &Rollout,
    story: &Story,
    exception: &Exception,
) -> anyhow::Result<()> {
    let name = exception.name;
    assess(story, name).await?;
    let pod = pod(exception.image, &exception.security);
    rollout.runs_on_both(story, name, name, &pod).await?;
    if exception.crashes {
        for node in [&rollout.on, &rollout.off] {
            let lab = rollout.cluster.lab();
            let namespace = story.full(name);
            let pod = sees_on(node, lab, &namespace, name, |container| {
                ends(container) >= Some(ENDS)
            });
            pod.await?;
        }
    } else {
        rollout.sees_it_run(story, name, name).await?;
    }
    let status = sees_said(story, name, exception.says).await?;
    let assessed = status.seccomp_default.context("nothing is assessed")?;
    ensure!(assessed.workloads.is_empty(), "{assessed:?}");
    // Nor was it for a moment.
    let versions = story.cluster().history();
    for version in versions.of("NamespacePolicy", &story.full(name)) {
        let summary = &version.object["status"]["summary"];
        let accused = summary["workloadsWouldFail"].as_u64().unwrap_or_default();
        ensure!(accused == 0, "it was accused: {}", version.object);
    }
    Ok(())
}
