//! What happens to a namespace that no policy matches any more. No I/O.
//!
//! It keeps its labels and loses our state; or, where the policy that wrote it says Remove, it
//! loses exactly the keys that we own.

use std::collections::BTreeMap;

use podfence_crd::Strategy;

use crate::apply::{Apply, Wish, annotations_for, labels_for, stored};
use crate::namespace::Namespace;
use crate::namespace_plan::{Context, NamespacePlan, Step};
use crate::state::State;
use podfence_podsecurity::Mode;

pub(crate) fn plan(context: &Context<'_>, namespace: &Namespace) -> NamespacePlan {
    if namespace.terminating || stored(namespace).next().is_none() {
        return NamespacePlan::nothing();
    }
    let state = State::parse(&namespace.state, context.now);
    let author = state.policy.as_deref();
    // What an unreadable policy wants is not known, so it stays as it is.
    if author.is_some_and(|name| context.policies.is_unusable(name)) {
        return NamespacePlan::nothing();
    }
    let policy = author.and_then(|name| context.policies.get(name));
    if policy.is_some_and(|policy| policy.suspend || policy.strategy == Strategy::DryRun) {
        return NamespacePlan::nothing();
    }
    let retain = bare(namespace, retained_labels(namespace));
    let step = if policy.is_some_and(crate::policy::Policy::removes) {
        Step::Remove {
            remove: bare(namespace, BTreeMap::new()),
            retain,
        }
    } else {
        Step::Apply(retain)
    };
    NamespacePlan {
        step,
        ..NamespacePlan::nothing()
    }
}

/// Every label that we own, with its live value.
fn retained_labels(namespace: &Namespace) -> BTreeMap<String, String> {
    Mode::ALL
        .into_iter()
        .flat_map(|mode| labels_for(namespace, mode, Wish::Live))
        .collect()
}

/// An apply without any state.
fn bare(namespace: &Namespace, labels: BTreeMap<String, String>) -> Apply {
    let annotations = annotations_for(namespace, BTreeMap::new());
    Apply {
        name: namespace.name.clone(),
        uid: namespace.uid.clone(),
        resource_version: namespace.resource_version.clone(),
        labels,
        // Labels are sent with their live values, so that force takes no more than our own state.
        force: !annotations.is_empty(),
        annotations,
    }
}

/// The labels that we owned before a removal and that are still there after it: somebody else owns
/// them too.
pub fn left_behind(before: &Namespace, after: &Namespace) -> Vec<String> {
    before
        .ownership
        .our_labels()
        .filter(|key| after.labels.contains_key(*key))
        .map(str::to_owned)
        .collect()
}
