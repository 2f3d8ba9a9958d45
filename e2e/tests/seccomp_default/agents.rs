//! Nodes with their agents: what a switch has not reached yet, and what is said when an agent is gone.
//!
//! A lab of their own, for its nodes are switched.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use k8s_openapi::{
    api::{apps::v1::DaemonSet, core::v1::Pod},
    jiff::Timestamp,
};
use kube::{Api, ResourceExt as _, api::DeleteParams};
use podfence_crd::{ConditionType, NodeCounts, NodeReportStatus, Reason, Setting};
use podfence_e2e::{
    harness::Shared,
    lab::Node,
    on_nodes::{deployment, first_container, is_running, needs_nodes, sees_on},
    story::{AGENT_NAME, AGENT_NAMESPACE, Agents, Cluster, Operator, Story},
};

use crate::rollout::{
    LONGEST_REACTION, ONE_FAILS, Rollout, SETTLING, Says, assess, begin, condition, crashes,
    import, listed, operator, ready, sees_report, sees_said,
};

/// Long enough for everything that runs to be taken for well, if it could be.
const RUNNING_ON: Duration = Duration::from_secs(3 * SETTLING.as_secs());
/// What a report says of containers that a switch has not reached.
const BEFORE: &str = "older than the last change of seccompDefault";

/// A Deployment that needs a denied call, and one that does without; both on one node.
const APPS: [&str; 2] = ["keyctl", "tolerant"];

/// A cluster whose nodes say by their agents what they are set to.
pub(crate) struct Watched {
    // INVARIANT: dropped before the cluster, so that it does not complain about a server that has
    // gone.
    operator: Operator,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) on: Arc<Node>,
    pub(crate) off: Arc<Node>,
}

impl Watched {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        needs_nodes()?;
        let cluster = Cluster::start_for_nodes().await?;
        let lab = cluster.lab();
        let (on, off) = lab.on_and_off().await?;
        import([&on, &off]).await?;
        let operator = operator(&cluster).await?.start().await?;
        Agents::install(lab, &[&on, &off], &[]).await?;
        Ok(Self {
            operator,
            cluster,
            on,
            off,
        })
    }

    /// Waits until what a report says of a node passes a check.
    pub(crate) async fn says(
        &self,
        node: &Node,
        check: impl Fn(&NodeReportStatus) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        sees_report(self.cluster.lab(), node.name(), check).await
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.operator.stop().await?;
        drop(self.operator);
        self.cluster.stop().await
    }
}

pub(crate) async fn that_are_gone_and_switches_that_reached_no_container_are_said(
    _: Shared<Rollout>,
) -> anyhow::Result<()> {
    let watched = Watched::start().await?;
    let story = begin(&watched.cluster, "switch").await?;
    for (node, setting) in [
        (&watched.on, Setting::Enabled),
        (&watched.off, Setting::Disabled),
    ] {
        // Nothing but the agent can land there, which chooses its profile.
        is_ready(&watched, node, setting).await?;
    }
    loses_its_agent(&watched, &watched.on).await?;
    runs_on_after_a_switch(&watched, &story, &watched.off).await?;
    was_ready_with_its_agent_alone(&watched, &watched.on)?;
    story.end().await?;
    watched.stop().await
}

async fn is_ready(watched: &Watched, node: &Node, setting: Setting) -> anyhow::Result<()> {
    let is_so = watched.says(node, |status| {
        let ready = ready(&status.conditions)?;
        ensure!(ready.status == "True", "{ready:?}");
        let complete = condition(&status.conditions, ConditionType::ReportComplete)?;
        ensure!(complete.status == "True", "{complete:?}");
        ensure!(status.seccomp_default == setting, "{status:?}");
        Ok(())
    });
    is_so.await
}

/// Deletes the agent of a node for good: nobody can say any more what the node is set to.
async fn loses_its_agent(watched: &Watched, node: &Node) -> anyhow::Result<()> {
    let agents: Api<DaemonSet> = Api::namespaced(watched.cluster.lab().client(), AGENT_NAMESPACE);
    let name = format!("{AGENT_NAME}-{}", node.name());
    let deleted = Timestamp::now();
    agents.delete(&name, &DeleteParams::default()).await?;
    watched
        .says(node, |status| {
            let ready = ready(&status.conditions)?;
            let is = (ready.status.as_str(), ready.reason.as_str());
            let missing = Reason::AgentMissing.as_str();
            ensure!(is == ("Unknown", missing), "{ready:?}");
            let complete = condition(&status.conditions, ConditionType::ReportComplete)?;
            let is = (complete.status.as_str(), complete.reason.as_str());
            ensure!(is == ("False", missing), "{complete:?}");
            ensure!(status.seccomp_default == Setting::Unknown, "{status:?}");
            Ok(())
        })
        .await?;
    let reaction = Timestamp::now().duration_since(deleted).as_secs_f64();
    eprintln!("a node without its agent: said after {reaction:.1} s");
    ensure!(reaction < LONGEST_REACTION.as_secs_f64());
    Ok(())
}

