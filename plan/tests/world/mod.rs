//! A namespace under an API server's rules of ownership, a few policies and a clock, for tests that
//! tell what happens over time. No I/O.
// Each test file uses a part of it, and a test that panics has failed, which is its job.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::needless_pass_by_value, clippy::must_use_candidate)]

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use podfence_crd::{NamespacePolicy, Phase, PolicyProfile, Reason};
use podfence_plan::{
    Answer, Apply, Context, Event, FIELD_MANAGER, Ledger, Memory, Namespace, NamespacePlan,
    Outcome, Policies, Policy, Profile, Refused, Servers, Step, Unseen, Unusable, Workloads,
    plan_namespace,
};
use podfence_podsecurity::ServerVersion;
use podfence_workload::{Defaulting, Kind, decode};
use serde_json::{Value, json};

pub const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
pub const ENFORCE_VERSION: &str = "pod-security.kubernetes.io/enforce-version";
pub const AUDIT: &str = "pod-security.kubernetes.io/audit";
pub const WARN: &str = "pod-security.kubernetes.io/warn";
pub const OWN_NAMESPACE: &str = "podfence-system";

/// A value and who owns it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    value: String,
    owners: BTreeSet<String>,
}

/// A namespace as an API server keeps it.
#[derive(Debug, Clone)]
pub struct ServedNamespace {
    pub name: String,
    pub uid: String,
    pub created: Timestamp,
    pub terminating: bool,
    pub unmanaged: bool,
    revision: u64,
    labels: BTreeMap<String, Field>,
    annotations: BTreeMap<String, Field>,
}

/// Why the served namespace refused an apply.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    Stale,
    Conflict(BTreeMap<String, Vec<String>>),
}

