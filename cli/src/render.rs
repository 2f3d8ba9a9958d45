//! `kubectl podfence render`: files for nodes. No I/O.

use podfence_seccomp::{Edit, EditError, RefusedCapability, edited};

use crate::args::SeccompProfileArguments;

/// A profile that cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenderError {
    #[error("--capabilities: {0}")]
    Capabilities(#[from] RefusedCapability),
    #[error("--libseccomp: {0}")]
    Unknown(EditError),
    #[error("{flag}: {source}")]
    Edit {
        flag: &'static str,
        source: EditError,
    },
    #[error("failed to write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// `RuntimeDefault` with the edits, as a file for nodes.
pub(crate) fn seccomp_profile(asked: &SeccompProfileArguments) -> Result<String, RenderError> {
    let SeccompProfileArguments {
        profile,
        allow,
        deny,
        container,
    } = asked;
    let loader = container.loader();
    let container = container.container(profile.runtime)?;
    let edits: Vec<Edit> = allow.iter().chain(deny).cloned().collect();
    let flag = match (allow.as_slice(), deny.as_slice()) {
        ([], []) => "--profile",
        (_, []) => "--allow",
        ([], _) => "--deny",
        _ => "--allow and --deny",
    };
    let rendered =
        edited(&profile.rules, container, loader, &edits).map_err(|source| match source {
            EditError::Unknown { .. } => RenderError::Unknown(source),
            _ => RenderError::Edit { flag, source },
        })?;
    Ok(rendered.write()?)
}
