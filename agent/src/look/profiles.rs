//! The files below the kubelet's folder `seccomp`, as the runtime would find them. Reads files.
//!
//! It is looked again and again in place of being told: inotify would need a watch for each folder,
//! from a supply that root's programs share and often use up, and would still miss what happened
//! before; and asking the kernel about a few hundred files takes less than a millisecond.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use podfence_crd::{MAX_PROFILE_FILES, ProfileFile, ProfileFiles};
use sha2::digest::Output;
use sha2::{Digest, Sha256};

use super::files::{Opened, ReadError, Stamp};
use crate::problem::{Problem, Subject};
use crate::validity::is_profile;

/// Bytes of a profile. `RuntimeDefault` has some 15,000.
const MOST_BYTES: u64 = 1 << 20;

/// Folders below each other. A link to a folder above is a circle, and ends here.
const MOST_DEPTH: usize = 8;

/// What is looked at, files and folders; a folder that has more is not one of profiles.
const MOST_ENTRIES: usize = 8192;

/// Bytes of a path, as the schema bounds it.
const MOST_OF_PATH: usize = 255;

/// Which content a file has, its hash, and whether it is a profile.
type Content = (Stamp, Output<Sha256>, bool);

/// What is known of the files.
#[derive(Debug, Default)]
pub struct Profiles {
    known: HashMap<PathBuf, Content>,
}

/// One walk through the folder.
struct Walk {
    /// Where the folder really is.
    root: PathBuf,
    found: BTreeMap<String, PathBuf>,
    entries: usize,
    problems: Vec<String>,
}

impl Profiles {
    /// The files that are there now, and what could not be seen.
    pub fn look(&mut self, folder: &Path) -> (ProfileFiles, Vec<Problem>) {
        let mut walk = match Walk::of(folder) {
            Ok(walk) => walk,
            Err(problem) => {
                self.known.clear();
                return (ProfileFiles::default(), vec![problem]);
            }
        };
        let mut files = ProfileFiles::default();
        let mut known = HashMap::new();
        for (path, real) in std::mem::take(&mut walk.found) {
            if files.files.len() == MAX_PROFILE_FILES {
                files.omitted = files.omitted.saturating_add(1);
                continue;
            }
            match self.content(&real) {
                Ok(content) => {
                    let (_, digest, valid) = content;
                    known.insert(real, content);
                    files.files.push(ProfileFile {
                        path,
                        sha256: format!("{digest:x}"),
                        valid,
                    });
                }
                Err(ReadError::NotRegular) => {}
                // It is gone, as if it had never been there.
                Err(ReadError::Io(error)) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    files.omitted = files.omitted.saturating_add(1);
                    walk.problems
                        .push(format!("{path} cannot be read: {error}"));
                }
            }
        }
        self.known = known;
        let problems = walk.problems.into_iter();
        let problems = problems.map(|message| Problem::new(Subject::SeccompProfiles, message));
        (files, problems.collect())
    }

    fn content(&self, real: &Path) -> Result<Content, ReadError> {
        let opened = Opened::open(real)?;
        let stamp = opened.stamp;
        if let Some(known) = self.known.get(real)
            && known.0 == stamp
        {
            return Ok(*known);
        }
        let content = opened.content(MOST_BYTES)?;
        Ok((stamp, Sha256::digest(&content), is_profile(&content)))
    }
}

impl Walk {
    fn of(folder: &Path) -> Result<Self, Problem> {
        let failed = |error: std::io::Error| {
            let message = format!(
                "failed to read {}: {error}; mount the kubelet's folder there, read-only",
                folder.display()
            );
            Problem::new(Subject::SeccompProfiles, message)
        };
        let root = folder.canonicalize().map_err(failed)?;
        fs::read_dir(&root).map_err(failed)?;
        let mut walk = Self {
            root: root.clone(),
            found: BTreeMap::new(),
            entries: 0,
            problems: Vec::new(),
        };
        walk.folder(&root, "", 0);
        Ok(walk)
    }

