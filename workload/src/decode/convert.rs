//! From what was read to the compact object, and what cannot be seen field by field. Pure.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{DecodeError, Defaulting, wire};
use crate::kind::Kind;
use crate::labels::Labels;
use crate::meta::{Meta, OwnerReference};
use crate::object::{Object, PodPhase};
use crate::placement::{Placement, Toleration};
use crate::security::{Capabilities, Profile, ProfileType, SeLinuxOptions, SecurityContext};
use crate::template::{Container, ContainerKind, RestartPolicy, Template};
use crate::volume::{Volume, VolumeSource, VolumeSources};

impl wire::Pod {
    pub(super) fn into_object(self, defaulting: Defaulting) -> Result<Object, DecodeError> {
        let Self {
            metadata,
            spec,
            status,
        } = self;
        let (meta, annotations) = metadata.unwrap_or_default().split();
        let spec = spec.ok_or_else(|| DecodeError::field("spec", "missing"))?;
        let phase = status.as_ref().and_then(|status| status.phase);
        let (template, node_name) = template(spec, annotations, defaulting, "spec", Kind::Pod)?;
        Ok(Object {
            kind: Kind::Pod,
            meta,
            template: Some(Arc::new(template)),
            template_labels: Labels::default(),
            node_name,
            phase,
            status: status.and_then(wire::PodStatus::into_runs).map(Box::new),
            finished: phase.is_some_and(PodPhase::is_finished),
            replicas: None,
        })
    }
}

impl wire::Controller {
    pub(super) fn into_object(
        self,
        kind: Kind,
        defaulting: Defaulting,
    ) -> Result<Object, DecodeError> {
        let Self { metadata, spec } = self;
        let wire::ControllerSpec { replicas, template } = spec.unwrap_or_default();
        let object = from_template(kind, metadata, template, "spec.template", defaulting)?;
        Ok(Object { replicas, ..object })
    }
}

impl wire::PodTemplate {
    pub(super) fn into_object(self, defaulting: Defaulting) -> Result<Object, DecodeError> {
        let Self { metadata, template } = self;
        from_template(
            Kind::PodTemplate,
            metadata,
            template,
            "template",
            defaulting,
        )
    }
}

impl wire::Job {
    pub(super) fn into_object(self, defaulting: Defaulting) -> Result<Object, DecodeError> {
        let Self {
            metadata,
            spec,
            status,
        } = self;
        let template = spec.unwrap_or_default().template;
        let object = from_template(Kind::Job, metadata, template, "spec.template", defaulting)?;
        let conditions = status
            .and_then(|status| status.conditions)
            .unwrap_or_default();
        let finished = conditions.iter().any(|condition| {
            matches!(
                condition.condition_type.as_deref(),
                Some("Complete" | "Failed")
            ) && condition.status.as_deref() == Some("True")
        });
        Ok(Object { finished, ..object })
    }
}

impl wire::CronJob {
    pub(super) fn into_object(self, defaulting: Defaulting) -> Result<Object, DecodeError> {
        let Self { metadata, spec } = self;
        let job = spec.unwrap_or_default().job_template.unwrap_or_default();
        let template = job.spec.unwrap_or_default().template;
        let path = "spec.jobTemplate.spec.template";
        from_template(Kind::CronJob, metadata, template, path, defaulting)
    }
}

/// An object whose pods are made from the template at `path`.
fn from_template(
    kind: Kind,
    metadata: Option<wire::Metadata>,
    found: Option<wire::TemplateWithMetadata>,
    path: &str,
    defaulting: Defaulting,
) -> Result<Object, DecodeError> {
    // The metadata's own annotations say nothing about the pods.
    let (meta, _) = metadata.unwrap_or_default().split();
    let mut object = Object {
        kind,
        meta,
        template: None,
        template_labels: Labels::default(),
        node_name: None,
        phase: None,
        status: None,
        finished: false,
        replicas: None,
    };
    let Some(wire::TemplateWithMetadata { metadata, spec }) = found else {
        // Only here the API leaves a template out: a controller that makes no pods.
        return match kind {
            Kind::ReplicationController => Ok(object),
            _ => Err(DecodeError::field(path, "missing")),
        };
    };
    let path = format!("{path}.spec");
    let spec = spec.ok_or_else(|| DecodeError::field(&path, "missing"))?;
    let wire::TemplateMetadata {
        labels,
        annotations,
    } = metadata.unwrap_or_default();
    let annotations = annotations
        .map(|annotations| annotations.0)
        .unwrap_or_default();
    let (template, node_name) = template(spec, annotations, defaulting, &path, kind)?;
    object.template = Some(Arc::new(template));
    object.template_labels = labels.unwrap_or_default();
    object.node_name = node_name;
    Ok(object)
}

type Annotations = Box<[(Box<str>, Box<str>)]>;

