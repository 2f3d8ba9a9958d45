//! One watched object or manifest: what it is, whose it is, and the pod it makes. Pure.

use std::sync::Arc;

use crate::kind::Kind;
use crate::labels::Labels;
use crate::meta::{Meta, OwnerReference};
use crate::run::PodStatus;
use crate::template::Template;

/// A pod, or an object that makes pods from a template.
///
/// What differs between the pods of one controller is kept here, outside of `template`, so that
/// their templates are equal and can be one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Whose it is and how it is called.
    pub meta: Meta,
    /// The pod's specification, or the specification of the pods to be made. Absent only in a
    /// `ReplicationController` without a template.
    pub template: Option<Arc<Template>>,
    /// The labels of the template; empty for a pod, whose labels are in `meta`.
    pub template_labels: Labels,
    /// The node that the pod is bound to, or that a template binds its pods to.
    pub node_name: Option<Arc<str>>,
    /// Where a pod is in its life; absent for other kinds and in manifests.
    pub phase: Option<PodPhase>,
    /// How a pod's containers are; absent for other kinds, in manifests, and before the kubelet has
    /// said anything.
    pub status: Option<Box<PodStatus>>,
    /// Whether a pod has succeeded or failed, or a Job is complete or failed for good.
    pub finished: bool,
    /// The replicas asked for; absent for kinds that have none.
    pub replicas: Option<i64>,
}

impl Object {
    /// The labels that its pods carry: the pod's own, or those of the template.
    #[must_use]
    pub fn pod_labels(&self) -> &Labels {
        match self.kind {
            Kind::Pod => &self.meta.labels,
            _ => &self.template_labels,
        }
    }

    /// The controller of this object with its kind, where that is one of the nine.
    #[must_use]
    pub fn listed_controller(&self) -> Option<(Kind, &OwnerReference)> {
        let owner = self.meta.controller.as_deref()?;
        Some((Kind::from_owner(&owner.api_version, &owner.kind)?, owner))
    }
}

/// `status.phase` of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // Each variant is the phase of that name.
pub enum PodPhase {
    Pending,
    Running,
    Succeeded,
    Failed,
    /// The server's `Unknown`, and every value that is not one of its own.
    Unknown,
}

impl From<&str> for PodPhase {
    fn from(phase: &str) -> Self {
        match phase {
            "Pending" => Self::Pending,
            "Running" => Self::Running,
            "Succeeded" => Self::Succeeded,
            "Failed" => Self::Failed,
            _ => Self::Unknown,
        }
    }
}

impl PodPhase {
    /// Whether the pod's containers have stopped for good.
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::Object;

    #[test]
    fn an_object_is_small() {
        // 50,000 pods at 200 bytes are 10 MB: of the 128 MiB that the operator may take, the
        // part that cannot be shared.
        assert!(size_of::<Object>() <= 200, "{}", size_of::<Object>());
    }
}
