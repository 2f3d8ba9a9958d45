//! What is read of each kind, as Kubernetes writes it. Pure.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::read::{Anything, Nullable, Present, ProfileAnnotations, Read, Text, Time};
use super::record::record;
use crate::capability::CapabilitySet;
use crate::labels::Labels;
use crate::meta::Uid;
use crate::object::PodPhase;
use crate::placement::Operator;
use crate::security::ProfileType;
use crate::template::RestartPolicy;
use crate::volume::{VolumeSource, VolumeSources};

/// `apiVersion` and `kind` of a manifest, to find out what it is before decoding it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeMeta {
    /// `apiVersion`, empty where absent.
    pub api_version: Box<str>,
    /// `kind`, empty where absent.
    pub kind: Box<str>,
}

impl<'de> serde::Deserialize<'de> for TypeMeta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ManifestType { api_version, kind } = Read::read(deserializer)?;
        Ok(Self {
            api_version: api_version.unwrap_or_default(),
            kind: kind.unwrap_or_default(),
        })
    }
}

record! {
    struct ManifestType {
        api_version: Box<str> = "apiVersion",
        kind: Box<str> = "kind",
    }
}

record! {
    struct Pod {
        metadata: Metadata = "metadata",
        spec: PodSpec = "spec",
        status: PodStatus = "status",
    }
}

record! {
    struct PodStatus {
        phase: PodPhase = "phase",
        conditions: Box<[PodCondition]> = "conditions",
        init_containers: Box<[ContainerStatus]> = "initContainerStatuses",
        containers: Box<[ContainerStatus]> = "containerStatuses",
    }
}

record! {
    struct PodCondition {
        condition_type: Box<str> = "type",
        status: Box<str> = "status",
        since: Time = "lastTransitionTime",
    }
}

record! {
    struct ContainerStatus {
        name: Box<str> = "name",
        image: Arc<str> = "imageID",
        id: Box<str> = "containerID",
        restarts: i32 = "restartCount",
        ready: bool = "ready",
        state: ContainerState = "state",
        last_state: ContainerState = "lastState",
    }
}

record! {
    struct ContainerState {
        waiting: Waiting = "waiting",
        running: Running = "running",
        terminated: Terminated = "terminated",
    }
}

record! {
    struct Waiting {
        reason: Box<str> = "reason",
    }
}

record! {
    struct Running {
        since: Time = "startedAt",
    }
}

record! {
    struct Terminated {
        code: i32 = "exitCode",
        reason: Box<str> = "reason",
        started: Time = "startedAt",
        finished: Time = "finishedAt",
    }
}

record! {
    /// `ReplicationController`, `ReplicaSet`, `Deployment`, `StatefulSet` and `DaemonSet`.
    struct Controller {
        metadata: Metadata = "metadata",
        spec: ControllerSpec = "spec",
    }
}

record! {
    struct ControllerSpec {
        replicas: i64 = "replicas",
        template: TemplateWithMetadata = "template",
    }
}

record! {
    struct PodTemplate {
        metadata: Metadata = "metadata",
        template: TemplateWithMetadata = "template",
    }
}

record! {
    struct Job {
        metadata: Metadata = "metadata",
        spec: JobSpec = "spec",
        status: JobStatus = "status",
    }
}

record! {
    struct JobSpec {
        template: TemplateWithMetadata = "template",
    }
}

record! {
    struct JobStatus {
        conditions: Box<[JobCondition]> = "conditions",
    }
}

record! {
    struct JobCondition {
        condition_type: Box<str> = "type",
        status: Box<str> = "status",
    }
}

record! {
    struct CronJob {
        metadata: Metadata = "metadata",
        spec: CronJobSpec = "spec",
    }
}

record! {
    struct CronJobSpec {
        job_template: JobTemplate = "jobTemplate",
    }
}

record! {
    struct JobTemplate {
        spec: JobSpec = "spec",
    }
}

record! {
    struct TemplateWithMetadata {
        metadata: TemplateMetadata = "metadata",
        spec: PodSpec = "spec",
    }
}

record! {
    struct TemplateMetadata {
        labels: Labels = "labels",
        annotations: ProfileAnnotations = "annotations",
    }
}

record! {
    struct Metadata {
        namespace: Arc<str> = "namespace",
        name: Box<str> = "name",
        generate_name: Box<str> = "generateName",
        uid: Uid = "uid",
        labels: Labels = "labels",
        annotations: ProfileAnnotations = "annotations",
        owner_references: Box<[Owner]> = "ownerReferences",
        deletion_timestamp: Box<str> = "deletionTimestamp",
    }
}

record! {
    struct Owner {
        api_version: Box<str> = "apiVersion",
        kind: Box<str> = "kind",
        name: Box<str> = "name",
        uid: Uid = "uid",
        controller: bool = "controller",
    }
}

record! {
    struct PodSpec {
        host_network: bool = "hostNetwork",
        host_pid: bool = "hostPID",
        host_ipc: bool = "hostIPC",
        host_users: bool = "hostUsers",
        os: Os = "os",
        runtime_class: Box<str> = "runtimeClassName",
        security: SecurityContext = "securityContext",
        init_containers: Box<[Container]> = "initContainers",
        containers: Box<[Container]> = "containers",
        ephemeral_containers: Box<[Container]> = "ephemeralContainers",
        volumes: Box<[Volume]> = "volumes",
        node_name: Arc<str> = "nodeName",
        node_selector: Labels = "nodeSelector",
        affinity: Affinity = "affinity",
        tolerations: Box<[Toleration]> = "tolerations",
        restart_policy: RestartPolicy = "restartPolicy",
    }
}

