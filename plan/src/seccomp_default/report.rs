//! What policies and reports of nodes say of SeccompDefault. No I/O.

use k8s_openapi::jiff::Timestamp;
use podfence_crd::{
    ConditionType, MAX_REPORT_WORKLOADS, MAX_STATUS_WORKLOADS, NodeReportStatus, Reason,
    SeccompDefaultStatus, SeccompWorkload, Setting, Summary,
};

use super::admission::Levels;
use super::assessment::Assessment;
use super::findings::{Findings, Said, Telling, profiles};
use super::node::KnownNode;
use super::nodes::Nodes;
use crate::conditions::{Finding, Is, list, stamp};
use crate::servers::{Servers, Unseen};
use crate::verdict::describe_all;

/// What the list of workloads of a policy may take, serialised: with the namespaces and nine
/// messages the whole stays below 64 KiB.
const WORKLOADS_BYTES: usize = 20 * 1024;

/// The same for a node's report, which has no namespaces.
const REPORT_BYTES: usize = 40 * 1024;

/// Everything that is said of SeccompDefault beside a policy's own labels.
#[derive(Clone, Copy)]
pub struct SeccompView<'a> {
    /// The nodes.
    pub nodes: &'a Nodes,
    /// Every namespace with its workloads, in any order: for a policy those that it won.
    pub namespaces: &'a [(&'a str, &'a Assessment)],
    /// How many workloads fail, or would, in namespaces that no policy wins.
    pub outside: u32,
    /// The Pod Security of a namespace, by which fixes are chosen.
    pub levels: &'a dyn Fn(&str) -> Levels,
    /// The API servers in use.
    pub servers: Option<Servers>,
    /// What of nodes and records cannot be seen.
    pub unseen: &'a [Unseen],
}

impl std::fmt::Debug for SeccompView<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SeccompView")
            .field("namespaces", &self.namespaces.len())
            .finish_non_exhaustive()
    }
}

/// What a policy's status says of SeccompDefault.
#[derive(Default)]
pub(crate) struct PolicyPart {
    /// None where it is not assessed.
    pub(crate) status: Option<SeccompDefaultStatus>,
    pub(crate) omitted: u32,
    pub(crate) conditions: Vec<Finding>,
}

impl SeccompView<'_> {
    /// What a policy says, and what it adds to the counts. Where its profile silences it, it speaks
    /// of profile files alone.
    pub(crate) fn of_policy(&self, is_assessed: bool, summary: &mut Summary) -> PolicyPart {
        let workloads = self.namespaces.iter().flat_map(|(namespace, assessment)| {
            let workloads = assessment.workloads.iter();
            workloads.map(|assessed| (*namespace, assessed))
        });
        let available = profiles(self.nodes, workloads.clone(), |_| true);
        let available = self.unless_unseen(available);
        if !is_assessed {
            return PolicyPart {
                conditions: vec![available],
                ..PolicyPart::default()
            };
        }
        let findings = Findings::new(workloads.map(|(namespace, assessed)| {
            let (judgement, ground) = assessed.worst();
            Said {
                namespace,
                assessed,
                judgement,
                ground,
            }
        }));
        summary.workloads_would_fail = findings.not_ready();
        summary.workloads_at_risk = findings.counts.at_risk + findings.counts.suspected;
        summary.workloads_unknown = findings.counts.unknown;
        let mut ready = self.unless_unseen(findings.ready());
        if self.outside > 0 {
            let (message, outside) = (&ready.message, self.outside);
            ready.message =
                format!("{message}; outside of any policy {outside} workloads fail or would");
        }
        let (workloads, omitted) = self.listed(&findings, MAX_STATUS_WORKLOADS, WORKLOADS_BYTES);
        PolicyPart {
            status: Some(SeccompDefaultStatus {
                nodes: self.nodes.counts(),
                workloads,
            }),
            omitted,
            conditions: vec![ready, available],
        }
    }

    /// What could not be seen makes a good verdict unknown; a bad one stays.
    fn unless_unseen(&self, finding: Finding) -> Finding {
        match self.unseen.first() {
            Some(unseen) if finding.is != Is::False => {
                let message = describe_all(self.unseen);
                Finding::new(finding.kind, Is::Unknown, unseen.reason(), message)
            }
            _ => finding,
        }
    }

    /// The worst of them, as many as there is room for.
    fn listed(
        &self,
        findings: &Findings<'_>,
        most: usize,
        bytes: usize,
    ) -> (Vec<SeccompWorkload>, u32) {
        let telling = Telling {
            nodes: self.nodes,
            levels: self.levels,
            servers: self.servers,
        };
        let (mut listed, mut left, mut omitted) = (Vec::new(), bytes, 0);
        for said in findings.telling() {
            if listed.len() == most || left == 0 {
                omitted += 1;
                continue;
            }
            let entry = telling.entry(said);
            // A comma follows each entry.
            let size = serde_json::to_vec(&entry).map_or(usize::MAX, |text| text.len() + 1);
            if let Some(rest) = left.checked_sub(size) {
                left = rest;
                listed.push(entry);
            } else {
                left = 0;
                omitted += 1;
            }
        }
        (listed, omitted)
    }
}

