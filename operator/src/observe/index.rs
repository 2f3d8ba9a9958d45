//! Everything that was observed, and what has to be planned again because of it. No I/O.
//!
//! One task owns it, so that it needs no lock, and tests drive it with `apply` and `delete`.

mod lists;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use podfence_crd::{NamespacePolicy, PolicyProfile};
use podfence_plan::{
    Context, Ledger, Memory, Namespace, NamespacePlan, News, Policies, Policy, Servers, Unseen,
    Workloads, plan_namespace,
};
use podfence_workload::{Interner, Kind, Object};

use super::compiled::{self, Kept};
use super::ground::Ground;
use super::source::{Malformed, Observed, Source};

/// An object by its namespace, empty where it has none, and its name.
type Named = (Arc<str>, Box<str>);

/// What has to be looked at again.
#[derive(Debug, Default)]
pub struct Marks {
    /// Namespaces to plan. Their workloads are to be judged as well.
    pub namespaces: BTreeSet<Arc<str>>,
    /// Policies whose status to compute.
    pub policies: BTreeSet<String>,
    /// Profiles whose status to compute.
    pub profiles: BTreeSet<String>,
    /// Namespaces whose workloads are to be judged, and nothing else.
    pub seccomp: BTreeSet<Arc<str>>,
    /// Reports of nodes whose status to compute.
    pub reports: BTreeSet<String>,
    /// Nodes, or what agents say of them, have changed.
    pub nodes: bool,
}

impl Marks {
    /// Whether there is nothing to look at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            namespaces,
            policies,
            profiles,
            seccomp,
            reports,
            nodes,
        } = self;
        namespaces.is_empty()
            && policies.is_empty()
            && profiles.is_empty()
            && seccomp.is_empty()
            && reports.is_empty()
            && !nodes
    }
}

/// A namespace with everything in it and everything known of it.
#[derive(Debug, Default)]
pub struct Entry {
    /// The namespace; absent while only objects in it were seen.
    pub namespace: Option<Box<Namespace>>,
    /// Its pods and templates.
    pub workloads: Workloads,
    /// What the planner wants remembered.
    pub memory: Memory,
}

/// What every plan is made with, apart from what the index holds itself.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The instant of the plan.
    pub now: k8s_openapi::jiff::Timestamp,
    /// The API servers in use.
    pub servers: Option<Servers>,
    /// What cannot be seen.
    pub unseen: &'a [Unseen],
    /// When soaks had to start again.
    pub ledger: &'a Ledger,
}

/// The observed state of the cluster.
#[derive(Debug)]
pub struct Index {
    own_namespaces: [String; 2],
    namespaces: HashMap<Arc<str>, Entry>,
    unreadable_namespaces: BTreeMap<String, String>,
    policies: BTreeMap<String, Kept<NamespacePolicy>>,
    profiles: BTreeMap<String, Kept<PolicyProfile>>,
    compiled: Policies,
    /// Policies or profiles changed since `compiled`.
    stale: bool,
    interner: Interner,
    ground: Ground,
    /// The objects named so far by the lists that are under way, where something was known before.
    listing: HashMap<Source, HashSet<Named>>,
    marks: Marks,
}

impl Index {
    /// An empty index. No policy touches `own_namespace`, nor `agent_namespace` with the agents' pods,
    /// unless it asks for system namespaces.
    #[must_use]
    pub fn new(own_namespace: String, agent_namespace: String) -> Self {
        Self {
            own_namespaces: [own_namespace, agent_namespace.clone()],
            namespaces: HashMap::new(),
            unreadable_namespaces: BTreeMap::new(),
            policies: BTreeMap::new(),
            profiles: BTreeMap::new(),
            compiled: Policies::default(),
            stale: false,
            interner: Interner::default(),
            ground: Ground::new(agent_namespace),
            listing: HashMap::new(),
            marks: Marks::default(),
        }
    }

