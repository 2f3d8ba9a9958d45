//! The one kind of write that there is: an apply of all our keys on a namespace. No I/O.
//!
//! An apply speaks for every key that we own: what it leaves out is removed. So it is built here,
//! in one place, from the decisions for the three modes and the state to remember.

use std::collections::BTreeMap;

use podfence_podsecurity::LevelVersion;

use crate::keys::labels_of;
use crate::namespace::Namespace;
use podfence_podsecurity::Mode;

/// A server-side apply on a namespace, bound to what it was planned on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apply {
    /// The namespace.
    pub name: String,
    /// Sent as `metadata.uid`: a namespace that is gone or created anew is refused, never made.
    pub uid: String,
    /// Sent as `metadata.resourceVersion`: what changed meanwhile is planned again.
    pub resource_version: String,
    /// Every Pod Security label that we speak for.
    pub labels: BTreeMap<String, String>,
    /// Every state annotation.
    pub annotations: BTreeMap<String, String>,
    /// Take keys from other owners.
    pub force: bool,
}

impl Apply {
    /// Whether sending it would change anything: a value, a key, or who owns one.
    pub(crate) fn is_needed(&self, namespace: &Namespace) -> bool {
        let ownership = &namespace.ownership;
        let differs = |have: &BTreeMap<String, String>, (key, value): (&String, &String)| {
            have.get(key) != Some(value)
        };
        self.labels
            .iter()
            .any(|label| differs(&namespace.labels, label))
            || self.labels.keys().any(|key| !ownership.label(key).ours)
            || ownership
                .our_labels()
                .any(|key| !self.labels.contains_key(key))
            || !self.annotations.iter().eq(stored(namespace))
            || self
                .annotations
                .keys()
                .any(|key| !ownership.annotation(key).ours)
            || (self.annotations.is_empty() && ownership.has_our_state())
    }
}

/// The state annotations that are there. What is empty and not ours says nothing and cannot be
/// removed by leaving it out.
pub(crate) fn stored(namespace: &Namespace) -> impl Iterator<Item = (&String, &String)> {
    let ours = |key: &str| namespace.ownership.annotation(key).ours;
    let state = namespace.state.iter();
    state.filter(move |(key, value)| !value.is_empty() || ours(key))
}

/// The annotations to send for this state. Leaving a key out removes it only where nobody else owns
/// it, and an old record of cleanness that stays would be believed. So it is emptied, which makes it
/// ours alone, and left out after that.
pub(crate) fn annotations_for(
    namespace: &Namespace,
    mut wanted: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    for (key, value) in &namespace.state {
        let owners = namespace.ownership.annotation(key);
        let stays = !owners.ours || !owners.others.is_empty();
        if stays && !value.is_empty() && !wanted.contains_key(key) {
            wanted.insert(key.clone(), String::new());
        }
    }
    wanted
}

/// What one mode is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// This pair.
    Set(LevelVersion),
    /// What is there, spoken for only where we own it already.
    Live,
}

/// The labels that an apply sends for a mode.
pub(crate) fn labels_for(namespace: &Namespace, mode: Mode, wish: Wish) -> Vec<(String, String)> {
    match wish {
        Wish::Set(pair) => vec![
            (mode.level_label().to_owned(), pair.level.to_string()),
            (mode.version_label().to_owned(), pair.version.to_string()),
        ],
        Wish::Live => labels_of(mode)
            .into_iter()
            .filter(|key| namespace.ownership.label(key).ours)
            .filter_map(|key| Some((key.to_owned(), namespace.labels.get(key)?.clone())))
            .collect(),
    }
}

/// The managers that hold a key of this mode at another value than the pair's, sorted, each once.
/// Level and version are one pair, so that one contested key contests both.
pub(crate) fn contenders<'a>(
    namespace: &'a Namespace,
    refused: &'a BTreeMap<String, Vec<String>>,
    mode: Mode,
    pair: LevelVersion,
) -> Vec<&'a str> {
    let wanted = labels_for(namespace, mode, Wish::Set(pair));
    let mut managers = Vec::new();
    for (key, value) in &wanted {
        if namespace.labels.get(key).is_none_or(|live| live == value) {
            continue;
        }
        // Ownership as the namespace shows it, and as the API server's last refusal named it: some
        // owners appear in no managedFields entry.
        let shown = namespace.ownership.label(key).others.iter();
        let told = refused.get(key).into_iter().flatten();
        managers.extend(shown.chain(told).map(String::as_str));
    }
    managers.sort_unstable();
    managers.dedup();
    managers
}
