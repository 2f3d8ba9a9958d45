//! Which workload holds a pod: up from its controller, by one `get` for each step. Reads the API
//! server.

use kube::api::ApiResource;
use kube::core::{DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use podfence_crd::RecordedWorkload;
use podfence_daemon::cluster::REQUEST_TIMEOUT;
use podfence_daemon::failure::described;
use podfence_workload::Kind;
use tokio::time::timeout;

use std::sync::Arc;

use super::context::Holder;

/// Controllers followed upwards, as `podfence_workload::top_controller` does it.
const MAX_HOPS: usize = 8;

/// A workload, with what its record needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// What it is called.
    pub named: RecordedWorkload,
    /// Its uid.
    pub uid: Box<str>,
}

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// The agent's account may not.
    #[error("failed to get {0} {1:?}: forbidden")]
    Forbidden(Kind, String),
    /// The API server cannot be reached, or fails.
    #[error("failed to get {0} {1:?}: {2}")]
    Failed(Kind, String, String),
    /// No answer in time.
    #[error("failed to get {0} {1:?}: no answer in {REQUEST_TIMEOUT:?}")]
    Timeout(Kind, String),
}

/// The workload of what holds a pod: for a `ReplicaSet` its Deployment, for a Job its `CronJob`.
///
/// As the operator has it: only listed kinds are followed, and an owner that is not there, or is
/// another one by now, is named nevertheless.
///
/// # Errors
/// When the API server does not say.
pub async fn workload_of(client: &Client, holder: &Holder) -> Result<Workload, OwnerError> {
    let mut top = holder.clone();
    for _ in 0..MAX_HOPS {
        let kind = Kind::from_owner(&top.api_version, &top.kind);
        // No other listed kind is controlled by a listed one.
        let Some(kind @ (Kind::ReplicaSet | Kind::Job)) = kind else {
            break;
        };
        let Some(next) = controller(client, &top, kind).await? else {
            break;
        };
        top = next;
    }
    let kind = Kind::from_owner(&top.api_version, &top.kind);
    Ok(Workload {
        namespace: top.namespace,
        named: RecordedWorkload {
            // However its owner reference was written.
            api_version: kind.map_or_else(
                || top.api_version.to_string(),
                |kind| kind.api_version().to_owned(),
            ),
            kind: top.kind.to_string(),
            name: top.name.to_string(),
        },
        uid: top.uid,
    })
}

/// The listed controller of an object, if it has one.
async fn controller(
    client: &Client,
    of: &Holder,
    kind: Kind,
) -> Result<Option<Holder>, OwnerError> {
    let named = GroupVersionKind::gvk(kind.group(), kind.version(), kind.as_str());
    let resource = ApiResource::from_gvk_with_plural(&named, kind.plural());
    let name = || of.name.to_string();
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &of.namespace, &resource);
    let answer = timeout(REQUEST_TIMEOUT, api.get_metadata_opt(&of.name)).await;
    let found = match answer.map_err(|_| OwnerError::Timeout(kind, name()))? {
        Ok(found) => found,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return Err(OwnerError::Forbidden(kind, name()));
        }
        Err(error) => return Err(OwnerError::Failed(kind, name(), described(&error))),
    };
    let metadata = found.map(|found| found.metadata);
    let metadata = metadata.filter(|it| it.uid.as_deref() == Some(&*of.uid));
    let owners = metadata.and_then(|it| it.owner_references);
    let mut owners = owners.into_iter().flatten();
    let owner = owners.find(|owner| owner.controller == Some(true));
    let listed = owner.filter(|it| Kind::from_owner(&it.api_version, &it.kind).is_some());
    Ok(listed.map(|owner| Holder {
        namespace: Arc::clone(&of.namespace),
        api_version: owner.api_version.into(),
        kind: owner.kind.into(),
        name: owner.name.into(),
        uid: owner.uid.into(),
    }))
}