    /// Takes in an object as it is now.
    pub fn apply(&mut self, observed: Observed) {
        match observed {
            Observed::Namespace(kept) => self.apply_namespace(kept),
            Observed::Policy(kept) => {
                let name = name_of(&kept, |policy| policy.metadata.name.as_deref());
                self.list(Source::Policies, "", &name);
                self.marks.policies.insert(name.clone());
                let old = self.policies.insert(name.clone(), kept);
                let new = self.policies.get(&name);
                self.stale |= !compiled::is_same(old.as_ref(), new);
            }
            Observed::Profile(kept) => {
                let name = name_of(&kept, |profile| profile.metadata.name.as_deref());
                self.list(Source::Profiles, "", &name);
                self.marks.profiles.insert(name.clone());
                self.profiles.insert(name, kept);
                self.stale = true;
            }
            Observed::Node(kept) => {
                let name = name_of(&kept, |node| Some(&node.name));
                self.list(Source::Nodes, "", &name);
                self.marks.nodes |= self.ground.apply_node(name, kept);
            }
            Observed::Report(kept) => {
                let name = name_of(&kept, |report| report.metadata.name.as_deref());
                self.list(Source::Reports, "", &name);
                self.marks.reports.insert(name.clone());
                self.marks.nodes |= self.ground.apply_report(name, kept);
            }
            Observed::Record(kept) => {
                let name = name_of(&kept, |record| record.metadata.name.as_deref());
                let namespace = match &kept {
                    Ok(record) => record.metadata.namespace.clone().unwrap_or_default(),
                    Err(malformed) => malformed.namespace.clone(),
                };
                let namespace = self.list(Source::Records, &namespace, &name);
                self.marks.seccomp.insert(Arc::clone(&namespace));
                self.ground.apply_record(namespace, name, kept);
            }
            Observed::Workload(kind, Ok(object)) => self.apply_workload(kind, *object),
            Observed::Workload(kind, Err(malformed)) => {
                let Malformed {
                    name,
                    namespace,
                    error,
                    ..
                } = malformed;
                let namespace = self.list(Source::Workloads(kind), &namespace, &name);
                let entry = self.namespaces.entry(Arc::clone(&namespace)).or_default();
                if entry.workloads.malformed(kind, &name, error) {
                    self.marks.namespaces.insert(namespace);
                }
            }
        }
    }

    /// Forgets an object that is gone.
    pub fn delete(&mut self, source: Source, namespace: &str, name: &str) {
        match source {
            Source::Namespaces => self.delete_namespace(name),
            Source::Policies => {
                self.stale |= self.policies.remove(name).is_some();
                self.marks.policies.insert(name.to_owned());
            }
            Source::Profiles => {
                self.stale |= self.profiles.remove(name).is_some();
                self.marks.profiles.insert(name.to_owned());
            }
            Source::Nodes => self.marks.nodes |= self.ground.delete_node(name),
            Source::Reports => {
                self.marks.nodes |= self.ground.delete_report(name);
                self.marks.reports.insert(name.to_owned());
            }
            Source::Records => {
                if self.ground.delete_record(namespace, name) {
                    self.marks.seccomp.insert(Arc::from(namespace));
                }
            }
            Source::Workloads(kind) => self.delete_workload(kind, namespace, name),
        }
    }

    /// Compiles policies that changed and gives what has to be looked at again.
    pub fn take_marks(&mut self) -> Marks {
        if std::mem::take(&mut self.stale) {
            self.recompile();
        }
        std::mem::take(&mut self.marks)
    }

    /// Marks everything, because what all plans depend on has changed.
    pub fn mark_all(&mut self) {
        let known = self
            .namespaces
            .iter()
            .filter(|(_, entry)| entry.namespace.is_some());
        self.marks
            .namespaces
            .extend(known.map(|(name, _)| Arc::clone(name)));
        self.marks.policies.extend(self.policies.keys().cloned());
        self.marks.profiles.extend(self.profiles.keys().cloned());
        self.marks.reports.extend(self.ground.reports().cloned());
        self.marks.nodes = true;
    }

