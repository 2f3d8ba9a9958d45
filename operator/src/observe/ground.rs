//! What the verdicts on SeccompDefault are made from beside the workloads: nodes, what their agents
//! report, what was recorded of calls. No I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use podfence_crd::{NodeReport, SyscallRecord};
use podfence_plan::seccomp_default::{Node, ReadRecord, Recorded, united, watched_node};
use podfence_workload::{Object, WorkloadRef};

use super::compiled::Kept;

/// What is known beside the workloads.
#[derive(Debug, Default)]
pub struct Ground {
    agent_namespace: String,
    nodes: BTreeMap<String, Kept<Node>>,
    reports: BTreeMap<String, Kept<NodeReport>>,
    /// By namespace, and by the record's name.
    records: HashMap<Arc<str>, BTreeMap<String, Record>>,
    /// The node of each agent's pod that is ready, by the pod's name.
    agents: BTreeMap<Box<str>, Arc<str>>,
    /// Why nodes and records cannot be read, or not wholly, by kind, namespace and name.
    unreadable: BTreeMap<(&'static str, Arc<str>, String), String>,
}

/// A record as it is used.
#[derive(Debug)]
enum Record {
    Read(ReadRecord),
    Unreadable(String),
}

impl Ground {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(agent_namespace: String) -> Self {
        Self {
            agent_namespace,
            ..Self::default()
        }
    }

    /// Takes in a node. True when that is news.
    pub fn apply_node(&mut self, name: String, kept: Kept<Node>) -> bool {
        let old = self.nodes.get(&name);
        let is_same = matches!((old, &kept), (Some(Ok(old)), Ok(new)) if old == new);
        let why = kept.as_ref().err().map(|malformed| malformed.error.clone());
        self.note_unreadable("Node", "".into(), &name, why);
        self.nodes.insert(name, kept);
        !is_same
    }

    /// Takes in a report. True when an agent has something new to say.
    pub fn apply_report(&mut self, name: String, kept: Kept<NodeReport>) -> bool {
        let old = self.reports.get(&name);
        let is_same = matches!((old, &kept), (Some(Ok(old)), Ok(new)) if old.spec == new.spec);
        self.reports.insert(name, kept);
        !is_same
    }

    /// Takes in a record.
    pub fn apply_record(&mut self, namespace: Arc<str>, name: String, kept: Kept<SyscallRecord>) {
        let record = match kept {
            Ok(record) => Record::Read(ReadRecord::of(&record)),
            Err(malformed) => Record::Unreadable(malformed.error),
        };
        let kind = "SyscallRecord";
        self.note_unreadable(kind, Arc::clone(&namespace), &name, record.problem());
        self.records
            .entry(namespace)
            .or_default()
            .insert(name, record);
    }

    /// Notes an agent's pod that comes, goes, or becomes ready. True when that is news.
    pub fn note_pod(&mut self, namespace: &str, name: &str, pod: Option<&Object>) -> bool {
        if namespace != self.agent_namespace {
            return false;
        }
        match pod.and_then(watched_node).cloned() {
            Some(node) => self.agents.insert(name.into(), Arc::clone(&node)) != Some(node),
            None => self.agents.remove(name).is_some(),
        }
    }

    /// Forgets a node. True when it was known.
    pub fn delete_node(&mut self, name: &str) -> bool {
        self.note_unreadable("Node", "".into(), name, None);
        self.nodes.remove(name).is_some()
    }

    /// Forgets a report. True when it was known.
    pub fn delete_report(&mut self, name: &str) -> bool {
        self.reports.remove(name).is_some()
    }

    /// Forgets a record. True when it was known.
    pub fn delete_record(&mut self, namespace: &str, name: &str) -> bool {
        let Some(records) = self.records.get_mut(namespace) else {
            return false;
        };
        let known = records.remove(name).is_some();
        if records.is_empty() {
            self.records.remove(namespace);
        }
        self.note_unreadable("SyscallRecord", namespace.into(), name, None);
        known
    }

    /// The nodes, each with what its agent says, where an agent is there.
    pub fn nodes(&self) -> impl Iterator<Item = (&Node, Option<&podfence_crd::NodeReportSpec>)> {
        let watched: BTreeSet<&str> = self.agents.values().map(|node| &**node).collect();
        self.nodes
            .values()
            .filter_map(|kept| kept.as_deref().ok())
            .map(move |node| {
                let report = self
                    .report(&node.name)
                    .and_then(|kept| kept.as_deref().ok());
                let report = report.filter(|_| watched.contains(node.name.as_str()));
                (node, report.map(|report| &report.spec))
            })
    }

    /// A node by its name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)?.as_deref().ok()
    }

    /// A report as the API server has it, or why it cannot be read.
    #[must_use]
    pub fn report(&self, name: &str) -> Option<&Kept<NodeReport>> {
        self.reports.get(name)
    }

    /// The same, to note what was written to it.
    pub fn report_mut(&mut self, name: &str) -> Option<&mut NodeReport> {
        self.reports.get_mut(name)?.as_deref_mut().ok()
    }

    /// The names of all reports.
    pub fn reports(&self) -> impl Iterator<Item = &String> {
        self.reports.keys()
    }

    /// What was recorded in a namespace, by workload.
    #[must_use]
    pub fn recorded(&self, namespace: &str) -> BTreeMap<WorkloadRef, Recorded> {
        let records = self.records.get(namespace).into_iter();
        united(
            records
                .flat_map(BTreeMap::values)
                .filter_map(|record| match record {
                    Record::Read(read) => Some(read),
                    Record::Unreadable(_) => None,
                }),
        )
    }

    /// Nodes and records that cannot be read, or not wholly, as `Kind namespace/name: why`, sorted.
    #[must_use]
    pub fn unreadable_objects(&self) -> Vec<String> {
        let all = self.unreadable.iter();
        all.map(|((kind, namespace, name), why)| match &**namespace {
            "" => format!("{kind} {name}: {why}"),
            namespace => format!("{kind} {namespace}/{name}: {why}"),
        })
        .collect()
    }

    /// How many nodes, reports and records cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> [usize; 3] {
        let of = |kind: &str| {
            self.unreadable
                .keys()
                .filter(|(it, ..)| *it == kind)
                .count()
        };
        let reports = self.reports.values().filter(|kept| kept.is_err()).count();
        [of("Node"), reports, of("SyscallRecord")]
    }

    fn note_unreadable(
        &mut self,
        kind: &'static str,
        namespace: Arc<str>,
        name: &str,
        why: Option<String>,
    ) {
        let key = (kind, namespace, name.to_owned());
        match why {
            Some(why) => self.unreadable.insert(key, why),
            None => self.unreadable.remove(&key),
        };
    }

    /// The names of what is known of nodes, reports and records, for lists: the namespace is empty
    /// but for records.
    pub(super) fn node_names(&self) -> impl Iterator<Item = &String> {
        self.nodes.keys()
    }

    pub(super) fn record_names(&self) -> impl Iterator<Item = (&Arc<str>, &String)> {
        let records = self.records.iter();
        records.flat_map(|(namespace, records)| records.keys().map(move |name| (namespace, name)))
    }
}

impl Record {
    /// What of it could not be read.
    fn problem(&self) -> Option<String> {
        match self {
            Self::Unreadable(why) => Some(why.clone()),
            Self::Read(read) => (!read.malformed.is_empty()).then(|| read.malformed.join("; ")),
        }
    }
}
