//! The checks by name, sets of them, and the registry. Pure.

mod allow_privilege_escalation;
mod apparmor_profile;
mod capabilities_baseline;
mod capabilities_restricted;
#[cfg(test)]
mod fixture;
mod host_namespaces;
mod host_path_volumes;
mod host_ports;
mod host_probes_and_host_lifecycle;
mod privileged;
mod proc_mount;
mod proc_mount_restricted;
mod restricted_volumes;
mod run_as_non_root;
mod run_as_user;
mod seccomp_profile_baseline;
mod seccomp_profile_restricted;
mod selinux_options;
mod sysctls;
mod windows_host_process;

#[cfg(test)]
pub(crate) use fixture::violates_everything;

use std::fmt;
use std::str::FromStr;

use podfence_workload::Template;
use serde::{Deserialize, Serialize};

use crate::level::Level;
use crate::version::ServerVersion;

/// A check of the Pod Security Standards. The order is that of messages: the baseline checks,
/// then the restricted ones, each sorted by the bytes of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // Each check is documented in the file of its name.
pub enum CheckId {
    #[serde(rename = "appArmorProfile")]
    AppArmorProfile,
    #[serde(rename = "capabilities_baseline")]
    CapabilitiesBaseline,
    #[serde(rename = "hostNamespaces")]
    HostNamespaces,
    #[serde(rename = "hostPathVolumes")]
    HostPathVolumes,
    #[serde(rename = "hostPorts")]
    HostPorts,
    #[serde(rename = "hostProbesAndHostLifecycle")]
    HostProbesAndHostLifecycle,
    #[serde(rename = "privileged")]
    Privileged,
    #[serde(rename = "procMount")]
    ProcMount,
    #[serde(rename = "seLinuxOptions")]
    SeLinuxOptions,
    #[serde(rename = "seccompProfile_baseline")]
    SeccompProfileBaseline,
    #[serde(rename = "sysctls")]
    Sysctls,
    #[serde(rename = "windowsHostProcess")]
    WindowsHostProcess,
    #[serde(rename = "allowPrivilegeEscalation")]
    AllowPrivilegeEscalation,
    #[serde(rename = "capabilities_restricted")]
    CapabilitiesRestricted,
    #[serde(rename = "procMount_restricted")]
    ProcMountRestricted,
    #[serde(rename = "restrictedVolumes")]
    RestrictedVolumes,
    #[serde(rename = "runAsNonRoot")]
    RunAsNonRoot,
    #[serde(rename = "runAsUser")]
    RunAsUser,
    #[serde(rename = "seccompProfile_restricted")]
    SeccompProfileRestricted,
}

impl CheckId {
    /// Every check in the order of messages.
    pub const ALL: [Self; 19] = [
        Self::AppArmorProfile,
        Self::CapabilitiesBaseline,
        Self::HostNamespaces,
        Self::HostPathVolumes,
        Self::HostPorts,
        Self::HostProbesAndHostLifecycle,
        Self::Privileged,
        Self::ProcMount,
        Self::SeLinuxOptions,
        Self::SeccompProfileBaseline,
        Self::Sysctls,
        Self::WindowsHostProcess,
        Self::AllowPrivilegeEscalation,
        Self::CapabilitiesRestricted,
        Self::ProcMountRestricted,
        Self::RestrictedVolumes,
        Self::RunAsNonRoot,
        Self::RunAsUser,
        Self::SeccompProfileRestricted,
    ];

    /// The name that Kubernetes gives the check.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AppArmorProfile => "appArmorProfile",
            Self::CapabilitiesBaseline => "capabilities_baseline",
            Self::HostNamespaces => "hostNamespaces",
            Self::HostPathVolumes => "hostPathVolumes",
            Self::HostPorts => "hostPorts",
            Self::HostProbesAndHostLifecycle => "hostProbesAndHostLifecycle",
            Self::Privileged => "privileged",
            Self::ProcMount => "procMount",
            Self::SeLinuxOptions => "seLinuxOptions",
            Self::SeccompProfileBaseline => "seccompProfile_baseline",
            Self::Sysctls => "sysctls",
            Self::WindowsHostProcess => "windowsHostProcess",
            Self::AllowPrivilegeEscalation => "allowPrivilegeEscalation",
            Self::CapabilitiesRestricted => "capabilities_restricted",
            Self::ProcMountRestricted => "procMount_restricted",
            Self::RestrictedVolumes => "restrictedVolumes",
            Self::RunAsNonRoot => "runAsNonRoot",
            Self::RunAsUser => "runAsUser",
            Self::SeccompProfileRestricted => "seccompProfile_restricted",
        }
    }

    /// The level that the check belongs to: baseline or restricted.
    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Self::AppArmorProfile
            | Self::CapabilitiesBaseline
            | Self::HostNamespaces
            | Self::HostPathVolumes
            | Self::HostPorts
            | Self::HostProbesAndHostLifecycle
            | Self::Privileged
            | Self::ProcMount
            | Self::SeLinuxOptions
            | Self::SeccompProfileBaseline
            | Self::Sysctls
            | Self::WindowsHostProcess => Level::Baseline,
            Self::AllowPrivilegeEscalation
            | Self::CapabilitiesRestricted
            | Self::ProcMountRestricted
            | Self::RestrictedVolumes
            | Self::RunAsNonRoot
            | Self::RunAsUser
            | Self::SeccompProfileRestricted => Level::Restricted,
        }
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The text is not the name of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a Pod Security check")]
pub struct InvalidCheckId;