    /// Nodes, reports and records.
    #[must_use]
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// The same, to note what was written.
    pub fn ground_mut(&mut self) -> &mut Ground {
        &mut self.ground
    }

    /// Plans a namespace; `None` when it is gone.
    pub fn plan(&mut self, name: &str, at: Circumstances<'_>) -> Option<NamespacePlan> {
        let Circumstances {
            now,
            servers,
            unseen,
            ledger,
        } = at;
        let entry = self.namespaces.get_mut(name)?;
        let namespace = entry.namespace.as_deref()?;
        let context = Context {
            now,
            policies: &self.compiled,
            servers,
            unseen,
            ledger,
            own_namespaces: &self.own_namespaces,
        };
        Some(plan_namespace(
            &context,
            namespace,
            &mut entry.workloads,
            &entry.memory,
        ))
    }

    /// Takes in a namespace as a write returned it, so that its echo in the watch is no news.
    /// `planned_on` is the resourceVersion that the write carried.
    pub fn wrote(&mut self, planned_on: &str, namespace: Box<Namespace>) {
        let Some(entry) = self.namespaces.get_mut(namespace.name.as_str()) else {
            return;
        };
        // It was about a version that is gone, and there may be ten thousand of them.
        entry.memory.answer = None;
        // Between the version planned on and the one written there is no other. So where the watch
        // has moved on meanwhile, it shows our write already, or something later.
        if entry
            .namespace
            .as_ref()
            .is_some_and(|known| known.resource_version == planned_on)
        {
            entry.namespace = Some(namespace);
        }
    }

