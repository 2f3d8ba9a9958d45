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

/// What a table of `kubectl get` says of an object under a header; empty where it says nothing. None
/// where there is no such object or column.
#[must_use]
pub fn cell<'a>(table: &'a str, name: &str, header: &str) -> Option<&'a str> {
    let headers = table.lines().next()?;
    // Columns are as wide as their widest cell, and begin where their headers do.
    let mut starts = headers.char_indices().map(|(at, _)| at).filter(|at| {
        let before = headers.get(..*at).unwrap_or_default();
        let rest = headers.get(*at..).unwrap_or_default();
        !rest.starts_with(' ') && (before.is_empty() || before.ends_with(' '))
    });
    let is_it = |at: &usize| {
        let rest = headers.get(*at..).unwrap_or_default();
        rest.split(' ').next() == Some(header)
    };
    let start = starts.find(is_it)?;
    let end = starts.next().unwrap_or(usize::MAX);
    let mut rows = table.lines().skip(1);
    let row = rows.find(|row| row.split(' ').next() == Some(name))?;
    let cell = row.get(start..end.min(row.len())).unwrap_or_default();
    Some(cell.trim_end())
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn cells_are_found_by_name_and_header() {
        let table = "NAME   READY   FAILING   READY-SINCE   MESSAGE\n\
                     on     False             1h            it is so\n\
                     on-2   True    12\n";
        for (name, header, want) in [
            ("off", "READY", None),
            ("on", "SINCE", None),
            ("on", "NAME", Some("on")),
            ("on", "READY", Some("False")),
            ("on", "FAILING", Some("")),
            ("on", "READY-SINCE", Some("1h")),
            ("on", "MESSAGE", Some("it is so")),
            ("on-2", "FAILING", Some("12")),
            ("on-2", "READY-SINCE", Some("")),
        ] {
            assert_eq!(cell(table, name, header), want, "{name} {header}");
        }
        assert_eq!(cell("", "on", "READY"), None);
    }
}
