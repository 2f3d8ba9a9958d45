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

/// Where programs of a whole root file system look for others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image.
#[derive(Debug, Clone)]
pub struct Image {
    name: String,
    content: Content,
    entrypoint: Vec<String>,
}

/// What a container sees as `/`.
#[derive(Debug, Clone)]
enum Content {
    /// One executable.
    Executable {
        executable: PathBuf,
        /// Its path in the image.
        path: &'static str,
        /// Other names of it, in the same folder.
        links: &'static [&'static str],
    },
    /// These layers, each over the one before.
    Layers(Vec<Layer>),
}

/// A layer that is an archive already, which any number of images may share.
#[derive(Debug, Clone)]
pub struct Layer {
    archive: PathBuf,
    digest: String,
}

impl Layer {
    /// The archive of a root file system, with the SHA-256 of it as hexadecimal digits, which containerd
    /// holds it to.
    #[must_use]
    pub fn of_archive(archive: impl Into<PathBuf>, sha256: &str) -> Self {
        Self {
            archive: archive.into(),
            digest: format!("sha256:{sha256}"),
        }
    }

    /// Packs a folder into an archive: everything in it is root's, and the same in every image.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or the archive not be written.
    pub fn of_folder(folder: &Path, archive: impl Into<PathBuf>) -> anyhow::Result<Self> {
        let archive = archive.into();
        tar(folder, &archive)?;
        let digest = digest(&fs::read(&archive)?);
        Ok(Self { archive, digest })
    }
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
            content: Content::Executable {
                executable: BUSYBOX.into(),
                path: "bin/busybox",
                links: &COMMANDS,
            },
            entrypoint: entrypoint.iter().copied().map(String::from).collect(),
        }
    }

    /// A static program and nothing else, as `podfence.test/NAME:lab`.
    #[must_use]
    pub fn of_program(name: &str, executable: impl Into<PathBuf>) -> Self {
        Self {
            name: format!("podfence.test/{name}:lab"),
            content: Content::Executable {
                executable: executable.into(),
                path: "program",
                links: &[],
            },
            entrypoint: vec!["/program".to_owned()],
        }
    }

    /// These layers, each over the one before, as `podfence.test/NAME:lab`. Images of the same layers differ
    /// by their entrypoint.
    #[must_use]
    pub fn of_layers(name: &str, layers: &[Layer], entrypoint: &[&str]) -> Self {
        Self {
            name: format!("podfence.test/{name}:lab"),
            content: Content::Layers(layers.to_vec()),
            entrypoint: entrypoint.iter().copied().map(String::from).collect(),
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

    /// The layers, made in a folder of the image's own where they are not there yet.
    fn layers(&self, folder: &Path) -> anyhow::Result<Vec<Layer>> {
        match &self.content {
            Content::Layers(layers) => Ok(layers.clone()),
            Content::Executable {
                executable,
                path,
                links,
            } => {
                let root = folder.join("root");
                write_root(&root, executable, path, links)
                    .with_context(|| format!("failed to make the image {}", self.name))?;
                Ok(vec![Layer::of_folder(&root, folder.join("layer.tar"))?])
            }
        }
    }

    /// Stores the image's blobs, and returns the descriptor of its manifest.
    fn store(&self, folder: &Path, blobs: &Path) -> anyhow::Result<Value> {
        let layers = self.layers(folder)?;
        let digests: Vec<_> = layers.iter().map(|layer| &layer.digest).collect();
        let path = match self.content {
            Content::Executable { .. } => "/bin",
            Content::Layers(_) => PATH,
        };
        let configuration = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": { "Entrypoint": self.entrypoint, "Env": [format!("PATH={path}")] },
            "rootfs": { "type": "layers", "diff_ids": digests },
        });
        let described = layers.iter().map(|layer| layer.store(blobs));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blob(blobs, "config.v1+json", configuration.to_string().as_bytes())?,
            "layers": described.collect::<anyhow::Result<Vec<_>>>()?,
        });
        let manifest = manifest.to_string();
        store(blobs, manifest.as_bytes())?;
        // A descriptor like the others, with the name besides.
        Ok(json!({
            "mediaType": MANIFEST,
            "digest": digest(manifest.as_bytes()),
            "size": manifest.len(),
            "annotations": { "io.containerd.image.name": self.name },
        }))
    }
}

impl Layer {
    /// Puts the layer among the blobs, unless another image has, and returns its descriptor.
    fn store(&self, blobs: &Path) -> anyhow::Result<Value> {
        let place = blobs.join(blob_name(&self.digest));
        if !place.exists() {
            // It may be gigabytes.
            std::os::unix::fs::symlink(fs::canonicalize(&self.archive)?, &place)?;
        }
        let size = fs::metadata(&place).with_context(|| format!("failed to read {self:?}"))?;
        Ok(descriptor("layer.v1.tar", &self.digest, size.len()))
    }
}

