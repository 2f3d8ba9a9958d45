//! Policies compiled with their profiles, and what a change of them concerns. No I/O.

use std::collections::BTreeMap;

use podfence_crd::{NamespacePolicy, PolicyProfile};
use podfence_plan::{Namespace, Policies, Policy, Profile, Unusable};

use super::source::Malformed;

/// An object as decoded, or why it could not be.
pub type Kept<T> = Result<Box<T>, Malformed>;

/// Compiles all policies. One that cannot be used stops no other.
#[must_use]
pub fn compile(
    policies: &BTreeMap<String, Kept<NamespacePolicy>>,
    profiles: &BTreeMap<String, Kept<PolicyProfile>>,
) -> Policies {
    let mut usable = Vec::new();
    let mut unusable = BTreeMap::new();
    for (name, kept) in policies {
        match compile_one(kept, profiles) {
            Ok(policy) => usable.push(policy),
            Err(problem) => {
                unusable.insert(name.clone(), problem);
            }
        }
    }
    Policies::new(usable, unusable)
}

fn compile_one(
    kept: &Kept<NamespacePolicy>,
    profiles: &BTreeMap<String, Kept<PolicyProfile>>,
) -> Result<Policy, Unusable> {
    let policy = kept.as_ref().map_err(|malformed| Unusable {
        error: malformed.error.clone(),
        generation: malformed.generation,
    })?;
    let profile = match profiles.get(&policy.spec.profile_ref.name) {
        None => Profile::Missing,
        Some(Ok(profile)) => Profile::read(profile),
        Some(Err(malformed)) => Profile::Invalid(malformed.error.clone()),
    };
    Policy::compile(policy, profile).map_err(|error| Unusable {
        error: error.to_string(),
        generation: policy.metadata.generation.unwrap_or_default(),
    })
}

/// The policies that are not the same in both, as they were and as they are.
#[must_use]
pub fn changed<'a>(old: &'a Policies, new: &'a Policies) -> Vec<&'a Policy> {
    let (before, after) = (by_name(old), by_name(new));
    let differs = |policy: &&Policy| {
        let name = policy.name.as_str();
        before.get(name) != after.get(name)
    };
    old.iter().chain(new.iter()).filter(differs).collect()
}

fn by_name(policies: &Policies) -> BTreeMap<&str, &Policy> {
    let named = policies.iter().map(|policy| (policy.name.as_str(), policy));
    named.collect()
}

/// Whether a namespace has to do with a policy: it is matched, or was written by it.
#[must_use]
pub fn concerns(policy: &Policy, namespace: &Namespace, own_namespaces: &[String]) -> bool {
    policy.matches(&namespace.name, &namespace.labels, own_namespaces)
        || namespace.state.values().any(|value| *value == policy.name)
}

/// Whether two versions of a policy make the same plans. Our own status writes come back here.
#[must_use]
pub fn is_same(old: Option<&Kept<NamespacePolicy>>, new: Option<&Kept<NamespacePolicy>>) -> bool {
    match (old, new) {
        (Some(Ok(old)), Some(Ok(new))) => {
            let identity = |policy: &NamespacePolicy| {
                let metadata = &policy.metadata;
                let deleting = metadata.deletion_timestamp.is_some();
                (
                    metadata.uid.clone(),
                    metadata.generation,
                    deleting,
                    metadata.finalizers.clone(),
                )
            };
            identity(old) == identity(new)
        }
        (Some(Err(old)), Some(Err(new))) => old == new,
        _ => false,
    }
}
