//! The cluster that the stories share, in which SeccompDefault is rolled out to one of two nodes, and
//! words for what is said of it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::{
    api::core::v1::{self as core, ContainerState, ContainerStatus, Pod},
    apimachinery::pkg::apis::meta::v1::Condition,
    jiff::Timestamp,
};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use podfence_crd::{
    ConditionType, NamespacePolicyStatus, NodeReport, NodeReportStatus, Reason, SeccompWorkload,
};
use podfence_e2e::{
    eventually,
    harness::Stage,
    lab::{Image, Lab, Node, compile_program},
    on_nodes::{PATIENCE, ends, first_container, is_running, needs_nodes, sees_on, spread},
    story::{Cluster, Operator, OperatorBuilder, Story},
};
use serde_json::{Value, json};
use tokio::sync::RwLock;

/// How an administrator says what a node's kubelet is set to, where no agent does.
pub(crate) const NODE_LABEL: &str = "podfence.test/seccomp-default";
/// How long a container must be ready to be well, here: ten minutes are no story.
pub(crate) const SETTLING: Duration = Duration::from_secs(5);
/// What is asked of a status is five seconds; the kubelet's clock is a second coarse, and the machine
/// may be very busy.
pub(crate) const LONGEST_REACTION: Duration = Duration::from_secs(15);
/// The profile of every policy: it labels next to nothing, and asks for no level.
const PROFILE: &str = "watched";

/// The images of the stories, by what `e2e/programs/calls.c` does in them.
const IMAGES: [(&str, [&str; 2]); 7] = [
    ("keyctl", ["keyctl", "needs"]),
    ("io_uring", ["io_uring", "needs"]),
    ("mount", ["mount", "needs"]),
    ("personality", ["personality", "needs"]),
    ("tolerant", ["keyctl", "tolerates"]),
    ("leader", ["keyctl", "leads"]),
    ("crashing", ["keyctl", "fails"]),
];

/// A cluster with one node that has `seccompDefault` and one that does not, and the operator.
pub(crate) struct Rollout {
    // INVARIANT: dropped before the cluster, so that it does not complain about a server that has
    // gone.
    operator: Operator,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) on: Arc<Node>,
    pub(crate) off: Arc<Node>,
    /// Read by stories in which something happens, written by one that wants rest.
    pub(crate) bustle: RwLock<()>,
}

impl Stage for Rollout {
    async fn build() -> anyhow::Result<Self> {
        needs_nodes()?;
        let cluster = Cluster::start_for_nodes().await?;
        let lab = cluster.lab();
        let (on, off) = lab.on_and_off().await?;
        import([&on, &off]).await?;
        say_setting(lab, on.name(), "true").await?;
        say_setting(lab, off.name(), "false").await?;
        let operator = start_operator(&cluster).await?;
        Ok(Self {
            operator,
            cluster,
            on,
            off,
            bustle: RwLock::default(),
        })
    }

    async fn strike(self) -> anyhow::Result<()> {
        self.operator.stop().await?;
        self.cluster.stop().await
    }
}

/// Makes the images of the stories known to both nodes.
pub(crate) async fn import([on, off]: [&Node; 2]) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let calls = compile_program("calls", folder.path())?;
    let user_namespace = compile_program("user_namespace", folder.path())?;
    let images =
        IMAGES.map(|(name, arguments)| Image::of_program(name, &calls).with_arguments(&arguments));
    let one_more = Image::of_program("user_namespace", user_namespace);
    for image in images.iter().chain([&one_more]) {
        tokio::try_join!(on.import(image), off.import(image))?;
    }
    Ok(())
}

/// Says on a Node what its kubelet is set to.
pub(crate) async fn say_setting(lab: &Lab, node: &str, setting: &str) -> anyhow::Result<()> {
    let nodes: Api<core::Node> = Api::all(lab.client());
    let label = Patch::Merge(json!({ "metadata": { "labels": { NODE_LABEL: setting } } }));
    let labelled = nodes.patch(node, &PatchParams::default(), &label).await;
    labelled.map(drop).with_context(|| format!("node {node:?}"))
}

/// An operator to start, which has no ten minutes.
pub(crate) async fn operator(cluster: &Cluster) -> anyhow::Result<OperatorBuilder> {
    let settling = format!("{}s", SETTLING.as_secs());
    let builder = cluster.operator().await?;
    Ok(builder.flag("seccomp-settling-time", &settling))
}

/// Starts an operator that is told of the label.
pub(crate) async fn start_operator(cluster: &Cluster) -> anyhow::Result<Operator> {
    let builder = operator(cluster).await?;
    builder
        .flag("seccomp-default-node-label", NODE_LABEL)
        .start()
        .await
}

