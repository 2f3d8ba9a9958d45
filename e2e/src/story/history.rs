//! Every version of every namespace, policy, profile and report of a node, as a watch shows them. Makes requests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use futures::{StreamExt as _, future::try_join_all};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::watcher::{self, Event, watcher},
};
use serde_json::Value;
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::PATIENCE;

/// Before a watch that failed is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// The kinds on record, with their group, version and plural.
const KINDS: [(&str, &str, &str, &str); 4] = [
    ("Namespace", "", "v1", "namespaces"),
    (
        "NamespacePolicy",
        "podfence.dev",
        "v1alpha1",
        "namespacepolicies",
    ),
    (
        "PolicyProfile",
        "podfence.dev",
        "v1alpha1",
        "policyprofiles",
    ),
    ("NodeReport", "podfence.dev", "v1alpha1", "nodereports"),
];

/// One object at one resourceVersion.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// `Namespace`, `NamespacePolicy`, `PolicyProfile` or `NodeReport`.
    pub kind: &'static str,
    /// The object's name.
    pub name: String,
    /// Its `metadata.resourceVersion`.
    pub resource_version: String,
    /// The whole object.
    pub object: Value,
    /// Whether this is the object's end.
    pub deleted: bool,
}

/// What a key is on record under: kind and name. An object created anew continues the list.
type Key = (&'static str, String);
type Versions = BTreeMap<Key, Vec<Arc<Version>>>;

/// The record; it goes on until it is dropped.
///
/// After a restart of the API server the watches begin anew with a list, so versions in between are
/// missing.
pub struct History {
    versions: Arc<Mutex<Versions>>,
    // Ends the watches when it is dropped.
    _watches: JoinSet<()>,
}

impl History {
    /// Begins once every kind was listed: of what happens before, the last version alone is shown.
    pub(super) async fn record(client: &Client) -> anyhow::Result<Self> {
        let versions = Arc::new(Mutex::new(Versions::new()));
        let mut watches = JoinSet::new();
        let mut lists = Vec::new();
        for (kind, group, version, plural) in KINDS {
            let kind_of = GroupVersionKind::gvk(group, version, kind);
            let resource = ApiResource::from_gvk_with_plural(&kind_of, plural);
            let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let (listed, list) = oneshot::channel();
            watches.spawn(watch(kind, objects, Arc::clone(&versions), listed));
            lists.push(list);
        }
        let lists = timeout(PATIENCE, try_join_all(lists)).await;
        lists.context("not every kind could be listed")??;
        Ok(Self {
            versions,
            _watches: watches,
        })
    }

    /// All versions of one object, oldest first.
    #[must_use]
    pub fn of(&self, kind: &'static str, name: &str) -> Vec<Arc<Version>> {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions
            .get(&(kind, name.to_owned()))
            .cloned()
            .unwrap_or_default()
    }

    /// The names of all objects of a kind that begin so, gone ones included.
    #[must_use]
    pub fn names(&self, kind: &'static str, prefix: &str) -> Vec<String> {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions
            .keys()
            .filter(|(of, name)| *of == kind && name.starts_with(prefix))
            .map(|(_, name)| name.clone())
            .collect()
    }

    /// Takes a namespace down as the API server returned it: a watch that was interrupted may never
    /// show it.
    pub fn note_namespace(&self, namespace: &Namespace) {
        let Ok(object) = serde_json::to_value(namespace) else {
            return;
        };
        let (name, resource_version) = (
            namespace.name_any(),
            namespace.resource_version().unwrap_or_default(),
        );
        let version = Version {
            kind: "Namespace",
            name,
            resource_version,
            object,
            deleted: false,
        };
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        put(&mut versions, version);
    }

    /// Whether a version is on record.
    #[must_use]
    pub fn has(&self, kind: &'static str, name: &str, resource_version: &str) -> bool {
        let versions = self.of(kind, name);
        let mut known = versions.iter().map(|it| &it.resource_version);
        known.any(|known| known == resource_version)
    }
}

/// Goes on for ever: a kind may be deleted and come back, and the API server may be stopped by the
/// story. It is never long before it is tried again, for what happens meanwhile is not on record.
async fn watch(
    kind: &'static str,
    objects: Api<DynamicObject>,
    versions: Arc<Mutex<Versions>>,
    listed: oneshot::Sender<()>,
) {
    let mut listed = Some(listed);
    let mut events = watcher(objects, watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        let (object, deleted) = match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => (object, false),
            Ok(Event::Delete(object)) => (object, true),
            Ok(Event::InitDone) => {
                if let Some(listed) = listed.take() {
                    let _ = listed.send(());
                }
                continue;
            }
            Ok(Event::Init) => continue,
            Err(_) => {
                sleep(PAUSE).await;
                continue;
            }
        };
        let name = object.name_any();
        let resource_version = object.resource_version().unwrap_or_default();
        let Ok(object) = serde_json::to_value(object) else {
            continue;
        };
        let version = Version {
            kind,
            name,
            resource_version,
            object,
            deleted,
        };
        put(
            &mut versions.lock().unwrap_or_else(PoisonError::into_inner),
            version,
        );
    }
}

/// A list after an interruption repeats what is known.
fn put(versions: &mut Versions, version: Version) {
    let list = versions
        .entry((version.kind, version.name.clone()))
        .or_default();
    let known = list
        .iter()
        .any(|it| it.resource_version == version.resource_version);
    if version.deleted || !known {
        list.push(Arc::new(version));
    }
}