    fn folder(&mut self, real: &Path, path: &str, depth: usize) {
        if depth == MOST_DEPTH {
            self.problem(format!("{path} is too deep, or a circle of links"));
            return;
        }
        let entries = match fs::read_dir(real) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => {
                self.problem(format!("{path} cannot be read: {error}"));
                return;
            }
        };
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        // What is left out is the same every time.
        names.sort();
        for name in names {
            if self.entries == MOST_ENTRIES {
                self.problem(format!("only {MOST_ENTRIES} files were looked at"));
                return;
            }
            self.entries += 1;
            let real = real.join(&name);
            let Some(name) = name.to_str() else {
                self.problem(format!(
                    "{} has no name that a pod could give",
                    real.display()
                ));
                continue;
            };
            let path = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}/{name}")
            };
            self.entry(&real, path, depth);
        }
    }

    /// A file, a folder or a link to either.
    fn entry(&mut self, real: &Path, path: String, depth: usize) {
        if path.len() > MOST_OF_PATH {
            self.problem(format!("{path} is longer than {MOST_OF_PATH} bytes"));
            return;
        }
        // The runtime goes where links lead, so what they lead to is what counts.
        let real = match real.canonicalize() {
            Ok(real) => real,
            Err(error) => {
                let is_link = fs::symlink_metadata(real).is_ok_and(|it| it.is_symlink());
                if is_link {
                    self.problem(format!(
                        "{path} is a link whose end cannot be seen from here: {error}"
                    ));
                }
                return;
            }
        };
        if !real.starts_with(&self.root) {
            self.problem(format!(
                "{path} is a link out of the folder; put the file itself there"
            ));
            return;
        }
        if real.is_dir() {
            self.folder(&real, &path, depth + 1);
        } else {
            self.found.insert(path, real);
        }
    }

    fn problem(&mut self, message: String) {
        // A report holds a few.
        const ENOUGH: usize = 64;
        if self.problems.len() < ENOUGH && !self.problems.contains(&message) {
            self.problems.push(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::Profiles;

    const VALID: &str = r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#;

    fn paths(profiles: &mut Profiles, folder: &Path) -> (Vec<(String, bool)>, Vec<String>) {
        let (files, problems) = profiles.look(folder);
        let files = files.files.into_iter();
        let problems = problems.into_iter().map(|problem| problem.message);
        (
            files.map(|file| (file.path, file.valid)).collect(),
            problems.collect(),
        )
    }

    #[test]
    fn a_folder_that_is_not_there_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut profiles = Profiles::default();
        let (files, problems) = paths(&mut profiles, &folder.path().join("none"));
        assert!(files.is_empty());
        assert!(
            problems[0].contains("mount the kubelet's folder there"),
            "{problems:?}"
        );
        fs::write(folder.path().join("none"), "").expect("writes");
        assert_eq!(paths(&mut profiles, &folder.path().join("none")).1.len(), 1);
        assert_eq!(paths(&mut profiles, folder.path()).1.len(), 0);
    }

    #[test]
    fn files_and_links_are_found_as_the_runtime_finds_them() {
        let outside = tempfile::tempdir().expect("a folder");
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("a path");
        let at = |path: &str| root.join(path);
        fs::write(outside.path().join("secret"), "secret").expect("writes");
        fs::create_dir_all(at("apps/..data")).expect("a folder");
        fs::write(at("apps/..data/web.json"), VALID).expect("writes");
        fs::write(at("broken.json"), "{").expect("writes");
        symlink("..data/web.json", at("apps/web.json")).expect("a link");
        symlink(at("apps"), at("absolute")).expect("a link");
        symlink(outside.path(), at("out")).expect("a link");
        symlink(outside.path().join("secret"), at("secret.json")).expect("a link");
        symlink("nowhere", at("dangling")).expect("a link");
        symlink("self", at("self")).expect("a link");
        let mut profiles = Profiles::default();
        let (files, problems) = paths(&mut profiles, &root);
        let files: Vec<_> = files
            .iter()
            .map(|(path, valid)| (path.as_str(), *valid))
            .collect();
        assert_eq!(
            files,
            [
                ("absolute/..data/web.json", true),
                ("absolute/web.json", true),
                ("apps/..data/web.json", true),
                ("apps/web.json", true),
                ("broken.json", false),
            ]
        );
        assert_eq!(problems.len(), 4, "{problems:?}");
        for path in ["dangling", "out", "secret.json", "self"] {
            let said = problems.iter().any(|problem| problem.starts_with(path));
            assert!(said, "{path}: {problems:?}");
        }
    }

    #[test]
    fn circles_and_large_files_end() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("a")).expect("a folder");
        symlink(folder.path(), folder.path().join("a/up")).expect("a link");
        let large = fs::File::create(folder.path().join("large")).expect("a file");
        large.set_len(2 << 20).expect("grows");
        let mut profiles = Profiles::default();
        let (files, problems) = profiles.look(folder.path());
        assert!(files.files.is_empty());
        assert!(files.omitted > 0);
        let messages: Vec<_> = problems.iter().map(|problem| &problem.message).collect();
        let said = |text: &str| messages.iter().any(|message| message.contains(text));
        assert!(said("a circle of links"), "{messages:?}");
        assert!(said("more than 1048576 bytes"), "{messages:?}");
    }

    #[test]
    fn another_content_is_another_hash_and_too_many_are_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("0.json");
        let mut profiles = Profiles::default();
        let mut look = || profiles.look(folder.path()).0;
        fs::write(&file, VALID).expect("writes");
        let first = look();
        assert_eq!(first.files[0].sha256.len(), 64);
        assert_eq!(look(), first);
        fs::write(&file, "{}").expect("writes");
        let second = look();
        assert_ne!(second.files[0].sha256, first.files[0].sha256);
        assert!(!second.files[0].valid);
        for number in 1..600 {
            fs::write(folder.path().join(format!("{number}.json")), VALID).expect("writes");
        }
        let many = look();
        assert_eq!((many.files.len(), many.omitted), (512, 88));
        assert_eq!(look(), many);
        fs::remove_file(&file).expect("removes");
        assert_eq!(look().omitted, 87);
    }
}