/// It was ready from the moment on in which its agent had reported, and not after that had gone.
fn was_ready_with_its_agent_alone(watched: &Watched, node: &Node) -> anyhow::Result<()> {
    let mut said = Vec::new();
    for version in watched.cluster.history().of("NodeReport", node.name()) {
        let conditions = version.object["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        let ready = conditions.find(|it| it["type"] == "SeccompDefaultReady");
        said.extend(ready.and_then(|ready| Some(ready["status"].as_str()?.to_owned())));
    }
    said.dedup();
    ensure!(said == ["Unknown", "True", "Unknown"], "{said:?}");
    Ok(())
}

/// A node is switched: what runs goes on as before, and what is started anew does not.
async fn runs_on_after_a_switch(
    watched: &Watched,
    story: &Story,
    node: &Node,
) -> anyhow::Result<()> {
    let nobody_knows = Says {
        ready: "Unknown",
        reason: Reason::InsufficientEvidence,
        counts: [0, 0, 2],
    };
    let (lab, namespace) = (watched.cluster.lab(), story.full("web"));
    assess(story, "web").await?;
    for app in APPS {
        let image = format!("podfence.test/{app}:lab");
        story
            .apply(deployment(&namespace, app, node.name(), &image))
            .await?;
    }
    let mut before = Vec::new();
    for app in APPS {
        before.push(sees_on(node, lab, &namespace, app, is_running).await?);
    }
    sees_said(story, "web", nobody_knows).await?;

    node.set_seccomp_default(true).await?;
    let switched = |status: &NodeReportStatus, left: u32| {
        ensure!(status.seccomp_default == Setting::Enabled, "{status:?}");
        ensure!(status.containers_before_switch == left, "{status:?}");
        let message = &ready(&status.conditions)?.message;
        ensure!(message.contains(BEFORE) == (left > 0), "{message}");
        Ok(())
    };
    watched
        .says(node, |status| {
            switched(status, 2)?;
            // Both run well, but not under the profile.
            ensure!(status.workloads.unknown == 2, "{status:?}");
            Ok(())
        })
        .await?;
    // Not a condition: that nothing happens takes as long as it is watched.
    tokio::time::sleep(RUNNING_ON).await;
    let status = sees_said(story, "web", nobody_knows).await?;
    let nodes = status.seccomp_default.context("nothing is assessed")?.nodes;
    let expected = NodeCounts {
        enabled: 1,
        disabled: 0,
        unknown: 1,
    };
    ensure!(nodes == expected, "{nodes:?}");
    for (app, pod) in APPS.into_iter().zip(&before) {
        still_runs(&sees_on(node, lab, &namespace, app, is_running).await?, pod)?;
    }
    never_passed(watched, node)?;

    let pods: Api<Pod> = Api::namespaced(story.client(), &namespace);
    for pod in &before {
        pods.delete(&pod.name_any(), &DeleteParams::default())
            .await?;
    }
    sees_on(node, lab, &namespace, "keyctl", crashes).await?;
    let status = sees_said(story, "web", ONE_FAILS).await?;
    let assessed = status.seccomp_default.context("nothing is assessed")?;
    let entry = listed(&assessed.workloads, &namespace, "keyctl");
    let entry = entry.with_context(|| format!("{assessed:?}"))?;
    ensure!(entry.verdict.as_str() == "Failing", "{entry:?}");
    // It was well in the same place.
    let places = [&entry.failing_on, &entry.healthy_on];
    ensure!(
        places.iter().all(|place| **place == [node.name()]),
        "{entry:?}"
    );
    watched
        .says(node, |status| {
            switched(status, 0)?;
            let counts = (status.workloads.failing, status.workloads.passing);
            ensure!(counts == (1, 1), "{status:?}");
            Ok(())
        })
        .await
}

/// It is the same container.
fn still_runs(now: &Pod, before: &Pod) -> anyhow::Result<()> {
    let id = |pod| first_container(pod).and_then(|container| container.container_id.clone());
    ensure!(id(now) == id(before), "{now:?}");
    Ok(())
}

/// Nothing was taken for well under the profile on a node, ever.
fn never_passed(watched: &Watched, node: &Node) -> anyhow::Result<()> {
    let history = watched.cluster.history();
    for version in history.of("NodeReport", node.name()) {
        let passing = version.object["status"]["workloads"]["passing"].as_u64();
        ensure!(passing.unwrap_or_default() == 0, "{}", version.object);
    }
    Ok(())
}
