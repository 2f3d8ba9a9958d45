//! The pods and pod templates of one namespace, and what they violate. No I/O.
//!
//! Each object is evaluated once for a version and remembered as a bit set: the change of one pod
//! costs the evaluation of one template. What came and went between two plans is evaluated too,
//! since a violating pod restarts the soak even if it is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use podfence_podsecurity::{CheckSet, Level, Rules, Version, reasons};
use podfence_workload::{Kind, Object, Template, WorkloadRef, top_controller};

use crate::clean::{LastViolated, Violated};
use crate::policy::Policy;
use crate::servers::Servers;

/// What objects are evaluated at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evaluation {
    /// The version of the standards.
    pub version: Version,
    /// The API servers in use, which clamp it.
    pub servers: Servers,
}

/// The rules of every server in use, at one version.
#[derive(Debug)]
pub(crate) struct Evaluator {
    at: Evaluation,
    oldest: Rules,
    /// Only where it is another than the oldest.
    newest: Option<Rules>,
}

impl Evaluator {
    pub(crate) fn new(at: Evaluation) -> Self {
        let Servers { oldest, newest } = at.servers;
        Self {
            at,
            oldest: Rules::new(at.version, oldest),
            newest: (oldest != newest).then(|| Rules::new(at.version, newest)),
        }
    }

    fn newest_version(&self) -> Self {
        Self::new(Evaluation {
            version: Version::Latest,
            ..self.at
        })
    }

    /// All checks, of every level, that a template violates on any of the servers.
    fn violations(&self, template: &Template) -> CheckSet {
        let violations = self.oldest.violations(template);
        match &self.newest {
            None => violations,
            Some(newest) => violations.union(newest.violations(template)),
        }
    }

    /// The violations that count at a level.
    fn at_level(&self, level: Level, violations: CheckSet) -> CheckSet {
        let counted = self.oldest.at_level(level, violations);
        match &self.newest {
            None => counted,
            Some(newest) => counted.union(newest.at_level(level, violations)),
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    object: Object,
    /// What was found last at the target's version.
    at_target: Found,
    /// What was found last at the newest version.
    at_newest: Found,
}

/// What a template violates, and at what it was evaluated.
type Found = Option<(Evaluation, CheckSet)>;

impl Entry {
    fn new(object: Object) -> Self {
        Self {
            object,
            at_target: None,
            at_newest: None,
        }
    }

    fn evaluate(&mut self, evaluator: &Evaluator) -> CheckSet {
        evaluate(&self.object, &mut self.at_target, evaluator)
    }

    fn evaluate_at_newest(&mut self, evaluator: &Evaluator) -> CheckSet {
        evaluate(&self.object, &mut self.at_newest, evaluator)
    }
}

fn evaluate(object: &Object, found: &mut Found, evaluator: &Evaluator) -> CheckSet {
    if let Some((at, checks)) = *found
        && at == evaluator.at
    {
        return checks;
    }
    let template = object.template.as_deref();
    let checks = template.map_or(CheckSet::EMPTY, |template| evaluator.violations(template));
    *found = Some((evaluator.at, checks));
    checks
}

/// For whom a change is news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    /// For the plan of the namespace's labels.
    pub plan: bool,
    /// For the verdicts on SeccompDefault.
    pub seccomp: bool,
}

/// Everything in one namespace that is, or makes, pods.
#[derive(Debug, Clone, Default)]
pub struct Workloads {
    entries: BTreeMap<Kind, BTreeMap<Box<str>, Entry>>,
    malformed: BTreeMap<(Kind, Box<str>), String>,
    departed: Vec<Arc<Template>>,
    last_violated: LastViolated,
    revision: u64,
}

/// A workload and the checks that keep it from the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The top controller, or the pod itself.
    pub workload: WorkloadRef,
    /// What it violates, exceptions left out.
    pub checks: CheckSet,
}

/// How many pods, or templates, were looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub checked: u32,
    /// Those that violate the target, excepted ones included.
    pub violating: u32,
}

impl Tally {
    fn count(&mut self, violating: bool) {
        self.checked += 1;
        self.violating += u32::from(violating);
    }
}

