//! Two operators: one works, the other waits, and one that overslept does no harm.

use anyhow::ensure;
use podfence_crd::{Phase, Reason};
use podfence_e2e::{
    eventually,
    harness::Shared,
    story::{Cluster, Operator, PATIENCE, Running},
};
use serde_json::json;

const RESTRICTED: &str = "enforce=restricted:v1.34 audit=restricted:latest warn=restricted:latest";

pub(crate) async fn one_leads_and_the_other_takes_over(_: Shared<Running>) -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let first = cluster.operator().await?.short_lease().start().await?;
    let second = cluster
        .operator()
        .await?
        .short_lease()
        .start_waiting()
        .await?;
    let story = cluster.story("leaders").await?;
    story.restricted().await?;
    story
        .policy(
            "apps",
            "restricted",
            json!({ "rollout": { "strategy": "Immediate" } }),
        )
        .await?;
    let mut expected = Vec::new();
    for name in ["one", "two", "three"] {
        story.namespace(name).await?;
        story.sees_labels(name, RESTRICTED).await?;
        expected.push(story.full(name));
    }
    first.leads().await?;
    says_whether_it_leads(&first, true).await?;
    says_whether_it_leads(&second, false).await?;

    first.kill();
    story.namespace("four").await?;
    second.leads().await?;
    story.sees_labels("four", RESTRICTED).await?;
    says_whether_it_leads(&second, true).await?;
    expected.push(story.full("four"));

    // A third one takes over as soon as the second has gone in order, for it gives the Lease back.
    let third = cluster
        .operator()
        .await?
        .flag("lease-retry-period", "250ms")
        .start_waiting()
        .await?;
    second.stop().await?;
    third.leads().await?;
    story.namespace("five").await?;
    story.sees_labels("five", RESTRICTED).await?;
    expected.push(story.full("five"));
    story
        .sees("apps", |status| {
            ensure!(
                status.summary.namespaces_enforced == 5,
                "{:?}",
                status.summary
            );
            Ok(())
        })
        .await?;

    // Two that wrote at once would have written twice, or run into each other.
    let requests = story.requests().await?;
    let writes: Vec<_> = requests
        .iter()
        .filter(|event| !event.is_dry_run())
        .collect();
    let names: Vec<_> = writes
        .iter()
        .map(|event| event.object_ref.name.clone())
        .collect();
    ensure!(names == expected, "{names:?}");
    ensure!(writes.iter().all(|event| event.succeeded()), "{writes:#?}");
    story.end().await?;
    third.stop().await?;
    drop((first, second, third));
    cluster.stop().await
}

/// Whoever waits is as ready as who leads, or a rolling update would wait for ever.
async fn says_whether_it_leads(operator: &Operator, leads: bool) -> anyhow::Result<()> {
    eventually(PATIENCE, async || operator.serves("/readyz").await).await?;
    operator.serves("/healthz").await?;
    let metrics = operator.serves("/metrics").await?;
    let want = format!("podfence_leader_election_master_status {}", u8::from(leads));
    ensure!(metrics.lines().any(|line| line == want), "{metrics}");
    Ok(())
}

/// It wakes up with an old view of the world, in which the level is lower, and believes that it
/// still leads.
pub(crate) async fn a_paused_leader_that_wakes_lowers_nothing(
    _: Shared<Running>,
) -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let old = cluster.operator().await?.short_lease().start().await?;
    let new = cluster
        .operator()
        .await?
        .short_lease()
        .start_waiting()
        .await?;
    let story = cluster.story("paused").await?;
    let enforce = |level: &str| json!({ "enforce": { "level": level, "version": "v1.34" } });
    story.profile("apps", enforce("baseline")).await?;
    for name in ["one", "two", "three"] {
        story.namespace(name).await?;
    }
    story
        .policy(
            "apps",
            "apps",
            json!({ "rollout": { "strategy": "Immediate" } }),
        )
        .await?;
    for name in ["one", "two", "three"] {
        story.sees_labels(name, "enforce=baseline:v1.34").await?;
        story
            .sees_phase("apps", name, Phase::Enforced, Reason::AtTarget)
            .await?;
    }
    old.leads().await?;

    old.pause();
    story.profile("apps", enforce("restricted")).await?;
    new.leads().await?;
    for name in ["one", "two", "three"] {
        story.sees_labels(name, "enforce=restricted:v1.34").await?;
    }
    // Something to do for whoever wakes up and thinks that the level should be baseline.
    story
        .labels_by_hand("two", "pod-security.kubernetes.io/enforce", None)
        .await?;
    old.resume();
    let ended = old.ended().await?;
    ensure!(
        !ended.success(),
        "a leader that lost its Lease ended with {ended}"
    );
    story.sees_labels("two", "enforce=restricted:v1.34").await?;
    for name in ["one", "two", "three"] {
        story.sees_labels(name, "enforce=restricted:v1.34").await?;
        story
            .sees_phase("apps", name, Phase::Enforced, Reason::AtTarget)
            .await?;
    }
    new.leads().await?;
    story.end().await?;
    new.stop().await?;
    drop((old, new));
    cluster.stop().await
}
