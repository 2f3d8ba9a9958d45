//! What the operator writes when nothing changes: nothing, even though programs crash.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::jiff::Timestamp;
use podfence_e2e::{
    eventually,
    harness::Shared,
    lab::AuditEvent,
    story::{OPERATOR_USER, Story},
};
use serde_json::json;

use crate::rollout::{ONE_FAILS, Rollout, assess, pod, sees_said};

/// Long enough for two or three crashes of everything that crash-loops, and for the writes of all
/// who write now and then.
const REST: Duration = Duration::from_secs(20);
/// What the other stories left may still be going on: pods end, statuses follow.
const LONGEST_BUSTLE: Duration = Duration::from_secs(120);

pub(crate) async fn the_operator_writes_nothing_whatever_crashes(
    shared: Shared<Rollout>,
) -> anyhow::Result<()> {
    let rollout = shared.get().await?;
    let story = rollout.story("idle").await?;
    assess(&story, "shop").await?;
    let unsaid = pod("io_uring", &json!({}));
    rollout.runs_on_both(&story, "shop", "web", &unsaid).await?;
    rollout.sees_it_fail(&story, "shop", "web").await?;
    sees_said(&story, "shop", ONE_FAILS).await?;
    // When every other story is over.
    let rest = rollout.bustle.write().await;
    rests(&story).await?;
    drop(rest);
    story.end().await
}

/// Waits until the operator has written nothing for a while.
async fn rests(story: &Story) -> anyhow::Result<()> {
    let audit = story.cluster().lab().audit();
    let (mark, began) = (audit.mark().await?, Timestamp::now());
    let is_work = |event: &AuditEvent| {
        event.user.username == OPERATOR_USER && !event.is_dry_run() && !event.is_lease()
    };
    eventually(LONGEST_BUSTLE, async || {
        let events = audit.read_since(mark)?;
        let last = events.iter().rev().find(|event| is_work(event));
        let since = last.map_or(began, |event| event.stage_timestamp.0);
        let quiet = Timestamp::now().duration_since(since);
        ensure!(quiet >= REST.try_into()?, "written {quiet:?} ago: {last:?}");
        Ok(())
    })
    .await
}
