//! Whose an object really is: up the chain of controllers. Pure.

use std::fmt;

use crate::kind::Kind;
use crate::meta::OwnerReference;
use crate::object::Object;

/// The workload that an object is reported as.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadRef {
    /// The workload's kind.
    pub kind: OwnerKind,
    /// The workload's name, in the object's namespace.
    pub name: Box<str>,
}

/// The kind of a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnerKind {
    /// One of the nine kinds that are watched.
    Listed(Kind),
    /// A kind of somebody else's, which controls pods without one of the nine in between.
    Other {
        /// Group and version, as in `kafka.strimzi.io/v1`.
        api_version: Box<str>,
        /// The kind.
        kind: Box<str>,
    },
}

impl OwnerKind {
    /// The kind's name, without its group.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Listed(kind) => kind.as_str(),
            Self::Other { kind, .. } => kind,
        }
    }
}

impl fmt::Display for OwnerKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Display for WorkloadRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.name)
    }
}

/// Controllers followed upwards. The longest chains of Kubernetes have two (`Pod`, `Job`,
/// `CronJob`); anybody may write an owner reference, so a chain may also be long or a circle.
const MAX_HOPS: usize = 8;

/// The top listed controller of `object`: for a pod of a Deployment that Deployment.
///
/// `find` looks up the object of a kind that an owner reference names, in the same namespace; a
/// caller compares the uid as well. An owner that it does not find is named nevertheless, and
/// the chain ends there. A pod that another kind controls directly is reported as that owner's,
/// except for the Node of a static pod: a node is no workload.
pub fn top_controller<'a>(
    object: &'a Object,
    find: impl Fn(Kind, &OwnerReference) -> Option<&'a Object>,
) -> WorkloadRef {
    let mut top = object;
    for _ in 0..MAX_HOPS {
        let Some((kind, owner)) = top.listed_controller() else {
            break;
        };
        match find(kind, owner) {
            Some(found) => top = found,
            None => {
                return WorkloadRef {
                    kind: OwnerKind::Listed(kind),
                    name: owner.name.clone(),
                };
            }
        }
    }
    match &top.meta.controller {
        Some(owner)
            if top.kind == Kind::Pod
                && Kind::from_owner(&owner.api_version, &owner.kind).is_none()
                && !is_node(owner) =>
        {
            WorkloadRef {
                kind: OwnerKind::Other {
                    api_version: owner.api_version.clone(),
                    kind: owner.kind.clone(),
                },
                name: owner.name.clone(),
            }
        }
        _ => WorkloadRef {
            kind: OwnerKind::Listed(top.kind),
            name: top.meta.name.clone(),
        },
    }
}

fn is_node(owner: &OwnerReference) -> bool {
    &*owner.kind == "Node" && &*owner.api_version == "v1"
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{MAX_HOPS, top_controller};
    use crate::{Kind, Labels, Meta, Object, OwnerReference};

    fn object(kind: Kind, name: &str, owner: Option<(&str, &str, &str)>) -> Object {
        let controller = owner.map(|(api_version, kind, name)| {
            Arc::new(OwnerReference {
                api_version: api_version.into(),
                kind: kind.into(),
                name: name.into(),
                uid: name.into(),
            })
        });
        Object {
            kind,
            meta: Meta {
                name: name.into(),
                uid: name.into(),
                controller,
                ..Meta::default()
            },
            template: None,
            template_labels: Labels::default(),
            node_name: None,
            phase: None,
            status: None,
            finished: false,
            replicas: None,
        }
    }

    /// The name of the workload that the first object is reported as.
    fn top(objects: &[Object]) -> String {
        top_controller(&objects[0], |kind, owner| {
            objects
                .iter()
                .find(|found| found.kind == kind && found.meta.uid == owner.uid)
        })
        .to_string()
    }

    #[test]
    fn the_top_listed_controller_is_found() {
        let pod = |owner| object(Kind::Pod, "pod", owner);
        let replica_set = |owner| object(Kind::ReplicaSet, "web-1", owner);
        let of_replica_set = Some(("apps/v1", "ReplicaSet", "web-1"));
        let cases = [
            ("bare pod", vec![pod(None)], "Pod/pod"),
            (
                "owner not found",
                vec![pod(of_replica_set)],
                "ReplicaSet/web-1",
            ),
            (
                "bare replica set",
                vec![pod(of_replica_set), replica_set(None)],
                "ReplicaSet/web-1",
            ),
            (
                "deployment",
                vec![
                    pod(of_replica_set),
                    replica_set(Some(("apps/v1", "Deployment", "web"))),
                    object(Kind::Deployment, "web", None),
                ],
                "Deployment/web",
            ),
            (
                "cron job",
                vec![
                    pod(Some(("batch/v1", "Job", "report-1"))),
                    object(
                        Kind::Job,
                        "report-1",
                        Some(("batch/v1", "CronJob", "report")),
                    ),
                    object(Kind::CronJob, "report", None),
                ],
                "CronJob/report",
            ),
            (
                "replica set of an unlisted kind",
                vec![
                    pod(of_replica_set),
                    replica_set(Some(("argoproj.io/v1alpha1", "Rollout", "web"))),
                ],
                "ReplicaSet/web-1",
            ),
            (
                "pod of an unlisted kind",
                vec![pod(Some(("core.strimzi.io/v1", "StrimziPodSet", "kafka")))],
                "StrimziPodSet/kafka",
            ),
            (
                "static pod",
                vec![pod(Some(("v1", "Node", "node-1")))],
                "Pod/pod",
            ),
            (
                "a foreign Node is a workload like any other",
                vec![pod(Some(("example.com/v1", "Node", "n")))],
                "Node/n",
            ),
        ];
        for (name, objects, expected) in cases {
            assert_eq!(top(&objects), expected, "{name}");
        }
    }

    #[test]
    fn a_circle_and_a_long_chain_end() {
        let circle = [
            object(Kind::ReplicaSet, "a", Some(("apps/v1", "Deployment", "b"))),
            object(Kind::Deployment, "b", Some(("apps/v1", "ReplicaSet", "a"))),
        ];
        assert!(["ReplicaSet/a", "Deployment/b"].contains(&&*top(&circle)));
        let own = [object(Kind::Job, "a", Some(("batch/v1", "Job", "a")))];
        assert_eq!(top(&own), "Job/a");
        let long: Vec<_> = (0..50)
            .map(|n| {
                let next = format!("job-{}", n + 1);
                object(
                    Kind::Job,
                    &format!("job-{n}"),
                    Some(("batch/v1", "Job", &next)),
                )
            })
            .collect();
        assert_eq!(top(&long), format!("Job/job-{MAX_HOPS}"));
    }
}
