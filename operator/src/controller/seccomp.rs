//! The verdicts on SeccompDefault: which workloads would fail, and the reports of nodes. Does I/O
//! in spawned tasks.
//!
//! Namespace by namespace, as their workloads change. Nothing here has to do with labels, and
//! labels never wait for it; statuses wait until every namespace that changed was judged.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use podfence_plan::Unseen;
use podfence_plan::seccomp_default::{
    Assessment, Circumstances, Failures, HealthMemory, Levels, Nodes, SeccompView, assess,
};
use podfence_seccomp::{Moment, Terms, Verdict};
use podfence_workload::WorkloadRef;
use tokio::time::Instant;

use super::{Driver, wall_clock};
use crate::backoff::Backoffs;
use crate::metrics::WithVerdict;
use crate::observe::source::Source;
use crate::queue::Queue;

/// Namespaces judged before inputs are heard again.
const JUDGED_PER_TURN: usize = 64;

/// Nodes and their agents' reports change one by one, and each change concerns every workload. A
/// change is seen in verdicts no later than this.
const GATHERING: Duration = Duration::from_millis(500);

/// How verdicts are made.
#[derive(Debug, Clone)]
pub struct SeccompSettings {
    /// The namespace of the agents' pods.
    pub agent_namespace: String,
    /// The key of the node label that states the kubelet's seccompDefault.
    pub node_label: Option<String>,
    /// How long a container must have been ready to count as faring well.
    pub settling: Duration,
}

/// Everything that is known about SeccompDefault.
pub(super) struct Seccomp {
    settings: SeccompSettings,
    pub(super) nodes: Nodes,
    /// Since when nodes or reports have waited to be taken in.
    nodes_since: Option<Instant>,
    queue: Queue<Arc<str>>,
    assessments: HashMap<Arc<str>, Assessment>,
    memories: HashMap<Arc<str>, HealthMemory>,
    failures: Failures,
    /// What of nodes and records cannot be seen.
    pub(super) unseen: Vec<Unseen>,
    /// An assessment has changed since the counts were shown and the reports were marked.
    has_changed: bool,
    /// Nodes that may have no report.
    pub(super) unreported: Queue<String>,
    pub(super) backoffs: Backoffs<String>,
}

impl Seccomp {
    pub(super) fn new(settings: SeccompSettings) -> Self {
        Self {
            settings,
            nodes: Nodes::default(),
            nodes_since: None,
            queue: Queue::default(),
            assessments: HashMap::new(),
            memories: HashMap::new(),
            failures: Failures::default(),
            unseen: Vec::new(),
            has_changed: true,
            unreported: Queue::default(),
            backoffs: Backoffs::default(),
        }
    }

    pub(super) fn mark(&mut self, namespace: Arc<str>, now: Instant) {
        self.queue.mark(namespace, now);
    }

    pub(super) fn mark_nodes(&mut self, now: Instant) {
        self.nodes_since.get_or_insert(now);
    }

    /// Whether everything that changed was judged.
    pub(super) fn is_done(&self) -> bool {
        self.queue.is_empty() && (self.nodes_since.is_none() || !self.is_first())
    }

    /// Whether nothing was judged yet.
    fn is_first(&self) -> bool {
        self.assessments.is_empty()
    }