/// Writes images as one OCI archive into a folder that is its own, and returns the file. Layers that
/// they share are there once.
///
/// The format: <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>.
pub(super) fn write_archive(images: &[Image], folder: &Path) -> anyhow::Result<PathBuf> {
    let layout = folder.join("layout");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let mut manifests = Vec::new();
    for (number, image) in images.iter().enumerate() {
        let own = folder.join(number.to_string());
        fs::create_dir(&own)?;
        manifests.push(image.store(&own, &blobs)?);
    }
    let index = json!({ "schemaVersion": 2, "manifests": manifests });
    fs::write(layout.join("index.json"), index.to_string())?;
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    let archive = folder.join("image.tar");
    tar_with(&["--dereference"], &layout, &archive)?;
    Ok(archive)
}

/// Writes what the container will see as `/`.
fn write_root(root: &Path, executable: &Path, path: &str, links: &[&str]) -> anyhow::Result<()> {
    let place = root.join(path);
    let folder = place.parent().context("the executable has no folder")?;
    fs::create_dir_all(folder)?;
    fs::create_dir(root.join("tmp"))?;
    fs::copy(executable, &place)
        .with_context(|| format!("failed to copy {}", executable.display()))?;
    for link in links {
        std::os::unix::fs::symlink("busybox", folder.join(link))?;
    }
    Ok(())
}

/// Compiles a program of `e2e/programs` for an image, statically, into `folder`.
///
/// # Errors
///
/// When there is no C compiler, or the program does not compile.
pub fn compile_program(name: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    compile_program_with(&["-static"], name, folder)
}

/// As [`compile_program`], with these flags instead of the one that makes it static.
///
/// # Errors
///
/// As [`compile_program`].
pub fn compile_program_with(flags: &[&str], name: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let program = folder.join(name);
    let mut command = Command::new("cc");
    command
        .args(flags)
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([&program, &sources.join(format!("{name}.c"))]);
    run(&mut command)?;
    Ok(program)
}

/// Packs a folder, everything in it root's and of no time: on every node an image has the same
/// digest, by which it is known to be the same.
fn tar(folder: &Path, archive: &Path) -> anyhow::Result<()> {
    tar_with(&[], folder, archive)
}

fn tar_with(flags: &[&str], folder: &Path, archive: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("tar");
    command
        .args(flags)
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
    Ok(descriptor(kind, &digest(content), content.len() as u64))
}

fn descriptor(kind: &str, digest: &str, bytes: u64) -> Value {
    json!({
        "mediaType": format!("application/vnd.oci.image.{kind}"),
        "digest": digest,
        "size": bytes,
    })
}

fn store(folder: &Path, content: &[u8]) -> anyhow::Result<()> {
    Ok(fs::write(
        folder.join(blob_name(&digest(content))),
        content,
    )?)
}

fn blob_name(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
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
        let archive = write_archive(&[image], folder.path()).unwrap();
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
            self::names(&folder.path().join("0/layer.tar")),
            ["./", "./program", "./tmp/"]
        );
    }

    #[test]
    fn images_of_one_layer_are_told_apart_and_have_it_once() {
        let folder = tempfile::tempdir().unwrap();
        let (root, archive) = (folder.path().join("root"), folder.path().join("root.tar"));
        fs::create_dir(&root).unwrap();
        fs::write(root.join("file"), "content").unwrap();
        let layer = Layer::of_folder(&root, archive).unwrap();
        let images =
            ["a", "b"].map(|name| Image::of_layers(name, std::slice::from_ref(&layer), &[name]));
        let own = folder.path().join("own");
        let names = names(&write_archive(&images, &own).unwrap());
        let content = fs::read(own.join("layout").join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&content).unwrap();
        let digest = |number: usize| &index["manifests"][number]["digest"];
        assert_ne!(digest(0), digest(1));
        let is_layer = |name: &&String| name.ends_with(blob_name(&layer.digest));
        assert_eq!(names.iter().filter(is_layer).count(), 1);
        // Two configurations, two manifests, one layer.
        let is_blob = |name: &&String| name.starts_with("./blobs/sha256/") && !name.ends_with('/');
        assert_eq!(names.iter().filter(is_blob).count(), 5);
    }

    #[test]
    fn a_layer_that_is_not_there_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let layer = Layer::of_archive(folder.path().join("missing.tar"), "00");
        let image = Image::of_layers("a", &[layer], &[]);
        assert!(write_archive(&[image], &folder.path().join("own")).is_err());
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