impl wire::Metadata {
    /// The metadata, and apart from it the annotations that belong to a pod's template.
    fn split(self) -> (Meta, Annotations) {
        let Self {
            namespace,
            name,
            generate_name,
            uid,
            labels,
            annotations,
            owner_references,
            deletion_timestamp,
        } = self;
        let controller = owner_references
            .unwrap_or_default()
            .into_iter()
            .find(|owner| owner.controller == Some(true))
            .map(|owner| {
                let wire::Owner {
                    api_version,
                    kind,
                    name,
                    uid,
                    controller: _,
                } = owner;
                Arc::new(OwnerReference {
                    api_version: api_version.unwrap_or_default(),
                    kind: kind.unwrap_or_default(),
                    name: name.unwrap_or_default(),
                    uid: uid.unwrap_or_default(),
                })
            });
        let meta = Meta {
            namespace: namespace.unwrap_or_default(),
            name: name.or(generate_name).unwrap_or_default(),
            uid: uid.unwrap_or_default(),
            labels: labels.unwrap_or_default(),
            controller,
            deleting: deletion_timestamp.is_some(),
        };
        (
            meta,
            annotations
                .map(|annotations| annotations.0)
                .unwrap_or_default(),
        )
    }
}

/// The template of a pod specification at `path`, and the node that it names.
fn template(
    spec: wire::PodSpec,
    annotations: Annotations,
    defaulting: Defaulting,
    path: &str,
    kind: Kind,
) -> Result<(Template, Option<Arc<str>>), DecodeError> {
    let wire::PodSpec {
        host_network,
        host_pid,
        host_ipc,
        host_users,
        os,
        runtime_class,
        security,
        init_containers,
        containers,
        ephemeral_containers,
        volumes,
        node_name,
        node_selector,
        affinity,
        tolerations,
        restart_policy,
    } = spec;
    let node_name = node_name.filter(|name| !name.is_empty());
    let bound_to = node_name.as_deref().filter(|_| kind == Kind::Pod);
    let containers: Box<[Container]> = [
        (ContainerKind::Init, init_containers),
        (ContainerKind::Regular, containers),
        (ContainerKind::Ephemeral, ephemeral_containers),
    ]
    .into_iter()
    .flat_map(|(kind, list)| {
        list.unwrap_or_default()
            .into_iter()
            .map(move |one| one.into(kind))
    })
    .collect();
    refuse_repeated_containers(&containers, path)?;
    let volumes = volumes.unwrap_or_default();
    refuse_repeated_volumes(&volumes, path)?;
    let template = Template {
        host_network: host_network.unwrap_or_default(),
        host_pid: host_pid.unwrap_or_default(),
        host_ipc: host_ipc.unwrap_or_default(),
        host_users,
        os: os.and_then(|os| os.name),
        runtime_class,
        security: security.unwrap_or_default().into(),
        containers,
        volumes: volumes
            .into_iter()
            .filter_map(|volume| volume.keep(defaulting))
            .collect(),
        annotations,
        placement: Placement {
            node_selector: node_selector.unwrap_or_default(),
            required_affinity: affinity
                .and_then(|affinity| affinity.node)
                .and_then(|node| node.required)
                .and_then(|required| required.terms)
                .map(|terms| terms.into_iter().map(|term| term.into(bound_to)).collect()),
            tolerations: tolerations
                .unwrap_or_default()
                .into_iter()
                .map(Toleration::from)
                .collect(),
        },
        restart_policy: restart_policy.unwrap_or_default(),
    };
    Ok((template, node_name))
}

/// Messages name containers and volumes, so two of one name could not be told apart; an API
/// server refuses them.
fn refuse_repeated_containers(containers: &[Container], path: &str) -> Result<(), DecodeError> {
    let names = containers.iter().map(|container| &*container.name);
    let Some((position, name)) = repeated(names) else {
        return Ok(());
    };
    let kind = containers
        .get(position)
        .map_or(ContainerKind::Regular, |container| container.kind);
    let index = containers
        .iter()
        .take(position)
        .filter(|other| other.kind == kind)
        .count();
    Err(DecodeError::field(
        format!("{path}.{}[{index}].name", kind.field()),
        format_args!("{name:?} is the name of another container as well"),
    ))
}

fn refuse_repeated_volumes(volumes: &[wire::Volume], path: &str) -> Result<(), DecodeError> {
    let names = volumes
        .iter()
        .map(|volume| volume.name.as_deref().unwrap_or_default());
    let Some((index, name)) = repeated(names) else {
        return Ok(());
    };
    Err(DecodeError::field(
        format!("{path}.volumes[{index}].name"),
        format_args!("{name:?} is the name of another volume as well"),
    ))
}