/// What a namespace's workloads show at its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// Live pods: facts.
    pub pods: Tally,
    /// Templates that count: predictions.
    pub templates: Tally,
    /// Pods that succeeded or failed. Admission counts them, a rollout does not break them.
    pub finished: Tally,
    /// Workloads that were evaluated.
    pub workloads: u32,
    /// How many of them violate the target with something that no exception covers.
    pub violating_workloads: u32,
    /// Those by name, the ones that fail the most checks first, then by kind and name; an `Outcome`
    /// keeps only the first few.
    pub violating: Vec<Finding>,
    /// Workloads that violate the target only in what is excepted.
    pub excepted: u32,
    /// Workloads that pass the target and would violate its level at the newest version that the
    /// API servers know.
    pub newest_only: u32,
    /// What keeps the namespace from being clean, at the target's version.
    pub violated: Violated,
    /// When something last violated a level, gone or not.
    pub last_violated: LastViolated,
    /// Objects that could not be read, as `Kind/name`, sorted.
    pub malformed: Vec<String>,
    /// No live pod and no counted template.
    pub empty: bool,
}

impl Assessment {
    /// What is known of a namespace that is not evaluated.
    fn unevaluated() -> Self {
        Self {
            pods: Tally::default(),
            templates: Tally::default(),
            finished: Tally::default(),
            workloads: 0,
            violating_workloads: 0,
            violating: Vec::new(),
            excepted: 0,
            newest_only: 0,
            violated: Violated {
                baseline: true,
                restricted: true,
            },
            last_violated: LastViolated::default(),
            malformed: Vec::new(),
            empty: false,
        }
    }

    /// Workloads that violate the target, excepted ones included.
    #[must_use]
    pub fn all_violating(&self) -> u32 {
        self.violating_workloads.saturating_add(self.excepted)
    }
}

/// What one workload's pods and template add up to.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    violating: CheckSet,
    excepted: bool,
    newest: bool,
}

/// How an object counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Pod,
    FinishedPod,
    Template,
}

/// Templates that another listed controller owns are not counted, or the old `ReplicaSets` of a
/// Deployment that was fixed would hold it back for ever; neither are Jobs that are over.
fn part(object: &Object) -> Option<Part> {
    object.template.as_ref()?;
    match object.kind {
        Kind::Pod if object.finished => Some(Part::FinishedPod),
        Kind::Pod => Some(Part::Pod),
        _ if object.finished || object.listed_controller().is_some() => None,
        _ => Some(Part::Template),
    }
}

impl Workloads {
    /// Takes in an object as it is now, and says for whom that is news.
    pub fn apply(&mut self, mut object: Object) -> News {
        let healed = self
            .malformed
            .remove(&(object.kind, object.meta.name.clone()))
            .is_some();
        let entries = self.entries.entry(object.kind).or_default();
        if let Some(entry) = entries.get_mut(&object.meta.name) {
            // How the containers of a pod fare is nothing that labels depend on.
            let status = object.status.take();
            let fares_otherwise = entry.object.status != status;
            entry.object.status = None;
            let is_same = entry.object == object;
            object.status = status;
            if is_same {
                entry.object = object;
                return News {
                    plan: healed,
                    seccomp: healed || fares_otherwise,
                };
            }
            if entry.object.template == object.template {
                entry.object = object;
            } else {
                let old = std::mem::replace(entry, Entry::new(object));
                self.depart(old);
            }
        } else {
            entries.insert(object.meta.name.clone(), Entry::new(object));
        }
        self.revision += 1;
        News {
            plan: true,
            seccomp: true,
        }
    }

    /// Forgets an object that is gone. True when it was known.
    pub fn delete(&mut self, kind: Kind, name: &str) -> bool {
        let healed = self.malformed.remove(&(kind, Box::from(name))).is_some();
        let entry = self
            .entries
            .get_mut(&kind)
            .and_then(|entries| entries.remove(name));
        let known = entry.is_some();
        if let Some(entry) = entry {
            self.depart(entry);
        }
        self.revision += u64::from(known || healed);
        known || healed
    }

    /// Notes an object that cannot be read, and why. What was known of it no longer holds.
    pub fn malformed(&mut self, kind: Kind, name: &str, error: String) -> bool {
        if let Some(entry) = self
            .entries
            .get_mut(&kind)
            .and_then(|them| them.remove(name))
        {
            self.depart(entry);
        }
        self.revision += 1;
        self.malformed.insert((kind, name.into()), error.clone()) != Some(error)
    }