/// Begins a story in which policies assess.
pub(crate) async fn begin(cluster: &Arc<Cluster>, name: &str) -> anyhow::Result<Story> {
    let story = cluster.story(name).await?;
    let modes = json!({ "audit": { "level": "privileged" } });
    story.profile(PROFILE, modes).await?;
    Ok(story)
}

impl Rollout {
    /// Begins a story in which policies assess.
    pub(crate) async fn story(&self, name: &str) -> anyhow::Result<Story> {
        begin(&self.cluster, name).await
    }

    /// Runs a Deployment with a pod on each node.
    pub(crate) async fn runs_on_both(
        &self,
        story: &Story,
        namespace: &str,
        app: &str,
        pod: &Value,
    ) -> anyhow::Result<()> {
        story
            .apply(spread(&story.full(namespace), app, 2, pod))
            .await
    }

    /// Waits until a Deployment crashes where SeccompDefault is on and runs where it is off, and
    /// returns these pods.
    pub(crate) async fn sees_it_fail(
        &self,
        story: &Story,
        namespace: &str,
        app: &str,
    ) -> anyhow::Result<[Pod; 2]> {
        let (lab, namespace) = (self.cluster.lab(), story.full(namespace));
        let (failing, healthy) = tokio::try_join!(
            sees_on(&self.on, lab, &namespace, app, crashes),
            sees_on(&self.off, lab, &namespace, app, is_running),
        )?;
        Ok([failing, healthy])
    }

    /// Waits until a Deployment runs on both nodes.
    pub(crate) async fn sees_it_run(
        &self,
        story: &Story,
        namespace: &str,
        app: &str,
    ) -> anyhow::Result<()> {
        let (lab, namespace) = (self.cluster.lab(), story.full(namespace));
        let (_, _) = tokio::try_join!(
            sees_on(&self.on, lab, &namespace, app, is_running),
            sees_on(&self.off, lab, &namespace, app, is_running),
        )?;
        Ok(())
    }

