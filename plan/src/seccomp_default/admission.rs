//! What Pod Security says to a fix. No I/O.
//!
//! The change is made to the template and both are evaluated: the same engine that holds a
//! tightening back says what a fix would run into.

use podfence_podsecurity::{LevelVersion, Rules};
use podfence_seccomp::fix::{Admission, Change};
use podfence_workload::{Profile, ProfileType, Template};

use crate::servers::Servers;

/// The Pod Security of a namespace, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Levels {
    /// What it enforces now; none where the cluster's default holds.
    pub now: Option<LevelVersion>,
    /// What is planned for it.
    pub planned: Option<LevelVersion>,
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
    /// A change is admitted if it violates nothing that was not violated before it.
    fn admits(&self, pair: Option<LevelVersion>, change: Change) -> bool {
        let (Some(LevelVersion { level, version }), Some(servers)) = (pair, self.servers) else {
            return true;
        };
        let rules = Rules::new(version, servers.newest);
        let violations = |template: &Template| rules.at_level(level, rules.violations(template));
        violations(&self.changed(change)).is_subset(violations(self.template))
    }

    fn changed(&self, change: Change) -> Template {
        let mut template = self.template.clone();
        let named =
            |container: &&mut podfence_workload::Container| &*container.name == self.container;
        let Some(container) = template.containers.iter_mut().find(named) else {
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
            (Restricted, LocalhostProfile, true),
        ] {
            assert_eq!(
                admits(level, &json!({}), change),
                want,
                "{level} {change:?}"
            );
        }
        // What violates already is no worse for it.
        let privileged = json!({ "privileged": true, "capabilities": { "add": ["SYS_ADMIN"] } });
        assert!(admits(Baseline, &privileged, sys_admin));
    }
}
