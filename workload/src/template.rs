//! A pod specification, reduced to what Pod Security and seccomp look at. Pure.

use crate::placement::Placement;
use crate::security::SecurityContext;
use crate::volume::Volume;

/// Annotations with this prefix chose a container's AppArmor profile before there was a field.
pub const APPARMOR_ANNOTATION_PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";
/// The annotation that chose a pod's seccomp profile before there was a field.
pub const SECCOMP_POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
/// Annotations with this prefix chose a container's seccomp profile before there was a field.
pub const SECCOMP_CONTAINER_ANNOTATION_PREFIX: &str =
    "container.seccomp.security.alpha.kubernetes.io/";

/// Whether an annotation is one of those that are kept.
pub(crate) fn is_profile_annotation(key: &str) -> bool {
    key == SECCOMP_POD_ANNOTATION
        || key.starts_with(APPARMOR_ANNOTATION_PREFIX)
        || key.starts_with(SECCOMP_CONTAINER_ANNOTATION_PREFIX)
}

/// The pod that an object is or makes.
///
/// INVARIANT: nothing in here differs between two pods of one controller unless their security
/// does: labels, node names and the generated names of volumes are left out or kept elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Template {
    /// `hostNetwork`.
    pub host_network: bool,
    /// `hostPID`.
    pub host_pid: bool,
    /// `hostIPC`.
    pub host_ipc: bool,
    /// `hostUsers`; false puts the pod in a user namespace of its own.
    pub host_users: Option<bool>,
    /// `os.name`.
    pub os: Option<Box<str>>,
    /// `runtimeClassName`.
    pub runtime_class: Option<Box<str>>,
    /// The pod's security context.
    pub security: SecurityContext,
    /// Init containers, then containers, then ephemeral ones, each in the order written.
    pub containers: Box<[Container]>,
    /// The volumes that a rule can forbid; see [`Volume`].
    pub volumes: Box<[Volume]>,
    /// The annotations that choose an AppArmor or seccomp profile, sorted by key.
    pub annotations: Box<[(Box<str>, Box<str>)]>,
    /// Where the pod can run.
    pub placement: Placement,
    /// `restartPolicy`.
    pub restart_policy: RestartPolicy,
}

/// When a container that has ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RestartPolicy {
    /// Whatever it ended with.
    #[default]
    Always,
    /// When it ended in failure.
    OnFailure,
    /// Not at all.
    Never,
}

impl From<&str> for RestartPolicy {
    fn from(text: &str) -> Self {
        match text {
            "OnFailure" => Self::OnFailure,
            "Never" => Self::Never,
            _ => Self::Always,
        }
    }
}

impl Template {
    /// Whether the pod says that it runs on Windows.
    #[must_use]
    pub fn is_windows(&self) -> bool {
        self.os.as_deref() == Some("windows")
    }

    /// Whether the pod asks for a user namespace of its own: `hostUsers: false`.
    #[must_use]
    pub fn has_user_namespace(&self) -> bool {
        self.host_users == Some(false)
    }

    /// The value of one of the annotations kept.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        let index = self
            .annotations
            .binary_search_by(|(candidate, _)| (**candidate).cmp(key))
            .ok()?;
        self.annotations.get(index).map(|(_, value)| &**value)
    }
}

/// A container of any kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// Which of the three lists it is in.
    pub kind: ContainerKind,
    /// `name`, unique in the pod.
    pub name: Box<str>,
    /// `image`; templates may leave it out.
    pub image: Option<Box<str>>,
    /// `command`, empty where the image's own is run.
    pub command: Box<[Box<str>]>,
    /// `args`.
    pub arguments: Box<[Box<str>]>,
    /// Whether it is an init container that goes on running beside the others: a sidecar.
    pub is_sidecar: bool,
    /// How long, in seconds, its probes let it take until it is ready; 0 where it has none.
    pub startup_seconds: u32,
    /// The container's security context.
    pub security: SecurityContext,
    /// Every `ports[].hostPort` that is not zero.
    pub host_ports: Box<[i32]>,
    /// Every non-empty `host` of an HTTP or TCP probe or lifecycle handler.
    pub probe_hosts: Box<[Box<str>]>,
}

/// Which list of the specification a container is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContainerKind {
    /// `initContainers`.
    Init,
    /// `containers`.
    Regular,
    /// `ephemeralContainers`.
    Ephemeral,
}

impl ContainerKind {
    /// The name of the list in the specification.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Init => "initContainers",
            Self::Regular => "containers",
            Self::Ephemeral => "ephemeralContainers",
        }
    }
}