impl FromStr for CheckId {
    type Err = InvalidCheckId;

    fn from_str(text: &str) -> Result<Self, InvalidCheckId> {
        Self::ALL
            .into_iter()
            .find(|check| check.as_str() == text)
            .ok_or(InvalidCheckId)
    }
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for CheckId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CheckId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "enum": Self::ALL.map(Self::as_str),
        })
    }
}

/// A set of checks, one bit each.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckSet(u32);

impl CheckSet {
    /// No check.
    pub const EMPTY: Self = Self(0);

    /// Adds a check.
    pub const fn insert(&mut self, check: CheckId) {
        self.0 |= 1 << check as u32;
    }

    /// Whether the check is in the set.
    #[must_use]
    pub const fn contains(self, check: CheckId) -> bool {
        self.0 & (1 << check as u32) != 0
    }

    /// Whether there are no checks.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many checks there are.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The checks in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The checks in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The checks that are not in the other set.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether every check is in the other set as well.
    #[must_use]
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The checks in the order of messages.
    pub fn iter(self) -> impl Iterator<Item = CheckId> {
        CheckId::ALL
            .into_iter()
            .filter(move |check| self.contains(*check))
    }
}

impl FromIterator<CheckId> for CheckSet {
    fn from_iter<I: IntoIterator<Item = CheckId>>(checks: I) -> Self {
        let mut set = Self::EMPTY;
        checks.into_iter().for_each(|check| set.insert(check));
        set
    }
}

impl fmt::Debug for CheckSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_set()
            .entries(self.iter().map(CheckId::as_str))
            .finish()
    }
}

/// A check, and how its rule changed over the versions.
pub(crate) struct Check {
    pub(crate) id: CheckId,
    /// The baseline check that a restricted one replaces while it is active.
    pub(crate) overrides: Option<CheckId>,
    /// From the first version on; the newest that is not too new is the one that counts.
    pub(crate) revisions: &'static [Revision],
}

/// The rule of a check from one version on.
#[derive(Debug)]
pub(crate) struct Revision {
    /// The first minor version of the policy that has this rule.
    pub(crate) since: u16,
    /// Whether a pod violates the rule.
    pub(crate) violated: fn(&Template, ServerVersion) -> bool,
    /// Why. Called only for a pod that does.
    pub(crate) explain: fn(&Template, ServerVersion) -> Explanation,
}

/// What a check says of a pod that violates it; see [`crate::Finding`].
#[derive(Debug)]
pub(crate) struct Explanation {
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
    pub(crate) containers: Vec<Box<str>>,
}

impl Explanation {
    pub(crate) fn new(reason: &'static str, detail: String, containers: &[&str]) -> Self {
        let containers = containers.iter().map(|name| Box::from(*name)).collect();
        Self {
            reason,
            detail,
            containers,
        }
    }
}

impl Check {
    /// The rule that `server` applies at the minor version `minor` of the policy, if any.
    pub(crate) fn revision(&self, minor: u16, server: ServerVersion) -> Option<&'static Revision> {
        // A 1.34 server that emulates an older one leaves out exactly this check; from 1.35 on
        // emulation has lowered `minor` already.
        let emulated_away =
            self.id == CheckId::HostProbesAndHostLifecycle && server.emulated() < 34;
        self.revisions
            .iter()
            .rfind(|revision| revision.since <= minor && !emulated_away)
    }
}

