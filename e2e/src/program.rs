//! The workspace's own programs, built as this one is. Starts cargo.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

/// Builds a program of the workspace, in the profile of this one, and returns its executable.
///
/// # Errors
///
/// When it does not compile, or there is none of that name.
pub async fn build_program(name: &str) -> anyhow::Result<PathBuf> {
    // The workspace's features, so that what `cargo test --workspace` has built is used again.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--locked", "--quiet", "--workspace", "--bin", name])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.output().await.context("failed to run cargo")?;
    ensure!(
        output.status.success(),
        "cargo build failed: {}",
        output.status
    );
    let executable = output.stdout.split(|byte| *byte == b'\n').find_map(|line| {
        let message: serde_json::Value = serde_json::from_slice(line).ok()?;
        let named = message.pointer("/target/name")? == name;
        let executable = message.get("executable")?.as_str();
        executable.filter(|_| named).map(PathBuf::from)
    });
    executable.with_context(|| format!("cargo names no executable {name}"))
}
