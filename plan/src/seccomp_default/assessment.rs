//! Every workload of a namespace, and whether it would fail under SeccompDefault. No I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use podfence_seccomp::evidence::{Evidence, Key};
use podfence_seccomp::{Moment, Readiness, Terms, Verdict, WorkloadJudgement};
use podfence_workload::{Kind, OwnerKind, Template, Uid, WorkloadRef};

use super::bench::{Bench, Parts};
use super::findings::{Said, describe};
use super::health::Memory;
use super::nodes::{GroundId, Landing, Nodes};
use super::template::image_hash;
use crate::event::{Event, Regarding};
use crate::workloads::Workloads;

/// What was recorded of the calls of a workload, by container.
pub type Recorded = BTreeMap<Box<str>, Evidence>;

/// Which workloads fail under which key, over all namespaces.
pub type Failures = HashMap<Key, BTreeMap<Box<str>, Failure>>;

/// That a workload fails under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Since when.
    pub since: Moment,
    /// The calls that were denied to it, by name.
    pub calls: BTreeSet<Box<str>>,
}

/// Everything that the workloads of a namespace are judged by, beside what is in it.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The namespace's name.
    pub namespace: &'a str,
    /// What was recorded of its workloads' calls.
    pub recorded: &'a BTreeMap<WorkloadRef, Recorded>,
    /// What fails where, in any namespace.
    pub failures: &'a Failures,
    /// How much evidence is asked for.
    pub terms: Terms,
    /// The instant.
    pub now: Moment,
}

/// A workload with its verdicts.
#[derive(Debug, Clone, PartialEq)]
pub struct AssessedWorkload {
    /// The workload.
    pub workload: WorkloadRef,
    /// Where it can land.
    pub landing: Arc<Landing>,
    /// What is said of it under each of the grounds that it can land on.
    pub by_ground: Box<[(GroundId, Arc<WorkloadJudgement>)]>,
    /// What is said of it where it is not known what it would run under.
    pub elsewhere: Arc<WorkloadJudgement>,
    /// The profile files that its containers choose, with the container.
    pub files: Box<[(Box<str>, Box<str>)]>,
    /// The template that it was judged by, for fixes.
    pub template: Arc<Template>,
    /// The workload's uid; empty where only its pods were seen.
    pub(super) uid: Uid,
    /// The hashes of the digests of the images that it runs: ten thousand digests are a megabyte.
    pub(super) images: Box<[u64]>,
    /// What fails of it, under which key.
    pub(super) failing: Vec<(Key, Failure)>,
}

/// All workloads of a namespace.
#[derive(Debug, Clone, Default)]
pub struct Assessment {
    /// By kind and name.
    pub workloads: Vec<AssessedWorkload>,
    /// When time alone may change it.
    pub next_change: Option<Moment>,
}

impl AssessedWorkload {
    /// The worst that is said of it, wherever it lands, with the ground.
    #[must_use]
    pub fn worst(&self) -> (&WorkloadJudgement, Option<GroundId>) {
        let known = self.by_ground.iter().map(|(id, said)| (&**said, Some(*id)));
        let unknown = !self.landing.unknown.is_empty() || self.by_ground.is_empty();
        let all = known.chain(unknown.then_some((&*self.elsewhere, None)));
        all.min_by_key(|(said, _)| said.verdict)
            .unwrap_or((&self.elsewhere, None))
    }

    /// That it fails, or would.
    fn event(&self, namespace: &str) -> Event {
        let (judgement, ground) = self.worst();
        let api_version = match &self.workload.kind {
            OwnerKind::Listed(kind) => kind.api_version().to_owned(),
            OwnerKind::Other { api_version, .. } => api_version.to_string(),
        };
        let regarding = Regarding::Workload {
            api_version,
            kind: self.workload.kind.to_string(),
            namespace: namespace.to_owned(),
            name: self.workload.name.to_string(),
            uid: self.uid.to_string(),
        };
        let said = Said {
            namespace,
            assessed: self,
            judgement,
            ground,
        };
        let container = &judgement.container;
        let why = format!(
            "under RuntimeDefault: {}, container {container}",
            describe(&said)
        );
        Event::seccomp(regarding, judgement.verdict, why)
    }