impl ServedNamespace {
    pub fn observe(&self) -> Namespace {
        let mut managers: BTreeMap<&String, (Vec<&String>, Vec<&String>)> = BTreeMap::new();
        for (key, field) in &self.labels {
            for owner in &field.owners {
                managers.entry(owner).or_default().0.push(key);
            }
        }
        for (key, field) in &self.annotations {
            for owner in &field.owners {
                managers.entry(owner).or_default().1.push(key);
            }
        }
        let fields = |keys: &[&String]| -> Value {
            keys.iter()
                .map(|key| (format!("f:{key}"), json!({})))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let mut managed: Vec<Value> = managers
            .into_iter()
            .map(|(manager, (labels, annotations))| {
                json!({
                    "manager": manager,
                    "operation": if manager == FIELD_MANAGER { "Apply" } else { "Update" },
                    "apiVersion": "v1", "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:metadata": {
                        "f:labels": fields(&labels), "f:annotations": fields(&annotations)}},
                })
            })
            .collect();
        if !self.unmanaged {
            managed.push(json!({"manager": "kubectl-create", "operation": "Update",
                "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {}}}));
        }
        let values = |fields: &BTreeMap<String, Field>| -> BTreeMap<String, String> {
            fields
                .iter()
                .map(|(key, field)| (key.clone(), field.value.clone()))
                .collect()
        };
        let deleted = self.terminating.then_some("2026-11-20T00:00:00Z");
        serde_json::from_value(json!({"metadata": {
            "name": self.name, "uid": self.uid, "resourceVersion": self.revision.to_string(),
            "creationTimestamp": self.created, "deletionTimestamp": deleted,
            "labels": values(&self.labels), "annotations": values(&self.annotations),
            "managedFields": managed,
        }}))
        .expect("a namespace")
    }

    /// Server-side apply by us.
    pub fn apply(&mut self, apply: &Apply) -> Result<(), Refusal> {
        assert_eq!(apply.name, self.name);
        if apply.uid != self.uid || apply.resource_version != self.revision.to_string() {
            return Err(Refusal::Stale);
        }
        let before = (self.labels.clone(), self.annotations.clone());
        let mut found = conflicts(&self.labels, &apply.labels, self.unmanaged);
        found.extend(conflicts(
            &self.annotations,
            &apply.annotations,
            self.unmanaged,
        ));
        if !found.is_empty() && !apply.force {
            return Err(Refusal::Conflict(found));
        }
        if std::mem::take(&mut self.unmanaged) {
            let fields = self
                .labels
                .values_mut()
                .chain(self.annotations.values_mut());
            for field in fields.filter(|field| field.owners.is_empty()) {
                field.owners.insert("before-first-apply".into());
            }
        }
        merge(&mut self.labels, &apply.labels);
        merge(&mut self.annotations, &apply.annotations);
        if before != (self.labels.clone(), self.annotations.clone()) {
            self.revision += 1;
        }
        Ok(())
    }

    /// `kubectl label --overwrite`, or `kubectl label key-` without a value.
    pub fn set_label(&mut self, manager: &str, key: &str, value: Option<&str>) {
        self.revision += 1;
        match value {
            None => {
                self.labels.remove(key);
            }
            Some(value) => {
                let same = self
                    .labels
                    .get_mut(key)
                    .filter(|field| field.value == value);
                if let Some(field) = same {
                    field.owners.insert(manager.to_owned());
                } else {
                    let owners = BTreeSet::from([manager.to_owned()]);
                    self.labels.insert(
                        key.into(),
                        Field {
                            value: value.into(),
                            owners,
                        },
                    );
                }
            }
        }
    }

    pub fn set_annotation(&mut self, manager: &str, key: &str, value: &str) {
        self.revision += 1;
        let owners = BTreeSet::from([manager.to_owned()]);
        self.annotations.insert(
            key.into(),
            Field {
                value: value.into(),
                owners,
            },
        );
    }

    /// Somebody emptied managedFields.
    pub fn clear_managed_fields(&mut self) {
        self.revision += 1;
        self.unmanaged = true;
        for field in self
            .labels
            .values_mut()
            .chain(self.annotations.values_mut())
        {
            field.owners.clear();
        }
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(|field| field.value.as_str())
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(|field| field.value.as_str())
    }

    pub fn annotations(&self) -> impl Iterator<Item = &str> {
        self.annotations.keys().map(String::as_str)
    }

    pub fn owners(&self, key: &str) -> Vec<&str> {
        let owners = self.labels.get(key).map(|field| &field.owners);
        owners.into_iter().flatten().map(String::as_str).collect()
    }

    pub fn revision(&self) -> u64 {
        self.revision
    }
}

fn conflicts(
    have: &BTreeMap<String, Field>,
    want: &BTreeMap<String, String>,
    unmanaged: bool,
) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for (key, value) in want {
        let Some(field) = have.get(key).filter(|field| field.value != *value) else {
            continue;
        };
        let mut others: Vec<String> = field
            .owners
            .iter()
            .filter(|owner| *owner != FIELD_MANAGER)
            .cloned()
            .collect();
        if unmanaged && field.owners.is_empty() {
            others.push("before-first-apply".into());
        }
        if !others.is_empty() {
            found.insert(key.clone(), others);
        }
    }
    found
}

fn merge(have: &mut BTreeMap<String, Field>, want: &BTreeMap<String, String>) {
    have.retain(|key, field| {
        if want.contains_key(key) || !field.owners.remove(FIELD_MANAGER) {
            return true;
        }
        !field.owners.is_empty()
    });
    for (key, value) in want {
        let ours = || BTreeSet::from([FIELD_MANAGER.to_owned()]);
        let field = have.entry(key.clone()).or_insert_with(|| Field {
            value: value.clone(),
            owners: ours(),
        });
        if field.value == *value {
            field.owners.insert(FIELD_MANAGER.to_owned());
        } else {
            *field = Field {
                value: value.clone(),
                owners: ours(),
            };
        }
    }
}

/// A profile with these three pairs, such as `restricted:v1.34`; an empty text leaves a mode out.
pub fn profile(enforce: &str, audit: &str, warn: &str) -> Profile {
    let mut modes = serde_json::Map::new();
    for (mode, pair) in [("enforce", enforce), ("audit", audit), ("warn", warn)] {
        if let Some((level, version)) = pair.split_once(':') {
            modes.insert(mode.into(), json!({"level": level, "version": version}));
        }
    }
    let profile: PolicyProfile = serde_json::from_value(json!({
        "apiVersion": "podfence.dev/v1alpha1", "kind": "PolicyProfile",
        "metadata": {"name": "restricted"}, "spec": {"podSecurity": modes}}))
    .expect("a profile");
    Profile::read(&profile)
}

/// A pod, clean at restricted unless `spec` says otherwise.
pub fn pod(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"),
            "labels": {"app": name}},
        "spec": spec, "status": {"phase": "Running"}})
}