    /// A namespace with everything known of it.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.namespaces.get(name)
    }

    /// The same, to change it.
    pub fn entry_mut(&mut self, name: &str) -> Option<&mut Entry> {
        self.namespaces.get_mut(name)
    }

    /// All namespaces.
    pub fn namespaces(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        self.namespaces
            .iter()
            .filter(|(_, entry)| entry.namespace.is_some())
    }

    /// All policies, compiled as of the last `take_marks`.
    #[must_use]
    pub fn compiled(&self) -> &Policies {
        &self.compiled
    }

    /// The policy that wins a namespace.
    #[must_use]
    pub fn winner(&self, name: &str) -> Option<&Policy> {
        let namespace = self.namespaces.get(name)?.namespace.as_deref()?;
        self.compiled
            .matching(namespace, &self.own_namespaces)
            .next()
    }

    /// A policy as the API server has it, or why it cannot be read.
    #[must_use]
    pub fn policy(&self, name: &str) -> Option<&Kept<NamespacePolicy>> {
        self.policies.get(name)
    }

    /// The same, to note what was written to it.
    pub fn policy_mut(&mut self, name: &str) -> Option<&mut NamespacePolicy> {
        self.policies.get_mut(name)?.as_deref_mut().ok()
    }

    /// A profile as the API server has it, or why it cannot be read.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<&Kept<PolicyProfile>> {
        self.profiles.get(name)
    }

    /// The same, to note what was written to it.
    pub fn profile_mut(&mut self, name: &str) -> Option<&mut PolicyProfile> {
        self.profiles.get_mut(name)?.as_deref_mut().ok()
    }

    /// How many objects of each kind cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> BTreeMap<&'static str, usize> {
        let mut counts: BTreeMap<_, _> = Source::all().map(|source| (source.kind(), 0)).collect();
        let mut count = |source: Source, more: usize| {
            *counts.entry(source.kind()).or_default() += more;
        };
        count(Source::Namespaces, self.unreadable_namespaces.len());
        count(
            Source::Policies,
            self.policies.values().filter(|kept| kept.is_err()).count(),
        );
        count(
            Source::Profiles,
            self.profiles.values().filter(|kept| kept.is_err()).count(),
        );
        let [nodes, reports, records] = self.ground.unreadable();
        count(Source::Nodes, nodes);
        count(Source::Reports, reports);
        count(Source::Records, records);
        for entry in self.namespaces.values() {
            for (kind, _, _) in entry.workloads.malformed_objects() {
                count(Source::Workloads(kind), 1);
            }
        }
        counts
    }

    fn apply_namespace(&mut self, kept: Kept<Namespace>) {
        match kept {
            Ok(namespace) => {
                let name = self.list(Source::Namespaces, "", &namespace.name);
                self.unreadable_namespaces.remove(&*name);
                let entry = self.namespaces.entry(Arc::clone(&name)).or_default();
                let known = entry.namespace.as_ref();
                let is_same = known.is_some_and(|known| known.uid == namespace.uid);
                if is_same
                    && known
                        .is_some_and(|known| known.resource_version == namespace.resource_version)
                {
                    return;
                }
                if !is_same {
                    entry.memory = Memory::default();
                }
                entry.namespace = Some(namespace);
                self.marks.namespaces.insert(name);
            }
            Err(malformed) => {
                let Malformed { name, error, .. } = malformed;
                self.list(Source::Namespaces, "", &name);
                // What was known of it may no longer hold, and nothing can be written to it.
                self.delete_namespace(&name);
                self.unreadable_namespaces.insert(name, error);
            }
        }
    }

    fn delete_namespace(&mut self, name: &str) {
        self.unreadable_namespaces.remove(name);
        let Some((name, mut entry)) = self.namespaces.remove_entry(name) else {
            return;
        };
        self.marks.namespaces.insert(Arc::clone(&name));
        // Events of two resources come in any order: what lies in it goes with its own events.
        if holds_any(&entry.workloads) {
            entry.namespace = None;
            entry.memory = Memory::default();
            self.namespaces.insert(name, entry);
        }
    }

    fn apply_workload(&mut self, kind: Kind, mut object: Object) {
        self.interner.share(&mut object);
        let namespace = Arc::clone(&object.meta.namespace);
        self.list_shared(Source::Workloads(kind), &namespace, &object.meta.name);
        if kind == Kind::Pod {
            let name = &object.meta.name;
            self.marks.nodes |= self.ground.note_pod(&namespace, name, Some(&object));
        }
        let entry = self.namespaces.entry(Arc::clone(&namespace)).or_default();
        let News { plan, seccomp } = entry.workloads.apply(object);
        if plan {
            self.marks.namespaces.insert(namespace);
        } else if seccomp {
            self.marks.seccomp.insert(namespace);
        }
    }

    fn delete_workload(&mut self, kind: Kind, namespace: &str, name: &str) {
        if kind == Kind::Pod {
            self.marks.nodes |= self.ground.note_pod(namespace, name, None);
        }
        let Some(entry) = self.namespaces.get_mut(namespace) else {
            return;
        };
        if entry.workloads.delete(kind, name) {
            self.marks.namespaces.insert(Arc::from(namespace));
        }
        if entry.namespace.is_none() && !holds_any(&entry.workloads) {
            self.namespaces.remove(namespace);
        }
    }

    fn recompile(&mut self) {
        let new = compiled::compile(&self.policies, &self.profiles);
        let old = std::mem::replace(&mut self.compiled, new);
        let changed = compiled::changed(&old, &self.compiled);
        for policy in &changed {
            self.marks.policies.insert(policy.name.clone());
            self.marks.profiles.insert(policy.profile_name.clone());
        }
        let now_or_before = || old.unusable().chain(self.compiled.unusable());
        let others = !old.unusable().eq(self.compiled.unusable());
        if others {
            let names = now_or_before().map(|(name, _)| name.to_owned());
            self.marks.policies.extend(names);
        }
        for (name, entry) in &self.namespaces {
            let Some(namespace) = entry.namespace.as_deref() else {
                continue;
            };
            // What a policy that cannot be used wants is not known, so it concerns everything.
            let concerned = others
                || changed
                    .iter()
                    .any(|policy| compiled::concerns(policy, namespace, &self.own_namespaces));
            if concerned {
                self.marks.namespaces.insert(Arc::clone(name));
            }
        }
    }
}

