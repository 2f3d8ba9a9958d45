//! From a namespace's labels to the policy that the API server applies. Pure.

use std::fmt;

use crate::level::{Level, LevelVersion};
use crate::version::Version;

/// A mode of Pod Security: what happens to a pod that violates the level of that mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// It is refused.
    Enforce,
    /// It is noted in the audit log.
    Audit,
    /// The client is warned.
    Warn,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Enforce, Self::Audit, Self::Warn];

    /// The mode as it stands in a label's key.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Audit => "audit",
            Self::Warn => "warn",
        }
    }

    /// The key of the label with the level.
    #[must_use]
    pub const fn level_label(self) -> &'static str {
        match self {
            Self::Enforce => "pod-security.kubernetes.io/enforce",
            Self::Audit => "pod-security.kubernetes.io/audit",
            Self::Warn => "pod-security.kubernetes.io/warn",
        }
    }

    /// The key of the label with the version.
    #[must_use]
    pub const fn version_label(self) -> &'static str {
        match self {
            Self::Enforce => "pod-security.kubernetes.io/enforce-version",
            Self::Audit => "pod-security.kubernetes.io/audit-version",
            Self::Warn => "pod-security.kubernetes.io/warn-version",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Level and version of each mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// What is refused.
    pub enforce: LevelVersion,
    /// What is noted in the audit log.
    pub audit: LevelVersion,
    /// What is warned about.
    pub warn: LevelVersion,
}

impl Policy {
    /// The default of a cluster that was given no other: everything is allowed.
    pub const PRIVILEGED: Self = {
        let anything = LevelVersion {
            level: Level::Privileged,
            version: Version::Latest,
        };
        Self {
            enforce: anything,
            audit: anything,
            warn: anything,
        }
    };

    /// Level and version of one mode.
    #[must_use]
    pub const fn mode(&self, mode: Mode) -> LevelVersion {
        match mode {
            Mode::Enforce => self.enforce,
            Mode::Audit => self.audit,
            Mode::Warn => self.warn,
        }
    }
}

/// A label whose value the API server does not understand. It prints the server's own words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metadata.labels[{key}]: Invalid value: {value:?}: {message}")]
pub struct LabelError {
    /// The label's key.
    pub key: &'static str,
    /// The label's value.
    pub value: String,
    /// What a value must be.
    pub message: String,
}

/// The policy that the API server applies to a namespace, and what is wrong with its labels.
///
/// `label` looks a label up; `defaults` are the cluster's own. A level that is not understood
/// acts as restricted for enforce and as privileged for audit and warn, a version as `latest`.
/// Where warn has no label it follows an enforce label that is stricter.
pub fn policy_from_labels<'a>(
    label: impl Fn(&str) -> Option<&'a str>,
    defaults: Policy,
) -> (Policy, Vec<LabelError>) {
    let mut errors = Vec::new();
    let mut policy = defaults;
    let mut enforce_is_valid = false;
    for mode in Mode::ALL {
        let LevelVersion { level, version } = match mode {
            Mode::Enforce => &mut policy.enforce,
            Mode::Audit => &mut policy.audit,
            Mode::Warn => &mut policy.warn,
        };
        if let Some(text) = label(mode.level_label()) {
            *level = match text.parse() {
                Ok(parsed) => {
                    enforce_is_valid |= mode == Mode::Enforce;
                    parsed
                }
                Err(error) => {
                    errors.push(label_error(mode.level_label(), text, error));
                    if mode == Mode::Enforce {
                        Level::Restricted
                    } else {
                        Level::Privileged
                    }
                }
            };
        }
        if let Some(text) = label(mode.version_label()) {
            *version = text.parse().unwrap_or_else(|error| {
                errors.push(label_error(mode.version_label(), text, error));
                Version::Latest
            });
        }
    }
    let warn_is_absent = label(Mode::Warn.level_label()).is_none();
    if warn_is_absent && enforce_is_valid && policy.enforce.level > policy.warn.level {
        policy.warn.level = policy.enforce.level;
        if label(Mode::Warn.version_label()).is_none() {
            policy.warn.version = policy.enforce.version;
        }
    }
    (policy, errors)
}

