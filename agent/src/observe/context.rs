//! What the ledger has to know beside what was seen: the node, its containers, whose they are. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use podfence_seccomp::evidence::{Key, image_digest};
use podfence_seccomp::{
    Architecture, Capabilities, Container, FilterKey, KernelVersion, Loader, Profile,
};
use podfence_workload::{ContainerKind, Kind};

use crate::cluster::Node;
use crate::oci::Bundle;
use crate::pod::{Asks, Pod, Run};

/// What containers run under on the node, and what the runtime was told about each.
#[derive(Clone, Debug)]
pub struct Context {
    /// The Node's name.
    pub node: Arc<str>,
    /// The profile of its runtime.
    pub profile: Arc<Profile>,
    /// Its architecture.
    pub architecture: Architecture,
    /// Its kernel.
    pub kernel: KernelVersion,
    /// What the runtime was told, by the id of a container or sandbox, as far as that can be read.
    pub told: Arc<HashMap<Box<str>, Told>>,
}

/// What the runtime was told about a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whether it is the sandbox of a pod, in which nothing of anybody runs.
    pub is_sandbox: bool,
    /// Whether it got a filter.
    pub confined: bool,
}

impl Told {
    /// What a bundle says.
    #[must_use]
    pub const fn of(bundle: &Bundle) -> Self {
        Self {
            is_sandbox: bundle.configuration.sandbox_of.is_some(),
            confined: bundle.configuration.rules.is_some(),
        }
    }
}

impl Context {
    /// The context of a node.
    ///
    /// # Errors
    /// When it is not known what containers run under on it, in words that stay the same.
    pub fn of(
        name: &str,
        node: &Node,
        profile: Option<Arc<Profile>>,
        told: Arc<HashMap<Box<str>, Told>>,
    ) -> Result<Self, String> {
        let profile = profile.ok_or_else(|| {
            format!(
                "the RuntimeDefault of {:?} is not known, so system calls cannot be judged",
                node.runtime
            )
        })?;
        let unknown = |error: &dyn std::fmt::Display| {
            format!("system calls of this node cannot be judged: {error}")
        };
        Ok(Self {
            node: name.into(),
            profile,
            architecture: node.architecture.parse().map_err(|error| unknown(&error))?,
            kernel: node.kernel.parse().map_err(|error| unknown(&error))?,
            told,
        })
    }

    /// Whether both judge alike, whatever the containers.
    #[must_use]
    pub fn judges_as(&self, other: &Self) -> bool {
        (self.profile.rules.hash, self.architecture, self.kernel)
            == (other.profile.rules.hash, other.architecture, other.kernel)
            && self.profile.runtime == other.profile.runtime
    }

    /// The seat of a run of a container; none where no switch affects it, or that cannot be said.
    #[must_use]
    pub(super) fn seat(&self, pod: &Pod, run: &Run) -> Option<Seat> {
        let runtime = self.profile.runtime;
        let template = pod.template.as_deref()?;
        let mut containers = template.containers.iter();
        let container = containers.find(|container| container.name == run.container)?;
        // A debugging session is none of the workload's.
        if container.kind == ContainerKind::Ephemeral
            || pod.asks(&run.container, Some(runtime)) != Asks::Nothing
            || run.image.is_empty()
        {
            return None;
        }
        let capabilities = Capabilities::of(runtime, template, container).ok()??;
        let held = Container {
            architecture: self.architecture,
            bounding: capabilities.bounding,
            kernel: self.kernel,
        };
        let rules = &self.profile.rules;
        Some(Seat {
            holder: Holder::of(pod),
            container: run.container.clone(),
            key: Key::of(image_digest(&run.image), held, rules),
            filter: FilterKey::of(rules, held, Loader::default()),
            is_once: container.kind == ContainerKind::Init && !container.is_sidecar,
        })
    }
}

/// What facts of a container belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// What holds its pod.
    pub holder: Holder,
    /// The container's name.
    pub container: Box<str>,
    /// What evidence on it is bound to.
    pub key: Key,
    /// What its filter depends on.
    pub filter: FilterKey,
    /// Whether it runs once, before the others.
    pub is_once: bool,
}

/// What holds a pod: its controller, or the pod itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its group and version.
    pub api_version: Box<str>,
    /// Its kind.
    pub kind: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
}

impl Holder {
    /// What holds this pod. A static pod is its own: a Node is no workload.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let namespace = Arc::clone(&pod.namespace);
        let controller = pod.controller.as_deref();
        match controller.filter(|owner| (&*owner.api_version, &*owner.kind) != ("v1", "Node")) {
            Some(owner) => Self {
                namespace,
                api_version: owner.api_version.clone(),
                kind: owner.kind.clone(),
                name: owner.name.clone(),
                uid: owner.uid.to_string().into(),
            },
            None => Self {
                namespace,
                api_version: Kind::Pod.api_version().into(),
                kind: Kind::Pod.as_str().into(),
                name: pod.name.clone(),
                uid: pod.object_uid.clone(),
            },
        }
    }
}
