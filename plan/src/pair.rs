//! A mode's level and version as one pair: what is live, and what a change of it means. No I/O.

use std::collections::BTreeMap;

use podfence_podsecurity::{Level, LevelVersion, Version};

use podfence_podsecurity::Mode;

/// What a namespace's labels say for one mode, read as the API server reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Live {
    /// The pair in effect; `None` without a level label, where the cluster's default holds, which
    /// cannot be read through the API.
    pub(crate) pair: Option<LevelVersion>,
    /// The values of the labels that the API server cannot parse, as `key=value`.
    pub(crate) invalid: Vec<String>,
}

impl Live {
    /// Reads one mode. An invalid enforce level acts as restricted (fail closed), an invalid audit
    /// or warn level as privileged, an invalid or absent version as latest.
    pub(crate) fn read(mode: Mode, labels: &BTreeMap<String, String>) -> Self {
        let mut invalid = Vec::new();
        let mut note = |key: &str, value: &str| invalid.push(format!("{key}={value}"));
        let version = match labels.get(mode.version_label()) {
            None => Version::Latest,
            Some(text) => text.parse().unwrap_or_else(|_| {
                note(mode.version_label(), text);
                Version::Latest
            }),
        };
        let level = labels.get(mode.level_label()).map(|text| {
            text.parse().unwrap_or_else(|_| {
                note(mode.level_label(), text);
                match mode {
                    Mode::Enforce => Level::Restricted,
                    Mode::Audit | Mode::Warn => Level::Privileged,
                }
            })
        });
        Self {
            pair: level.map(|level| LevelVersion { level, version }),
            invalid,
        }
    }
}

/// What replacing the live pair by another one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// A half is raised, or a level is set where there was none.
    pub(crate) tightens: bool,
    /// A half is lowered.
    pub(crate) loosens: bool,
}

impl Change {
    /// Compares half by half. Without a live level there is nothing to lower, and privileged has no
    /// rules, so of a privileged pair the version counts for nothing either.
    pub(crate) fn between(live: Option<LevelVersion>, to: LevelVersion) -> Self {
        match live {
            None => Self {
                tightens: true,
                loosens: false,
            },
            Some(live) => Self {
                tightens: to.level > live.level || to.version > live.version,
                loosens: to.level < live.level
                    || (to.version < live.version && live.level > Level::Privileged),
            },
        }
    }

    /// Whether the pair stays what it is.
    pub(crate) fn is_none(self) -> bool {
        !self.tightens && !self.loosens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(text: &str) -> LevelVersion {
        let (level, version) = text.split_once(':').expect("level:version");
        LevelVersion {
            level: level.parse().expect("a level"),
            version: version.parse().expect("a version"),
        }
    }

    #[test]
    fn reads_labels_as_the_api_server_does() {
        for (mode, level, version, want, invalid) in [
            (Mode::Enforce, None, None, None, 0),
            (Mode::Enforce, None, Some("v1.30"), None, 0),
            (
                Mode::Enforce,
                Some("baseline"),
                None,
                Some("baseline:latest"),
                0,
            ),
            (
                Mode::Enforce,
                Some("baseline"),
                Some("v1.30"),
                Some("baseline:v1.30"),
                0,
            ),
            (
                Mode::Enforce,
                Some("foo"),
                None,
                Some("restricted:latest"),
                1,
            ),
            (
                Mode::Enforce,
                Some(""),
                Some("1.30"),
                Some("restricted:latest"),
                2,
            ),
            (
                Mode::Audit,
                Some("foo"),
                Some("v1.30"),
                Some("privileged:v1.30"),
                1,
            ),
            (
                Mode::Warn,
                Some("Restricted"),
                None,
                Some("privileged:latest"),
                1,
            ),
        ] {
            let mut labels = BTreeMap::new();
            let mut put = |key: &str, value: Option<&str>| {
                value.map(|value| labels.insert(key.to_owned(), value.to_owned()))
            };
            put(mode.level_label(), level);
            put(mode.version_label(), version);
            let live = Live::read(mode, &labels);
            assert_eq!(live.pair, want.map(pair), "{mode:?} {level:?} {version:?}");
            assert_eq!(
                live.invalid.len(),
                invalid,
                "{mode:?} {level:?} {version:?}"
            );
        }
    }

    #[test]
    fn changes() {
        for (live, to, tightens, loosens) in [
            (None, "privileged:latest", true, false),
            (None, "restricted:v1.30", true, false),
            (Some("baseline:v1.30"), "baseline:v1.30", false, false),
            (Some("baseline:v1.30"), "restricted:v1.30", true, false),
            (Some("baseline:v1.30"), "baseline:v1.31", true, false),
            (Some("baseline:v1.9"), "baseline:v1.10", true, false),
            (Some("baseline:v1.30"), "baseline:latest", true, false),
            (Some("baseline:latest"), "baseline:v1.37", false, true),
            (Some("restricted:v1.30"), "baseline:v1.30", false, true),
            (Some("restricted:v1.30"), "baseline:v1.34", true, true),
            (Some("baseline:latest"), "restricted:v1.34", true, true),
            (Some("privileged:latest"), "baseline:v1.30", true, false),
            (Some("privileged:latest"), "privileged:v1.30", false, false),
        ] {
            let change = Change::between(live.map(pair), pair(to));
            assert_eq!(
                (change.tightens, change.loosens),
                (tightens, loosens),
                "{live:?} -> {to}"
            );
        }
    }
}