pub fn clean_spec() -> Value {
    json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "app", "image": "registry.example/app:1", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]})
}

/// Passes baseline and violates restricted.
pub fn baseline_spec() -> Value {
    json!({"containers": [{"name": "app", "image": "registry.example/app:1"}]})
}

/// Violates baseline.
pub fn privileged_spec() -> Value {
    json!({"hostNetwork": true, "containers": [{"name": "app", "image": "registry.example/app:1"}]})
}

pub fn deployment(name: &str, replicas: i32, template: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template}}})
}

/// Everything that a story needs: one namespace, its workloads, policies and a clock.
pub struct World {
    pub now: Timestamp,
    pub namespace: ServedNamespace,
    pub workloads: Workloads,
    pub memory: Memory,
    pub ledger: Ledger,
    pub unseen: Vec<Unseen>,
    pub servers: Option<Servers>,
    pub policies: BTreeMap<String, (Value, Profile)>,
    pub unusable: BTreeMap<String, Unusable>,
    /// What the API server's own admission says to every dry run.
    pub admission: Vec<String>,
    /// All writes so far: labels as they were after each.
    pub writes: Vec<BTreeMap<String, String>>,
    pub asked: usize,
    pub events: Vec<Event>,
    pub requeue_at: Option<Timestamp>,
    /// Writes reach the API server from here on only when this allows it.
    pub crd_is_readable: bool,
}

pub fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

impl World {
    /// A namespace `shop`, older than every policy, and no policy.
    pub fn new() -> Self {
        let now = at("2026-11-20T10:00:00Z");
        let server = ServerVersion::new(37);
        Self {
            now,
            namespace: ServedNamespace {
                name: "shop".into(),
                uid: "uid-shop".into(),
                created: at("2026-01-01T00:00:00Z"),
                terminating: false,
                unmanaged: false,
                revision: 1,
                labels: BTreeMap::new(),
                annotations: BTreeMap::new(),
            },
            workloads: Workloads::default(),
            memory: Memory::default(),
            ledger: Ledger::default(),
            unseen: Vec::new(),
            servers: Some(Servers {
                oldest: server,
                newest: server,
            }),
            policies: BTreeMap::new(),
            unusable: BTreeMap::new(),
            admission: Vec::new(),
            writes: Vec::new(),
            asked: 0,
            events: Vec::new(),
            requeue_at: None,
            crd_is_readable: true,
        }
    }

    /// A world with the policy `apps`, which brings `shop` to `profile`; `change` is merged into
    /// its spec.
    pub fn with_policy(profile: Profile, change: Value) -> Self {
        let mut world = Self::new();
        world.policy("apps", profile, change);
        world
    }

    pub fn policy(&mut self, name: &str, profile: Profile, change: Value) {
        let mut spec = json!({"profileRef": {"name": "restricted"}, "namespaceSelector": {}});
        merge_json(&mut spec, change);
        self.policies.insert(name.into(), (spec, profile));
    }

    /// Changes the spec of a policy.
    pub fn edit(&mut self, name: &str, change: Value) {
        let (spec, _) = self.policies.get_mut(name).expect("the policy");
        merge_json(spec, change);
    }

    pub fn add(&mut self, object: Value) {
        let kind: Kind = serde_json::from_value(object["kind"].clone()).expect("a kind");
        let object = decode(kind, object.to_string().as_bytes(), Defaulting::AsServed);
        self.workloads.apply(object.expect("an object"));
    }

    pub fn remove(&mut self, kind: Kind, name: &str) {
        self.workloads.delete(kind, name);
    }

    pub fn pass(&mut self, time: SignedDuration) {
        self.now += time;
    }

    pub fn minutes(&mut self, minutes: i64) {
        self.pass(SignedDuration::from_mins(minutes));
    }

    pub fn hours(&mut self, hours: i64) {
        self.pass(SignedDuration::from_hours(hours));
    }

