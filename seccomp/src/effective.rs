//! The seccomp profile that a container really gets, before and after its node switches to
//! SeccompDefault. Pure.
//!
//! The kubelet asks the runtime for the container's own profile, else the pod's, else for
//! `RuntimeDefault` with SeccompDefault and none without (`getSeccompProfile` in
//! `pkg/kubelet/kuberuntime/helpers.go`, the same for init, sidecar, regular and ephemeral
//! containers). The annotations of old count for nothing: that function is given them and does not
//! look, in 1.34 as in 1.37. The runtime then has the last word: it confines no privileged container.

use std::fmt;

use podfence_workload::{Container, ProfileType, Template};

use crate::Runtime;

/// What is known of the node that a container runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Node<'a> {
    /// The kubelet's `seccompDefault`; none where nobody could say.
    pub seccomp_default: Option<bool>,
    /// The container runtime; none where it is none of those that are known.
    pub runtime: Option<Runtime>,
    /// The handler of the pod's runtime class, which the pod does not tell; none where
    /// nobody could say.
    pub handler: Option<&'a str>,
}

/// Under which profile a container runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EffectiveProfile {
    /// None.
    Unconfined,
    /// The runtime's own.
    RuntimeDefault,
    /// The one of this file, below the kubelet's folder `seccomp`.
    Localhost(Box<str>),
    /// The container is one of Windows, which has no seccomp.
    NotApplicable,
    /// It cannot be said.
    Unknown(UnknownProfile),
}

/// Why a profile cannot be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UnknownProfile {
    /// Nobody says whether the node has SeccompDefault.
    SeccompDefault,
    /// The runtime class may be one with a kernel of its own: gVisor, Kata Containers.
    SandboxedRuntime,
    /// The node's runtime is none of those that are known.
    Runtime,
    /// There is no node that it could run on.
    NoNode,
    /// Of a privileged container that chose a file, old releases of Docker leave the profile out and
    /// new ones load it (`daemon/seccomp_linux.go`).
    PrivilegedLocalhost,
    /// A `Localhost` profile names no file. The API server refuses it, the kubelet creates no
    /// container.
    LocalhostWithoutFile,
}

/// A container's profile before and after a switch to SeccompDefault.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Switch {
    /// On the node as it is.
    pub before: EffectiveProfile,
    /// On the same node with SeccompDefault, once the container is created anew.
    pub after: EffectiveProfile,
    /// Whether the container is one that the switch changes; none where that is unknown.
    pub affected: Option<bool>,
}

/// Handlers that run a container on the node's own kernel, with the filter that they are told. The
/// empty one is the runtime's default, which is what a pod without a runtime class gets.
const PLAIN_HANDLERS: [&str; 3] = ["", "runc", "crun"];

impl EffectiveProfile {
    /// Under which profile a container runs on a node.
    ///
    /// Assumes the runtimes as they come: CRI-O's `privileged_seccomp_profile`, and an NRI plugin
    /// that sets filters, are not in the API.
    #[must_use]
    pub fn of(template: &Template, container: &Container, node: Node<'_>) -> Self {
        if template.is_windows() {
            return Self::NotApplicable;
        }
        if template.runtime_class.is_some()
            && !node
                .handler
                .is_some_and(|handler| PLAIN_HANDLERS.contains(&handler))
        {
            return Self::Unknown(UnknownProfile::SandboxedRuntime);
        }
        let asked = Self::asked_for(template, container, node.seccomp_default);
        if asked == Self::Unknown(UnknownProfile::LocalhostWithoutFile)
            || container.security.privileged != Some(true)
        {
            return asked;
        }
        match node.runtime {
            Some(Runtime::Containerd | Runtime::CriO) => Self::Unconfined,
            Some(Runtime::Docker) => match asked {
                Self::Localhost(_) => Self::Unknown(UnknownProfile::PrivilegedLocalhost),
                _ => Self::Unconfined,
            },
            None => Self::Unknown(UnknownProfile::Runtime),
        }
    }

    /// What the kubelet asks the runtime for.
    fn asked_for(template: &Template, container: &Container, default: Option<bool>) -> Self {
        let chosen = container.security.seccomp.as_ref();
        let Some(profile) = chosen.or(template.security.seccomp.as_ref()) else {
            return match default {
                Some(true) => Self::RuntimeDefault,
                Some(false) => Self::Unconfined,
                None => Self::Unknown(UnknownProfile::SeccompDefault),
            };
        };
        match (&profile.profile_type, profile.localhost.as_deref()) {
            (ProfileType::RuntimeDefault, _) => Self::RuntimeDefault,
            (ProfileType::Localhost, Some(path)) if !path.is_empty() => {
                Self::Localhost(path.into())
            }
            (ProfileType::Localhost, _) => Self::Unknown(UnknownProfile::LocalhostWithoutFile),
            // The API server accepts no other type; the kubelet takes them for no profile.
            (ProfileType::Unconfined | ProfileType::Other(_), _) => Self::Unconfined,
        }
    }
}

impl Switch {
    /// What a switch of this node to SeccompDefault does to a container.
    #[must_use]
    pub fn of(template: &Template, container: &Container, node: Node<'_>) -> Self {
        let with = |seccomp_default| Node {
            seccomp_default,
            ..node
        };
        let before = EffectiveProfile::of(template, container, node);
        let after = EffectiveProfile::of(template, container, with(Some(true)));
        let without = EffectiveProfile::asked_for(template, container, Some(false));
        let asked_alike = without == EffectiveProfile::asked_for(template, container, Some(true));
        let unknown = |profile: &EffectiveProfile| matches!(profile, EffectiveProfile::Unknown(_));
        let affected = if asked_alike || node.seccomp_default == Some(true) {
            // Whatever the runtime makes of it, it is asked for the same.
            Some(false)
        } else if unknown(&before) || unknown(&after) {
            None
        } else {
            Some(before != after)
        };
        Self {
            before,
            after,
            affected,
        }
    }
}

impl fmt::Display for EffectiveProfile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unconfined => formatter.write_str("Unconfined"),
            Self::RuntimeDefault => formatter.write_str("RuntimeDefault"),
            Self::Localhost(path) => write!(formatter, "Localhost {path}"),
            Self::NotApplicable => formatter.write_str("not applicable on Windows"),
            Self::Unknown(reason) => write!(formatter, "unknown: {reason}"),
        }
    }
}

impl fmt::Display for UnknownProfile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SeccompDefault => "nobody says whether the node has SeccompDefault",
            Self::SandboxedRuntime => "the runtime class may have a kernel of its own",
            Self::Runtime => "the node's runtime is not known",
            Self::NoNode => "there is no node that it could run on",
            Self::PrivilegedLocalhost => {
                "releases of Docker treat privileged containers differently"
            }
            Self::LocalhostWithoutFile => "the Localhost profile names no file",
        })
    }
}
