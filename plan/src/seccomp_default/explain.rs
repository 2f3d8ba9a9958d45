//! Everything that is said of a workload, container by container, for people who ask why. No I/O.
//!
//! The same bench judges as for statuses; only nothing is summed up or cut off. It knows what is in
//! the namespace now: not the pods that are gone, and not what fails in other namespaces.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use podfence_crd::{SeccompCall, SeccompWorkload};
use podfence_seccomp::evidence::Source;
use podfence_seccomp::fix::{Fix, Setting, explain_finding};
use podfence_seccomp::{
    Basis, Finding, Judgement, Loader, Moment, Terms, Verdict, WorkloadJudgement,
};
use podfence_workload::{Kind, WorkloadRef};
use serde::Serialize;

use super::admission::Levels;
use super::assessment::{
    AssessedWorkload, Assessment, Circumstances, Failures, HealthMemory, Recorded, assess,
    failures_of, parts,
};
use super::bench::Bench;
use super::findings::{Said, Telling, call, time, word};
use super::nodes::{GroundId, Nodes};
use super::pod::PodSaid;
use crate::servers::Servers;
use crate::workloads::Workloads;

/// What is in a namespace, and what it is judged by.
#[derive(Debug)]
pub struct Given {
    /// The namespace's name.
    pub namespace: String,
    /// What is in it.
    pub workloads: Workloads,
    /// The nodes of the cluster.
    pub nodes: Nodes,
    /// What was recorded of its workloads' calls.
    pub recorded: BTreeMap<WorkloadRef, Recorded>,
    /// How much evidence is asked for.
    pub terms: Terms,
    /// The instant.
    pub now: Moment,
    /// Its Pod Security, by which fixes are chosen.
    pub levels: Levels,
    /// The API servers in use; without them every fix counts as admitted.
    pub servers: Option<Servers>,
}

/// A namespace that was judged as it is now.
#[derive(Debug)]
pub struct Look {
    given: Given,
    memory: HealthMemory,
    failures: Failures,
    assessment: Assessment,
}

/// Everything that is said of a workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Its namespace.
    pub namespace: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The worst verdict on any container, wherever it lands.
    pub verdict: Verdict,
    /// What it can land on, and what is said of it there, the worst first.
    pub places: Vec<Place>,
    /// Its pods, those that are over included.
    pub pods: Vec<PodSaid>,
}

/// Nodes that give containers the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The `RuntimeDefault`, as a status says it; none where that is not known.
    pub profile: Option<String>,
    /// The hash of its rules.
    pub rules: Option<&'static str>,
    /// The architecture, as Go names it.
    pub architecture: Option<&'static str>,
    /// The kernel.
    pub kernel: Option<String>,
    /// The nodes, by name.
    pub nodes: Vec<String>,
    /// Why it is not known what containers run under, by node.
    pub unknown: Vec<String>,
    /// What is said of the containers, the worst first.
    pub containers: Vec<ContainerSaid>,
}

/// What is said of a container.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerSaid {
    /// Its name.
    pub container: String,
    /// The verdict.
    pub verdict: Verdict,
    /// What it rests on.
    pub basis: Option<Basis>,
    /// When the first of the facts was seen that it rests on.
    pub since: Option<Time>,
    /// The calls, sorted.
    pub calls: Vec<CallSaid>,
    /// Which kinds of evidence it rests on.
    pub evidence: Vec<&'static str>,
    /// What was observed.
    pub coverage: CoverageSaid,
    /// Nodes on which it fares badly under `RuntimeDefault`.
    pub failing_on: Vec<String>,
    /// Nodes on which it fares well under it.
    pub passing_on: Vec<String>,
    /// Nodes on which its twin without a profile fares well.
    pub healthy_twin_on: Vec<String>,
    /// Why it is no better.
    pub doubt: Option<String>,
    /// Why a switch changes nothing.
    pub exempt: Option<String>,
    /// What would help, least privilege first.
    pub fixes: Vec<FixSaid>,
}

/// A call that a verdict names.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallSaid {
    /// As a status says it.
    #[serde(flatten)]
    pub call: SeccompCall,
    /// The capabilities each of which lets it through.
    pub unlocked_by: Vec<&'static str>,
    /// Who saw it.
    pub sources: Vec<&'static str>,
}

/// How much of a container's life was observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CoverageSaid {
    /// For how long.
    pub observed_seconds: u64,
    /// How many starts.
    pub starts: usize,
    /// Whether something was lost before.
    pub lost: bool,
    /// How long it must be before it is said that nothing was denied.
    pub asked_seconds: u64,
}

