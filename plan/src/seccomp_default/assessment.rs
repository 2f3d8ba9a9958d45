//! Every workload of a namespace, and whether it would fail under SeccompDefault. No I/O.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use podfence_seccomp::evidence::{Confinement, Evidence, Fact, FailedElsewhere, Key, Observation};
use podfence_seccomp::signature::{Appearance, Signature};
use podfence_seccomp::{
    Affected, Capabilities, Container as Held, Judgement, Moment, Node as On, Readiness, Span,
    Subject, Terms, UnknownProfile, Verdict, WorkloadJudgement, judge,
};
use podfence_workload::{
    Container, ContainerKind, Kind, Labels, Object, OwnerKind, ProfileType, Template, Uid,
    WorkloadRef,
};

use super::findings::{Said, describe};
use super::health::{self, Memory, Place};
use super::nodes::{GroundId, Landing, Nodes};
use crate::event::{Event, Regarding};
use crate::workloads::Workloads;

/// Labels by which the controllers of Kubernetes tell the versions of a template apart.
const REVISION_LABELS: [&str; 2] = ["pod-template-hash", "controller-revision-hash"];

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
    pub by_ground: BTreeMap<GroundId, WorkloadJudgement>,
    /// What is said of it where it is not known what it would run under.
    pub elsewhere: WorkloadJudgement,
    /// The profile files that its containers choose, with the container.
    pub files: BTreeSet<(Box<str>, Box<str>)>,
    /// The template that it was judged by, for fixes.
    pub template: Arc<Template>,
    /// The workload's uid; empty where only its pods were seen.
    uid: Uid,
    /// The images that it runs, by digest.
    images: BTreeSet<Box<str>>,
    /// What fails of it, under which key.
    failing: Vec<(Key, Failure)>,
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
        let known = self.by_ground.iter().map(|(id, said)| (said, Some(*id)));
        let unknown = !self.landing.unknown.is_empty() || self.by_ground.is_empty();
        let all = known.chain(unknown.then_some((&self.elsewhere, None)));
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
        ground
            .and_then(|id| self.by_ground.get(&id))
            .unwrap_or(&self.elsewhere)
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

    /// Whether something here runs an image, by digest.
    #[must_use]
    pub fn runs(&self, image: &str) -> bool {
        self.workloads
            .iter()
            .any(|assessed| assessed.images.contains(image))
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
pub struct HealthMemory(BTreeMap<(WorkloadRef, Box<str>), Memory>);

/// A template of a workload as its pods have it.
struct Version<'a> {
    template: &'a Arc<Template>,
    id: Box<str>,
    pods: Vec<&'a Object>,
}

/// Everything of a workload.
struct Parts<'a> {
    /// Templates that make pods: the workload's own.
    templates: Vec<&'a Object>,
    pods: Vec<&'a Object>,
}

