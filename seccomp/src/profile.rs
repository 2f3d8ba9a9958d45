//! `RuntimeDefault` by runtime and version: which rules a release has, and what is assumed where a
//! version is not known. Pure; the data are the histories in `data/*.rules`.

mod history;
mod line;
mod version;

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use crate::{Abi, Architecture, Container, Errno, Rule};

use history::History;
pub use history::MalformedData;
pub use line::InvalidLine;
pub(crate) use line::{Written, split_condition};
use version::Version;

/// A container runtime with a `RuntimeDefault` of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Runtime {
    /// containerd
    Containerd,
    /// CRI-O
    CriO,
    /// Docker Engine, which Kubernetes reaches through cri-dockerd
    Docker,
}

impl Runtime {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Containerd, Self::CriO, Self::Docker];

    /// Its name, as the status of a Node says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Docker => "docker",
        }
    }

    fn history(self) -> Result<&'static History, ProfileError> {
        type Read = Result<History, MalformedData>;
        static CONTAINERD: LazyLock<Read> =
            LazyLock::new(|| History::read(include_str!("../data/containerd.rules")));
        static CRI_O: LazyLock<Read> =
            LazyLock::new(|| History::read(include_str!("../data/cri-o.rules")));
        static DOCKER: LazyLock<Read> =
            LazyLock::new(|| History::read(include_str!("../data/docker.rules")));
        let history = match self {
            Self::Containerd => &CONTAINERD,
            Self::CriO => &CRI_O,
            Self::Docker => &DOCKER,
        };
        history.as_ref().map_err(|error| ProfileError::Data {
            runtime: self,
            source: error.clone(),
        })
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A profile that cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The text is not a runtime and a version.
    #[error(
        "{0:?} is not a runtime and its version: write containerd/2.3.7, cri-o/1.36.0 or docker/28.5.2, \
         as a Node's status.nodeInfo.containerRuntimeVersion says it"
    )]
    Unreadable(String),
    /// The release is older than all that are known.
    #[error("{runtime} {version} is not known; the oldest that is known is {oldest}")]
    TooOld {
        /// The runtime.
        runtime: Runtime,
        /// The version that was asked for.
        version: String,
        /// The oldest that is known.
        oldest: String,
    },
    /// The data of this program are damaged.
    #[error("failed to read the profiles of {runtime}")]
    Data {
        /// The runtime.
        runtime: Runtime,
        /// What is wrong.
        source: MalformedData,
    },
}

/// The rules of one `RuntimeDefault`, for every container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSet {
    /// Names it: the SHA-256 of its canonical text, in hexadecimal digits.
    pub hash: &'static str,
    /// What happens to a call that no rule matches.
    pub default: Errno,
    /// In the order that counts: for one call, that of the profile.
    pub rules: Vec<Rule>,
    /// ABIs beside an architecture's own.
    abis: Vec<(Architecture, Vec<Abi>)>,
}

impl RuleSet {
    /// The ABIs that a filter on this architecture is made for, its own first.
    #[must_use]
    pub fn abis(&self, architecture: Architecture) -> Vec<Abi> {
        let own = architecture.native_abi();
        let listed = self.abis.iter().find(|(known, _)| *known == architecture);
        let others = listed.map(|(_, abis)| abis.as_slice()).unwrap_or_default();
        std::iter::once(own)
            .chain(others.iter().copied().filter(|abi| *abi != own))
            .collect()
    }

    /// The rules that are there for a container.
    pub fn active(&self, container: Container) -> impl Iterator<Item = &Rule> {
        let Container {
            architecture,
            bounding,
            kernel,
        } = container;
        let holds = move |rule: &&Rule| rule.applicability.holds(architecture, bounding, kernel);
        self.rules.iter().filter(holds)
    }

    /// The hash as people say it.
    #[must_use]
    pub fn short_hash(&self) -> &'static str {
        self.hash.get(..12).unwrap_or(self.hash)
    }
}

/// How the rules of a release got here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provenance {
    /// They were read from that release's own source.
    Extracted,
    /// They were taken over from an earlier extraction, because the source was not at hand.
    Imported,
}

/// Why the rules may not be those of the release that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Assumption {
    /// The release is newer than all that are known of its line, or of all lines.
    Newer,
    /// The release is not among those that are known, and some of its line are older.
    Unlisted,
    /// The version has a suffix: a distributor's build, which may carry patches.
    Suffix(String),
}

/// `RuntimeDefault` of a runtime's release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The runtime.
    pub runtime: Runtime,
    /// The version as it was asked for.
    pub version: String,
    /// The release whose rules these are.
    pub release: &'static str,
    /// How they got here.
    pub provenance: Provenance,
    /// Why they may be others.
    pub assumed: Option<Assumption>,
    /// The rules.
    pub rules: RuleSet,
}

impl Profile {
    /// The profile of a release.
    ///
    /// A release newer than the newest known one of its line is taken for that one, a line newer
    /// than all for the newest release of all; the profile says so.
    ///
    /// # Errors
    ///
    /// When the version cannot be read, or is older than all that are known.
    pub fn of(runtime: Runtime, version: &str) -> Result<Self, ProfileError> {
        let asked: Version = version
            .parse()
            .map_err(|()| ProfileError::Unreadable(format!("{runtime}/{version}")))?;
        let history = runtime.history()?;
        let (release, assumed) = history
            .nearest(&asked)
            .ok_or_else(|| ProfileError::TooOld {
                runtime,
                version: version.to_owned(),
                oldest: history.oldest().to_owned(),
            })?;
        let rules = history
            .rules(release)
            .map_err(|source| ProfileError::Data { runtime, source })?;
        Ok(Self {
            runtime,
            version: version.to_owned(),
            release: release.name,
            provenance: release.provenance,
            assumed,
            rules,
        })
    }

    /// Every release that is known of a runtime, oldest first.
    ///
    /// # Errors
    ///
    /// When the data are damaged.
    pub fn releases(runtime: Runtime) -> Result<impl Iterator<Item = &'static str>, ProfileError> {
        let history = runtime.history()?;
        Ok(history.releases().map(|release| release.name))
    }
}

impl FromStr for Profile {
    type Err = ProfileError;

    /// Reads `containerd/2.3.7` and `containerd://2.3.7`, which is how a Node says it.
    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let unreadable = || ProfileError::Unreadable(text.to_owned());
        let (name, version) = text
            .split_once("://")
            .or_else(|| text.split_once('/'))
            .ok_or_else(unreadable)?;
        let runtime = match name {
            "containerd" => Runtime::Containerd,
            "cri-o" | "crio" => Runtime::CriO,
            "docker" | "moby" => Runtime::Docker,
            _ => return Err(unreadable()),
        };
        Self::of(runtime, version)
    }
}

impl fmt::Display for Profile {
    /// `containerd/2.3.7`, as it was asked for.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.runtime, self.version)
    }
}