    fn compiled(&self) -> Policies {
        let policies = self.policies.iter().map(|(name, (spec, profile))| {
            let policy: NamespacePolicy = serde_json::from_value(json!({
                "apiVersion": "podfence.dev/v1alpha1", "kind": "NamespacePolicy",
                "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": 1,
                    "creationTimestamp": "2026-06-01T00:00:00Z"},
                "spec": spec}))
            .expect("a policy");
            Policy::compile(&policy, profile.clone()).expect("a usable policy")
        });
        Policies::new(policies.collect(), self.unusable.clone())
    }

    /// One plan, not carried out.
    pub fn plan(&mut self) -> NamespacePlan {
        let policies = self.compiled();
        let context = Context {
            now: self.now,
            policies: &policies,
            servers: self.servers,
            unseen: &self.unseen,
            ledger: &self.ledger,
            own_namespaces: &[OWN_NAMESPACE.to_owned()],
        };
        plan_namespace(
            &context,
            &self.namespace.observe(),
            &mut self.workloads,
            &self.memory,
        )
    }

    /// Plans and carries out until there is nothing left to do.
    pub fn settle(&mut self) -> Option<Outcome> {
        for _ in 0..8 {
            if let Some(settled) = self.step() {
                return settled;
            }
        }
        panic!("the plan does not settle: {:?}", self.plan());
    }

    /// Plans once and carries that out; the outcome when there was nothing to do.
    #[allow(clippy::option_option)] // Nothing left to do, for a namespace that nobody wins.
    pub fn step(&mut self) -> Option<Option<Outcome>> {
        let plan = self.plan();
        match plan.step {
            Step::Nothing => {
                self.requeue_at = plan.requeue_at;
                match plan.interrupts {
                    Some(policy) => self.ledger.interrupt("shop", &policy, self.now),
                    None => self.ledger.continue_in("shop"),
                };
                if let Some(outcome) = &plan.outcome {
                    self.memory.previous = Some((outcome.phase, outcome.since));
                }
                return Some(plan.outcome);
            }
            Step::Ask(apply, pair) => {
                self.asked += 1;
                self.memory.answer = Some(Answer {
                    uid: apply.uid,
                    resource_version: apply.resource_version,
                    revision: self.workloads.revision(),
                    pair,
                    asked_at: self.now,
                    warnings: self.admission.clone(),
                });
            }
            Step::Apply(apply) => self.write(&apply, plan.events),
            Step::Remove { remove, retain } => {
                let apply = if self.crd_is_readable { remove } else { retain };
                self.write(&apply, plan.events);
            }
        }
        None
    }

    fn write(&mut self, apply: &Apply, events: Vec<Event>) {
        let revision = self.namespace.revision();
        match self.namespace.apply(apply) {
            Ok(()) => {
                assert_ne!(
                    revision,
                    self.namespace.revision(),
                    "a needless write: {apply:?}"
                );
                let labels = &self.namespace.labels;
                self.writes.push(
                    labels
                        .iter()
                        .map(|(key, it)| (key.clone(), it.value.clone()))
                        .collect(),
                );
                self.events.extend(events);
            }
            Err(Refusal::Conflict(keys)) => {
                self.memory.refused = Some(Refused {
                    resource_version: apply.resource_version.clone(),
                    keys,
                });
            }
            Err(Refusal::Stale) => panic!("the plan was made on this very version"),
        }
    }

    /// Settles and returns phase and reason.
    pub fn phase(&mut self) -> (Phase, Reason) {
        let outcome = self.settle().expect("a policy wins the namespace");
        (outcome.phase, outcome.reason)
    }

    /// The enforced pair as the labels say it.
    pub fn enforced(&self) -> String {
        let level = self.namespace.label(ENFORCE).unwrap_or("-");
        match self.namespace.label(ENFORCE_VERSION) {
            Some(version) => format!("{level}:{version}"),
            None => level.to_owned(),
        }
    }

    /// The operator restarts: what is not stored is forgotten.
    pub fn restart(&mut self) {
        self.memory = Memory::default();
    }

    pub fn event_reasons(&self) -> Vec<&'static str> {
        self.events.iter().map(|event| event.reason).collect()
    }
}

fn merge_json(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge_json(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change,
    }
}