/// Judges every workload of a namespace.
#[must_use]
pub fn assess(
    workloads: &Workloads,
    nodes: &mut Nodes,
    memory: &mut HealthMemory,
    at: Circumstances<'_>,
) -> Assessment {
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

/// Where one workload is judged.
struct Bench<'a, 'b> {
    workload: &'b WorkloadRef,
    nodes: &'b mut Nodes,
    memory: &'b mut BTreeMap<(WorkloadRef, Box<str>), Memory>,
    at: Circumstances<'a>,
}

impl Bench<'_, '_> {
    /// None where there is nothing that runs or could.
    fn assess(&mut self, parts: &Parts<'_>) -> Option<AssessedWorkload> {
        let landing = self.landing(parts)?;
        let versions = self.versions(parts);
        self.note_health(&versions, &landing);
        let template = Arc::clone(versions.first()?.template);
        let mut failing = Vec::new();
        let mut by_ground = BTreeMap::new();
        for id in &landing.grounds {
            let judged: Vec<_> = versions
                .iter()
                .flat_map(|version| self.judge(version, *id, &mut failing))
                .collect();
            if let Some(said) = WorkloadJudgement::of(judged) {
                by_ground.insert(*id, said);
            }
        }
        let unknown = versions
            .iter()
            .flat_map(|version| judge_nowhere(version.template));
        let elsewhere = WorkloadJudgement::of(unknown)?;
        let images = versions.iter().flat_map(|version| {
            let all = containers(version.template);
            all.flat_map(|container| images(version, container))
        });
        let files = versions
            .iter()
            .flat_map(|version| files(version.template))
            .collect();
        Some(AssessedWorkload {
            workload: self.workload.clone(),
            landing,
            by_ground,
            elsewhere,
            files,
            template,
            uid: self.uid(parts),
            images: images.collect(),
            failing,
        })
    }

    /// The uid of the object that it is reported as, where that was seen.
    fn uid(&self, parts: &Parts<'_>) -> Uid {
        let objects = parts.templates.iter().chain(&parts.pods);
        let named = objects.copied().find(|object| {
            OwnerKind::Listed(object.kind) == self.workload.kind
                && object.meta.name == self.workload.name
        });
        let controller = |pod: &&Object| {
            let owner = pod.meta.controller.as_deref()?;
            (owner.name == self.workload.name).then(|| owner.uid.clone())
        };
        let owner = || parts.pods.iter().find_map(controller);
        named
            .map(|object| object.meta.uid.clone())
            .or_else(owner)
            .unwrap_or_default()
    }

    /// Where its pods can land: as its template says, which its pods must not say otherwise; as they
    /// say where there is none. A pod without a controller stays where it is.
    fn landing(&mut self, parts: &Parts<'_>) -> Option<Arc<Landing>> {
        let object = parts.templates.first().or(parts.pods.first())?;
        let template = object.template.as_ref()?;
        let stays = object.kind != Kind::Pod || object.meta.controller.is_none();
        let bound_to = object.node_name.as_ref().filter(|_| stays);
        Some(self.nodes.landing(&template.placement, bound_to))
    }

    /// The templates that are to be judged: those of its pods, and its own where no pod has it.
    fn versions<'p>(&self, parts: &Parts<'p>) -> Vec<Version<'p>> {
        let mut versions: Vec<Version<'p>> = Vec::new();
        let live = |pod: &&&Object| !pod.finished && !pod.meta.deleting;
        let has_live = parts.pods.iter().any(|pod| live(&pod));
        for pod in &parts.pods {
            let Some(template) = &pod.template else {
                continue;
            };
            // What is over tells how it fared, and is judged only as long as nothing else is there.
            if !live(&pod) && (has_live || !parts.templates.is_empty()) {
                continue;
            }
            let id = version_id(&pod.meta.labels, template);
            match versions.iter_mut().find(|version| version.id == id) {
                Some(version) => version.pods.push(pod),
                None => versions.push(Version {
                    template,
                    id,
                    pods: vec![pod],
                }),
            }
        }
        for object in &parts.templates {
            let Some(template) = &object.template else {
                continue;
            };
            let print = fingerprint(template);
            if versions
                .iter()
                .any(|version| fingerprint(version.template) == print)
            {
                continue;
            }
            versions.push(Version {
                template,
                id: self.remembered_id(&print),
                pods: parts
                    .pods
                    .iter()
                    .copied()
                    .filter(|pod| {
                        pod.template
                            .as_ref()
                            .is_some_and(|it| fingerprint(it) == print)
                    })
                    .collect(),
            });
        }
        versions
    }

    /// What the last pods of a template were called by; between Jobs and at zero replicas none is
    /// there to say.
    fn remembered_id(&self, print: &str) -> Box<str> {
        let own = self
            .memory
            .iter()
            .filter(|((workload, _), _)| workload == self.workload);
        let mut ids = own.filter_map(|(_, memory)| memory.last_template());
        ids.rfind(|id| id.ends_with(print))
            .map_or_else(|| print.into(), Box::from)
    }

    /// Notes how each container fares in each pod, under the keys for which that counts.
    fn note_health(&mut self, versions: &[Version<'_>], landing: &Landing) {
        for version in versions {
            for pod in version.pods.iter().filter(|pod| !pod.meta.deleting) {
                let Some(status) = &pod.status else {
                    continue;
                };
                for run in &status.runs {
                    let container = version
                        .template
                        .containers
                        .iter()
                        .find(|container| container.name == run.container);
                    if let Some(container) = container {
                        self.note_run(version, pod, container, run, landing);
                    }
                }
            }
        }
    }

    fn note_run(
        &mut self,
        version: &Version<'_>,
        pod: &Object,
        container: &Container,
        run: &podfence_workload::Run,
        landing: &Landing,
    ) {
        let Some(node) = pod
            .node_name
            .as_deref()
            .and_then(|name| self.nodes.get(name))
        else {
            return;
        };
        let Some(confined) = node.confines(&run.id) else {
            return;
        };
        let own = self.nodes.ground_of(&node.node.name);
        let confinement = if confined {
            Confinement::RuntimeDefault
        } else {
            Confinement::Unconfined
        };
        let place = Place {
            pod,
            template: version.template,
            template_id: &version.id,
            confinement,
        };
        let settling = self.at.terms.settling;
        let Some((health, seen)) = health::of_run(place, container, run, settling, self.at.now)
        else {
            return;
        };
        // How it fares without a profile is the same whichever it would get.
        let grounds: Vec<GroundId> = if confined {
            own.into_iter().collect()
        } else {
            landing.grounds.iter().copied().chain(own).collect()
        };
        for id in grounds {
            let Some((key, Affected::Yes)) = self.key(version.template, container, &run.image, id)
            else {
                continue;
            };
            self.memory
                .entry((self.workload.clone(), container.name.clone()))
                .or_default()
                .note(&key, health.clone(), seen, settling);
        }
    }

    /// What evidence on a container is bound to, and whether a switch affects it. None where the
    /// runtime refuses the container, or the ground is gone.
    fn key(
        &self,
        template: &Template,
        container: &Container,
        image: &str,
        id: GroundId,
    ) -> Option<(Key, Affected)> {
        let ground = self.nodes.ground(id)?;
        let on = On {
            seccomp_default: Some(false),
            runtime: Some(ground.profile.runtime),
            handler: None,
        };
        let held = held(template, container, ground)?;
        let key = Key::of(digest(image), held, &ground.profile.rules);
        Some((key, Affected::of(template, container, on)))
    }

    /// Every container of a template under one ground, once for each image that it runs.
    fn judge(
        &mut self,
        version: &Version<'_>,
        id: GroundId,
        failing: &mut Vec<(Key, Failure)>,
    ) -> Vec<(Box<str>, Judgement)> {
        let mut judged = Vec::new();
        for container in containers(version.template) {
            for image in images(version, container) {
                let said = self.judge_container(version, container, &image, id, failing);
                judged.push((container.name.clone(), said));
            }
        }
        judged
    }

    fn judge_container(
        &mut self,
        version: &Version<'_>,
        container: &Container,
        image: &str,
        id: GroundId,
        failing: &mut Vec<(Key, Failure)>,
    ) -> Judgement {
        let unknown = || Judgement::unknown(UnknownProfile::Runtime);
        let Some((key, affected)) = self.key(version.template, container, image, id) else {
            return unknown();
        };
        let Some(ground) = self.nodes.ground(id) else {
            return unknown();
        };
        let Some(held) = held(version.template, container, ground) else {
            return unknown();
        };
        let Ok(Some(filter)) = self.nodes.filter(id, held) else {
            return unknown();
        };
        let signatures = signatures(container);
        let subject = Subject {
            affected,
            key: &key,
            template: &version.id,
            filter: &filter,
            signatures: &signatures,
        };
        let evidence = self.evidence(container, &key);
        let said = judge(&subject, &evidence, &self.at.terms, self.at.now);
        if said.verdict == Verdict::Failing {
            let calls = said.calls.iter();
            let denied = calls.filter(|call| call.certainty == podfence_seccomp::Certainty::Denied);
            failing.push((
                key,
                Failure {
                    since: said.since.unwrap_or(self.at.now),
                    calls: denied.map(|call| call.name.clone()).collect(),
                },
            ));
        }
        said
    }

    /// All that is known of a container.
    fn evidence(&self, container: &Container, key: &Key) -> Evidence {
        let recorded = self.at.recorded.get(self.workload);
        let recorded = recorded.and_then(|recorded| recorded.get(&container.name));
        let mut evidence = recorded.cloned().unwrap_or_default();
        let memory = (self.workload.clone(), container.name.clone());
        if let Some(memory) = self.memory.get(&memory) {
            evidence.extend(memory.facts());
        }
        let own: Box<str> = self.full_name().into();
        let others = self.at.failures.get(key).into_iter().flatten();
        let others = others.filter(|(workload, _)| **workload != own);
        evidence.extend(others.map(|(workload, failure)| Fact {
            key: key.clone(),
            observation: Observation::FailedElsewhere(
                FailedElsewhere {
                    workload: workload.clone(),
                    calls: failure.calls.clone(),
                },
                Span::new(failure.since, self.at.now),
            ),
        }));
        evidence
    }

    fn full_name(&self) -> String {
        full_name(self.at.namespace, self.workload)
    }
}