record! {
    struct Os {
        name: Box<str> = "name",
    }
}

record! {
    struct Affinity {
        node: NodeAffinity = "nodeAffinity",
    }
}

record! {
    struct NodeAffinity {
        required: NodeSelector = "requiredDuringSchedulingIgnoredDuringExecution",
    }
}

record! {
    struct NodeSelector {
        terms: Box<[NodeSelectorTerm]> = "nodeSelectorTerms",
    }
}

record! {
    struct NodeSelectorTerm {
        expressions: Box<[Requirement]> = "matchExpressions",
        fields: Box<[Requirement]> = "matchFields",
    }
}

record! {
    struct Requirement {
        key: Box<str> = "key",
        operator: Operator = "operator",
        values: Box<[Box<str>]> = "values",
    }
}

record! {
    struct Toleration {
        key: Box<str> = "key",
        operator: Box<str> = "operator",
        value: Box<str> = "value",
        effect: Box<str> = "effect",
    }
}

record! {
    struct Container {
        name: Box<str> = "name",
        image: Box<str> = "image",
        command: Box<[Box<str>]> = "command",
        arguments: Box<[Box<str>]> = "args",
        restart_policy: RestartPolicy = "restartPolicy",
        ports: Box<[Port]> = "ports",
        security: SecurityContext = "securityContext",
        liveness: Probe = "livenessProbe",
        readiness: Probe = "readinessProbe",
        startup: Probe = "startupProbe",
        lifecycle: Lifecycle = "lifecycle",
    }
}

record! {
    struct Port {
        host_port: i32 = "hostPort",
    }
}

record! {
    struct Lifecycle {
        post_start: Handler = "postStart",
        pre_stop: Handler = "preStop",
    }
}

record! {
    struct Probe {
        http: Destination = "httpGet",
        tcp: Destination = "tcpSocket",
        initial_delay: i32 = "initialDelaySeconds",
        period: i32 = "periodSeconds",
        failures: i32 = "failureThreshold",
    }
}

record! {
    /// A lifecycle handler.
    struct Handler {
        http: Destination = "httpGet",
        tcp: Destination = "tcpSocket",
    }
}

record! {
    struct Destination {
        host: Box<str> = "host",
    }
}

record! {
    struct SecurityContext {
        privileged: bool = "privileged",
        allow_privilege_escalation: bool = "allowPrivilegeEscalation",
        run_as_non_root: bool = "runAsNonRoot",
        run_as_user: i64 = "runAsUser",
        proc_mount: Box<str> = "procMount",
        windows: WindowsOptions = "windowsOptions",
        capabilities: Capabilities = "capabilities",
        seccomp: Profile = "seccompProfile",
        apparmor: Profile = "appArmorProfile",
        selinux: SeLinuxOptions = "seLinuxOptions",
        sysctls: Box<[Sysctl]> = "sysctls",
    }
}

record! {
    struct WindowsOptions {
        host_process: bool = "hostProcess",
    }
}

record! {
    struct Capabilities {
        add: CapabilitySet = "add",
        drop: CapabilitySet = "drop",
    }
}

record! {
    struct Profile {
        profile_type: ProfileType = "type",
        localhost: Box<str> = "localhostProfile",
    }
}

record! {
    struct SeLinuxOptions {
        selinux_type: Box<str> = "type",
        user: Box<str> = "user",
        role: Box<str> = "role",
    }
}

record! {
    struct Sysctl {
        name: Box<str> = "name",
    }
}

/// A volume. No fixed set of fields: one that is not known is a source that is not known.
#[derive(Default)]
pub(super) struct Volume {
    pub(super) name: Option<Box<str>>,
    pub(super) sources: VolumeSources,
    /// Whether there is a source of any name, known or not.
    pub(super) has_source: bool,
}

enum VolumeField {
    Name,
    Source(VolumeSource),
    Unknown,
}

fn volume_field(field: &str) -> VolumeField {
    match (field, VolumeSource::from_field(field)) {
        ("name", _) => VolumeField::Name,
        (_, Some(source)) => VolumeField::Source(source),
        _ => VolumeField::Unknown,
    }
}

impl<'de> Read<'de> for Volume {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Volume;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a volume")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Volume, A::Error> {
                let mut volume = Volume::default();
                let (mut named, mut seen) = (false, VolumeSources::default());
                while let Some(field) = map.next_key_seed(Text(volume_field))? {
                    match field {
                        VolumeField::Name if named => return Err(Error::duplicate_field("name")),
                        VolumeField::Name => {
                            named = true;
                            volume.name = map.next_value_seed(Nullable::new())?;
                        }
                        VolumeField::Source(source) if seen.contains(source) => {
                            return Err(Error::duplicate_field(source.as_str()));
                        }
                        VolumeField::Source(source) => {
                            seen.insert(source);
                            if map.next_value_seed(Nullable::<Present>::new())?.is_some() {
                                volume.sources.insert(source);
                                volume.has_source = true;
                            }
                        }
                        VolumeField::Unknown => {
                            let value = map.next_value_seed(Nullable::<Anything>::new())?;
                            volume.has_source |= value.is_some();
                        }
                    }
                }
                Ok(volume)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}
