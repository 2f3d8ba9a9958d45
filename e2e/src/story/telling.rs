//! One story: what it owns, what its people do, and the oracles at its end. Makes requests.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt as _,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams,
        PropagationPolicy,
    },
};
use serde_json::{Value, json};

use super::{Cluster, OPERATOR_USER, PATIENCE, Passes, deployment, kstatus, pod, writes};
use crate::{
    eventually,
    lab::{AuditEvent, AuditMark},
};

/// On every namespace of a story; its policies select by it unless they say otherwise.
pub const STORY_LABEL: &str = "podfence-story";
/// Who applies what the story's people keep in Git.
const GITOPS: &str = "kustomize-controller";
/// The kinds with a status, both of them written by the operator.
const KINDS_WITH_STATUS: [(&str, &str); 2] = [
    ("NamespacePolicy", "namespacepolicies"),
    ("PolicyProfile", "policyprofiles"),
];

/// A story in a cluster that it may share with others: everything that it owns has its name as a
/// prefix.
pub struct Story {
    cluster: Arc<Cluster>,
    name: String,
    began: AuditMark,
    may_lower: Mutex<BTreeSet<String>>,
}

impl Story {
    pub(super) async fn begin(cluster: Arc<Cluster>, name: &str) -> anyhow::Result<Self> {
        let began = cluster.lab().audit().mark().await?;
        let may_lower = Mutex::default();
        Ok(Self {
            cluster,
            name: name.replace('_', "-"),
            began,
            may_lower,
        })
    }

    /// The cluster in which it is told.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A client of the cluster's administrator.
    #[must_use]
    pub fn client(&self) -> Client {
        self.cluster.lab().client()
    }

    /// The name in the cluster of what the story calls so.
    #[must_use]
    pub fn full(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// The value of [`STORY_LABEL`] on the story's namespaces.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.name
    }

