//! The images of the programs: one root file system, our own programs over it, and an entrypoint of each
//! one's own. Runs the script that builds the first, compilers, and file I/O.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use podfence_e2e::{
    corpus::Program,
    harness::skipped,
    lab::{Image, Layer, compile_program, compile_program_with},
};
use tokio::process::Command;

/// Our own programs, static.
const STATIC: [&str; 3] = ["io_uring", "pidfd_getfd", "userfaultfd"];
/// With the sanitizer within, so that it needs no more than Debian's libraries.
const SANITIZED: &str = "threads";
/// In Go.
const WEB: &str = "web";

/// How the script that builds root file systems says that it cannot, here.
const CANNOT: i32 = 77;

/// What every task is preceded by.
const BEFORE: &str = include_str!("../../corpus/before.sh");
/// What stands in the log, as a line of its own, when the task is done.
pub(crate) const DONE: &str = "the task is done";

/// What the container is given to do.
pub(crate) fn script(program: &Program) -> String {
    // Its servers go on.
    format!(
        "{BEFORE}\n{}\necho '{DONE}'\nexec sleep infinity",
        program.task
    )
}

/// The images of these programs.
pub(crate) async fn of(programs: &[Program], folder: &Path) -> anyhow::Result<Vec<Image>> {
    let is_small = programs.iter().all(|program| program.is_short);
    let kind = if is_small { "small" } else { "all" };
    let layers = [root(kind).await?, own(folder).await?];
    let image = |program: &Program| {
        // Of another entrypoint it is another image, known by another digest.
        let named = format!("PROGRAM={}", program.name);
        let entrypoint = ["/usr/bin/env", &named, "/bin/sh", "-euc"];
        Image::of_layers(&program.name, &layers, &entrypoint)
    };
    Ok(programs.iter().map(image).collect())
}

/// The root file system of Debian's packages, built if it is not there.
async fn root(kind: &str) -> anyhow::Result<Layer> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/build");
    let output = Command::new(script)
        .arg(kind)
        .kill_on_drop(true)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(CANNOT) {
        return Err(skipped(said.trim_end()));
    }
    ensure!(
        output.status.success(),
        "e2e/corpus/build {kind}: {}\n{said}",
        output.status
    );
    let folder = PathBuf::from(String::from_utf8(output.stdout)?.trim_end());
    let sha256 = fs::read_to_string(folder.join("sha256"))?;
    Ok(Layer::of_archive(
        folder.join("root.tar"),
        sha256.trim_end(),
    ))
}

/// Our own programs, in the folder /corpus.
async fn own(folder: &Path) -> anyhow::Result<Layer> {
    let root = folder.join("own");
    let programs = root.join("corpus");
    fs::create_dir_all(&programs)?;
    for name in STATIC {
        compile_program(name, &programs)?;
    }
    let sanitizer = ["-fsanitize=thread", "-static-libtsan"];
    compile_program_with(&sanitizer, SANITIZED, &programs)?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/web.go");
    let status = Command::new("go")
        .args(["build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o"])
        .args([&programs.join(WEB), &source])
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "")
        .kill_on_drop(true)
        .status()
        .await
        .context("failed to run go")?;
    ensure!(status.success(), "go build: {status}");
    Layer::of_folder(&root, folder.join("own.tar"))
}
