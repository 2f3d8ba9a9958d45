//! The folder with everything one lab writes: gone after success, kept after a failure. Does file
//! I/O.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;

use super::{cgroup, guard::Guard, process};

const PREFIX: &str = "podfence-lab-";
/// Locked by the owner as long as it lives, so that the next lab can tell a leftover from a folder
/// in use.
const LOCK: &str = "lock";
/// Marks a folder that is kept for somebody to read.
const KEPT: &str = "kept";
/// What the servers store for themselves: more than 100 MB that nobody reads after a failure.
const DATA: &str = "data";
/// How long a folder is kept; logs and audit log make a few megabytes.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Folders to remove when a signal ends this process, which runs no destructors.
static IN_USE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    keep: bool,
    _lock: File,
}

impl Folder {
    /// Makes a new folder in the system's temporary folder, and removes those whose owner was
    /// killed.
    pub(super) fn create() -> anyhow::Result<Self> {
        let parent = std::env::temp_dir();
        remove_leftovers(&parent);
        let path = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(&parent)?
            .keep();
        // Locked before it has its name: a lock file that nobody holds is a leftover's.
        let unnamed = path.join("lock.new");
        let lock = File::create(&unnamed)?;
        lock.lock()?;
        fs::rename(unnamed, path.join(LOCK))?;
        in_use(|folders| folders.insert(path.clone()));
        Ok(Self {
            path,
            keep: false,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// With what the names of this lab's control groups begin, so that the next lab finds them.
    pub(super) fn control_group_prefix(&self) -> String {
        control_group_prefix(&self.path)
    }

    /// Where servers store their data, which is not kept.
    pub(super) fn data(&self) -> PathBuf {
        self.path.join(DATA)
    }

    /// Leaves the folder where it is when this value is dropped.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }

    /// The last lines of every log in the folder.
    pub(super) fn log_tails(&self) -> String {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let mut logs: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.sort();
        logs.iter().map(|log| process::log_tail(log)).collect()
    }

    /// Writes one file, with the folders above it, and returns its path.
    pub(super) fn write(&self, name: &str, content: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        path.parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&path, content))
            .with_context(|| format!("failed to write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        in_use(|folders| folders.remove(&self.path));
        let result = if self.keep {
            // Best effort: it is there only when etcd was started.
            let _ = fs::remove_dir_all(self.data());
            fs::write(self.path.join(KEPT), "")
        } else {
            fs::remove_dir_all(&self.path)
        };
        if let Err(error) = result {
            eprintln!("lab: {}: {error}", self.path.display());
        }
    }
}

/// Removes every folder of this process; for the end by a signal.
pub(super) fn remove_all() {
    in_use(|folders| {
        for folder in std::mem::take(folders) {
            // Nobody is left to tell, and the next lab tries again.
            let _ = fs::remove_dir_all(folder);
        }
    });
}

fn in_use<T>(change: impl FnOnce(&mut BTreeSet<PathBuf>) -> T) -> T {
    change(&mut IN_USE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Best effort: a folder that cannot be removed now is tried again by the next lab.
fn remove_leftovers(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX));
        // A folder without a lock file is just being made by somebody else.
        let Some(lock) = ours.then(|| File::open(path.join(LOCK)).ok()).flatten() else {
            continue;
        };
        let kept = path.join(KEPT).metadata().and_then(|kept| kept.modified());
        let wanted = kept.is_ok_and(|since| since.elapsed().is_ok_and(|age| age < KEPT_FOR));
        if !wanted && lock.try_lock().is_ok() {
            end_nodes(&path);
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// Ends what still runs of a killed lab's nodes: nothing, unless their guards were killed too.
fn end_nodes(folder: &Path) {
    let groups = cgroup::folders_beginning_with(&control_group_prefix(folder));
    if !groups.is_empty()
        && let Ok(guard) = Guard::start(&groups)
    {
        let _ = guard.end();
    }
}

fn control_group_prefix(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}.")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_folder_goes_with_its_owner_unless_it_is_kept() {
        let gone = Folder::create().unwrap();
        let mut kept = Folder::create().unwrap();
        kept.keep();
        let paths = (gone.path().to_owned(), kept.path().to_owned());
        assert!(gone.write("pki/ca.crt", "x").unwrap().exists());
        let log = kept.write("server.log", "x").unwrap();
        let data = kept.write("data/etcd/db", "x").unwrap();
        drop((gone, kept));
        // A later lab must not take what is kept for a leftover.
        drop(Folder::create().unwrap());
        assert!(log.exists() && !data.exists());
        assert!(!paths.0.exists());
        assert!(paths.1.exists());
        fs::remove_dir_all(paths.1).unwrap();
    }

    #[test]
    fn the_folder_of_a_killed_owner_is_removed_and_one_in_use_is_not() {
        let in_use = Folder::create().unwrap();
        let leftover = abandoned(None);
        let forgotten = abandoned(Some(SystemTime::now() - KEPT_FOR));
        drop(Folder::create().unwrap());
        assert!(!leftover.exists() && !forgotten.exists());
        assert!(in_use.path().exists());
    }

    /// A folder without an owner, kept since then.
    fn abandoned(kept: Option<SystemTime>) -> PathBuf {
        let path = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir()
            .unwrap()
            .keep();
        if let Some(since) = kept {
            File::create(path.join(KEPT))
                .unwrap()
                .set_modified(since)
                .unwrap();
        }
        // Last: with the lock file there, other tests' labs may remove it already.
        File::create(path.join(LOCK)).unwrap();
        path
    }
}
