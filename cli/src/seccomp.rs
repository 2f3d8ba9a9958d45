//! `kubectl podfence seccomp`: what filters do with calls. No I/O.

pub(crate) mod compare;
pub(crate) mod explain;

use podfence_seccomp::{
    Abi, Action, Assumption, Container, Fate, Loader, Profile, Provenance, UnknownCall, syscalls,
};
use serde::Serialize;

use crate::nearest::nearest;

/// A profile in an answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProfileAnswer {
    name: String,
    /// The release whose rules these are.
    release: &'static str,
    hash: &'static str,
    provenance: &'static str,
    /// Why the rules may be others, null where they are known to be these.
    assumed: Option<String>,
    /// The bounding set of the container under it.
    capabilities: Vec<&'static str>,
}

/// A node in an answer.
#[derive(Serialize)]
pub(crate) struct NodeAnswer {
    architecture: &'static str,
    kernel: String,
    runtime: &'static str,
    libseccomp: String,
}

/// What becomes of a call, in an answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FateAnswer {
    action: &'static str,
    errno: Option<String>,
    unlocked_by: Vec<&'static str>,
}

impl ProfileAnswer {
    pub(crate) fn of(profile: &Profile, container: Container) -> Self {
        Self {
            name: profile.to_string(),
            release: profile.release,
            hash: profile.rules.hash,
            provenance: match profile.provenance {
                Provenance::Extracted => "extracted",
                Provenance::Imported => "imported",
            },
            assumed: assumed(profile),
            capabilities: container.bounding.names().collect(),
        }
    }

    fn line(&self) -> String {
        let source = match self.provenance {
            "extracted" => "read from the release's source",
            _ => "taken over from an earlier extraction",
        };
        let short = self.hash.get(..12).unwrap_or(self.hash);
        let mut line = format!("{}, rules {short}, {source}", self.name);
        if let Some(assumed) = &self.assumed {
            line.push_str("; ");
            line.push_str(assumed);
        }
        line
    }
}

impl NodeAnswer {
    pub(crate) fn of(container: Container, loader: Loader) -> Self {
        let kernel = container.kernel;
        Self {
            architecture: container.architecture.as_str(),
            kernel: format!("{}.{}", kernel.major, kernel.minor),
            runtime: loader.runtime.as_str(),
            libseccomp: loader.libseccomp.to_string(),
        }
    }

    fn line(&self) -> String {
        let Self {
            architecture,
            kernel,
            runtime,
            libseccomp,
        } = self;
        format!("{architecture}, kernel {kernel}, {runtime} with libseccomp {libseccomp}")
    }
}

impl FateAnswer {
    pub(crate) fn of(fate: Fate) -> Self {
        let (action, errno) = match fate.action {
            Action::Allow => ("allow", None),
            Action::Errno(errno) => ("errno", Some(errno.to_string())),
            Action::KillThread => ("kill", None),
        };
        Self {
            action,
            errno,
            unlocked_by: fate.unlocked_by.names().collect(),
        }
    }

    /// In one word.
    fn word(&self) -> &str {
        self.errno.as_deref().unwrap_or(self.action)
    }

    fn unlocked(&self) -> String {
        if self.unlocked_by.is_empty() {
            "<none>".to_owned()
        } else {
            self.unlocked_by.join(",")
        }
    }
}

/// Why the rules of a profile may be others.
pub(crate) fn assumed(profile: &Profile) -> Option<String> {
    let release = profile.release;
    let taken = format!("the rules of {release} are assumed");
    profile.assumed.as_ref().map(|assumption| match assumption {
        Assumption::Newer => format!("newer than every release that is known of its line: {taken}"),
        Assumption::Unlisted => format!("not among the releases that are known: {taken}"),
        Assumption::Suffix(suffix) => {
            format!("{suffix:?} is a distributor's build, which may carry patches: {taken}")
        }
    })
}

/// The number of a call.
///
/// # Errors
///
/// With what may have been meant.
pub(crate) fn number(abi: Abi, name: &str) -> Result<u32, String> {
    if let Some(number) = syscalls::number(abi, name) {
        return Ok(number);
    }
    let having: Vec<&str> = Abi::ALL
        .iter()
        .filter(|other| syscalls::number(**other, name).is_some())
        .map(|other| other.as_str())
        .collect();
    Err(if having.is_empty() {
        let error = UnknownCall::Name(name.to_owned());
        let known = syscalls::names().iter().copied();
        format!("--syscall: {error}{}", nearest(name, known))
    } else {
        let name = name.to_owned();
        let error = UnknownCall::Abi { name, abi };
        format!(
            "--syscall: {error}; it is there with --abi {}",
            having.join(" or ")
        )
    })
}
