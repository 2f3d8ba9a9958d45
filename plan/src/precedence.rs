//! Which policy decides on a namespace. No I/O.
//!
//! One policy wins a namespace whole. Were two policies merged key by key, nobody could tell from
//! either of them what a namespace will enforce.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::namespace::Namespace;
use crate::policy::Policy;

/// A policy that exists and cannot be used: its namespaces stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Why.
    pub error: String,
    /// `metadata.generation`, where it can be read.
    pub generation: i64,
}

/// All policies, in the order in which they win.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    ordered: Vec<Policy>,
    unusable: BTreeMap<String, Unusable>,
}

impl Policies {
    /// Sorts the policies: the highest priority first, then the lexically first name.
    #[must_use]
    pub fn new(mut policies: Vec<Policy>, unusable: BTreeMap<String, Unusable>) -> Self {
        policies.sort_by(|one, two| {
            (Reverse(one.priority), &one.name).cmp(&(Reverse(two.priority), &two.name))
        });
        Self {
            ordered: policies,
            unusable,
        }
    }

    /// All usable policies, in the order in which they win.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.ordered.iter()
    }

    /// The policies that cannot be used, by name.
    pub fn unusable(&self) -> impl Iterator<Item = (&str, &Unusable)> {
        self.unusable
            .iter()
            .map(|(name, unusable)| (name.as_str(), unusable))
    }

    /// Whether a policy of this name exists and cannot be used.
    #[must_use]
    pub fn is_unusable(&self, name: &str) -> bool {
        self.unusable.contains_key(name)
    }

    /// A usable policy by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Policy> {
        self.ordered.iter().find(|policy| policy.name == name)
    }

    /// The policies that match a namespace, the winner first. A terminating namespace is matched by
    /// none. `own` are Podfence's own namespaces.
    pub fn matching<'a>(
        &'a self,
        namespace: &'a Namespace,
        own: &'a [String],
    ) -> impl Iterator<Item = &'a Policy> {
        self.ordered.iter().filter(move |policy| {
            !namespace.terminating && policy.matches(&namespace.name, &namespace.labels, own)
        })
    }
}
