//! What is watched: fifteen resources, and what each object is decoded into. No I/O.

use kube::Resource;
use kube::api::ApiResource;
use podfence_crd::{NamespacePolicy, NodeReport, PolicyProfile, SyscallRecord};
use podfence_daemon::raw::RawObject;
use podfence_plan::Namespace;
use podfence_plan::seccomp_default::Node;
use podfence_workload::{Defaulting, Kind, Object};
use serde::de::DeserializeOwned;

/// A watched resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Namespaces.
    Namespaces,
    /// Our policies.
    Policies,
    /// Our profiles.
    Profiles,
    /// Nodes.
    Nodes,
    /// What agents report of nodes.
    Reports,
    /// What was recorded of calls.
    Records,
    /// One of the nine kinds that are, or make, pods.
    Workloads(Kind),
}

impl Source {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        [
            Self::Namespaces,
            Self::Policies,
            Self::Profiles,
            Self::Nodes,
            Self::Reports,
            Self::Records,
        ]
        .into_iter()
        .chain(Kind::ALL.into_iter().map(Self::Workloads))
    }

    /// The kind of its objects.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Namespaces => "Namespace",
            Self::Policies => "NamespacePolicy",
            Self::Profiles => "PolicyProfile",
            Self::Nodes => "Node",
            Self::Reports => "NodeReport",
            Self::Records => "SyscallRecord",
            Self::Workloads(kind) => kind.as_str(),
        }
    }

    /// Its plural with the group where there is one, as the authorizer writes it.
    #[must_use]
    pub fn resource_name(self) -> String {
        let resource = self.api_resource();
        if resource.group.is_empty() {
            resource.plural
        } else {
            format!("{}.{}", resource.plural, resource.group)
        }
    }

    /// How kube finds it.
    #[must_use]
    pub fn api_resource(self) -> ApiResource {
        match self {
            Self::Namespaces => ApiResource {
                group: String::new(),
                version: "v1".to_owned(),
                api_version: "v1".to_owned(),
                kind: "Namespace".to_owned(),
                plural: "namespaces".to_owned(),
            },
            Self::Nodes => ApiResource {
                group: String::new(),
                version: "v1".to_owned(),
                api_version: "v1".to_owned(),
                kind: "Node".to_owned(),
                plural: "nodes".to_owned(),
            },
            Self::Reports => ApiResource::erase::<NodeReport>(&()),
            Self::Records => ApiResource::erase::<SyscallRecord>(&()),
            Self::Policies => ApiResource::erase::<NamespacePolicy>(&()),
            Self::Profiles => ApiResource::erase::<PolicyProfile>(&()),
            Self::Workloads(kind) => ApiResource {
                group: kind.group().to_owned(),
                version: kind.version().to_owned(),
                api_version: kind.api_version().to_owned(),
                kind: kind.as_str().to_owned(),
                plural: kind.plural().to_owned(),
            },
        }
    }

    /// The path of its list in the API, the same for its watch.
    #[must_use]
    pub fn path(self) -> String {
        RawObject::url_path(&self.api_resource(), None)
    }

    /// Whether it is defined by us, so that it may not be there yet.
    #[must_use]
    pub const fn is_ours(self) -> bool {
        matches!(
            self,
            Self::Policies | Self::Profiles | Self::Reports | Self::Records
        )
    }

    /// Whether labels depend on it. Of the others only the verdicts on SeccompDefault are made, and
    /// labels do not wait for them.
    #[must_use]
    pub const fn decides_labels(self) -> bool {
        !matches!(self, Self::Nodes | Self::Reports | Self::Records)
    }

    /// Decodes an object.
    #[must_use]
    pub fn decode(self, object: &RawObject) -> Observed {
        match self {
            Self::Namespaces => Observed::Namespace(decode(object)),
            Self::Policies => Observed::Policy(decode(object)),
            Self::Profiles => Observed::Profile(decode(object)),
            Self::Nodes => Observed::Node(decode(object)),
            Self::Reports => Observed::Report(decode(object)),
            Self::Records => Observed::Record(decode(object)),
            Self::Workloads(kind) => Observed::Workload(kind, decode_workload(kind, object)),
        }
    }
}

/// An object that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Its name.
    pub name: String,
    /// Its namespace, empty where it has none.
    pub namespace: String,
    /// Its `metadata.generation`, 0 where it has none.
    pub generation: i64,
    /// What is wrong with it.
    pub error: String,
}

/// A decoded object. Boxed where the variants would otherwise all be as large as a policy.
#[derive(Debug)]
pub enum Observed {
    /// A namespace.
    Namespace(Result<Box<Namespace>, Malformed>),
    /// A policy.
    Policy(Result<Box<NamespacePolicy>, Malformed>),
    /// A profile.
    Profile(Result<Box<PolicyProfile>, Malformed>),
    /// A node.
    Node(Result<Box<Node>, Malformed>),
    /// What an agent reports of a node.
    Report(Result<Box<NodeReport>, Malformed>),
    /// What was recorded of calls.
    Record(Result<Box<SyscallRecord>, Malformed>),
    /// A pod, or what makes pods.
    Workload(Kind, Result<Box<Object>, Malformed>),
}

impl Observed {
    /// Why the object cannot be read, if so.
    #[must_use]
    pub fn malformed(&self) -> Option<&Malformed> {
        match self {
            Self::Namespace(Err(malformed))
            | Self::Policy(Err(malformed))
            | Self::Profile(Err(malformed))
            | Self::Node(Err(malformed))
            | Self::Report(Err(malformed))
            | Self::Record(Err(malformed))
            | Self::Workload(_, Err(malformed)) => Some(malformed),
            _ => None,
        }
    }

    /// The object's kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Namespace(_) => Source::Namespaces.kind(),
            Self::Policy(_) => Source::Policies.kind(),
            Self::Profile(_) => Source::Profiles.kind(),
            Self::Node(_) => Source::Nodes.kind(),
            Self::Report(_) => Source::Reports.kind(),
            Self::Record(_) => Source::Records.kind(),
            Self::Workload(kind, _) => kind.as_str(),
        }
    }
}

fn decode<T: DeserializeOwned>(object: &RawObject) -> Result<Box<T>, Malformed> {
    serde_json::from_str(object.json())
        .map(Box::new)
        .map_err(|error| malformed(object, &error))
}

fn decode_workload(kind: Kind, object: &RawObject) -> Result<Box<Object>, Malformed> {
    podfence_workload::decode(kind, object.json().as_bytes(), Defaulting::AsServed)
        .map(Box::new)
        .map_err(|error| malformed(object, &error))
}

fn malformed(object: &RawObject, error: &impl ToString) -> Malformed {
    Malformed {
        name: object.name().to_owned(),
        namespace: object.namespace().to_owned(),
        generation: object.generation(),
        error: error.to_string(),
    }
}
