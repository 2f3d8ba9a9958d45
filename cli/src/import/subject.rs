//! Which container an import is about, and what its evidence is bound to. No I/O but what `cluster`
//! does.

use podfence_crd::RecordedWorkload;
use podfence_seccomp::evidence::Key;
use podfence_seccomp::{Architecture, Container, KernelVersion, Profile, RefusedCapability};

use super::cluster::{self, AskError, Running};
use crate::args::{TargetArguments, WorkloadName};

/// What `seccomp explain` assumes as well.
const ASSUMED_KERNEL: KernelVersion = KernelVersion {
    major: 6,
    minor: 18,
};

/// Why it cannot be said what the evidence is bound to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubjectError {
    #[error("--capabilities: {0}")]
    Capabilities(#[from] RefusedCapability),
    #[error(
        "{source}\nwithout a cluster, say what it would be asked for with --image and --profile"
    )]
    Cluster {
        #[source]
        source: AskError,
    },
}

/// A container of a workload, under a profile.
pub(crate) struct Subject {
    pub(crate) name: WorkloadName,
    pub(crate) container_name: String,
    pub(crate) namespace: String,
    pub(crate) profile: Profile,
    pub(crate) container: Container,
    pub(crate) key: Key,
    /// What was not typed but found out.
    pub(crate) told: Vec<String>,
}

impl Subject {
    /// What the arguments say, and for what they do not say a running pod.
    ///
    /// # Errors
    ///
    /// When the cluster has to be asked and does not know, or the capabilities are refused.
    pub(crate) fn of(target: &TargetArguments) -> Result<Self, SubjectError> {
        let typed = target.image.clone().zip(target.profile.clone());
        let running = match typed {
            Some((image, profile)) => Running {
                image,
                bounding: profile.runtime.default_capabilities(),
                profile,
                architecture: Architecture::Amd64,
                kernel: ASSUMED_KERNEL,
                told: None,
            },
            None => cluster::running(target).map_err(|source| SubjectError::Cluster { source })?,
        };
        let Running {
            image,
            profile,
            bounding,
            architecture,
            kernel,
            told,
        } = running;
        let bounding = match &target.capabilities {
            Some(change) => change.of(profile.runtime)?,
            None => bounding,
        };
        let container = Container {
            architecture: target.arch.unwrap_or(architecture),
            bounding,
            kernel: target.kernel.unwrap_or(kernel),
        };
        let assumed = crate::seccomp::assumed(&profile);
        Ok(Self {
            name: target.workload.clone(),
            container_name: target.container.clone(),
            namespace: target.namespace.clone(),
            key: Key::of(&image, container, &profile.rules),
            told: told
                .into_iter()
                .chain(assumed.map(|assumed| format!("{profile}: {assumed}")))
                .collect(),
            container,
            profile,
        })
    }

    pub(crate) fn architecture(&self) -> Architecture {
        self.container.architecture
    }

    pub(crate) fn workload(&self) -> RecordedWorkload {
        let WorkloadName { kind, name } = &self.name;
        RecordedWorkload {
            api_version: kind.api_version().to_owned(),
            kind: kind.as_str().to_owned(),
            name: name.clone(),
        }
    }
}