/// A workload as messages name it.
#[must_use]
pub fn full_name(namespace: &str, workload: &WorkloadRef) -> String {
    format!("{namespace}/{workload}")
}

/// The containers that decide: a debugging session is none of the workload's.
fn containers(template: &Template) -> impl Iterator<Item = &Container> {
    let all = template.containers.iter();
    all.filter(|container| container.kind != ContainerKind::Ephemeral)
}

/// What is said of containers where it is not known what they would run under.
fn judge_nowhere(template: &Template) -> Vec<(Box<str>, Judgement)> {
    containers(template)
        .map(|container| {
            let affected = Affected::of(template, container, On::default());
            (container.name.clone(), Judgement::without_profile(affected))
        })
        .collect()
}

/// What of a container the rules ask for; none where the runtime refuses it.
fn held(template: &Template, container: &Container, ground: &super::node::Ground) -> Option<Held> {
    let capabilities = Capabilities::of(ground.profile.runtime, template, container);
    Some(Held {
        architecture: ground.architecture,
        // Windows has none, and nothing there is affected.
        bounding: capabilities.ok()?.map(|it| it.bounding).unwrap_or_default(),
        kernel: ground.kernel,
    })
}

/// The images that a container runs in its pods, by digest; as written where none has run.
fn images(version: &Version<'_>, container: &Container) -> BTreeSet<Box<str>> {
    let statuses = version.pods.iter().filter_map(|pod| pod.status.as_ref());
    let runs = statuses.flat_map(|status| &status.runs);
    let run: BTreeSet<Box<str>> = runs
        .filter(|run| run.container == container.name && !run.image.is_empty())
        .map(|run| digest(&run.image).into())
        .collect();
    if run.is_empty() {
        [container.image.clone().unwrap_or_default()].into()
    } else {
        run
    }
}