/// A name that is there twice, and where it is there again.
fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<(usize, &'a str)> {
    // Sorted, so that a hostile list of thousands costs little as well.
    let mut sorted: SmallVec<[(&str, usize); 16]> = names
        .enumerate()
        .map(|(index, name)| (name, index))
        .collect();
    sorted.sort_unstable();
    sorted.windows(2).find_map(|pair| match pair {
        [(first, _), (second, index)] if first == second => Some((*index, *second)),
        _ => None,
    })
}

impl wire::Container {
    fn into(self, kind: ContainerKind) -> Container {
        let Self {
            name,
            image,
            command,
            arguments,
            restart_policy,
            ports,
            security,
            liveness,
            readiness,
            startup,
            lifecycle,
        } = self;
        let wire::Lifecycle {
            post_start,
            pre_stop,
        } = lifecycle.unwrap_or_default();
        let startup_seconds = startup
            .as_ref()
            .or(readiness.as_ref())
            .map_or(0, wire::Probe::seconds);
        let probes = [liveness, readiness, startup]
            .into_iter()
            .flatten()
            .flat_map(|probe| [probe.http, probe.tcp]);
        let handlers = [post_start, pre_stop]
            .into_iter()
            .flatten()
            .flat_map(|wire::Handler { http, tcp }| [http, tcp]);
        let hosts = probes
            .chain(handlers)
            .filter_map(|destination| destination?.host)
            .filter(|host| !host.is_empty())
            .collect();
        let host_ports = ports
            .unwrap_or_default()
            .into_iter()
            .filter_map(|port| port.host_port)
            .filter(|port| *port != 0)
            .collect();
        Container {
            kind,
            name: name.unwrap_or_default(),
            image,
            command: command.unwrap_or_default(),
            arguments: arguments.unwrap_or_default(),
            is_sidecar: kind == ContainerKind::Init
                && restart_policy == Some(RestartPolicy::Always),
            startup_seconds,
            security: security.unwrap_or_default().into(),
            host_ports,
            probe_hosts: hosts,
        }
    }
}

impl wire::Probe {
    /// How long it lets a container take, with the defaults of the API for what it leaves out.
    fn seconds(&self) -> u32 {
        let or = |value: Option<i32>, default| u32::try_from(value.unwrap_or(default)).unwrap_or(0);
        let tries = or(self.failures, 3).saturating_mul(or(self.period, 10));
        or(self.initial_delay, 0).saturating_add(tries)
    }
}

impl wire::Volume {
    /// The volume, if a rule can forbid it.
    fn keep(self, defaulting: Defaulting) -> Option<Volume> {
        let Self {
            name,
            mut sources,
            has_source,
        } = self;
        if !has_source && defaulting == Defaulting::EmptyDir {
            sources.insert(VolumeSource::EmptyDir);
        }
        // A host path counts even beside a source that is allowed.
        let harmless = sources.intersects(VolumeSources::ALWAYS_ALLOWED)
            && !sources.contains(VolumeSource::HostPath);
        (!harmless).then(|| Volume {
            name: name.unwrap_or_default(),
            sources,
        })
    }
}

impl From<wire::SecurityContext> for SecurityContext {
    fn from(context: wire::SecurityContext) -> Self {
        let wire::SecurityContext {
            privileged,
            allow_privilege_escalation,
            run_as_non_root,
            run_as_user,
            proc_mount,
            windows,
            capabilities,
            seccomp,
            apparmor,
            selinux,
            sysctls,
        } = context;
        Self {
            privileged,
            allow_privilege_escalation,
            run_as_non_root,
            run_as_user,
            proc_mount,
            windows_host_process: windows.and_then(|windows| windows.host_process),
            capabilities: capabilities.map(|wire::Capabilities { add, drop }| Capabilities {
                add: add.unwrap_or_default(),
                drop: drop.unwrap_or_default(),
            }),
            seccomp: seccomp.map(Profile::from),
            apparmor: apparmor.map(Profile::from),
            selinux: selinux.map(
                |wire::SeLinuxOptions {
                     selinux_type,
                     user,
                     role,
                 }| {
                    Box::new(SeLinuxOptions {
                        selinux_type: selinux_type.unwrap_or_default(),
                        user: user.unwrap_or_default(),
                        role: role.unwrap_or_default(),
                    })
                },
            ),
            sysctls: sysctls
                .unwrap_or_default()
                .into_iter()
                .map(|sysctl| sysctl.name.unwrap_or_default())
                .collect(),
        }
    }
}

impl From<wire::Profile> for Profile {
    fn from(profile: wire::Profile) -> Self {
        let wire::Profile {
            profile_type,
            localhost,
        } = profile;
        // A profile without a type is not an absent profile: its type is the empty text.
        Self {
            profile_type: profile_type.unwrap_or_else(|| ProfileType::from("")),
            localhost,
        }
    }
}