fn label_error(key: &'static str, value: &str, error: impl fmt::Display) -> LabelError {
    LabelError {
        key,
        value: value.to_owned(),
        message: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Mode, Policy, policy_from_labels};
    use crate::level::LevelVersion;

    fn level_version(text: &str) -> LevelVersion {
        let (level, version) = text.split_once(':').unwrap();
        LevelVersion {
            level: level.parse().unwrap(),
            version: version.parse().unwrap(),
        }
    }

    /// Levels and versions of enforce, audit and warn; then the keys with errors. Labels and
    /// errors are written without the prefix.
    fn resolve(labels: &str, defaults: Policy) -> (String, String) {
        let labels: Vec<(String, &str)> = labels
            .split_whitespace()
            .map(|label| label.split_once('=').unwrap())
            .map(|(key, value)| (format!("pod-security.kubernetes.io/{key}"), value))
            .collect();
        let find = |key: &str| {
            labels
                .iter()
                .find(|(other, _)| other == key)
                .map(|label| label.1)
        };
        let (policy, errors) = policy_from_labels(find, defaults);
        let modes: Vec<_> = Mode::ALL.map(|mode| policy.mode(mode).to_string()).into();
        let keys: Vec<_> = errors
            .iter()
            .map(|error| error.key.split_once('/').unwrap().1)
            .collect();
        (modes.join(" "), keys.join(" "))
    }

    #[test]
    fn labels_resolve_as_on_the_server() {
        let cases = [
            (
                "",
                "privileged:latest privileged:latest privileged:latest",
                "",
            ),
            (
                "enfroce=restricted",
                "privileged:latest privileged:latest privileged:latest",
                "",
            ),
            (
                "enforce=baseline",
                "baseline:latest privileged:latest baseline:latest",
                "",
            ),
            (
                "enforce=baseline warn=privileged",
                "baseline:latest privileged:latest privileged:latest",
                "",
            ),
            (
                "enforce=baseline enforce-version=v1.22",
                "baseline:v1.22 privileged:latest baseline:v1.22",
                "",
            ),
            (
                "enforce=baseline enforce-version=v1.22 warn-version=latest",
                "baseline:v1.22 privileged:latest baseline:latest",
                "",
            ),
            (
                "enforce=restricted warn=baseline audit=restricted audit-version=v1.0",
                "restricted:latest restricted:v1.0 baseline:latest",
                "",
            ),
            (
                "enforce-version=v1.22",
                "privileged:v1.22 privileged:latest privileged:latest",
                "",
            ),
            (
                "enforce=foo",
                "restricted:latest privileged:latest privileged:latest",
                "enforce",
            ),
            (
                "enforce=foo enforce-version=v1 audit=x audit-version= warn=y warn-version=1.30",
                "restricted:latest privileged:latest privileged:latest",
                "enforce enforce-version audit audit-version warn warn-version",
            ),
            (
                "enforce=restricted enforce-version=v2.0 warn-version=x",
                "restricted:latest privileged:latest restricted:latest",
                "enforce-version warn-version",
            ),
        ];
        for (labels, policy, errors) in cases {
            let found = resolve(labels, Policy::PRIVILEGED);
            assert_eq!(found, (policy.to_owned(), errors.to_owned()), "{labels:?}");
        }
    }

    #[test]
    fn what_is_not_labelled_is_the_clusters_default() {
        let defaults = Policy {
            enforce: level_version("baseline:v1.30"),
            audit: level_version("restricted:latest"),
            warn: level_version("baseline:v1.31"),
        };
        let cases = [
            ("", "baseline:v1.30 restricted:latest baseline:v1.31", ""),
            (
                "enforce=restricted",
                "restricted:v1.30 restricted:latest restricted:v1.30",
                "",
            ),
            (
                "enforce=privileged",
                "privileged:v1.30 restricted:latest baseline:v1.31",
                "",
            ),
            (
                "enforce=x",
                "restricted:v1.30 restricted:latest baseline:v1.31",
                "enforce",
            ),
            (
                "audit=x warn=x",
                "baseline:v1.30 privileged:latest privileged:v1.31",
                "audit warn",
            ),
        ];
        for (labels, policy, errors) in cases {
            let found = resolve(labels, defaults);
            assert_eq!(found, (policy.to_owned(), errors.to_owned()), "{labels:?}");
        }
    }

    #[test]
    fn errors_have_the_servers_words() {
        let (_, errors) = policy_from_labels(|_| Some("x"), Policy::PRIVILEGED);
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts[..2],
            [
                r#"metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "x": must be one of privileged, baseline, restricted"#,
                r#"metadata.labels[pod-security.kubernetes.io/enforce-version]: Invalid value: "x": must be "latest" or "v1.x""#,
            ]
        );
    }
}
