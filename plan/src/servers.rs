//! The versions of the API servers in use, and what we cannot see. No I/O.

use podfence_crd::Reason;
use podfence_podsecurity::{NEWEST_RULES, ServerVersion, Version};

/// The oldest and the newest of the API servers seen lately: during an upgrade of a control plane
/// there are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Servers {
    /// The one that knows the fewest rules.
    pub oldest: ServerVersion,
    /// The one that knows the most.
    pub newest: ServerVersion,
}

impl Servers {
    /// What `latest` is written as under Guarded: the highest version that all of them know.
    #[must_use]
    pub fn lowest_minor(&self) -> Version {
        Version::Minor(self.oldest.newest_policy().into())
    }

    /// Whether a server applies rules at this version that we do not know.
    #[must_use]
    pub fn outrun_rules_at(&self, version: Version) -> bool {
        let newest = Version::Minor(self.newest.newest_policy().into());
        version.min(newest) > Version::Minor(NEWEST_RULES.into())
    }
}

/// Something that must be known and is not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unseen {
    /// The API server does not let us list or watch a resource.
    Forbidden {
        /// Its plural name, with the group where there is one.
        resource: String,
    },
    /// A resource could not be listed.
    ListFailed {
        /// Its plural name.
        resource: String,
    },
    /// A watch was not re-established for a minute.
    WatchLost {
        /// Its plural name.
        resource: String,
    },
    /// No API server has told its version.
    ServerVersionUnknown,
    /// The target's version means rules that we do not know.
    ServerTooNew,
    /// Objects of the namespace that could not be read.
    Malformed {
        /// Their kinds and names.
        objects: Vec<String>,
    },
}

impl Unseen {
    /// The reason that conditions and namespaces give for it.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Forbidden { .. } => Reason::Forbidden,
            Self::ListFailed { .. } | Self::ServerVersionUnknown => Reason::ListFailed,
            Self::WatchLost { .. } => Reason::WatchLost,
            Self::ServerTooNew => Reason::ServerTooNew,
            Self::Malformed { .. } => Reason::MalformedObject,
        }
    }
}
