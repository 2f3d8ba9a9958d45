//! How far every namespace is, by namespace and by policy. No I/O.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use podfence_plan::Outcome;

/// The outcome of every namespace that a policy won.
#[derive(Debug, Default)]
pub struct Outcomes {
    by_namespace: HashMap<Arc<str>, Box<Outcome>>,
    won: HashMap<String, BTreeSet<Arc<str>>>,
    lost: HashMap<String, BTreeSet<Arc<str>>>,
}

impl Outcomes {
    /// Sets what is known of a namespace, or forgets it. Gives the policies whose status that
    /// changes.
    pub fn set(&mut self, namespace: &Arc<str>, outcome: Option<Outcome>) -> BTreeSet<String> {
        let old = self.by_namespace.get(namespace);
        if old.map(|outcome| &**outcome) == outcome.as_ref() {
            return BTreeSet::new();
        }
        let mut concerned = BTreeSet::new();
        if let Some(old) = self.by_namespace.remove(namespace) {
            drop_from(&mut self.won, &old.policy, namespace);
            for policy in &old.superseded {
                drop_from(&mut self.lost, policy, namespace);
            }
            let Outcome {
                policy, superseded, ..
            } = *old;
            concerned.extend(superseded.into_iter().chain([policy]));
        }
        if let Some(new) = outcome {
            self.won
                .entry(new.policy.clone())
                .or_default()
                .insert(Arc::clone(namespace));
            for policy in &new.superseded {
                self.lost
                    .entry(policy.clone())
                    .or_default()
                    .insert(Arc::clone(namespace));
            }
            concerned.extend(new.superseded.iter().cloned().chain([new.policy.clone()]));
            self.by_namespace
                .insert(Arc::clone(namespace), Box::new(new));
        }
        concerned
    }

    /// How far a namespace is.
    #[must_use]
    pub fn get(&self, namespace: &str) -> Option<&Outcome> {
        self.by_namespace.get(namespace).map(|outcome| &**outcome)
    }

    /// The namespaces that a policy won, by name.
    #[must_use]
    pub fn won<'a>(&'a self, policy: &str) -> Vec<(&'a str, &'a Outcome)> {
        let names = self.won.get(policy).into_iter().flatten();
        names
            .filter_map(|name| Some((&**name, &**self.by_namespace.get(name)?)))
            .collect()
    }

    /// The namespaces that a policy matches and lost, each with the winner, by name.
    #[must_use]
    pub fn lost<'a>(&'a self, policy: &str) -> Vec<(&'a str, &'a str)> {
        let names = self.lost.get(policy).into_iter().flatten();
        names
            .filter_map(|name| Some((&**name, self.by_namespace.get(name)?.policy.as_str())))
            .collect()
    }
}

fn drop_from(index: &mut HashMap<String, BTreeSet<Arc<str>>>, policy: &str, namespace: &Arc<str>) {
    if let Some(names) = index.get_mut(policy) {
        names.remove(namespace);
        if names.is_empty() {
            index.remove(policy);
        }
    }
}