/// Something that would help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FixSaid {
    /// What it is, with what it takes.
    pub fix: String,
    /// Whether Pod Security admits it.
    pub admitted: Admitted,
}

/// Whether Pod Security admits a fix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Admitted {
    /// Now and at the level that is planned.
    Offered,
    /// Now, and it would stand in the way of the planned level.
    PlannedLevelForbids,
    /// Not even now.
    LevelForbids,
}

impl Look {
    /// Judges the namespace.
    #[must_use]
    pub fn new(mut given: Given) -> Self {
        let mut nodes = std::mem::take(&mut given.nodes);
        let mut memory = HealthMemory::default();
        let mut failures = Failures::new();
        let first = assess(
            &given.workloads,
            &mut nodes,
            &mut memory,
            given.circumstances(&failures),
        );
        failures.extend(failures_of(&given.namespace, &first));
        // What fails elsewhere makes nothing fail, so there is nothing to find a third time.
        let assessment = assess(
            &given.workloads,
            &mut nodes,
            &mut memory,
            given.circumstances(&failures),
        );
        given.nodes = nodes;
        Self {
            given,
            memory,
            failures,
            assessment,
        }
    }

    /// The nodes of the cluster.
    #[must_use]
    pub const fn nodes(&self) -> &Nodes {
        &self.given.nodes
    }

    /// The workload that an object is reported as, where it was judged: for a pod of a Deployment
    /// that Deployment. An owner need not be there itself.
    #[must_use]
    pub fn find(&self, kind: &str, name: &str) -> Option<&WorkloadRef> {
        let listed = Kind::ALL.into_iter().find(|it| it.as_str() == kind);
        let reported = listed.and_then(|kind| self.given.workloads.workload_of(kind, name));
        let is_meant = |workload: &&WorkloadRef| match &reported {
            Some(reported) => *workload == reported,
            None => workload.kind.as_str().eq_ignore_ascii_case(kind) && &*workload.name == name,
        };
        let mut workloads = self.assessment.workloads.iter().map(|it| &it.workload);
        workloads.find(is_meant)
    }

    /// All workloads as a status lists them, the worst first.
    #[must_use]
    pub fn all(&self) -> Vec<SeccompWorkload> {
        let levels = |_: &str| self.given.levels;
        let telling = self.telling(&levels);
        let workloads = self.assessment.workloads.iter();
        let entries = workloads.map(|assessed| {
            let (judgement, ground) = assessed.worst();
            telling.entry(&Said {
                namespace: &self.given.namespace,
                assessed,
                judgement,
                ground,
            })
        });
        let mut entries: Vec<_> = entries.collect();
        // By kind and name they are already.
        entries.sort_by_key(|entry| entry.verdict);
        entries
    }

    /// Everything that is said of a workload; none where it was not judged.
    #[must_use]
    pub fn explain(&mut self, workload: &WorkloadRef) -> Option<Explanation> {
        let all = parts(&self.given.workloads);
        let parts = all.get(workload)?;
        let mut nodes = std::mem::take(&mut self.given.nodes);
        let each = Bench {
            workload,
            nodes: &mut nodes,
            memory: &mut self.memory.0,
            at: self.given.circumstances(&self.failures),
        }
        .judge_each(parts);
        let pods = parts.pods.iter().map(|pod| {
            let (settling, now) = (self.given.terms.settling, self.given.now);
            PodSaid::of(pod, &nodes, settling, now)
        });
        let mut pods: Vec<_> = pods.collect();
        pods.sort_by(|one, other| (&one.node, &one.name).cmp(&(&other.node, &other.name)));
        self.given.nodes = nodes;
        let mut workloads = self.assessment.workloads.iter();
        let assessed = workloads.find(|it| it.workload == *workload)?;
        let places = each?
            .into_iter()
            .map(|(ground, judged)| self.place(assessed, ground, judged));
        let mut places: Vec<_> = places.collect();
        let worst = |place: &Place| place.containers.first().map(|said| said.verdict);
        places.sort_by_key(|place| (worst(place), place.profile.is_none()));
        Some(Explanation {
            namespace: self.given.namespace.clone(),
            kind: workload.kind.to_string(),
            name: workload.name.to_string(),
            verdict: assessed.worst().0.verdict,
            places,
            pods,
        })
    }