    /// The names of all objects of a kind, those that cannot be read included: what a new list of
    /// the kind does not name is gone.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &str> {
        let read = self.entries.get(&kind).into_iter().flat_map(BTreeMap::keys);
        let unread = self.malformed.keys().filter(move |(of, _)| *of == kind);
        read.map(|name| &**name)
            .chain(unread.map(|(_, name)| &**name))
    }

    /// Changes whenever something changes that a plan may depend on.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.entries.values().all(BTreeMap::is_empty)
            && self.malformed.is_empty()
            && self.departed.is_empty()
    }

    /// Objects that cannot be read, with the reason.
    pub fn malformed_objects(&self) -> impl Iterator<Item = (Kind, &str, &str)> {
        self.malformed
            .iter()
            .map(|((kind, name), error)| (*kind, &**name, error.as_str()))
    }

    /// Keeps the template of an object that no plan has looked at yet. Equal templates are one
    /// value in memory, so that a crash loop of pods leaves one entry here.
    fn depart(&mut self, entry: Entry) {
        let unseen = entry.at_target.is_none() && matches!(part(&entry.object), Some(Part::Pod));
        if let Some(template) = entry.object.template.filter(|_| unseen)
            && !self
                .departed
                .iter()
                .any(|known| Arc::ptr_eq(known, &template))
        {
            self.departed.push(template);
        }
    }

    /// Forgets what came and went: for a namespace that no policy matches, and after a plan.
    pub(crate) fn forget_departed(&mut self) {
        self.departed = Vec::new();
    }

    /// Evaluates everything at a target. `namespace` are the namespace's labels.
    pub(crate) fn assess(
        &mut self,
        policy: &Policy,
        level: Level,
        at: Evaluation,
        namespace: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Assessment {
        let mut assessment = Assessment {
            violated: Violated::default(),
            malformed: self
                .malformed
                .keys()
                .map(|(kind, name)| format!("{kind}/{name}", kind = kind.as_str()))
                .collect(),
            ..Assessment::unevaluated()
        };
        let evaluator = Evaluator::new(at);
        let newest = evaluator.newest_version();
        let mut sums: BTreeMap<WorkloadRef, Sum> = BTreeMap::new();
        let mut departed = Violated::default();
        for template in self.departed.drain(..) {
            departed.note(&evaluator, evaluator.violations(&template));
        }
        self.last_violated.note(departed, now);
        for entry in self.entries.values_mut().flat_map(BTreeMap::values_mut) {
            entry.evaluate(&evaluator);
            entry.evaluate_at_newest(&newest);
        }
        for entry in self.entries.values().flat_map(BTreeMap::values) {
            let (Some(part), Some((_, all))) = (part(&entry.object), entry.at_target) else {
                continue;
            };
            let checks = evaluator.at_level(level, all);
            assessment.tally(part).count(!checks.is_empty());
            if part == Part::FinishedPod {
                continue;
            }
            assessment.violated.note(&evaluator, all);
            let excepted = if checks.is_empty() {
                CheckSet::EMPTY
            } else {
                policy.excepted(entry.object.pod_labels(), namespace, now)
            };
            let sum = sums.entry(self.top(&entry.object)).or_default();
            sum.violating = sum.violating.union(checks.without(excepted));
            sum.excepted |= !checks.is_empty();
            let at_newest = entry
                .at_newest
                .map_or(CheckSet::EMPTY, |(_, checks)| checks);
            sum.newest |= checks.is_empty() && !newest.at_level(level, at_newest).is_empty();
        }
        self.last_violated.note(assessment.violated, now);
        assessment.last_violated = self.last_violated;
        assessment.conclude(sums);
        assessment
    }

    /// For a policy whose target is not known: the workloads are counted, nothing is said of them.
    pub(crate) fn unevaluated(&mut self) -> Assessment {
        self.forget_departed();
        Assessment::unevaluated()
    }

    /// Pods, and the templates that count, each with the workload that it is reported as. Finished
    /// pods are among them.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (WorkloadRef, &Object)> {
        let objects = self.entries.values().flat_map(BTreeMap::values);
        objects
            .map(|entry| &entry.object)
            .filter(|object| part(object).is_some())
            .map(|object| (self.top(object), object))
    }

    /// The workload that an object is reported as, itself or what controls it; none where there is
    /// no such object.
    #[must_use]
    pub fn workload_of(&self, kind: Kind, name: &str) -> Option<WorkloadRef> {
        let entry = self.entries.get(&kind)?.get(name)?;
        Some(self.top(&entry.object))
    }

    fn top(&self, object: &Object) -> WorkloadRef {
        top_controller(object, |kind, owner| {
            let found = &self.entries.get(&kind)?.get(&owner.name)?.object;
            (found.meta.uid == owner.uid).then_some(found)
        })
    }

    /// The finished pods that violate a level, by name, with the reasons as the admission
    /// controller words them.
    pub(crate) fn finished_reasons(&self, level: Level, at: Evaluation) -> Vec<(&str, String)> {
        let evaluator = Evaluator::new(at);
        let pods = self
            .entries
            .get(&Kind::Pod)
            .into_iter()
            .flat_map(BTreeMap::values);
        pods.map(|entry| &entry.object)
            .filter(|pod| part(pod) == Some(Part::FinishedPod))
            .filter_map(|pod| {
                let template = pod.template.as_deref()?;
                let checks = evaluator.at_level(level, evaluator.violations(template));
                let findings = evaluator.oldest.explain(template, checks);
                (!checks.is_empty()).then(|| (&*pod.meta.name, reasons(&findings)))
            })
            .collect()
    }
}