    /// Waits until the reports of both nodes are False and list a workload as failing.
    pub(crate) async fn reports_accuse(&self, namespace: &str, name: &str) -> anyhow::Result<()> {
        for node in [&self.on, &self.off] {
            sees_report(self.cluster.lab(), node.name(), |status| {
                let ready = ready(&status.conditions)?;
                let is = (ready.status.as_str(), ready.reason.as_str());
                ensure!(
                    is == ("False", Reason::WorkloadsFailing.as_str()),
                    "{ready:?}"
                );
                let found = listed(&status.worst, namespace, name);
                let found = found.with_context(|| format!("{name} is not in {status:?}"))?;
                ensure!(found.verdict.as_str() == "Failing", "{found:?}");
                ensure!(status.workloads.failing > 0, "{:?}", status.workloads);
                // Of several the worst are named, and this is one of many.
                let first = status.worst.first().context("nothing is listed")?;
                ensure!(ready.message.contains(&in_words(first)), "{ready:?}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

/// Creates a namespace, and a policy of the same name that selects nothing else.
pub(crate) async fn assess(story: &Story, namespace: &str) -> anyhow::Result<()> {
    story.namespace(namespace).await?;
    let own = json!({ "kubernetes.io/metadata.name": story.full(namespace) });
    let spec = json!({ "namespaceSelector": { "matchLabels": own } });
    story.policy(namespace, PROFILE, spec).await
}

/// A pod of one container from an image of the stories, with this security context.
pub(crate) fn pod(image: &str, security: &Value) -> Value {
    let image = format!("podfence.test/{image}:lab");
    json!({ "containers": [{ "name": "main", "image": image, "securityContext": security }] })
}

/// The pod, which is put on this node while it can be, and may run on the other.
pub(crate) fn preferring(node: &Node, mut pod: Value) -> Value {
    let there = json!([{
        "weight": 100,
        "preference": { "matchExpressions": [{
            "key": "kubernetes.io/hostname", "operator": "In", "values": [node.name()],
        }] },
    }]);
    pod["affinity"] =
        json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": there } });
    pod
}

/// What a policy must say in the end: its condition, and its counts of workloads that would fail,
/// are at risk, and are unknown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Says {
    pub(crate) ready: &'static str,
    pub(crate) reason: Reason,
    pub(crate) counts: [u32; 3],
}

/// A workload fails, and it is the only one.
pub(crate) const ONE_FAILS: Says = Says {
    ready: "False",
    reason: Reason::WorkloadsFailing,
    counts: [1, 0, 0],
};

/// A workload would fail, and it is the only one.
pub(crate) const ONE_WOULD_FAIL: Says = Says {
    ready: "False",
    reason: Reason::WorkloadsWouldFail,
    counts: [1, 0, 0],
};

/// A workload makes a call that it would lose, and it is the only one.
pub(crate) const ONE_AT_RISK: Says = Says {
    ready: "Unknown",
    reason: Reason::WorkloadsAtRisk,
    counts: [0, 1, 0],
};

/// There is nothing in the way of a switch.
pub(crate) const ALL_READY: Says = Says {
    ready: "True",
    reason: Reason::WorkloadsReady,
    counts: [0, 0, 0],
};

/// Too little is known of the only workload.
pub(crate) const ONE_UNKNOWN: Says = Says {
    ready: "Unknown",
    reason: Reason::InsufficientEvidence,
    counts: [0, 0, 1],
};

impl Says {
    fn is_said(self, status: &NamespacePolicyStatus) -> anyhow::Result<()> {
        let summary = &status.summary;
        let counts = [
            summary.workloads_would_fail,
            summary.workloads_at_risk,
            summary.workloads_unknown,
        ];
        let ready = ready(&status.conditions)?;
        let said = (ready.status.as_str(), ready.reason.as_str(), counts);
        let wanted = (self.ready, self.reason.as_str(), self.counts);
        ensure!(said == wanted, "{said:?}, want {wanted:?}: {status:?}");
        Ok(())
    }
}

/// Waits until a policy says so, and returns its status.
pub(crate) async fn sees_said(
    story: &Story,
    policy: &str,
    says: Says,
) -> anyhow::Result<NamespacePolicyStatus> {
    story
        .sees(policy, |status| {
            says.is_said(status)?;
            Ok(status.clone())
        })
        .await
}

/// Waits until what a report says of a node passes a check.
pub(crate) async fn sees_report<T>(
    lab: &Lab,
    node: &str,
    check: impl Fn(&NodeReportStatus) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let reports: Api<NodeReport> = Api::all(lab.client());
    eventually(PATIENCE, async || {
        let report = reports.get(node).await?;
        let status = report.status.context("there is no status")?;
        ensure!(
            Some(status.observed_generation) == report.metadata.generation,
            "generation {} is observed",
            status.observed_generation
        );
        check(&status)
    })
    .await
    .with_context(|| format!("the report of node {node:?}"))
}

/// The condition of this type.
pub(crate) fn condition(
    conditions: &[Condition],
    kind: ConditionType,
) -> anyhow::Result<&Condition> {
    let found = conditions.iter().find(|it| it.type_ == kind.as_str());
    found.with_context(|| format!("there is no {kind} in {conditions:?}"))
}

/// The condition `SeccompDefaultReady`.
pub(crate) fn ready(conditions: &[Condition]) -> anyhow::Result<&Condition> {
    condition(conditions, ConditionType::SeccompDefaultReady)
}

/// The entry of a workload.
pub(crate) fn listed<'a>(
    workloads: &'a [SeccompWorkload],
    namespace: &str,
    name: &str,
) -> Option<&'a SeccompWorkload> {
    workloads
        .iter()
        .find(|it| (it.namespace.as_str(), it.name.as_str()) == (namespace, name))
}

/// How a message names a workload.
pub(crate) fn in_words(workload: &SeccompWorkload) -> String {
    let SeccompWorkload {
        namespace,
        kind,
        name,
        ..
    } = workload;
    format!("{namespace}/{kind}/{name}")
}

/// It has ended twice: once may happen to every program.
pub(crate) fn crashes(container: &ContainerStatus) -> bool {
    ends(container) >= Some(2)
}

/// When it is decided that the one pod, as it was after its second end, fails where the other is well:
/// that end, or the moment in which the other has settled. Kubelets say both in whole seconds, cut
/// off, so this is up to a second early. On a busy machine the pod may be seen after its third end, and
/// then still says when the second one was.
pub(crate) fn decided(failing: &Pod, healthy: &Pod) -> anyhow::Result<Timestamp> {
    let container = first_container(failing).context("no container")?;
    let ended = match (ends(container), ended(container.state.as_ref())) {
        (Some(2), _) => last_end(container),
        (Some(3), Some(_)) => ended(container.last_state.as_ref()),
        _ => bail!("it was seen late: {container:?}"),
    };
    let conditions = healthy
        .status
        .as_ref()
        .and_then(|it| it.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    let ready = conditions.find(|it| it.type_ == "Ready" && it.status == "True");
    let ready = ready.and_then(|it| it.last_transition_time.as_ref());
    let settled = ready.context("it is not ready")?.0.checked_add(SETTLING)?;
    Ok(ended.context("it has not ended")?.max(settled))
}

/// When a container last ended.
pub(crate) fn last_end(container: &ContainerStatus) -> Option<Timestamp> {
    // Only the later of both is the present state.
    ended(container.state.as_ref()).or_else(|| ended(container.last_state.as_ref()))
}

fn ended(state: Option<&ContainerState>) -> Option<Timestamp> {
    let terminated = state?.terminated.as_ref()?;
    Some(terminated.finished_at.as_ref()?.0)
}
