//! The configurations that the runtime gave its containers, in the folders that it keeps of them.
//! Reads files.
//!
//! A configuration is written once, before its container starts, so each is read once; of what it
//! says little is kept, for a node has hundreds of containers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use podfence_seccomp::Runtime;

use super::files::{Opened, ReadError, Stamp};
use crate::args::Places;
use crate::oci::{Bundle, Configuration};

/// Containers of a node that are looked at. A kubelet runs a few hundred pods.
const MOST_BUNDLES: usize = 4096;

/// Bytes of a configuration; they have some 50,000, and half a million with hundreds of mounts.
const MOST_BYTES: u64 = 4 << 20;

/// The bundles that are there.
#[derive(Debug, Default)]
pub struct Bundles {
    known: HashMap<Box<str>, (Stamp, Bundle)>,
    /// Those that could not be understood at the last look.
    malformed: HashMap<Box<str>, Stamp>,
}

/// Why a configuration is not known.
#[derive(Debug, thiserror::Error)]
enum BundleError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{1}")]
    Malformed(Stamp, serde_json::Error),
}

/// Where a runtime keeps its bundles, and the path of the configuration within one.
fn place(places: &Places, runtime: Runtime) -> Option<(&Path, &'static str)> {
    match runtime {
        Runtime::Containerd => Some((&places.containerd_bundles, "config.json")),
        Runtime::CriO => Some((&places.cri_o_bundles, "userdata/config.json")),
        Runtime::Docker => None,
    }
}

impl Bundles {
    /// Looks for what is new and forgets what is gone. Says why something could not be seen.
    pub fn look(&mut self, places: &Places, runtime: Option<Runtime>) -> Option<String> {
        let Some((root, file)) = runtime.and_then(|runtime| place(places, runtime)) else {
            self.known.clear();
            return Some(
                "the bundles of this node's runtime are not known; those of containerd and CRI-O \
                 are"
                .to_owned(),
            );
        };
        let entries = match fs::read_dir(root) {
            Ok(entries) => entries,
            Err(error) => {
                self.known.clear();
                return Some(format!(
                    "failed to read {}: {error}; mount it from the node, read-only, and run the \
                     agent as root, to whom it belongs",
                    root.display()
                ));
            }
        };
        let mut there = HashSet::new();
        let mut malformed = HashMap::new();
        // Sorted, so that the same is said whichever comes first.
        let mut problems = BTreeSet::new();
        for entry in entries.flatten().take(MOST_BUNDLES) {
            // Runtimes name them by their ids.
            let Ok(id) = entry.file_name().into_string() else {
                continue;
            };
            match self.read(&id, &root.join(&id).join(file)) {
                Ok(()) => {
                    there.insert(id);
                }
                // It is being made, or being removed.
                Err(BundleError::Read(ReadError::Io(error)))
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(BundleError::Read(error)) => {
                    problems.insert(format!(
                        "{error}; run the agent as root, to whom they belong"
                    ));
                }
                Err(BundleError::Malformed(stamp, error)) => {
                    // The first time, it may be that it was being written.
                    if self.malformed.get(&*id) == Some(&stamp) {
                        problems.insert(error.to_string());
                    }
                    malformed.insert(id.into(), stamp);
                }
            }
        }
        self.known.retain(|id, _| there.contains(&**id));
        self.malformed = malformed;
        let problem = problems.first()?;
        Some(format!(
            "failed to read configurations of containers in {}: {problem}",
            root.display()
        ))
    }

    fn read(&mut self, id: &str, path: &Path) -> Result<(), BundleError> {
        let opened = Opened::open(path)?;
        let (stamp, created) = (opened.stamp, opened.written);
        if self.known.get(id).is_some_and(|(known, _)| *known == stamp) {
            return Ok(());
        }
        let content = opened.content(MOST_BYTES)?;
        let text = String::from_utf8_lossy(&content);
        let configuration = Configuration::read(&text);
        let configuration = configuration.map_err(|error| BundleError::Malformed(stamp, error))?;
        let bundle = Bundle {
            created,
            configuration,
        };
        self.known.insert(id.into(), (stamp, bundle));
        Ok(())
    }

    /// All of them, by their ids.
    #[must_use]
    pub fn all(&self) -> BTreeMap<&str, &Bundle> {
        let all = self.known.iter();
        all.map(|(id, (_, bundle))| (&**id, bundle)).collect()
    }
}

/// The whole configuration of a container; none when it is gone.
#[must_use]
pub fn text(places: &Places, runtime: Runtime, id: &str) -> Option<String> {
    let (root, file) = place(places, runtime)?;
    let path: PathBuf = root.join(id).join(file);
    let content = Opened::open(&path).ok()?.content(MOST_BYTES).ok()?;
    String::from_utf8(content).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use clap::Parser;
    use podfence_seccomp::Runtime;

    use super::{Bundles, text};
    use crate::args::{Args, Places};

    fn places(root: &Path) -> Places {
        let root = root.display();
        let arguments = [
            "podfence-agent".to_owned(),
            "--node-name=a".to_owned(),
            "--kernel".to_owned(),
            format!("--containerd-bundles={root}/containerd"),
            format!("--cri-o-bundles={root}/cri-o"),
        ];
        let config = Args::try_parse_from(arguments).expect("parses").resolve();
        config.expect("resolves").places
    }

    fn ids(bundles: &Bundles) -> Vec<&str> {
        bundles.all().into_keys().collect()
    }

    #[test]
    fn a_place_that_cannot_be_read_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let places = places(folder.path());
        let mut bundles = Bundles::default();
        let mut problem = |runtime| bundles.look(&places, runtime).expect("a problem");
        assert!(problem(None).contains("not known"));
        assert!(problem(Some(Runtime::Docker)).contains("not known"));
        let missing = problem(Some(Runtime::Containerd));
        assert!(missing.contains("mount it from the node"), "{missing}");
    }

    #[test]
    fn what_is_there_is_read_and_what_is_odd_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let places = places(folder.path());
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("writes");
        };
        for root in ["containerd", "cri-o"] {
            write(&format!("{root}/file"), "");
            fs::create_dir_all(folder.path().join(root).join("new")).expect("a folder");
        }
        write("containerd/1/config.json", r#"{"linux":{"seccomp":{}}}"#);
        write("cri-o/2/userdata/config.json", "{}");
        let mut bundles = Bundles::default();
        assert_eq!(bundles.look(&places, Some(Runtime::Containerd)), None);
        assert_eq!(ids(&bundles), ["1"]);
        let rules = |bundles: &Bundles| bundles.all()["1"].configuration.rules;
        assert!(rules(&bundles).is_some());
        assert!(text(&places, Runtime::Containerd, "1").is_some());
        assert_eq!(text(&places, Runtime::Containerd, "2"), None);

        write("containerd/1/config.json", "{}");
        write("containerd/3/config.json", "nonsense");
        let mut look = || bundles.look(&places, Some(Runtime::Containerd));
        // It may be that it is being written.
        assert_eq!(look(), None);
        assert!(look().expect("a problem").contains("expected"));
        assert_eq!(ids(&bundles), ["1"]);
        assert!(rules(&bundles).is_none());

        assert_eq!(bundles.look(&places, Some(Runtime::CriO)), None);
        assert_eq!(ids(&bundles), ["2"]);
    }
}
