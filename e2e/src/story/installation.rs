//! Installs Podfence into a lab as users do, apart from the Deployment, which needs nodes. Runs
//! kubectl.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};

use crate::lab::Lab;

/// What `kubectl apply --server-side -k config/default` installs, without the operator's
/// Deployment, and waits until the API server serves the kinds.
pub(super) async fn install(lab: &Lab) -> anyhow::Result<()> {
    let manifests = lab
        .kubectl(&["kustomize", &path("config/default")?])
        .await?
        .stdout;
    let rest: Vec<&str> = manifests
        .split("\n---\n")
        .filter(|document| !document.lines().any(|line| line == "kind: Deployment"))
        .collect();
    let applied = lab
        .kubectl_with_input(
            &["apply", "--server-side", "-f", "-"],
            &rest.join("\n---\n"),
        )
        .await?;
    ensure!(
        applied.stderr.is_empty(),
        "kubectl printed {}",
        applied.stderr
    );
    let kinds = [
        "wait",
        "--for=condition=Established",
        "crd/namespacepolicies.podfence.dev",
        "crd/policyprofiles.podfence.dev",
        "crd/nodereports.podfence.dev",
        "crd/syscallrecords.podfence.dev",
    ];
    lab.kubectl(&kinds).await?;
    Ok(())
}

/// A path in the checkout.
pub(super) fn path(relative: &str) -> anyhow::Result<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(relative);
    let path = path
        .canonicalize()
        .with_context(|| format!("there is no {}", path.display()))?;
    path.into_os_string()
        .into_string()
        .ok()
        .context("a path that is not UTF-8")
}
