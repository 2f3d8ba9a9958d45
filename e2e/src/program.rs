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
    build(name, cargo().args(["--workspace", "--bin", name])).await
}

/// Builds the program of a package of the same name as for its image: static, so that it needs
/// nothing beside itself, and without what only a debugger reads, so that its image is made soon.
///
/// # Errors
///
/// As [`build_program`].
pub async fn build_static_program(name: &str) -> anyhow::Result<PathBuf> {
    let host = Command::new("rustc").arg("-vV").output().await?;
    let host = String::from_utf8(host.stdout)?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc names no host")?;
    // Only with --target do the flags leave build scripts and procedural macros alone, and what
    // was built of the workspace without them.
    let mut command = cargo();
    command.args(["--package", name, "--target", host]).env(
        "RUSTFLAGS",
        "-C target-feature=+crt-static -C strip=debuginfo",
    );
    build(name, &mut command).await
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--locked", "--quiet"]);
    command
}

async fn build(name: &str, command: &mut Command) -> anyhow::Result<PathBuf> {
    command
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
