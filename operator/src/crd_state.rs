//! Whether the definition of `NamespacePolicy` is there to stay. Does I/O.
//!
//! Deleting the definition deletes every policy, and with them whatever `Remove` would take from
//! the namespaces. Nobody who uninstalls Podfence means that, so before `Remove` it is looked at.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Resource;
use kube::api::GetParams;
use kube::core::Request;
use podfence_daemon::failure::described;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::call::{CallError, Caller};

/// The name of the definition; the shipped role names it as well.
const NAME: &str = "namespacepolicies.podfence.dev";

/// The definition, as far as `Remove` is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CrdState {
    /// It is there and stays.
    Established,
    /// It is being deleted or gone.
    Terminating,
    /// It cannot be read: the text says why.
    Unreadable(String),
}

/// Reads the definition. A refusal is an answer: labels are kept then. Only what may be over in a
/// moment is an error.
///
/// # Errors
/// When the API server gave no answer.
pub async fn read(caller: &Caller) -> Result<CrdState, CallError> {
    let request = Request::new(CustomResourceDefinition::url_path(&(), None));
    let reply = caller
        .read(request.get(NAME, &GetParams::default()))
        .await?;
    if reply.code == 404 {
        return Ok(CrdState::Terminating);
    }
    if !reply.is_success() {
        return Ok(CrdState::Unreadable(reply.status().message));
    }
    match reply.decode::<Definition>() {
        Ok(definition) if definition.metadata.deletion_timestamp.is_none() => {
            Ok(CrdState::Established)
        }
        Ok(_) => Ok(CrdState::Terminating),
        Err(error) => Ok(CrdState::Unreadable(described(&error))),
    }
}

#[derive(Deserialize)]
struct Definition {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    deletion_timestamp: Option<IgnoredAny>,
}
