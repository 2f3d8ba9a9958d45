//! Where a pod can run: node selector, required node affinity, tolerations. Pure.

use crate::labels::Labels;

/// The constraints on the nodes that a pod can run on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Placement {
    /// `nodeSelector`.
    pub node_selector: Labels,
    /// The terms of `affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution`, of
    /// which one must match; absent when nothing is required.
    pub required_affinity: Option<Box<[NodeSelectorTerm]>>,
    /// `tolerations`.
    pub tolerations: Box<[Toleration]>,
}

/// A term of a node selector; all its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeSelectorTerm {
    /// `matchExpressions`, over the node's labels.
    pub expressions: Box<[Requirement]>,
    /// `matchFields`, over the node's fields.
    pub fields: Box<[Requirement]>,
    /// Whether the term also asks for the very node that the pod is bound to, as the pods of a
    /// `DaemonSet` do. That node is not named again, so that these pods are equal.
    pub own_node: bool,
}

/// One requirement of a term.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The label or field.
    pub key: Box<str>,
    /// How it is compared.
    pub operator: Operator,
    /// What it is compared with.
    pub values: Box<[Box<str>]>,
}

/// The operator of a requirement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Each variant is the operator of that name.
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
    /// An operator that is not known here; whether a node matches cannot be said.
    Other(Box<str>),
}

impl From<&str> for Operator {
    fn from(text: &str) -> Self {
        match text {
            "In" => Self::In,
            "NotIn" => Self::NotIn,
            "Exists" => Self::Exists,
            "DoesNotExist" => Self::DoesNotExist,
            "Gt" => Self::Gt,
            "Lt" => Self::Lt,
            other => Self::Other(other.into()),
        }
    }
}

/// A toleration; empty text where the field is absent, which means the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Toleration {
    /// The taint's key; empty tolerates every key.
    pub key: Box<str>,
    /// `Equal` (also when empty) or `Exists`.
    pub operator: Box<str>,
    /// The taint's value.
    pub value: Box<str>,
    /// The taint's effect; empty tolerates every effect.
    pub effect: Box<str>,
}