/// What the status of a node's report is made from.
#[derive(Debug, Clone, Copy)]
pub struct NodeView<'a> {
    /// The node.
    pub node: &'a KnownNode,
    /// The report's generation.
    pub generation: i64,
    /// All namespaces, and what else there is to know.
    pub seccomp: SeccompView<'a>,
    /// The status as it is now.
    pub previous: Option<&'a NodeReportStatus>,
    /// The instant, for transition times.
    pub now: Timestamp,
}

/// The status that a node's report should have. The caller writes it if it differs from what is
/// there.
#[must_use]
pub fn plan_node_status(view: &NodeView<'_>) -> NodeReportStatus {
    let NodeView {
        node,
        generation,
        seccomp,
        previous,
        now,
    } = *view;
    let name = node.node.name.as_str();
    let ground = seccomp.nodes.ground_of(name);
    let workloads = seccomp
        .namespaces
        .iter()
        .flat_map(|(namespace, assessment)| {
            let here = assessment.workloads.iter();
            here.filter(|assessed| assessed.landing.nodes.contains(name))
                .map(|assessed| (*namespace, assessed))
        });
    let findings = Findings::new(workloads.clone().map(|(namespace, assessed)| Said {
        namespace,
        assessed,
        judgement: assessed.on(ground),
        ground,
    }));
    let conditions = vec![
        seccomp.unless_unseen(ready(node, &findings)),
        seccomp.unless_unseen(profiles(seccomp.nodes, workloads, |on| on == name)),
        complete(node, &seccomp),
    ];
    let (worst, omitted) = seccomp.listed(&findings, MAX_REPORT_WORKLOADS, REPORT_BYTES);
    let known: &[_] = previous.map_or(&[], |status| &status.conditions);
    NodeReportStatus {
        observed_generation: generation,
        conditions: stamp(conditions, known, generation, now),
        seccomp_default: node.seccomp_default,
        profile: node.ground.as_ref().ok().map(super::node::Ground::name),
        workloads: findings.counts,
        containers_before_switch: u32::try_from(node.deviations().len()).unwrap_or(u32::MAX),
        worst,
        omitted,
    }
}

/// Whether the node could be switched. What is known to fail decides; else the node itself must be
/// known before its workloads can be called ready.
fn ready(node: &KnownNode, findings: &Findings<'_>) -> Finding {
    let mut finding = findings.ready();
    let unknown = |reason, message: String| {
        Finding::new(
            ConditionType::SeccompDefaultReady,
            Is::Unknown,
            reason,
            message,
        )
    };
    if finding.is != Is::False {
        if let Err(why) = &node.ground {
            let message = format!("it is not known what containers run under here: {why}");
            finding = unknown(Reason::RuntimeUnknown, message);
        } else if node.profile_differs() {
            finding = unknown(Reason::ProfileDiffers, differs(node));
        } else if node.seccomp_default == Setting::Unknown {
            finding = unknown(Reason::AgentMissing, unstated(node));
        }
    }
    let before = node.deviations().len();
    if before > 0 {
        finding.message = format!(
            "{}; {before} running containers are older than the last change of seccompDefault and \
             keep running as before it until they are started anew",
            finding.message
        );
    }
    finding
}

fn differs(node: &KnownNode) -> String {
    let runtime = node
        .report
        .as_ref()
        .and_then(|report| report.runtime.as_ref());
    let how = runtime.and_then(|runtime| runtime.message.as_deref());
    format!(
        "containers here get another RuntimeDefault than {} is known for: {}",
        node.node.runtime_version,
        how.unwrap_or("the agent does not say how it differs")
    )
}

fn unstated(node: &KnownNode) -> String {
    let why = if node.report.is_none() {
        "no agent is there to ask the kubelet"
    } else {
        "the agent could not ask the kubelet"
    };
    format!(
        "nobody says whether the kubelet runs with seccompDefault: {why}, and no label states it"
    )
}

/// Whether everything could be seen that the report speaks of.
fn complete(node: &KnownNode, seccomp: &SeccompView<'_>) -> Finding {
    let say = |is, reason, message: String| {
        Finding::new(ConditionType::ReportComplete, is, reason, message)
    };
    if let Some(unseen) = seccomp.unseen.first() {
        return say(Is::False, unseen.reason(), describe_all(seccomp.unseen));
    }
    if let Err(why) = &node.ground {
        let message = format!("it is not known what containers run under here: {why}");
        return say(Is::False, Reason::RuntimeUnknown, message);
    }
    let Some(report) = &node.report else {
        let message = "no agent reports from this node: install it, or go by what the Node says";
        return say(Is::False, Reason::AgentMissing, message.to_owned());
    };
    if !report.problems.is_empty() {
        let problems = report.problems.iter();
        let problems: Vec<_> = problems
            .map(|problem| format!("{}: {}", problem.subject, problem.message))
            .collect();
        return say(Is::False, Reason::AgentImpaired, list(&problems, 5));
    }
    say(
        Is::True,
        Reason::Complete,
        "everything that matters could be seen".to_owned(),
    )
}