/// The digest in what a runtime says of an image: `docker.io/library/nginx@sha256:…`.
fn digest(image: &str) -> &str {
    image.rsplit_once('@').map_or(image, |(_, digest)| digest)
}

/// The known breakages that a container looks like.
#[must_use]
pub(super) fn signatures(container: &Container) -> Vec<&'static Signature> {
    let command = container.command.iter().chain(&container.arguments);
    let command: Vec<&str> = command.map(|word| &**word).collect();
    let appearance = Appearance {
        image: container.image.as_deref().unwrap_or_default(),
        command: &command,
        added: container
            .security
            .capabilities
            .as_ref()
            .map(|capabilities| &capabilities.add),
    };
    let all = Signature::all().unwrap_or_default();
    all.iter()
        .filter(|known| known.recognises(appearance))
        .collect()
}

/// The profile files that containers choose, each with its container.
fn files(template: &Template) -> Vec<(Box<str>, Box<str>)> {
    let chosen = |container: &Container| {
        let own = container.security.seccomp.as_ref();
        let profile = own.or(template.security.seccomp.as_ref())?;
        let is_file = profile.profile_type == ProfileType::Localhost;
        let path = profile
            .localhost
            .clone()
            .filter(|path| is_file && !path.is_empty())?;
        Some((container.name.clone(), path))
    };
    containers(template).filter_map(chosen).collect()
}

/// What names the version of a template that a pod has: its controller's own name for it, which
/// changes with everything in the template, and what of it is seen here.
fn version_id(labels: &Labels, template: &Template) -> Box<str> {
    let print = fingerprint(template);
    let revision = REVISION_LABELS.iter().find_map(|key| labels.get(key));
    match revision {
        Some(revision) => format!("{revision}/{print}").into(),
        None => print.into(),
    }
}

/// What of a template makes its containers behave as they do. The pods of a template differ from it
/// in what admission added: tolerations, volumes.
fn fingerprint(template: &Template) -> String {
    let mut hasher = DefaultHasher::new();
    for container in containers(template) {
        let Container {
            kind,
            name,
            image,
            command,
            arguments,
            security,
            ..
        } = container;
        (kind.field(), name, image, command, arguments, security).hash(&mut hasher);
    }
    let Template {
        host_network,
        host_pid,
        host_ipc,
        host_users,
        runtime_class,
        security,
        ..
    } = template;
    (
        host_network,
        host_pid,
        host_ipc,
        host_users,
        runtime_class,
        security,
    )
        .hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
