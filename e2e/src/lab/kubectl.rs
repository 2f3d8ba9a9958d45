//! kubectl against a lab, as a person would use it. Runs programs.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

use super::Lab;

/// Longer than `kubectl wait` waits by default.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What a command that succeeded has printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubectlOutput {
    /// Standard output.
    pub stdout: String,
    /// Standard error: warnings of the API server appear here.
    pub stderr: String,
}

impl Lab {
    /// The executable, for a command line to print.
    #[must_use]
    pub fn kubectl_path(&self) -> &Path {
        &self.kubectl
    }

    /// Runs kubectl as the cluster's administrator.
    ///
    /// # Errors
    ///
    /// When it fails or takes longer than two minutes; the error holds what it printed.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<KubectlOutput> {
        self.kubectl_with_input(arguments, "").await
    }

    /// Runs kubectl with `input` on its standard input, for `-f -`.
    ///
    /// # Errors
    ///
    /// As [`Lab::kubectl`].
    pub async fn kubectl_with_input(
        &self,
        arguments: &[&str],
        input: &str,
    ) -> anyhow::Result<KubectlOutput> {
        let run = async {
            let mut child = Command::new(&self.kubectl)
                .args(arguments)
                .env("KUBECONFIG", self.kubeconfig())
                .env("KUBECACHEDIR", self.folder().join("kubectl-cache"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(input.as_bytes()).await?;
            }
            child.wait_with_output().await
        };
        let output = timeout(TIMEOUT, run)
            .await
            .with_context(|| format!("kubectl {arguments:?} took longer than {TIMEOUT:?}"))?
            .with_context(|| format!("failed to run kubectl {arguments:?}"))?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success(),
            "kubectl {arguments:?} failed: {stdout}{stderr}"
        );
        Ok(KubectlOutput { stdout, stderr })
    }
}
