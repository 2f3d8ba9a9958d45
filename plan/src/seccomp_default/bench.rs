//! One workload on the bench: its parts, how its containers fare, and the verdict on each. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use podfence_seccomp::evidence::{
    Confinement, Evidence, Fact, FailedElsewhere, Key, Observation, image_digest,
};
use podfence_seccomp::{
    Affected, Capabilities, Certainty, Container as Held, Judgement, Node as On, Span, Subject,
    UnknownProfile, Verdict, WorkloadJudgement, judge,
};
use podfence_workload::{Container, Kind, Object, OwnerKind, Run, Template, Uid, WorkloadRef};

use super::assessment::{AssessedWorkload, Circumstances, Failure, full_name};
use super::health::{self, Memory, Place};
use super::node::Ground;
use super::nodes::{GroundId, Landing, Nodes};
use super::template::{
    containers, files, fingerprint, image_hash, judge_nowhere, signatures, version_id,
};

/// A template of a workload as its pods have it.
struct Version<'a> {
    template: &'a Arc<Template>,
    id: Box<str>,
    pods: Vec<&'a Object>,
}

/// What is said of containers by name, by what they would run under.
pub(super) type ByGround = BTreeMap<Option<GroundId>, Vec<(Box<str>, Judgement)>>;

/// Everything of a workload.
pub(super) struct Parts<'a> {
    /// Templates that make pods: the workload's own.
    pub(super) templates: Vec<&'a Object>,
    pub(super) pods: Vec<&'a Object>,
}

/// Where one workload is judged.
pub(super) struct Bench<'a, 'b> {
    pub(super) workload: &'b WorkloadRef,
    pub(super) nodes: &'b mut Nodes,
    pub(super) memory: &'b mut BTreeMap<(WorkloadRef, Box<str>), Memory>,
    pub(super) at: Circumstances<'a>,
}

impl Bench<'_, '_> {
    /// None where there is nothing that runs or could.
    pub(super) fn assess(&mut self, parts: &Parts<'_>) -> Option<AssessedWorkload> {
        let landing = self.landing(parts)?;
        let versions = self.versions(parts);
        self.note_health(&versions, &landing);
        let template = Arc::clone(versions.first()?.template);
        let mut failing = Vec::new();
        let mut by_ground = Vec::new();
        for id in &landing.grounds {
            let judged = self.judge_all(&versions, *id, &mut failing);
            if let Some(said) = WorkloadJudgement::of(judged) {
                by_ground.push((*id, self.nodes.share(said)));
            }
        }
        let unknown = versions
            .iter()
            .flat_map(|version| judge_nowhere(version.template, &landing));
        let elsewhere = self.nodes.share(WorkloadJudgement::of(unknown)?);
        let images = versions.iter().flat_map(|version| {
            let all = containers(version.template);
            all.flat_map(|container| self.images(version, container))
        });
        let images: BTreeSet<u64> = images.map(|image| image_hash(&image)).collect();
        let files: BTreeSet<_> = versions
            .iter()
            .flat_map(|version| files(version.template))
            .collect();
        Some(AssessedWorkload {
            workload: self.workload.clone(),
            landing,
            by_ground: by_ground.into(),
            elsewhere,
            files: files.into_iter().collect(),
            template,
            uid: self.uid(parts),
            images: images.into_iter().collect(),
            failing,
        })
    }

    /// What is said of every container wherever it can land, not summed up: under each ground, and
    /// where none is known.
    pub(super) fn judge_each(&mut self, parts: &Parts<'_>) -> Option<ByGround> {
        let landing = self.landing(parts)?;
        let versions = self.versions(parts);
        let mut each = ByGround::new();
        for id in &landing.grounds {
            let judged = self.judge_all(&versions, *id, &mut Vec::new());
            each.insert(Some(*id), judged);
        }
        if !landing.unknown.is_empty() || landing.grounds.is_empty() {
            let templates = versions.iter().map(|version| version.template);
            each.insert(
                None,
                templates
                    .flat_map(|it| judge_nowhere(it, &landing))
                    .collect(),
            );
        }
        Some(each)
    }

    fn judge_all(
        &mut self,
        versions: &[Version<'_>],
        id: GroundId,
        failing: &mut Vec<(Key, Failure)>,
    ) -> Vec<(Box<str>, Judgement)> {
        versions
            .iter()
            .flat_map(|version| self.judge(version, id, failing))
            .collect()
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
        run: &Run,
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
            let Some((key, _, Affected::Yes)) =
                self.key(version.template, container, &run.image, id)
            else {
                continue;
            };
            self.memory
                .entry((self.workload.clone(), container.name.clone()))
                .or_default()
                .note(&key, health.clone(), seen, settling);
        }
    }

    /// The images that a container runs in its pods, by digest. Where none runs, those that it ran,
    /// or was seen to run; as written where it never has.
    fn images(&self, version: &Version<'_>, container: &Container) -> BTreeSet<Box<str>> {
        let statuses = version.pods.iter().filter_map(|pod| pod.status.as_ref());
        let runs = statuses.flat_map(|status| &status.runs);
        let run: BTreeSet<Box<str>> = runs
            .filter(|run| run.container == container.name && !run.image.is_empty())
            .map(|run| image_digest(&run.image).into())
            .collect();
        if !run.is_empty() {
            return run;
        }
        let name = (self.workload.clone(), container.name.clone());
        let memory = self.memory.get(&name).into_iter();
        let ran: BTreeSet<Box<str>> = memory
            .flat_map(|memory| memory.images(&version.id))
            .map(Box::from)
            .collect();
        if !ran.is_empty() {
            return ran;
        }
        let recorded = self.at.recorded.get(self.workload);
        let recorded = recorded.and_then(|recorded| recorded.get(&container.name));
        let seen: BTreeSet<Box<str>> = recorded
            .into_iter()
            .flat_map(Evidence::keys)
            .map(|key| key.image.clone())
            .collect();
        if seen.is_empty() {
            [container.image.clone().unwrap_or_default()].into()
        } else {
            seen
        }
    }

    /// What evidence on a container is bound to, what the rules ask for of it, and whether a switch
    /// affects it. None where the runtime refuses the container, or the ground is gone.
    fn key(
        &self,
        template: &Template,
        container: &Container,
        image: &str,
        id: GroundId,
    ) -> Option<(Key, Held, Affected)> {
        let ground = self.nodes.ground(id)?;
        let on = On {
            seccomp_default: Some(false),
            runtime: Some(ground.profile.runtime),
            handler: None,
        };
        let held = held(template, container, ground)?;
        let key = Key::of(image_digest(image), held, &ground.profile.rules);
        Some((key, held, Affected::of(template, container, on)))
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
            for image in self.images(version, container) {
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
        let Some((key, held, affected)) = self.key(version.template, container, image, id) else {
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
            let denied = calls.filter(|call| call.certainty == Certainty::Denied);
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

/// What of a container the rules ask for; none where the runtime refuses it.
fn held(template: &Template, container: &Container, ground: &Ground) -> Option<Held> {
    let capabilities = Capabilities::of(ground.profile.runtime, template, container);
    Some(Held {
        architecture: ground.architecture,
        // Windows has none, and nothing there is affected.
        bounding: capabilities.ok()?.map(|it| it.bounding).unwrap_or_default(),
        kernel: ground.kernel,
    })
}
