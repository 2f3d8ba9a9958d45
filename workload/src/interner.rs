//! Lets equal parts of many objects be one value in memory. No I/O.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use crate::labels::Labels;
use crate::meta::OwnerReference;
use crate::object::Object;
use crate::template::Template;

/// Shares templates, labels, owner references, namespaces, node names and images between objects.
///
/// It keeps what some object uses and, until the next sweep, what none uses any more. It sweeps
/// by itself when it has grown to twice what was left by the last sweep, so it holds at most
/// twice what is in use, and its work stays constant per object.
#[derive(Debug, Default)]
pub struct Interner {
    templates: Pool<Template>,
    labels: Pool<[(Box<str>, Box<str>)]>,
    owners: Pool<OwnerReference>,
    texts: Pool<str>,
}

impl Interner {
    /// Replaces every shareable part of `object` by the value that is already known, and learns
    /// the others.
    pub fn share(&mut self, object: &mut Object) {
        if let Some(template) = &mut object.template {
            self.templates.share(template);
        }
        if let Some(owner) = &mut object.meta.controller {
            self.owners.share(owner);
        }
        if let Some(node) = &mut object.node_name {
            self.texts.share(node);
        }
        for run in object.status.iter_mut().flat_map(|status| &mut status.runs) {
            self.texts.share(&mut run.image);
        }
        self.texts.share(&mut object.meta.namespace);
        for Labels(labels) in [&mut object.meta.labels, &mut object.template_labels] {
            // All empty labels are one value already.
            if !labels.is_empty() {
                self.labels.share(labels);
            }
        }
    }

    /// Forgets everything that no object uses any more.
    pub fn sweep(&mut self) {
        self.templates.sweep();
        self.labels.sweep();
        self.owners.sweep();
        self.texts.sweep();
    }

    /// How many different templates are known.
    #[must_use]
    pub fn templates(&self) -> usize {
        self.templates.values.len()
    }
}

/// Below this many values a sweep is not worth its time.
const SWEEP_FROM: usize = 1_024;

#[derive(Debug)]
struct Pool<T: ?Sized> {
    values: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Self {
            values: HashSet::new(),
            sweep_at: SWEEP_FROM,
        }
    }
}

impl<T: ?Sized + Hash + Eq> Pool<T> {
    fn share(&mut self, value: &mut Arc<T>) {
        if let Some(known) = self.values.get(&**value) {
            *value = Arc::clone(known);
            return;
        }
        if self.values.len() >= self.sweep_at {
            self.sweep();
        }
        self.values.insert(Arc::clone(value));
    }

    fn sweep(&mut self) {
        self.values.retain(|value| Arc::strong_count(value) > 1);
        self.values.shrink_to(self.values.len() * 2);
        self.sweep_at = SWEEP_FROM.max(self.values.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Interner, SWEEP_FROM};
    use crate::{Defaulting, Kind, Object, decode};

    fn pod(name: &str, image: &str) -> Object {
        let json = format!(
            r#"{{"metadata": {{"namespace": "shop", "name": "{name}", "labels": {{"app": "web"}},
                "ownerReferences": [{{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web",
                "uid": "u", "controller": true}}]}},
                "spec": {{"nodeName": "n", "containers": [{{"name": "c", "image": "{image}"}}]}}}}"#
        );
        decode(Kind::Pod, json.as_bytes(), Defaulting::AsServed).unwrap()
    }

    #[test]
    fn equal_parts_become_one_value() {
        let mut interner = Interner::default();
        let (mut first, mut second, mut other) = (pod("a", "x"), pod("b", "x"), pod("c", "y"));
        for object in [&mut first, &mut second, &mut other] {
            interner.share(object);
        }
        let template = |object: &Object| Arc::clone(object.template.as_ref().unwrap());
        assert!(Arc::ptr_eq(&template(&first), &template(&second)));
        assert!(!Arc::ptr_eq(&template(&first), &template(&other)));
        assert!(first.meta.labels.is_shared_with(&other.meta.labels));
        assert!(Arc::ptr_eq(&first.meta.namespace, &other.meta.namespace));
        assert!(Arc::ptr_eq(
            first.node_name.as_ref().unwrap(),
            other.node_name.as_ref().unwrap()
        ));
        let owner = |object: &Object| Arc::clone(object.meta.controller.as_ref().unwrap());
        assert!(Arc::ptr_eq(&owner(&first), &owner(&other)));
    }

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let mut interner = Interner::default();
        let mut kept = pod("kept", "kept");
        interner.share(&mut kept);
        for round in 0..10 * SWEEP_FROM {
            interner.share(&mut pod("gone", &round.to_string()));
            assert!(interner.templates() <= SWEEP_FROM + 1);
        }
        interner.sweep();
        assert_eq!(interner.templates(), 1);
        let mut again = pod("again", "kept");
        interner.share(&mut again);
        assert!(Arc::ptr_eq(
            &kept.template.unwrap(),
            &again.template.unwrap()
        ));
    }
}
