//! Security contexts of pods and containers. Pure.

use crate::capability::CapabilitySet;

/// The `securityContext` of a pod or a container.
///
/// An absent security context and an empty one mean the same to Kubernetes and are both the
/// default value; within it, absent and empty are kept apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SecurityContext {
    /// `privileged`, of containers only.
    pub privileged: Option<bool>,
    /// `allowPrivilegeEscalation`, of containers only.
    pub allow_privilege_escalation: Option<bool>,
    /// `runAsNonRoot`.
    pub run_as_non_root: Option<bool>,
    /// `runAsUser`.
    pub run_as_user: Option<i64>,
    /// `procMount`, of containers only.
    pub proc_mount: Option<Box<str>>,
    /// `windowsOptions.hostProcess`.
    pub windows_host_process: Option<bool>,
    /// `capabilities`, of containers only.
    pub capabilities: Option<Capabilities>,
    /// `seccompProfile`.
    pub seccomp: Option<Profile>,
    /// `appArmorProfile`.
    pub apparmor: Option<Profile>,
    /// `seLinuxOptions`.
    pub selinux: Option<Box<SeLinuxOptions>>,
    /// The names in `sysctls`, of pods only, in the order written and with repetitions.
    pub sysctls: Box<[Box<str>]>,
}

/// The `capabilities` of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// Capabilities added to the runtime's default set.
    pub add: CapabilitySet,
    /// Capabilities dropped from it.
    pub drop: CapabilitySet,
}

/// A `seccompProfile` or an `appArmorProfile`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// `type`.
    pub profile_type: ProfileType,
    /// `localhostProfile`.
    pub localhost: Option<Box<str>>,
}

/// The `type` of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProfileType {
    /// The container runtime's own profile.
    RuntimeDefault,
    /// A profile from a file on the node.
    Localhost,
    /// No profile.
    Unconfined,
    /// Any other value, the empty one of a profile without a type included.
    Other(Box<str>),
}

impl ProfileType {
    /// The value as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::RuntimeDefault => "RuntimeDefault",
            Self::Localhost => "Localhost",
            Self::Unconfined => "Unconfined",
            Self::Other(text) => text,
        }
    }

    /// Whether it confines: `RuntimeDefault` or `Localhost`.
    #[must_use]
    pub fn is_confined(&self) -> bool {
        matches!(self, Self::RuntimeDefault | Self::Localhost)
    }
}

impl From<&str> for ProfileType {
    fn from(text: &str) -> Self {
        match text {
            "RuntimeDefault" => Self::RuntimeDefault,
            "Localhost" => Self::Localhost,
            "Unconfined" => Self::Unconfined,
            other => Self::Other(other.into()),
        }
    }
}

/// `seLinuxOptions`, without the level, on which nothing here depends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeLinuxOptions {
    /// `type`, empty when absent, which means the same.
    pub selinux_type: Box<str>,
    /// `user`, empty when absent.
    pub user: Box<str>,
    /// `role`, empty when absent.
    pub role: Box<str>,
}
