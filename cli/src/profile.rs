//! What a `PolicyProfile` in a file asks for. Reads files.

use std::path::Path;

use podfence_crd::{PodSecurity, PolicyProfile, PolicyProfileSpec};
use podfence_podsecurity::LevelVersion;
use podfence_workload::DecodeError;

use crate::document::{self, Content, DocumentError, Found};
use crate::read::{ReadError, Source};

/// The `apiVersion` of a profile.
const API_VERSION: &str = "podfence.dev/v1alpha1";

/// Why a profile cannot be judged by.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("invalid PolicyProfile: {0}")]
    Invalid(#[from] DecodeError),
    #[error("{0} objects of kind PolicyProfile, where there must be one")]
    NotOne(usize),
    #[error("spec.podSecurity must set at least one of enforce, audit and warn")]
    NoMode,
}

/// The level and version that the only profile in a file enforces, or else audits, or else warns
/// about.
///
/// # Errors
///
/// [`ProfileError`] when the file cannot be read or has no such profile.
pub(crate) fn standard(path: &Path) -> Result<LevelVersion, ProfileError> {
    let bytes = Source::Named(path.to_owned()).read()?;
    let mut profiles = Vec::new();
    for document in document::documents(&bytes) {
        for Found { identity, content } in document::objects(document.content?) {
            if let Content::Other(node) = content?
                && identity.api_version == API_VERSION
                && identity.kind == "PolicyProfile"
            {
                profiles.push(node.read::<PolicyProfile>()?);
            }
        }
    }
    let [profile] = <[PolicyProfile; 1]>::try_from(profiles)
        .map_err(|profiles| ProfileError::NotOne(profiles.len()))?;
    let PolicyProfileSpec {
        pod_security:
            PodSecurity {
                enforce,
                audit,
                warn,
            },
        // What the policies of the profile report of a cluster; a scan has none.
        seccomp_default: _,
    } = profile.spec;
    let pair = enforce.or(audit).or(warn).ok_or(ProfileError::NoMode)?;
    Ok(pair.into())
}