    /// What is said of it on a node with this ground.
    #[must_use]
    pub fn on(&self, ground: Option<GroundId>) -> &WorkloadJudgement {
        let found = self.by_ground.iter().find(|(id, _)| Some(*id) == ground);
        found.map_or(&*self.elsewhere, |(_, said)| said)
    }
}

impl Assessment {
    /// How many workloads fail, or would.
    #[must_use]
    pub fn not_ready(&self) -> u32 {
        let is_not = |assessed: &&AssessedWorkload| {
            assessed.worst().0.verdict.readiness() == Readiness::NotReady
        };
        u32::try_from(self.workloads.iter().filter(is_not).count()).unwrap_or(u32::MAX)
    }

    /// Whether something here runs an image, by digest; rarely so of one that nothing runs.
    #[must_use]
    pub fn runs(&self, image: &str) -> bool {
        self.workloads
            .iter()
            .any(|assessed| assessed.images.contains(&image_hash(image)))
    }

    /// What has come to fail since the assessment before this one, or is known to from now on.
    #[must_use]
    pub fn events_since(&self, before: &Self, namespace: &str) -> Vec<Event> {
        let told = |verdict: Verdict| matches!(verdict, Verdict::Failing | Verdict::WouldFail);
        let verdicts: BTreeMap<&WorkloadRef, Verdict> = before
            .workloads
            .iter()
            .map(|assessed| (&assessed.workload, assessed.worst().0.verdict))
            .collect();
        let news = self.workloads.iter().filter(|assessed| {
            let verdict = assessed.worst().0.verdict;
            told(verdict) && verdicts.get(&assessed.workload) != Some(&verdict)
        });
        news.map(|assessed| assessed.event(namespace)).collect()
    }

    /// The keys under which something in this namespace fails.
    pub fn failing(&self) -> impl Iterator<Item = (&WorkloadRef, &Key, &Failure)> {
        self.workloads.iter().flat_map(|assessed| {
            assessed
                .failing
                .iter()
                .map(|(key, failure)| (&assessed.workload, key, failure))
        })
    }
}

/// How the workloads of a namespace fared, in pods that may be gone.
#[derive(Debug, Clone, Default)]
pub struct HealthMemory(pub(super) BTreeMap<(WorkloadRef, Box<str>), Memory>);

/// Judges every workload of a namespace.
#[must_use]
pub fn assess(
    workloads: &Workloads,
    nodes: &mut Nodes,
    memory: &mut HealthMemory,
    at: Circumstances<'_>,
) -> Assessment {
    let parts = parts(workloads);
    memory
        .0
        .retain(|(workload, _), _| parts.contains_key(workload));
    let mut assessment = Assessment::default();
    for (workload, parts) in parts {
        let mut bench = Bench {
            workload: &workload,
            nodes,
            memory: &mut memory.0,
            at,
        };
        if let Some(assessed) = bench.assess(&parts) {
            assessment.workloads.push(assessed);
        }
    }
    for memory in memory.0.values_mut() {
        memory.tidy(at.now.before(at.terms.retention));
    }
    memory.0.retain(|_, memory| !memory.is_empty());
    let changes = memory
        .0
        .values()
        .filter_map(|memory| memory.next_change(at.terms.settling, at.now));
    assessment.next_change = changes.min();
    assessment
}

/// What there is of each workload.
pub(super) fn parts(workloads: &Workloads) -> BTreeMap<WorkloadRef, Parts<'_>> {
    let mut parts: BTreeMap<WorkloadRef, Parts<'_>> = BTreeMap::new();
    for (workload, object) in workloads.counted() {
        let parts = parts.entry(workload).or_insert_with(|| Parts {
            templates: Vec::new(),
            pods: Vec::new(),
        });
        if object.kind == Kind::Pod {
            parts.pods.push(object);
        } else {
            parts.templates.push(object);
        }
    }
    parts
}

/// What fails in a namespace, as evidence on whatever else runs the same.
#[must_use]
pub fn failures_of(namespace: &str, assessment: &Assessment) -> Failures {
    let mut failures = Failures::new();
    for (workload, key, failure) in assessment.failing() {
        let workloads = failures.entry(key.clone()).or_default();
        workloads.insert(full_name(namespace, workload).into(), failure.clone());
    }
    failures
}

/// A workload as messages name it.
#[must_use]
pub fn full_name(namespace: &str, workload: &WorkloadRef) -> String {
    format!("{namespace}/{workload}")
}