    /// Creates a namespace that the story's policies select.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        self.namespace_with(name, json!({})).await
    }

    /// Creates a namespace with more labels.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub async fn namespace_with(&self, name: &str, mut labels: Value) -> anyhow::Result<()> {
        labels[STORY_LABEL] = json!(self.name);
        let namespace: Namespace = serde_json::from_value(
            json!({ "metadata": { "name": self.full(name), "labels": labels } }),
        )?;
        let created = self.cluster.lab().create_namespace(&namespace).await?;
        self.cluster.history().note_namespace(&created);
        Ok(())
    }

    /// Applies a profile with this `spec.podSecurity`.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub async fn profile(&self, name: &str, pod_security: Value) -> anyhow::Result<()> {
        self.apply(json!({
            "apiVersion": "podfence.dev/v1alpha1",
            "kind": "PolicyProfile",
            "metadata": { "name": self.full(name) },
            "spec": { "podSecurity": pod_security },
        }))
        .await
    }

    /// Applies the profile that most stories use: everything restricted, enforcement pinned to
    /// v1.34.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub async fn restricted(&self) -> anyhow::Result<()> {
        let pinned = json!({ "level": "restricted", "version": "v1.34" });
        let latest = json!({ "level": "restricted" });
        let modes = json!({ "enforce": pinned, "audit": latest, "warn": latest });
        self.profile("restricted", modes).await
    }

    /// Applies a policy with this spec: with the story's profile of that name, and selecting all
    /// namespaces of the story unless the spec has a selector.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub async fn policy(&self, name: &str, profile: &str, mut spec: Value) -> anyhow::Result<()> {
        spec["profileRef"] = json!({ "name": self.full(profile) });
        if spec["namespaceSelector"].is_null() {
            spec["namespaceSelector"] = json!({ "matchLabels": { STORY_LABEL: self.name } });
        }
        self.apply(json!({
            "apiVersion": "podfence.dev/v1alpha1",
            "kind": "NamespacePolicy",
            "metadata": { "name": self.full(name) },
            "spec": spec,
        }))
        .await
    }

    /// Applies an object as a GitOps tool does: server-side, forced. Its names are full names.
    ///
    /// # Errors
    ///
    /// When the API server refuses, or the kind is none that stories use.
    pub async fn apply(&self, object: Value) -> anyhow::Result<()> {
        self.apply_as(GITOPS, object).await
    }

    /// Applies an object under the name of some other manager.
    ///
    /// # Errors
    ///
    /// As [`Story::apply`].
    pub async fn apply_as(&self, manager: &str, object: Value) -> anyhow::Result<()> {
        let kind = object["kind"].as_str().unwrap_or_default();
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let namespace = object["metadata"]["namespace"].as_str();
        let parameters = PatchParams::apply(manager).force();
        let objects = self.objects(kind, namespace)?;
        objects
            .patch(name, &parameters, &Patch::Apply(&object))
            .await
            .with_context(|| format!("failed to apply {object}"))?;
        Ok(())
    }

    /// Applies a Deployment of one replica.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub async fn deploys(&self, namespace: &str, name: &str, passes: Passes) -> anyhow::Result<()> {
        self.deploys_replicas(namespace, name, passes, 1).await
    }

    /// Applies a Deployment.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub async fn deploys_replicas(
        &self,
        namespace: &str,
        name: &str,
        passes: Passes,
        replicas: u32,
    ) -> anyhow::Result<()> {
        self.apply(deployment(&self.full(namespace), name, passes, replicas))
            .await
    }

    /// Creates a bare pod.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub async fn runs(&self, namespace: &str, name: &str, passes: Passes) -> anyhow::Result<()> {
        self.apply(pod(&self.full(namespace), name, passes)).await
    }

    /// Deletes a namespaced object at once and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When the API server refuses, or it stays.
    pub async fn deletes_in(&self, namespace: &str, kind: &str, name: &str) -> anyhow::Result<()> {
        let namespace = self.full(namespace);
        self.delete(&self.objects(kind, Some(&namespace))?, name, true)
            .await
    }

    /// Deletes a namespace, policy or profile and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When the API server refuses, or it stays.
    pub async fn deletes(&self, kind: &str, name: &str) -> anyhow::Result<()> {
        self.delete(&self.objects(kind, None)?, &self.full(name), true)
            .await
    }

    /// Asks to delete a namespace, policy or profile, and does not wait.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub async fn asks_to_delete(&self, kind: &str, name: &str) -> anyhow::Result<()> {
        self.delete(&self.objects(kind, None)?, &self.full(name), false)
            .await
    }

    async fn delete(&self, api: &Api<DynamicObject>, name: &str, wait: bool) -> anyhow::Result<()> {
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        api.delete(name, &parameters)
            .await
            .with_context(|| format!("failed to delete {name}"))?;
        if !wait {
            return Ok(());
        }
        eventually(PATIENCE, async || {
            let object = api.get_opt(name).await?;
            ensure!(object.is_none(), "{object:?}");
            Ok(())
        })
        .await
        .with_context(|| format!("{name} is still there"))
    }

    /// Sets a label of a namespace, or removes it, as `kubectl label --overwrite` does.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub async fn labels_by_hand(
        &self,
        namespace: &str,
        key: &str,
        value: Option<&str>,
    ) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client());
        let patch = json!({ "metadata": { "labels": { key: value } } });
        let parameters = PatchParams {
            field_manager: Some("kubectl-label".into()),
            ..PatchParams::default()
        };
        let name = self.full(namespace);
        let patched = namespaces
            .patch(&name, &parameters, &Patch::Merge(patch))
            .await?;
        self.cluster.history().note_namespace(&patched);
        Ok(())
    }

    fn objects(&self, kind: &str, namespace: Option<&str>) -> anyhow::Result<Api<DynamicObject>> {
        let (group, version, plural) = match kind {
            "Namespace" => ("", "v1", "namespaces"),
            "Pod" => ("", "v1", "pods"),
            "Deployment" => ("apps", "v1", "deployments"),
            "NamespacePolicy" => ("podfence.dev", "v1alpha1", "namespacepolicies"),
            "PolicyProfile" => ("podfence.dev", "v1alpha1", "policyprofiles"),
            _ => bail!("stories know no {kind:?}"),
        };
        let kind = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, plural);
        Ok(match namespace {
            Some(namespace) => Api::namespaced_with(self.client(), namespace, &resource),
            None => Api::all_with(self.client(), &resource),
        })
    }

    /// Says that from now on the specs ask for a lower level in this namespace, so that lowering it
    /// is right.
    pub fn asks_to_lower(&self, namespace: &str) {
        let mut may_lower = self
            .may_lower
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        may_lower.insert(self.full(namespace));
    }

    /// All that the operator sent about the story's namespaces, failed requests and dry runs
    /// included.
    ///
    /// # Errors
    ///
    /// When the audit log cannot be read.
    pub async fn requests(&self) -> anyhow::Result<Vec<AuditEvent>> {
        self.requests_about(&["namespaces"]).await
    }

    async fn requests_about(&self, resources: &[&str]) -> anyhow::Result<Vec<AuditEvent>> {
        let mut events = self.cluster.lab().audit().since(self.began).await?;
        let prefix = self.full("");
        events.retain(|event| {
            event.user.username == OPERATOR_USER
                && resources.contains(&event.object_ref.resource.as_str())
                && event.object_ref.name.starts_with(&prefix)
        });
        Ok(events)
    }

    /// The statuses of one policy that the operator wrote and the API server took.
    ///
    /// # Errors
    ///
    /// When the audit log cannot be read.
    pub async fn status_writes(&self, policy: &str) -> anyhow::Result<Vec<AuditEvent>> {
        let mut events = self.requests_about(&["namespacepolicies"]).await?;
        let name = self.full(policy);
        events.retain(|event| {
            event.object_ref.name == name
                && event.object_ref.subresource == "status"
                && event.succeeded()
        });
        Ok(events)
    }

    /// The writes of the operator to one namespace that the API server carried out, in their order.
    ///
    /// # Errors
    ///
    /// When the audit log cannot be read.
    pub async fn writes_to(&self, namespace: &str) -> anyhow::Result<Vec<AuditEvent>> {
        let (mut events, name) = (self.requests().await?, self.full(namespace));
        events.retain(|event| {
            event.object_ref.name == name && event.succeeded() && !event.is_dry_run()
        });
        Ok(events)
    }

    /// Ends the story: holds everything that happened against the oracles.
    ///
    /// # Errors
    ///
    /// With all that was not right.
    pub async fn end(self) -> anyhow::Result<()> {
        for (kind, _) in KINDS_WITH_STATUS {
            self.settles(kind).await?;
        }
        let mut wrong = self.broken_statuses();
        let history = self.cluster.history();
        let may_lower = self
            .may_lower
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let at = |name: &str, resource_version: &str| {
            let versions = history.of("Namespace", name);
            let version = versions
                .iter()
                .find(|it| it.resource_version == resource_version)?;
            Some(version.object.clone())
        };
        wrong.extend(writes::broken_rules(
            &self.requests().await?,
            &at,
            &may_lower,
        ));
        let plurals = KINDS_WITH_STATUS.map(|(_, plural)| plural);
        wrong.extend(writes::needless(&self.requests_about(&plurals).await?));
        ensure!(
            wrong.is_empty(),
            "the story came out, but:\n{}",
            wrong.join("\n")
        );
        Ok(())
    }

    /// Waits until every object of a kind that is still there has a status with which nothing is
    /// wrong.
    async fn settles(&self, kind: &'static str) -> anyhow::Result<()> {
        let objects = self.objects(kind, None)?;
        let prefix = self.full("");
        let listed = match objects.list(&kube::api::ListParams::default()).await {
            // The story deleted the kind itself.
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
            listed => listed?,
        };
        for object in listed.items {
            let name = object.name_any();
            if !name.starts_with(&prefix) {
                continue;
            }
            eventually(PATIENCE, async || {
                // It was on its way out when it was listed.
                let Some(object) = objects.get_opt(&name).await? else {
                    return Ok(());
                };
                let value = serde_json::to_value(&object)?;
                let broken = kstatus::settled(&value);
                ensure!(broken.is_empty(), "{broken:?} in {value}");
                let version = object.resource_version().unwrap_or_default();
                let known = self.cluster.history().has(kind, &name, &version);
                ensure!(known, "{version} is not on record");
                Ok(())
            })
            .await
            .with_context(|| format!("{kind} {name} does not settle"))?;
        }
        Ok(())
    }

    fn broken_statuses(&self) -> Vec<String> {
        let history = self.cluster.history();
        let mut wrong = Vec::new();
        for (kind, _) in KINDS_WITH_STATUS {
            for name in history.names(kind, &self.full("")) {
                let versions = history.of(kind, &name);
                let before = std::iter::once(None).chain(versions.iter().map(Some));
                for (version, before) in versions.iter().zip(before) {
                    // An object created anew has nothing to do with the one before.
                    let before = before.filter(|before| {
                        before.object["metadata"]["uid"] == version.object["metadata"]["uid"]
                    });
                    let broken =
                        kstatus::every_version(&version.object, before.map(|it| &it.object));
                    wrong.extend(broken.iter().map(|rule| {
                        format!("{kind} {name}: {rule}: {}", version.object["status"])
                    }));
                }
            }
        }
        wrong
    }
}
