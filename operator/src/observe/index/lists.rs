//! What a new list of a resource does not name is gone. No I/O.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::source::Source;
use super::Index;

impl Index {
    /// A list begins: until `finish_list` everything that it names counts as still there.
    pub fn begin_list(&mut self, source: Source) {
        // The first list of all needs no bookkeeping, and it is the largest.
        if self.knows_any(source) {
            self.listing.insert(source, HashSet::new());
        }
    }

    /// A list is complete: what it did not name is gone.
    pub fn finish_list(&mut self, source: Source) {
        let Some(named) = self.listing.remove(&source) else {
            return;
        };
        let mut gone = Vec::new();
        let mut look = |namespace: &Arc<str>, name: &str| {
            if !named.contains(&(Arc::clone(namespace), Box::from(name))) {
                gone.push((Arc::clone(namespace), name.to_owned()));
            }
        };
        let nowhere: Arc<str> = Arc::from("");
        match source {
            Source::Namespaces => {
                let known = self
                    .namespaces
                    .iter()
                    .filter(|(_, entry)| entry.namespace.is_some());
                known.for_each(|(name, _)| look(&nowhere, name));
                self.unreadable_namespaces
                    .keys()
                    .for_each(|name| look(&nowhere, name));
            }
            Source::Policies => self.policies.keys().for_each(|name| look(&nowhere, name)),
            Source::Profiles => self.profiles.keys().for_each(|name| look(&nowhere, name)),
            Source::Nodes => {
                let nodes = self.ground.node_names();
                nodes.for_each(|name| look(&nowhere, name));
            }
            Source::Reports => self.ground.reports().for_each(|name| look(&nowhere, name)),
            Source::Records => {
                let records = self.ground.record_names();
                records.for_each(|(namespace, name)| look(namespace, name));
            }
            Source::Workloads(kind) => {
                for (namespace, entry) in &self.namespaces {
                    entry
                        .workloads
                        .names(kind)
                        .for_each(|name| look(namespace, name));
                }
            }
        }
        for (namespace, name) in gone {
            self.delete(source, &namespace, &name);
        }
    }

    pub(super) fn list(&mut self, source: Source, namespace: &str, name: &str) -> Arc<str> {
        // The name that is shared: that of the namespace.
        let shared = if source == Source::Namespaces {
            name
        } else {
            namespace
        };
        let known = self
            .namespaces
            .get_key_value(shared)
            .map(|(known, _)| Arc::clone(known));
        let shared = known.unwrap_or_else(|| Arc::from(shared));
        if source == Source::Namespaces {
            self.list_shared(source, &Arc::from(""), name);
        } else {
            self.list_shared(source, &shared, name);
        }
        shared
    }

    pub(super) fn list_shared(&mut self, source: Source, namespace: &Arc<str>, name: &str) {
        if let Some(named) = self.listing.get_mut(&source) {
            named.insert((Arc::clone(namespace), Box::from(name)));
        }
    }

    fn knows_any(&self, source: Source) -> bool {
        match source {
            Source::Namespaces => {
                self.namespaces().next().is_some() || !self.unreadable_namespaces.is_empty()
            }
            Source::Policies => !self.policies.is_empty(),
            Source::Profiles => !self.profiles.is_empty(),
            Source::Nodes => self.ground.node_names().next().is_some(),
            Source::Reports => self.ground.reports().next().is_some(),
            Source::Records => self.ground.record_names().next().is_some(),
            Source::Workloads(kind) => self
                .namespaces
                .values()
                .any(|entry| entry.workloads.names(kind).next().is_some()),
        }
    }
}
