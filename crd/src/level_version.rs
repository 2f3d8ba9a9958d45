//! A Pod Security level with its version, as profiles and statuses write it. No I/O.

use podfence_podsecurity::{self as podsecurity, Level, Version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Pod Security level, as of a version of the Pod Security Standards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LevelVersion {
    /// The level: privileged allows everything, baseline prevents known privilege escalations,
    /// restricted demands the hardening that is best practice.
    pub level: Level,

    /// The Kubernetes minor version whose rules define the level: latest, or a pinned one such as
    /// v1.34. Defaults to latest.
    #[serde(default = "latest")]
    pub version: Version,
}

const fn latest() -> Version {
    Version::Latest
}

impl From<podsecurity::LevelVersion> for LevelVersion {
    fn from(podsecurity::LevelVersion { level, version }: podsecurity::LevelVersion) -> Self {
        Self { level, version }
    }
}

impl From<LevelVersion> for podsecurity::LevelVersion {
    fn from(LevelVersion { level, version }: LevelVersion) -> Self {
        Self { level, version }
    }
}