/// Every check, in the order of [`CheckId::ALL`].
pub(crate) static REGISTRY: [&Check; 19] = [
    &apparmor_profile::CHECK,
    &capabilities_baseline::CHECK,
    &host_namespaces::CHECK,
    &host_path_volumes::CHECK,
    &host_ports::CHECK,
    &host_probes_and_host_lifecycle::CHECK,
    &privileged::CHECK,
    &proc_mount::CHECK,
    &selinux_options::CHECK,
    &seccomp_profile_baseline::CHECK,
    &sysctls::CHECK,
    &windows_host_process::CHECK,
    &allow_privilege_escalation::CHECK,
    &capabilities_restricted::CHECK,
    &proc_mount_restricted::CHECK,
    &restricted_volumes::CHECK,
    &run_as_non_root::CHECK,
    &run_as_user::CHECK,
    &seccomp_profile_restricted::CHECK,
];

/// The names of the containers for which `violates` holds, in the order of the pod.
fn names_where(
    template: &Template,
    violates: impl Fn(&podfence_workload::Container) -> bool,
) -> Vec<&str> {
    let mut names = Vec::with_capacity(template.containers.len());
    let bad = template
        .containers
        .iter()
        .filter(|container| violates(container));
    names.extend(bad.map(|container| &*container.name));
    names
}

#[cfg(test)]
mod tests {
    use super::{CheckId, CheckSet, REGISTRY, violates_everything};
    use crate::version::NEWEST_RULES;
    use crate::{Level, Rules, ServerVersion, Version};

    #[test]
    fn the_registry_makes_sense() {
        for (check, id) in REGISTRY.iter().zip(CheckId::ALL) {
            assert_eq!(check.id, id, "the registry has the order of the names");
            assert!(!check.revisions.is_empty(), "{id} has no rule");
            let since: Vec<_> = check
                .revisions
                .iter()
                .map(|revision| revision.since)
                .collect();
            assert!(
                since.is_sorted_by(|older, newer| older < newer),
                "{id}: {since:?}"
            );
            assert!(
                since.iter().all(|minor| *minor <= NEWEST_RULES),
                "{id}: {since:?}"
            );
            if let Some(weaker) = check.overrides {
                assert_eq!(id.level(), Level::Restricted, "{id} must not override");
                assert_eq!(
                    weaker.level(),
                    Level::Baseline,
                    "{weaker} must not be overridden"
                );
            }
        }
    }

    #[test]
    fn the_newest_rule_is_of_the_newest_version_that_changed_any() {
        let newest = REGISTRY
            .iter()
            .flat_map(|check| check.revisions)
            .map(|rule| rule.since)
            .max();
        assert_eq!(
            newest,
            Some(NEWEST_RULES),
            "a clamp to a version without rules is no clamp"
        );
    }

    #[test]
    fn names_are_sorted_within_their_level() {
        for level in [Level::Baseline, Level::Restricted] {
            let of_level = CheckId::ALL
                .into_iter()
                .filter(|check| check.level() == level);
            assert!(of_level.map(CheckId::as_str).is_sorted());
        }
        assert!(CheckId::ALL.into_iter().map(CheckId::level).is_sorted());
    }

    #[test]
    fn every_name_is_read_back() {
        for (index, check) in CheckId::ALL.into_iter().enumerate() {
            assert_eq!(check as usize, index);
            assert_eq!(check.as_str().parse(), Ok(check));
            assert_eq!(serde_json::to_value(check).unwrap(), check.as_str());
        }
        assert!("hostports".parse::<CheckId>().is_err());
    }

    #[test]
    fn a_pod_can_violate_everything_and_each_level_says_its_part() {
        let template = violates_everything();
        let rules = Rules::new(Version::Latest, ServerVersion::NEWEST);
        let all = rules.violations(&template);
        assert_eq!(all.len(), 19, "{all:?}");
        assert_eq!(rules.at_level(Level::Privileged, all), CheckSet::EMPTY);
        assert_eq!(rules.at_level(Level::Baseline, all).len(), 12);
        assert_eq!(rules.at_level(Level::Restricted, all).len(), 15);
    }

    #[test]
    fn sets_are_sets() {
        let some: CheckSet = [CheckId::Sysctls, CheckId::HostPorts].into_iter().collect();
        assert_eq!(
            some.iter().collect::<Vec<_>>(),
            [CheckId::HostPorts, CheckId::Sysctls]
        );
        assert_eq!(some.len(), 2);
        assert!(some.without(some).is_empty());
        assert!(CheckSet::EMPTY.is_subset(some) && !some.is_subset(CheckSet::EMPTY));
        assert_eq!(format!("{some:?}"), r#"{"hostPorts", "sysctls"}"#);
    }
}