impl Violated {
    fn note(&mut self, evaluator: &Evaluator, all: CheckSet) {
        self.baseline |= !evaluator.at_level(Level::Baseline, all).is_empty();
        self.restricted |= !evaluator.at_level(Level::Restricted, all).is_empty();
    }
}

impl Assessment {
    fn tally(&mut self, part: Part) -> &mut Tally {
        match part {
            Part::Pod => &mut self.pods,
            Part::FinishedPod => &mut self.finished,
            Part::Template => &mut self.templates,
        }
    }

    fn conclude(&mut self, sums: BTreeMap<WorkloadRef, Sum>) {
        self.empty = self.pods.checked == 0 && self.templates.checked == 0;
        self.workloads = u32::try_from(sums.len()).unwrap_or(u32::MAX);
        for (
            workload,
            Sum {
                violating,
                excepted,
                newest,
            },
        ) in sums
        {
            if !violating.is_empty() {
                self.violating_workloads += 1;
                self.violating.push(Finding {
                    workload,
                    checks: violating,
                });
            } else if excepted {
                self.excepted += 1;
            } else {
                self.newest_only += u32::from(newest);
            }
        }
        // The sort is stable: workloads with as many checks stay in the order of kind and name.
        self.violating
            .sort_by_key(|finding| std::cmp::Reverse(finding.checks.len()));
    }
}

#[cfg(test)]
mod tests {
    use podfence_podsecurity::{NEWEST_RULES, ServerVersion, Version};
    use podfence_workload::{Defaulting, decode};
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::Profile;

    fn pod(name: &str, team: &str, image: &str) -> Object {
        let pod: Value = json!({
            "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"team": team}},
            "spec": {"containers": [{"name": "app", "image": image}]},
        });
        let bytes = pod.to_string();
        decode(Kind::Pod, bytes.as_bytes(), Defaulting::AsServed).expect("a pod")
    }

    /// How many objects the next plan has to evaluate.
    fn unevaluated(workloads: &Workloads) -> usize {
        let entries = workloads.entries.values().flat_map(BTreeMap::values);
        entries.filter(|entry| entry.at_target.is_none()).count()
    }

    #[test]
    fn a_change_of_one_pod_costs_one_evaluation() {
        let policy = serde_json::from_value(json!({
            "apiVersion": "podfence.dev/v1alpha1", "kind": "NamespacePolicy",
            "metadata": {"name": "apps", "uid": "u", "creationTimestamp": "2026-06-01T00:00:00Z"},
            "spec": {"profileRef": {"name": "restricted"}, "namespaceSelector": {}},
        }));
        let policy = Policy::compile(&policy.expect("a policy"), Profile::Missing);
        let policy = policy.expect("a usable policy");
        let server = ServerVersion::new(NEWEST_RULES);
        let at = Evaluation {
            version: Version::Latest,
            servers: Servers {
                oldest: server,
                newest: server,
            },
        };
        let now = Timestamp::UNIX_EPOCH;
        let mut workloads = Workloads::default();
        for number in 0..100 {
            workloads.apply(pod(&format!("web-{number}"), "web", "app:1"));
        }
        assert_eq!(unevaluated(&workloads), 100);
        let none = BTreeMap::new();
        let assess = |workloads: &mut Workloads| {
            workloads.assess(&policy, Level::Restricted, at, &none, now)
        };
        assert_eq!(assess(&mut workloads).pods.violating, 100);
        assert_eq!(unevaluated(&workloads), 0);

        workloads.apply(pod("web-7", "shop", "app:1"));
        assert_eq!(unevaluated(&workloads), 0, "labels decide nothing");
        workloads.apply(pod("web-7", "web", "app:2"));
        workloads.delete(Kind::Pod, "web-8");
        assert_eq!(unevaluated(&workloads), 1, "only what is another pod now");
        assert_eq!(assess(&mut workloads).pods.violating, 99);
    }
}