    fn place(
        &self,
        assessed: &AssessedWorkload,
        id: Option<GroundId>,
        judged: Vec<(Box<str>, Judgement)>,
    ) -> Place {
        let ground = id.and_then(|id| self.given.nodes.ground(id));
        let landing = assessed.landing.nodes.iter();
        let here = landing.filter(|name| self.given.nodes.ground_of(name) == id);
        let nodes: Vec<String> = here.map(ToString::to_string).collect();
        let known = nodes.iter().filter_map(|name| self.given.nodes.get(name));
        let unknown = known.filter_map(|known| {
            let why = known.ground.as_ref().err()?;
            Some(format!("{}: {why}", known.node.name))
        });
        let unknown: BTreeSet<String> = unknown.collect();
        let mut judged = judged;
        judged.sort_by(|(one, said), (other, also)| {
            (said.verdict, one, said).cmp(&(also.verdict, other, also))
        });
        // Pods of several versions of a template may be judged alike.
        judged.dedup();
        let containers = judged.into_iter().map(|(container, judgement)| {
            let judgement = WorkloadJudgement {
                verdict: judgement.verdict,
                container,
                coverage: None,
                judgement,
            };
            self.container(&Said {
                namespace: &self.given.namespace,
                assessed,
                judgement: &judgement,
                ground: id,
            })
        });
        Place {
            profile: ground.map(super::node::Ground::name),
            rules: ground.map(|ground| ground.profile.rules.hash),
            architecture: ground.map(|ground| ground.architecture.as_str()),
            kernel: ground.map(|ground| {
                let kernel = ground.kernel;
                format!("{}.{}", kernel.major, kernel.minor)
            }),
            containers: containers.collect(),
            unknown: unknown.into_iter().collect(),
            nodes,
        }
    }

    fn container(&self, said: &Said<'_>) -> ContainerSaid {
        let judgement = &said.judgement.judgement;
        let names = |names: &BTreeSet<Box<str>>| names.iter().map(ToString::to_string).collect();
        let levels = |_: &str| self.given.levels;
        let telling = self.telling(&levels);
        let calls = judgement.calls.iter().map(|found| CallSaid {
            call: call(found),
            unlocked_by: unlocked_by(&telling, said, found),
            sources: found.sources.iter().copied().map(Source::as_str).collect(),
        });
        let coverage = judgement.coverage;
        ContainerSaid {
            container: said.judgement.container.to_string(),
            verdict: judgement.verdict,
            basis: judgement.basis,
            since: judgement.since.and_then(time),
            calls: calls.collect(),
            evidence: judgement.grounds.iter().map(|it| it.as_str()).collect(),
            coverage: CoverageSaid {
                observed_seconds: coverage.observed.as_secs(),
                starts: coverage.starts,
                lost: coverage.lost,
                asked_seconds: self.given.terms.minimum_observation.as_secs(),
            },
            failing_on: names(&judgement.failing_on),
            passing_on: names(&judgement.passing_on),
            healthy_twin_on: names(&judgement.healthy_twin_on),
            doubt: telling.doubt(said.assessed, judgement),
            exempt: judgement.exempt.map(|exempt| exempt.to_string()),
            fixes: fixes(&telling, said),
        }
    }

    fn telling<'a>(&'a self, levels: &'a dyn Fn(&str) -> Levels) -> Telling<'a> {
        Telling {
            nodes: &self.given.nodes,
            levels,
            servers: self.given.servers,
        }
    }
}

impl Given {
    fn circumstances<'a>(&'a self, failures: &'a Failures) -> Circumstances<'a> {
        Circumstances {
            namespace: &self.namespace,
            recorded: &self.recorded,
            failures,
            terms: self.terms,
            now: self.now,
        }
    }
}

/// The capabilities each of which lets a call through.
fn unlocked_by(telling: &Telling<'_>, said: &Said<'_>, found: &Finding) -> Vec<&'static str> {
    let ground = said.ground.and_then(|id| telling.nodes.ground(id));
    let (Some(ground), Some((_, container))) = (ground, telling.held(said)) else {
        return Vec::new();
    };
    let setting = Setting {
        profile: &ground.profile.rules,
        container,
        loader: Loader::default(),
    };
    // Rules that cannot be loaded let nothing through; no known profile has such.
    explain_finding(found, setting).map_or(Vec::new(), |explanation| explanation.unlocked_by)
}

fn fixes(telling: &Telling<'_>, said: &Said<'_>) -> Vec<FixSaid> {
    let Some((remedies, fixes)) = telling.fixes(said) else {
        return Vec::new();
    };
    let admitted = |fix: &Fix| {
        if fixes.offered.contains(fix) {
            Admitted::Offered
        } else if fixes.blocking.contains(fix) {
            Admitted::PlannedLevelForbids
        } else {
            Admitted::LevelForbids
        }
    };
    let said = remedies.iter().map(|fix| FixSaid {
        fix: word(fix),
        admitted: admitted(fix),
    });
    said.collect()
}
