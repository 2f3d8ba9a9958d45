//! Versions of the rules, and the version of the API server that applies them. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The newest minor version whose rules are known here.
pub const NEWEST_RULES: u16 = 37;

/// The oldest API server whose verdicts are reproduced. Older ones did not look at the fields of
/// AppArmor profiles, whatever the policy's version.
pub const OLDEST_SERVER: u16 = 30;

/// A version of the rules, as in a namespace's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// `v1.<minor>`; may be newer than any server.
    Minor(u64),
    /// The newest rules that the server has. Newer than every minor version.
    Latest,
}

/// The text is not a version. It prints the API server's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be \"latest\" or \"v1.x\"")]
pub struct InvalidVersion;

impl FromStr for Version {
    type Err = InvalidVersion;

    /// The grammar of the API server: `latest`, or `v1.` and a minor version without leading
    /// zeros that fits into a signed 64-bit integer.
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let digits = text.strip_prefix("v1.").ok_or(InvalidVersion)?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let has_leading_zero = digits.len() > 1 && digits.starts_with('0');
        if !is_number || has_leading_zero {
            return Err(InvalidVersion);
        }
        let minor: i64 = digits.parse().map_err(|_| InvalidVersion)?;
        u64::try_from(minor)
            .map(Self::Minor)
            .map_err(|_| InvalidVersion)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => formatter.pad("latest"),
            Self::Minor(minor) => formatter.pad(&format!("v1.{minor}")),
        }
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse()
            .map_err(|error| de::Error::custom(format_args!("{error}, not {text:?}")))
    }
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for Version {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Version".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": r"^(latest|v1\.(0|[1-9][0-9]*))$",
            // Every number of up to 17 digits fits; the server stops at 19 digits.
            "maxLength": 20,
        })
    }
}

/// What decides which rules an API server has: its own minor version, and the one it emulates.
///
/// Servers up to 1.34 had an alpha feature gate that relaxed some rules for pods in user namespaces,
/// off by default and not readable from outside; it is taken to be off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerVersion {
    binary: u16,
    emulated: u16,
}

impl ServerVersion {
    /// A server that knows exactly the rules that are known here.
    pub const NEWEST: Self = Self::new(NEWEST_RULES);

    /// A server of that minor version, which emulates no other.
    #[must_use]
    pub const fn new(binary: u16) -> Self {
        Self {
            binary,
            emulated: binary,
        }
    }

    /// A server of the minor version `binary` that was started to behave like the older minor
    /// version `emulated`.
    #[must_use]
    pub const fn emulating(binary: u16, emulated: u16) -> Self {
        Self {
            binary,
            emulated: if emulated < binary { emulated } else { binary },
        }
    }

    /// What a server says of itself at `/version`: its fields `minor`, and `emulationMinor`, which is
    /// empty before 1.34. None where one of them is no number.
    #[must_use]
    pub fn read(minor: &str, emulation: &str) -> Option<Self> {
        let binary = leading_number(minor)?;
        if emulation.is_empty() {
            return Some(Self::new(binary));
        }
        Some(Self::emulating(binary, leading_number(emulation)?))
    }

    /// The minor version of the program.
    #[must_use]
    pub const fn binary(self) -> u16 {
        self.binary
    }

    /// The minor version that it behaves like.
    #[must_use]
    pub const fn emulated(self) -> u16 {
        self.emulated
    }

    /// Whether it may have rules that are not known here, so that `latest` cannot be evaluated.
    #[must_use]
    pub const fn is_newer_than_rules(self) -> bool {
        self.newest_policy() > NEWEST_RULES
    }

    /// The minor version that `latest` means to this server. Emulation reaches the policy only
    /// from 1.35 on.
    #[must_use]
    pub const fn newest_policy(self) -> u16 {
        if self.binary >= 35 {
            self.emulated
        } else {
            self.binary
        }
    }

    /// The minor version whose rules this server applies when asked for `version`: no newer than
    /// its own, and no newer than those known here.
    #[must_use]
    pub fn clamp(self, version: Version) -> u16 {
        let newest = self.newest_policy().min(NEWEST_RULES);
        match version {
            Version::Latest => newest,
            Version::Minor(minor) => u16::try_from(minor).map_or(newest, |minor| minor.min(newest)),
        }
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "v1.{}", self.binary)?;
        if self.emulated == self.binary {
            return Ok(());
        }
        write!(formatter, " emulating v1.{}", self.emulated)
    }
}

/// The number in front: some distributions write `34+`.
fn leading_number(text: &str) -> Option<u16> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{NEWEST_RULES, ServerVersion, Version};

    #[test]
    fn the_grammar_is_the_servers() {
        let invalid = [
            "",
            "Latest",
            "latest ",
            "1.30",
            "v1",
            "v1.",
            "v1.+3",
            "v1.-1",
            "v1.030",
            "v1.00",
            "v1.30.1",
            "v2.0",
            "v1.1_0",
            "v1.\u{0663}",
            "v1.9223372036854775808",
        ];
        for text in invalid {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
            assert!(
                serde_json::from_value::<Version>(text.into()).is_err(),
                "{text:?}"
            );
        }
        let valid = [
            ("latest", Version::Latest),
            ("v1.0", Version::Minor(0)),
            ("v1.30", Version::Minor(30)),
            ("v1.10000", Version::Minor(10_000)),
            (
                "v1.9223372036854775807",
                Version::Minor(9_223_372_036_854_775_807),
            ),
        ];
        for (text, version) in valid {
            assert_eq!(text.parse(), Ok(version));
            assert_eq!(version.to_string(), text);
            assert_eq!(serde_json::to_value(version).unwrap(), text);
        }
        assert!(
            Version::Minor(9) < Version::Minor(10) && Version::Minor(u64::MAX) < Version::Latest
        );
    }

    #[test]
    fn a_version_is_clamped_to_what_the_server_has() {
        let cases = [
            (ServerVersion::new(30), Version::Latest, 30),
            (ServerVersion::new(30), Version::Minor(29), 29),
            (ServerVersion::new(30), Version::Minor(31), 30),
            (ServerVersion::new(36), Version::Minor(u64::MAX), 36),
            (ServerVersion::emulating(34, 31), Version::Latest, 34),
            (ServerVersion::emulating(37, 34), Version::Latest, 34),
            (ServerVersion::emulating(37, 38), Version::Latest, 37),
            (ServerVersion::new(40), Version::Latest, NEWEST_RULES),
            (ServerVersion::new(40), Version::Minor(12), 12),
        ];
        for (server, version, expected) in cases {
            assert_eq!(server.clamp(version), expected, "{server} {version}");
        }
        assert!(ServerVersion::new(NEWEST_RULES + 1).is_newer_than_rules());
        assert!(!ServerVersion::emulating(NEWEST_RULES + 1, NEWEST_RULES).is_newer_than_rules());
        assert!(!ServerVersion::NEWEST.is_newer_than_rules());
    }
}