    pub(super) fn next_alarm(&self) -> Option<Instant> {
        let ready = self.nodes_since.map(|since| since + GATHERING);
        let queued = (!self.queue.is_empty()).then(Instant::now);
        [
            ready,
            queued,
            self.queue.next_alarm(),
            self.unreported.next_alarm(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

impl Driver {
    /// Notices what of nodes and records can be seen no longer, or again. An object that cannot be
    /// read is not seen.
    pub(super) fn look_at_seccomp_health(&mut self, now: Instant) {
        let mut unseen = self.health.unseen_of_seccomp(now);
        let objects = self.index.ground().unreadable_objects();
        if !objects.is_empty() {
            unseen.push(Unseen::Malformed { objects });
            unseen.sort();
        }
        if unseen != self.seccomp.unseen {
            if !matches!(self.term, super::Term::Settling) {
                tracing::info!(?unseen, "what can be seen of nodes and records has changed");
            }
            self.seccomp.unseen = unseen;
            self.mark_all_statuses(now);
        }
    }

    /// Judges what changed.
    pub(super) fn judge(&mut self, now: Instant) {
        self.seccomp.queue.ring(now);
        self.seccomp.unreported.ring(now);
        let gathered = |since: Instant| now.duration_since(since) >= GATHERING;
        // The first time there is nothing to gather: all of it was listed.
        let is_first = self.seccomp.is_first();
        if self
            .seccomp
            .nodes_since
            .is_some_and(|since| is_first || gathered(since))
        {
            self.seccomp.nodes_since = None;
            self.take_in_nodes(now);
        }
        for _ in 0..JUDGED_PER_TURN {
            let Some((namespace, _)) = self.seccomp.queue.pop(|_| true) else {
                break;
            };
            self.judge_namespace(&namespace, now);
        }
        // Every report speaks of every namespace, so they are marked once for all that was judged.
        if self.seccomp.is_done() && std::mem::take(&mut self.seccomp.has_changed) {
            self.show_verdicts();
            self.mark_reports(now);
        }
        self.create_reports();
    }

    fn take_in_nodes(&mut self, now: Instant) {
        let label = self.seccomp.settings.node_label.as_deref();
        let nodes = Nodes::new(self.index.ground().nodes(), label);
        // Without the definition there is nothing to create.
        if self.health.was_listed(Source::Reports) {
            for known in nodes.iter() {
                self.seccomp.unreported.mark(known.node.name.clone(), now);
            }
        }
        let is_same = nodes.iter().eq(self.seccomp.nodes.iter());
        if is_same && !self.seccomp.is_first() {
            return;
        }
        self.seccomp.nodes = nodes;
        let names: Vec<_> = self
            .index
            .namespaces()
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in names {
            self.seccomp.queue.mark(name, now);
        }
        self.mark_all_statuses(now);
    }

    /// Every status speaks of nodes.
    fn mark_all_statuses(&mut self, now: Instant) {
        self.mark_policies(now);
        self.mark_reports(now);
    }

    fn mark_policies(&mut self, now: Instant) {
        let compiled = self.index.compiled();
        let policies: Vec<_> = compiled.iter().map(|policy| policy.name.clone()).collect();
        for name in policies {
            self.statuses.mark_outcome(name, now);
        }
    }

    fn mark_reports(&mut self, now: Instant) {
        let reports: Vec<_> = self.index.ground().reports().cloned().collect();
        for name in reports {
            self.statuses.mark_report(name, now);
        }
    }

    fn judge_namespace(&mut self, name: &Arc<str>, now: Instant) {
        let asked = self
            .index
            .winner(name)
            .and_then(podfence_plan::Policy::minimum_observation);
        let defaults = Terms::default();
        let terms = Terms {
            minimum_observation: asked.unwrap_or(defaults.minimum_observation),
            settling: self.seccomp.settings.settling,
            ..defaults
        };
        let recorded = self.index.ground().recorded(name);
        let at = Circumstances {
            namespace: name,
            recorded: &recorded,
            failures: &self.seccomp.failures,
            terms,
            now: moment(),
        };
        let entry = self
            .index
            .entry(name)
            .filter(|entry| entry.namespace.is_some());
        let assessment = entry.map(|entry| {
            let memory = self.seccomp.memories.entry(Arc::clone(name)).or_default();
            assess(&entry.workloads, &mut self.seccomp.nodes, memory, at)
        });
        let next_change = assessment
            .as_ref()
            .and_then(|assessment| assessment.next_change);
        match next_change {
            Some(next) => {
                // A second later, since moments are whole seconds.
                let after = next.since(at.now) + Duration::from_secs(1);
                self.seccomp.queue.wake(Arc::clone(name), after, now);
            }
            None => self.seccomp.queue.silence(name),
        }
        if assessment.is_none() {
            self.seccomp.memories.remove(name);
        }
        self.keep(name, assessment, now);
    }

    /// Keeps what was found, and marks everything that speaks of it.
    fn keep(&mut self, name: &Arc<str>, assessment: Option<Assessment>, now: Instant) {
        let old = self.seccomp.assessments.get(name);
        let is_same = match (old, &assessment) {
            (Some(old), Some(new)) => old.workloads == new.workloads,
            (None, None) => true,
            _ => false,
        };
        if is_same {
            return;
        }
        self.seccomp.has_changed = true;
        let old = match assessment {
            Some(new) => self.seccomp.assessments.insert(Arc::clone(name), new),
            None => self.seccomp.assessments.remove(name),
        };
        let new = self.seccomp.assessments.get(name);
        if let (Some(old), Some(new)) = (&old, new) {
            for event in new.events_since(old, name) {
                self.out.publisher.publish(event);
            }
        }
        self.note_failures(name, old.as_ref(), now);
        match self.index.winner(name) {
            Some(policy) => {
                let policy = policy.name.clone();
                self.statuses.mark_outcome(policy, now);
            }
            // Every policy counts what lies outside of all.
            None => self.mark_policies(now),
        }
    }

    /// What fails in one namespace is evidence in every other that runs the same image.
    fn note_failures(&mut self, name: &Arc<str>, old: Option<&Assessment>, now: Instant) {
        let full =
            |workload: &WorkloadRef| podfence_plan::seccomp_default::full_name(name, workload);
        let found = |assessment: Option<&Assessment>| {
            let failing = assessment.into_iter().flat_map(Assessment::failing);
            let failing = failing.map(|(workload, key, failure)| {
                (
                    (key.image.clone(), full(workload)),
                    (key.clone(), failure.clone()),
                )
            });
            failing.collect::<BTreeMap<_, _>>()
        };
        let (before, after) = (found(old), found(self.seccomp.assessments.get(name)));
        if before == after {
            return;
        }
        for ((_, workload), (key, _)) in &before {
            if let Some(workloads) = self.seccomp.failures.get_mut(key) {
                workloads.remove(workload.as_str());
            }
        }
        for ((_, workload), (key, failure)) in &after {
            let workloads = self.seccomp.failures.entry(key.clone()).or_default();
            workloads.insert(workload.as_str().into(), failure.clone());
        }
        self.seccomp
            .failures
            .retain(|_, workloads| !workloads.is_empty());
        let images: BTreeSet<&str> = before
            .keys()
            .chain(after.keys())
            .map(|(it, _)| &**it)
            .collect();
        let others = self.seccomp.assessments.iter();
        let others = others.filter(|(other, assessment)| {
            *other != name && images.iter().any(|image| assessment.runs(image))
        });
        let others: Vec<_> = others.map(|(other, _)| Arc::clone(other)).collect();
        for other in others {
            self.seccomp.queue.mark(other, now);
        }
    }

    /// What a policy or a node's report can say. `of` picks the namespaces.
    pub(super) fn with_seccomp_view<T>(
        &self,
        of: impl Fn(&str) -> bool,
        outside: u32,
        use_it: impl FnOnce(SeccompView<'_>) -> T,
    ) -> T {
        let all = self.seccomp.assessments.iter();
        let namespaces: Vec<_> = all
            .filter(|(name, _)| of(name))
            .map(|(name, assessment)| (&**name, assessment))
            .collect();
        let levels = |name: &str| self.levels(name);
        use_it(SeccompView {
            nodes: &self.seccomp.nodes,
            namespaces: &namespaces,
            outside,
            levels: &levels,
            servers: self.versions.servers(),
            unseen: &self.seccomp.unseen,
        })
    }

    /// How many workloads fail, or would, where no policy looks.
    pub(super) fn outside(&self) -> u32 {
        let all = self.seccomp.assessments.iter();
        let unwatched = all.filter(|(name, _)| self.index.winner(name).is_none());
        unwatched
            .map(|(_, assessment)| assessment.not_ready())
            .sum()
    }

    /// The Pod Security of a namespace, now and planned.
    fn levels(&self, name: &str) -> Levels {
        let namespace = self
            .index
            .entry(name)
            .and_then(|entry| entry.namespace.as_deref());
        let planned = self.outcomes.get(name).and_then(|outcome| outcome.target);
        namespace.map_or_else(Levels::default, |namespace| Levels::of(namespace, planned))
    }

    /// Shows how many workloads have which verdict.
    fn show_verdicts(&self) {
        let mut counts: BTreeMap<Verdict, i64> = BTreeMap::new();
        for assessed in self
            .seccomp
            .assessments
            .values()
            .flat_map(|it| &it.workloads)
        {
            *counts.entry(assessed.worst().0.verdict).or_default() += 1;
        }
        for verdict in Verdict::ALL {
            let labels = WithVerdict {
                verdict: verdict.as_str(),
            };
            let count = counts.get(&verdict).copied().unwrap_or_default();
            self.out.metrics.verdicts.get_or_create(&labels).set(count);
        }
    }
}

fn moment() -> Moment {
    let seconds = u64::try_from(wall_clock().as_second()).unwrap_or_default();
    Moment::from_unix_seconds(seconds)
}
