//! Container images made by hand, without a registry. Does file I/O, runs `tar` and `cc`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Debian's, which needs no library.
pub(super) const BUSYBOX: &str = "/bin/busybox";
/// What the busybox image offers by name.
const COMMANDS: [&str; 8] = ["cat", "echo", "false", "grep", "id", "sh", "sleep", "true"];
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The sandbox of every pod; containerd is told this name.
pub(super) const PAUSE: &str = "registry.k8s.io/pause:lab";

/// An image of one layer.
#[derive(Debug, Clone)]
pub struct Image {
    name: String,
    executable: PathBuf,
    /// The executable's path in the image.
    path: &'static str,
    /// Other names of the executable, in the same folder.
    links: &'static [&'static str],
    entrypoint: Vec<String>,
}

impl Image {
    /// Busybox, as `podfence.test/busybox:lab`: its shell is the entrypoint.
    #[must_use]
    pub fn busybox() -> Self {
        Self::of_busybox("podfence.test/busybox:lab", &["/bin/sh"])
    }

    /// What holds a pod's namespaces.
    pub(super) fn pause() -> Self {
        Self::of_busybox(PAUSE, &["/bin/sleep", "1000000"])
    }

    fn of_busybox(name: &str, entrypoint: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            executable: BUSYBOX.into(),
            path: "bin/busybox",
            links: &COMMANDS,
            entrypoint: entrypoint.iter().copied().map(String::from).collect(),
        }
    }

    /// A static program and nothing else, as `podfence.test/NAME:lab`.
    #[must_use]
    pub fn of_program(name: &str, executable: impl Into<PathBuf>) -> Self {
        Self {
            name: format!("podfence.test/{name}:lab"),
            executable: executable.into(),
            path: "program",
            links: &[],
            entrypoint: vec!["/program".to_owned()],
        }
    }

    /// The same with these arguments of the program, which make it another image: digests differ.
    #[must_use]
    pub fn with_arguments(mut self, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().copied().map(String::from);
        self.entrypoint.extend(arguments);
        self
    }

    /// The name that a pod gives as its container's image.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes the image as an OCI archive into a folder that is its own, and returns the file.
    ///
    /// The format: <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>.
    pub(super) fn write_archive(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let (root, layout) = (folder.join("root"), folder.join("layout"));
        let blobs = layout.join("blobs/sha256");
        fs::create_dir_all(&blobs)?;
        self.write_root(&root)
            .with_context(|| format!("failed to make the image {}", self.name))?;
        let layer = folder.join("layer.tar");
        tar(&root, &layer)?;
        let layer = fs::read(layer)?;

        let configuration = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": { "Entrypoint": self.entrypoint, "Env": ["PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blob(&blobs, "config.v1+json", configuration.to_string().as_bytes())?,
            "layers": [blob(&blobs, "layer.v1.tar", &layer)?],
        });
        let manifest = manifest.to_string();
        // A descriptor like the others, with the name besides.
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": MANIFEST,
                "digest": digest(manifest.as_bytes()),
                "size": manifest.len(),
                "annotations": { "io.containerd.image.name": self.name },
            }],
        });
        store(&blobs, manifest.as_bytes())?;
        fs::write(layout.join("index.json"), index.to_string())?;
        fs::write(
            layout.join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )?;
        let archive = folder.join("image.tar");
        tar(&layout, &archive)?;
        Ok(archive)
    }

    /// Writes what the container will see as `/`.
    fn write_root(&self, root: &Path) -> anyhow::Result<()> {
        let executable = root.join(self.path);
        let folder = executable
            .parent()
            .context("the executable has no folder")?;
        fs::create_dir_all(folder)?;
        fs::create_dir(root.join("tmp"))?;
        fs::copy(&self.executable, &executable)
            .with_context(|| format!("failed to copy {}", self.executable.display()))?;
        for link in self.links {
            std::os::unix::fs::symlink("busybox", folder.join(link))?;
        }
        Ok(())
    }
}

/// Compiles a program of `e2e/programs` for an image, statically, into `folder`.
///
/// # Errors
///
/// When there is no C compiler, or the program does not compile.
pub fn compile_program(name: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let program = folder.join(name);
    let mut command = Command::new("cc");
    command
        .args(["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([&program, &sources.join(format!("{name}.c"))]);
    run(&mut command)?;
    Ok(program)
}

/// Packs a folder, everything in it root's and of no time: on every node an image has the same
/// digest, by which it is known to be the same.
fn tar(folder: &Path, archive: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("tar");
    command
        .args([
            "--create",
            "--sort=name",
            "--owner=0",
            "--group=0",
            "--mtime=@0",
            "--file",
        ])
        .arg(archive)
        .arg("--directory")
        .args([folder, Path::new(".")]);
    run(&mut command)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("failed to run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

/// Stores a blob and returns its descriptor.
fn blob(folder: &Path, kind: &str, content: &[u8]) -> anyhow::Result<Value> {
    store(folder, content)?;
    Ok(json!({
        "mediaType": format!("application/vnd.oci.image.{kind}"),
        "digest": digest(content),
        "size": content.len(),
    }))
}

fn store(folder: &Path, content: &[u8]) -> anyhow::Result<()> {
    let digest = digest(content);
    let name = digest.strip_prefix("sha256:").unwrap_or(&digest);
    Ok(fs::write(folder.join(name), content)?)
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(content))
}

/// As Go names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn names(archive: &Path) -> Vec<String> {
        let output = Command::new("tar")
            .arg("--list")
            .arg("--file")
            .arg(archive)
            .output();
        let names = String::from_utf8(output.unwrap().stdout).unwrap();
        names.lines().map(String::from).collect()
    }

    #[test]
    fn an_archive_holds_what_its_index_says() {
        let folder = tempfile::tempdir().unwrap();
        let image = Image::of_program("true", "/bin/true");
        let archive = image.write_archive(folder.path()).unwrap();
        let names = names(&archive);
        let index = fs::read(folder.path().join("layout/index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        let described = &index["manifests"][0];
        assert_eq!(
            described["annotations"]["io.containerd.image.name"],
            "podfence.test/true:lab"
        );
        let blob = |digest: &Value| {
            let path = format!("blobs/{}", digest.as_str().unwrap().replace(':', "/"));
            assert!(names.contains(&format!("./{path}")), "{names:?}");
            let content = fs::read(folder.path().join("layout").join(path)).unwrap();
            assert_eq!(&super::digest(&content), digest.as_str().unwrap());
            content
        };
        let manifest: Value = serde_json::from_slice(&blob(&described["digest"])).unwrap();
        let layer = blob(&manifest["layers"][0]["digest"]);
        let config: Value = serde_json::from_slice(&blob(&manifest["config"]["digest"])).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], super::digest(&layer));
        assert_eq!(
            self::names(&folder.path().join("layer.tar")),
            ["./", "./program", "./tmp/"]
        );
    }

    #[test]
    fn a_folder_is_packed_the_same_whenever_its_files_were_made() {
        let (folder, archives) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = fs::File::create(folder.path().join("program")).unwrap();
        let pack = |name| {
            let archive = archives.path().join(name);
            tar(folder.path(), &archive).unwrap();
            fs::read(archive).unwrap()
        };
        let first = pack("first");
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(pack("later") == first);
    }

    #[test]
    fn a_program_that_does_not_exist_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = compile_program("nonsense", folder.path()).unwrap_err();
        assert!(error.to_string().contains("nonsense.c"), "{error:#}");
    }
}
