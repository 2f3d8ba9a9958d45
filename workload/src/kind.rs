//! The nine kinds that carry a pod specification and that Pod Security looks at. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind whose objects are, or contain, a pod specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // Each variant is the kind of that name.
pub enum Kind {
    Pod,
    ReplicationController,
    PodTemplate,
    ReplicaSet,
    Deployment,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
}

impl Kind {
    /// Every kind, pods first.
    pub const ALL: [Self; 9] = [
        Self::Pod,
        Self::ReplicationController,
        Self::PodTemplate,
        Self::ReplicaSet,
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::Job,
        Self::CronJob,
    ];

    /// The `kind` of the object, as in `Deployment`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::ReplicationController => "ReplicationController",
            Self::PodTemplate => "PodTemplate",
            Self::ReplicaSet => "ReplicaSet",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
        }
    }

    /// The API group, empty for the core group.
    #[must_use]
    pub const fn group(self) -> &'static str {
        match self {
            Self::Pod | Self::ReplicationController | Self::PodTemplate => "",
            Self::ReplicaSet | Self::Deployment | Self::StatefulSet | Self::DaemonSet => "apps",
            Self::Job | Self::CronJob => "batch",
        }
    }

    /// The API version within the group; all nine are stable.
    #[must_use]
    pub const fn version(self) -> &'static str {
        "v1"
    }

    /// The `apiVersion` of the object, as in `apps/v1`.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Pod | Self::ReplicationController | Self::PodTemplate => "v1",
            Self::ReplicaSet | Self::Deployment | Self::StatefulSet | Self::DaemonSet => "apps/v1",
            Self::Job | Self::CronJob => "batch/v1",
        }
    }

    /// The resource name, as in a URL.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Pod => "pods",
            Self::ReplicationController => "replicationcontrollers",
            Self::PodTemplate => "podtemplates",
            Self::ReplicaSet => "replicasets",
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
            Self::Job => "jobs",
            Self::CronJob => "cronjobs",
        }
    }

    /// The kind that a manifest's `apiVersion` and `kind` name, if it is one of the nine.
    #[must_use]
    pub fn from_manifest(api_version: &str, kind: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == kind && known.api_version() == api_version)
    }

    /// The kind that an owner reference names, if it is one of the nine. Only the group counts:
    /// an object written through a version that is gone still has the same owner.
    #[must_use]
    pub fn from_owner(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == kind && known.group() == group)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn the_nine_kinds_are_told_apart_by_group() {
        let cases = [
            ("", "", None, None),
            ("v1", "Pod", Some(Kind::Pod), Some(Kind::Pod)),
            ("v1", "pod", None, None),
            ("v1", "Node", None, None),
            ("v1", "Deployment", None, None),
            (
                "apps/v1",
                "Deployment",
                Some(Kind::Deployment),
                Some(Kind::Deployment),
            ),
            ("apps/v1beta1", "Deployment", None, Some(Kind::Deployment)),
            ("apps", "Deployment", None, None),
            (
                "batch/v1",
                "CronJob",
                Some(Kind::CronJob),
                Some(Kind::CronJob),
            ),
            ("argoproj.io/v1alpha1", "Rollout", None, None),
            ("example.com/v1", "Job", None, None),
        ];
        for (api_version, kind, manifest, owner) in cases {
            assert_eq!(
                Kind::from_manifest(api_version, kind),
                manifest,
                "{api_version} {kind}"
            );
            assert_eq!(
                Kind::from_owner(api_version, kind),
                owner,
                "{api_version} {kind}"
            );
        }
    }

    #[test]
    fn group_and_version_make_the_api_version() {
        for kind in Kind::ALL {
            let expected = match kind.group() {
                "" => kind.version().to_owned(),
                group => format!("{group}/{}", kind.version()),
            };
            assert_eq!(kind.api_version(), expected, "{kind}");
        }
    }
}
