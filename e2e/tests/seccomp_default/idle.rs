//! What the operator writes when nothing changes: nothing, even though programs crash.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::jiff::Timestamp;
use podfence_e2e::{
    eventually,
    harness::Shared,
    lab::AuditEvent,
    on_nodes::{first_container, sees_on},
    story::{OPERATOR_USER, Story},
};
use serde_json::json;

use crate::rollout::{ONE_FAILS, Rollout, assess, last_end, pod, sees_said};

/// Longer than anything waits that is done now and then: statuses, and looks at what time changes.
const REST: Duration = Duration::from_secs(20);
/// By then a crash would have been answered.
const SOON: Duration = Duration::from_secs(5);
/// What the other stories left may still be going on: pods end, statuses follow. And the pauses
/// between crashes become longer.
const LONGEST_BUSTLE: Duration = Duration::from_secs(150);

pub(crate) async fn the_operator_writes_nothing_whatever_crashes(
    shared: Shared<Rollout>,
) -> anyhow::Result<()> {
    let rollout = shared.get().await?;
    let story = rollout.story("idle").await?;
    // Whoever has not begun by then waits for the end of this story.
    runs_and_fails(&rollout, &story, "early").await?;
    let rest = rollout.bustle.write().await;
    // Only one that has just begun to crash does so again soon.
    runs_and_fails(&rollout, &story, "late").await?;
    rests(&rollout, &story).await?;
    drop(rest);
    story.end().await
}

/// Runs a program in a namespace of its own, and waits until it is said to fail.
async fn runs_and_fails(rollout: &Rollout, story: &Story, namespace: &str) -> anyhow::Result<()> {
    assess(story, namespace).await?;
    let unsaid = pod("io_uring", &json!({}));
    rollout
        .runs_on_both(story, namespace, "web", &unsaid)
        .await?;
    sees_said(story, namespace, ONE_FAILS).await.map(drop)
}

/// Waits until the operator has written nothing for a while in which the program crashed once more.
async fn rests(rollout: &Rollout, story: &Story) -> anyhow::Result<()> {
    let lab = rollout.cluster.lab();
    let (mark, began) = (lab.audit().mark().await?, Timestamp::now());
    let is_work = |event: &AuditEvent| {
        event.user.username == OPERATOR_USER && !event.is_dry_run() && !event.is_lease()
    };
    let namespace = story.full("late");
    eventually(LONGEST_BUSTLE, async || {
        let pod = sees_on(&rollout.on, lab, &namespace, "web", |container| {
            last_end(container).is_some()
        });
        let crashed = first_container(&pod.await?).and_then(last_end);
        let crashed = crashed.context("it has not ended")?;
        let events = lab.audit().read_since(mark)?;
        let last = events.iter().rev().find(|event| is_work(event));
        let since = last.map_or(began, |event| event.stage_timestamp.0);
        let now = Timestamp::now();
        let quiet = now.duration_since(since);
        ensure!(quiet >= REST.try_into()?, "written {quiet:?} ago: {last:?}");
        let ago = now.duration_since(crashed);
        ensure!(crashed > since, "it crashed {ago:?} ago, before: {last:?}");
        ensure!(ago >= SOON.try_into()?, "it crashed {ago:?} ago");
        Ok(())
    })
    .await
}
