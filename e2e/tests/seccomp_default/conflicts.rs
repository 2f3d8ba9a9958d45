//! A workload that fails and is well under the same profile.

use anyhow::{Context as _, ensure};
use podfence_e2e::{
    harness::Shared,
    on_nodes::{is_running, sees_on, spread},
};
use serde_json::json;

use crate::rollout::{ONE_FAILS, Rollout, assess, crashes, listed, pod, sees_said};

/// Of the pods on each node the first to come leads, and only the leader makes the call.
const REPLICAS: u32 = 4;

pub(crate) async fn between_two_pods_of_one_node_are_shown(
    shared: Shared<Rollout>,
) -> anyhow::Result<()> {
    let rollout = shared.get().await?;
    let _bustle = rollout.bustle.read().await;
    let story = rollout.story("conflicts").await?;
    let name = "leader";
    assess(&story, name).await?;
    let mut pod = pod("leader", &json!({}));
    pod["containers"][0]["volumeMounts"] = json!([{ "name": "shared", "mountPath": "/shared" }]);
    // Of the node's own, and made with it.
    let folder = json!({ "path": "/var/lib/leader", "type": "DirectoryOrCreate" });
    pod["volumes"] = json!([{ "name": "shared", "hostPath": folder }]);
    let namespace = story.full(name);
    story
        .apply(spread(&namespace, name, REPLICAS, &pod))
        .await?;
    let lab = rollout.cluster.lab();
    tokio::try_join!(
        sees_on(&rollout.on, lab, &namespace, name, crashes),
        sees_on(&rollout.on, lab, &namespace, name, is_running),
        sees_on(&rollout.off, lab, &namespace, name, is_running),
    )?;

    let entry = story
        .sees(name, |status| {
            let assessed = status.seccomp_default.as_ref();
            let workloads = assessed.map(|it| &*it.workloads).unwrap_or_default();
            let entry = listed(workloads, &namespace, name);
            let entry = entry.with_context(|| format!("{status:?}"))?;
            ensure!(entry.verdict.as_str() == "Conflicting", "{entry:?}");
            Ok(entry.clone())
        })
        .await?;
    let on = [rollout.on.name()];
    ensure!(
        entry.failing_on == on && entry.healthy_on == on,
        "{entry:?}"
    );
    let basis = entry.basis.map(podfence_seccomp::Basis::as_str);
    ensure!(basis == Some("Inferred"), "{entry:?}");
    // It does fail, and counts as what does.
    sees_said(&story, name, ONE_FAILS).await?;
    story.end().await
}