/// Whether any object is there. What came and went is not waited for where no namespace is.
fn holds_any(workloads: &Workloads) -> bool {
    Kind::ALL
        .into_iter()
        .any(|kind| workloads.names(kind).next().is_some())
}

fn name_of<T>(kept: &Kept<T>, name: impl Fn(&T) -> Option<&str>) -> String {
    match kept {
        Ok(object) => name(object).unwrap_or_default().to_owned(),
        Err(malformed) => malformed.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use podfence_daemon::raw::RawObject;
    use podfence_plan::Namespace;
    use podfence_workload::Kind;
    use serde_json::{Value, json};

    use super::super::source::{Observed, Source};
    use super::{Index, Marks};

    const PODS: Source = Source::Workloads(Kind::Pod);

    fn observed(source: Source, object: &Value) -> Observed {
        let raw: RawObject = serde_json::from_str(&object.to_string()).expect("an object");
        source.decode(&raw)
    }

    fn namespace(name: &str, version: &str, tier: &str) -> Value {
        json!({"metadata": {
            "name": name, "uid": format!("uid-{name}"), "resourceVersion": version,
            "creationTimestamp": "2026-11-20T10:00:00Z", "labels": {"tier": tier}}})
    }

    fn pod(namespace: &str, name: &str) -> Value {
        json!({"metadata": {"namespace": namespace, "name": name, "uid": name},
            "spec": {"containers": [{"name": "app"}]}})
    }

    fn policy(name: &str, generation: i64, tier: &str) -> Value {
        json!({
            "apiVersion": "podfence.dev/v1alpha1", "kind": "NamespacePolicy",
            "metadata": {"name": name, "uid": name, "generation": generation,
                "creationTimestamp": "2026-11-20T10:00:00Z"},
            "spec": {"profileRef": {"name": "restricted"},
                "namespaceSelector": {"matchLabels": {"tier": tier}}}})
    }

    fn profile() -> Value {
        json!({
            "apiVersion": "podfence.dev/v1alpha1", "kind": "PolicyProfile",
            "metadata": {"name": "restricted"},
            "spec": {"podSecurity": {"enforce": {"level": "restricted"}}}})
    }

    /// Two namespaces, two policies, and nothing marked any more.
    fn index() -> Index {
        let mut index = Index::new("podfence-system".to_owned(), "podfence-agent".to_owned());
        for (source, object) in [
            (Source::Namespaces, namespace("shop", "1", "apps")),
            (Source::Namespaces, namespace("lake", "1", "data")),
            (Source::Profiles, profile()),
            (Source::Policies, policy("apps", 1, "apps")),
            (Source::Policies, policy("data", 1, "data")),
            (PODS, pod("shop", "web")),
        ] {
            index.apply(observed(source, &object));
        }
        assert_eq!(
            marked(&index.take_marks()),
            (vec!["lake", "shop"], vec!["apps", "data"])
        );
        index
    }

    fn marked(marks: &Marks) -> (Vec<&str>, Vec<&str>) {
        let namespaces = marks.namespaces.iter().map(|name| &**name).collect();
        let policies = marks.policies.iter().map(String::as_str).collect();
        (namespaces, policies)
    }

    #[test]
    fn what_is_as_before_marks_nothing() {
        let mut index = index();
        for source in [Source::Namespaces, PODS] {
            index.begin_list(source);
        }
        index.apply(observed(
            Source::Namespaces,
            &namespace("shop", "1", "apps"),
        ));
        index.apply(observed(
            Source::Namespaces,
            &namespace("lake", "1", "data"),
        ));
        index.apply(observed(PODS, &pod("shop", "web")));
        for source in [Source::Namespaces, PODS] {
            index.finish_list(source);
        }
        assert_eq!(marked(&index.take_marks()), (vec![], vec![]));
    }

    #[test]
    fn what_a_list_does_not_name_is_gone() {
        for (source, namespaces, policies) in [
            (PODS, vec!["shop"], vec![]),
            (Source::Namespaces, vec!["lake", "shop"], vec![]),
            (Source::Policies, vec!["lake", "shop"], vec!["apps", "data"]),
            (Source::Profiles, vec!["lake", "shop"], vec!["apps", "data"]),
        ] {
            let mut index = index();
            index.begin_list(source);
            // A list that fails in the middle is begun again.
            index.begin_list(source);
            index.finish_list(source);
            assert_eq!(
                marked(&index.take_marks()),
                (namespaces, policies),
                "{source:?}"
            );
        }
    }

    #[test]
    fn a_pod_in_an_unread_form_counts_until_it_is_gone() {
        let mut index = index();
        let broken = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": 7});
        index.apply(observed(PODS, &broken));
        assert_eq!(index.unreadable().get("Pod"), Some(&1));
        assert_eq!(marked(&index.take_marks()).0, ["shop"]);
        index.begin_list(PODS);
        index.finish_list(PODS);
        assert_eq!(index.unreadable().get("Pod"), Some(&0));
        assert_eq!(marked(&index.take_marks()).0, ["shop"]);
    }

    #[test]
    fn a_policy_concerns_what_it_matches_and_what_it_matched() {
        let mut index = index();
        index.apply(observed(Source::Policies, &policy("apps", 2, "web")));
        assert_eq!(
            marked(&index.take_marks()),
            (vec!["shop"], vec!["apps"]),
            "matched before"
        );
        index.apply(observed(Source::Policies, &policy("apps", 3, "data")));
        assert_eq!(
            marked(&index.take_marks()),
            (vec!["lake"], vec!["apps"]),
            "matches now"
        );
        let mut echo = policy("apps", 3, "data");
        echo["status"] = json!({"observedGeneration": 3});
        index.apply(observed(Source::Policies, &echo));
        assert_eq!(
            marked(&index.take_marks()),
            (vec![], vec!["apps"]),
            "only its status"
        );
        index.apply(observed(
            Source::Policies,
            &json!({"metadata": {"name": "odd"}, "spec": 7}),
        ));
        assert_eq!(
            marked(&index.take_marks()).0,
            ["lake", "shop"],
            "nobody knows what it wants"
        );
    }

    #[test]
    fn the_echo_of_a_write_is_no_news() {
        let written: Namespace =
            serde_json::from_value(namespace("shop", "2", "apps")).expect("reads");
        let version = |index: &Index| {
            let entry = index
                .entry("shop")
                .and_then(|entry| entry.namespace.clone());
            entry.expect("it is known").resource_version
        };
        let mut index = index();
        index.wrote("1", Box::new(written.clone()));
        index.apply(observed(
            Source::Namespaces,
            &namespace("shop", "2", "apps"),
        ));
        assert_eq!(marked(&index.take_marks()).0, Vec::<&str>::new());
        assert_eq!(version(&index), "2");

        // The watch was quicker, and somebody else has written since.
        index.apply(observed(
            Source::Namespaces,
            &namespace("shop", "3", "apps"),
        ));
        index.wrote("1", Box::new(written));
        assert_eq!(version(&index), "3");
    }

    #[test]
    fn a_namespace_created_anew_starts_without_memory() {
        let mut index = index();
        let memory = |index: &Index| {
            index
                .entry("shop")
                .map(|entry| entry.memory.previous.is_some())
        };
        let entry = index.entry_mut("shop").expect("it is known");
        entry.memory.previous = Some((
            podfence_crd::Phase::Held,
            k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
        ));
        index.apply(observed(
            Source::Namespaces,
            &namespace("shop", "2", "apps"),
        ));
        assert_eq!(memory(&index), Some(true));
        let mut another = namespace("shop", "9", "apps");
        another["metadata"]["uid"] = json!("another");
        index.apply(observed(Source::Namespaces, &another));
        assert_eq!(memory(&index), Some(false));
        index.delete(Source::Namespaces, "", "shop");
        assert!(index.entry("shop").is_some(), "its pod is still there");
        index.delete(PODS, "shop", "web");
        assert!(index.entry("shop").is_none());
    }
}
