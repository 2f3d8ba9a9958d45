//! What Pod Security says to a fix. No I/O.
//!
//! The change is made to the template and both are evaluated: the same engine that holds a
//! tightening back says what a fix would run into.

use podfence_podsecurity::{
    CheckId, CheckSet, LevelVersion, Mode, Policy, Rules, policy_from_labels,
};
use podfence_seccomp::fix::{Admission, Change};
use podfence_workload::{Profile, ProfileType, Template};

use crate::namespace::Namespace;
use crate::servers::Servers;

/// The Pod Security of a namespace, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Levels {
    /// What it enforces now; none where the cluster's default holds.
    pub now: Option<LevelVersion>,
    /// What is planned for it.
    pub planned: Option<LevelVersion>,
}

impl Levels {
    /// Those of a namespace, now by its labels.
    #[must_use]
    pub fn of(namespace: &Namespace, planned: Option<LevelVersion>) -> Self {
        let label = |key: &str| namespace.labels.get(key).map(String::as_str);
        let now = label(Mode::Enforce.level_label())
            .map(|_| policy_from_labels(label, Policy::PRIVILEGED).0.enforce);
        Self { now, planned }
    }
}

/// Pod Security's word on changes to one container of a template.
pub(super) struct OfTemplate<'a> {
    pub(super) template: &'a Template,
    pub(super) container: &'a str,
    pub(super) levels: Levels,
    /// Without them the newest rules that are known are taken.
    pub(super) servers: Option<Servers>,
}

impl OfTemplate<'_> {
    /// A change is admitted if, with it, the container passes the checks on what was changed. What
    /// else the pod violates was there before and is no matter of the fix.
    fn admits(&self, pair: Option<LevelVersion>, change: Change) -> bool {
        let (Some(LevelVersion { level, version }), Some(servers)) = (pair, self.servers) else {
            return true;
        };
        let checks: CheckSet = match change {
            Change::AddCapabilities(_) => [
                CheckId::CapabilitiesBaseline,
                CheckId::CapabilitiesRestricted,
            ],
            Change::LocalhostProfile | Change::Unconfined => [
                CheckId::SeccompProfileBaseline,
                CheckId::SeccompProfileRestricted,
            ],
        }
        .into_iter()
        .collect();
        let rules = Rules::new(version, servers.newest);
        let violations = rules.at_level(level, rules.violations(&self.changed(change)));
        violations.intersection(checks).is_empty()
    }

    /// The template with the change, and without its other containers.
    fn changed(&self, change: Change) -> Template {
        let mut template = self.template.clone();
        let own = self.template.containers.iter();
        let own = own.filter(|container| &*container.name == self.container);
        template.containers = own.cloned().collect();
        let Some(container) = template.containers.first_mut() else {
            return template;
        };
        let security = &mut container.security;
        match change {
            Change::AddCapabilities(added) => {
                let capabilities = security.capabilities.get_or_insert_default();
                let asked = capabilities.add.names().map(str::to_owned);
                let all: Vec<String> = asked.chain(added.names().map(str::to_owned)).collect();
                capabilities.add = all.iter().map(String::as_str).collect();
            }
            Change::LocalhostProfile => {
                security.seccomp = Some(Profile {
                    profile_type: ProfileType::Localhost,
                    localhost: Some("podfence.json".into()),
                });
            }
            Change::Unconfined => {
                security.seccomp = Some(Profile {
                    profile_type: ProfileType::Unconfined,
                    localhost: None,
                });
            }
        }
        template
    }
}

impl Admission for OfTemplate<'_> {
    fn admits_now(&self, change: Change) -> bool {
        self.admits(self.levels.now, change)
    }

    fn admits_planned(&self, change: Change) -> bool {
        self.admits(self.levels.planned, change)
    }
}

#[cfg(test)]
mod tests {
    use podfence_podsecurity::{Level, ServerVersion, Version};
    use podfence_workload::{CapabilityMask, Defaulting, Kind, decode};
    use serde_json::json;

    use super::*;

    fn admits(level: Level, security: &serde_json::Value, change: Change) -> bool {
        let pod = json!({ "metadata": { "name": "p" }, "spec": { "containers": [
            { "name": "other" }, { "name": "app", "securityContext": security },
        ] } });
        let pod = decode(Kind::Pod, pod.to_string().as_bytes(), Defaulting::AsServed);
        let template = pod.expect("a pod").template.expect("a pod has one");
        let server = ServerVersion::NEWEST;
        let pair = LevelVersion {
            level,
            version: Version::Latest,
        };
        let admission = OfTemplate {
            template: &template,
            container: "app",
            levels: Levels {
                now: Some(pair),
                planned: None,
            },
            servers: Some(Servers {
                oldest: server,
                newest: server,
            }),
        };
        assert!(admission.admits_planned(change), "nothing is planned");
        admission.admits_now(change)
    }

    #[test]
    fn a_level_admits_what_it_does_not_forbid() {
        use Change::{LocalhostProfile, Unconfined};
        use Level::{Baseline, Privileged, Restricted};
        let sys_admin = Change::AddCapabilities(CapabilityMask::of(&["SYS_ADMIN"]));
        let chown = Change::AddCapabilities(CapabilityMask::of(&["CHOWN"]));
        for (level, change, want) in [
            (Privileged, sys_admin, true),
            (Privileged, Unconfined, true),
            (Baseline, Unconfined, false),
            (Baseline, sys_admin, false),
            (Baseline, chown, true),
            (Baseline, LocalhostProfile, true),
            (Restricted, chown, false),
            (Restricted, Unconfined, false),
            // The container has no profile and violates that level already.
            (Restricted, LocalhostProfile, true),
        ] {
            assert_eq!(
                admits(level, &json!({}), change),
                want,
                "{level} {change:?}"
            );
        }
        // What else it violates is no matter of the fix, but the fix itself must be admitted.
        let privileged = json!({ "privileged": true, "capabilities": { "add": ["SYS_ADMIN"] } });
        assert!(admits(Baseline, &privileged, LocalhostProfile));
        assert!(!admits(Baseline, &privileged, sys_admin));
    }
}
