//! From what was read of a pod's placement to the compact form. Pure.

use super::wire;
use crate::placement::{NodeSelectorTerm, Operator, Requirement, Toleration};

impl From<wire::Toleration> for Toleration {
    fn from(toleration: wire::Toleration) -> Self {
        let wire::Toleration {
            key,
            operator,
            value,
            effect,
        } = toleration;
        Self {
            key: key.unwrap_or_default(),
            operator: operator.unwrap_or_default(),
            value: value.unwrap_or_default(),
            effect: effect.unwrap_or_default(),
        }
    }
}

impl wire::NodeSelectorTerm {
    /// The term, of a pod that is bound to the node of that name if there is one.
    pub(super) fn into(self, bound_to: Option<&str>) -> NodeSelectorTerm {
        let Self {
            expressions,
            fields,
        } = self;
        let mut fields: Vec<_> = fields
            .unwrap_or_default()
            .into_iter()
            .map(Requirement::from)
            .collect();
        let before = fields.len();
        fields.retain(|field| !bound_to.is_some_and(|node| field.names_only(node)));
        NodeSelectorTerm {
            expressions: expressions
                .unwrap_or_default()
                .into_iter()
                .map(Requirement::from)
                .collect(),
            own_node: fields.len() < before,
            fields: fields.into(),
        }
    }
}

impl Requirement {
    /// Whether this asks for exactly the node of that name.
    fn names_only(&self, node: &str) -> bool {
        &*self.key == "metadata.name"
            && self.operator == Operator::In
            && matches!(&*self.values, [only] if **only == *node)
    }
}

impl From<wire::Requirement> for Requirement {
    fn from(requirement: wire::Requirement) -> Self {
        let wire::Requirement {
            key,
            operator,
            values,
        } = requirement;
        Self {
            key: key.unwrap_or_default(),
            operator: operator.unwrap_or_else(|| Operator::from("")),
            values: values.unwrap_or_default(),
        }
    }
}
