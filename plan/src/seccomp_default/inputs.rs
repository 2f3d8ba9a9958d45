//! What objects of a cluster come to as inputs of the verdicts: pods of agents, records. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use podfence_crd::SyscallRecord;
use podfence_workload::{Kind, Object, OwnerKind, WorkloadRef};

use super::assessment::Recorded;

/// The label of an agent's pod, and its value.
pub const AGENT_LABEL: (&str, &str) = ("app.kubernetes.io/name", "podfence-agent");

/// The node on which an agent is at work, if this is the pod of one: what was reported of a node
/// counts only as long as somebody is there to keep it true.
#[must_use]
pub fn watched_node(pod: &Object) -> Option<&Arc<str>> {
    let (key, value) = AGENT_LABEL;
    let is_agent = pod.meta.labels.get(key) == Some(value) && !pod.meta.deleting && !pod.finished;
    let status = pod.status.as_ref();
    let is_ready = status.is_some_and(|status| status.ready_since.is_some());
    pod.node_name.as_ref().filter(|_| is_agent && is_ready)
}

/// A record as the verdicts use it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadRecord {
    /// Whose calls were recorded.
    pub workload: WorkloadRef,
    /// What was recorded.
    pub recorded: Recorded,
    /// What in it could not be read.
    pub malformed: Vec<String>,
}

impl ReadRecord {
    /// Reads a record. What cannot be read of it takes nothing else away.
    #[must_use]
    pub fn of(record: &SyscallRecord) -> Self {
        let written = &record.spec.workload;
        let kind = match Kind::from_owner(&written.api_version, &written.kind) {
            Some(kind) => OwnerKind::Listed(kind),
            None => OwnerKind::Other {
                api_version: written.api_version.as_str().into(),
                kind: written.kind.as_str().into(),
            },
        };
        let (containers, malformed) = record.spec.evidence();
        Self {
            workload: WorkloadRef {
                kind,
                name: written.name.as_str().into(),
            },
            recorded: containers
                .into_iter()
                .map(|(name, evidence)| (name.into(), evidence))
                .collect(),
            malformed: malformed.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What several records say, by workload: one may have more than one.
#[must_use]
pub fn united<'a>(
    records: impl IntoIterator<Item = &'a ReadRecord>,
) -> BTreeMap<WorkloadRef, Recorded> {
    let mut all = BTreeMap::<WorkloadRef, Recorded>::new();
    for record in records {
        let known = all.entry(record.workload.clone()).or_default();
        for (container, evidence) in &record.recorded {
            let facts = evidence.facts();
            known.entry(container.clone()).or_default().extend(facts);
        }
    }
    all
}
