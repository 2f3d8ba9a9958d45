//! The control groups of one node, in both versions. Does file I/O.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

/// Where the node's own programs run, beside its pods.
const SYSTEM: &str = "system";

/// A folder of the same name in every hierarchy: its kubelet's root, that holds the node's programs
/// and all its pods.
#[derive(Debug)]
pub(super) struct ControlGroup {
    name: String,
    hierarchies: Vec<Hierarchy>,
}

/// Where the kernel's control groups are mounted: one folder for all controllers (version 2), one
/// for some of them each (version 1), or both, and then runc uses all.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    folder: PathBuf,
    read_only: bool,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl ControlGroup {
    /// A group to be made.
    pub(super) fn named(name: String) -> anyhow::Result<Self> {
        let hierarchies = Hierarchy::all()?;
        ensure!(!hierarchies.is_empty(), "no control groups are mounted");
        Ok(Self { name, hierarchies })
    }

    /// The group's path inside its hierarchies.
    pub(super) fn path(&self) -> String {
        format!("/{}", self.name)
    }

    /// The group's folder in each hierarchy.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let hierarchies = self.hierarchies.iter();
        hierarchies
            .map(|hierarchy| hierarchy.folder.join(&self.name))
            .collect()
    }

    /// The files that take the ids of the node's own programs.
    pub(super) fn system_processes(&self) -> Vec<PathBuf> {
        let folders = self.folders();
        let files = folders
            .iter()
            .map(|folder| folder.join(SYSTEM).join("cgroup.procs"));
        files.collect()
    }

    /// Makes the group in every hierarchy.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, as without root.
    pub(super) fn create(&self) -> anyhow::Result<()> {
        for hierarchy in &self.hierarchies {
            let group = hierarchy.folder.join(&self.name);
            let system = group.join(SYSTEM);
            for (parent, group) in [(&hierarchy.folder, &group), (&group, &system)] {
                hierarchy
                    .create(parent, group)
                    .with_context(|| format!("failed to make control group {}", group.display()))?;
            }
        }
        Ok(())
    }
}

/// Why no control group can be made on this machine, if so; not for lack of rights.
pub(super) fn obstacle() -> Option<&'static str> {
    let hierarchies = Hierarchy::all().unwrap_or_default();
    if hierarchies.is_empty() {
        return Some("no control groups are mounted");
    }
    // As in a container that is not privileged.
    let read_only = hierarchies.iter().any(|hierarchy| hierarchy.read_only);
    read_only.then_some("control groups are mounted read-only")
}

/// The folders of all control groups whose name begins with `prefix`, of a lab that was killed.
pub(super) fn folders_beginning_with(prefix: &str) -> Vec<PathBuf> {
    let hierarchies = Hierarchy::all().unwrap_or_default();
    let entries = hierarchies
        .iter()
        .flat_map(|hierarchy| fs::read_dir(&hierarchy.folder));
    let groups = entries.flatten().flatten().filter(|entry| {
        let name = entry.file_name();
        name.as_encoded_bytes().starts_with(prefix.as_bytes())
    });
    groups.map(|entry| entry.path()).collect()
}

impl Hierarchy {
    fn all() -> anyhow::Result<Vec<Self>> {
        Ok(Self::of_mounts(&fs::read_to_string(
            "/proc/self/mountinfo",
        )?))
    }

    /// Reads the kernel's list of mounts: `ID PARENT DEVICE ROOT FOLDER OPTIONS... - TYPE SOURCE
    /// OPTIONS`.
    fn of_mounts(mounts: &str) -> Vec<Self> {
        let hierarchies = mounts.lines().filter_map(|line| {
            let (mount, file_system) = line.split_once(" - ")?;
            let version = match file_system.split(' ').next()? {
                "cgroup" => Version::V1,
                "cgroup2" => Version::V2,
                _ => return None,
            };
            let mut fields = mount.split(' ').skip(4);
            let (folder, options) = (fields.next()?.into(), fields.next()?);
            Some(Self {
                folder,
                read_only: options.split(',').any(|option| option == "ro"),
                version,
            })
        });
        hierarchies.collect()
    }

    fn create(&self, parent: &Path, group: &Path) -> io::Result<()> {
        match self.version {
            Version::V1 => {
                fs::create_dir(group)?;
                // A new group may use no processor and no memory until it is told which.
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    let new = group.join(file);
                    if new.exists() {
                        fs::write(new, fs::read(parent.join(file))?)?;
                    }
                }
            }
            Version::V2 => {
                let controllers = fs::read_to_string(parent.join("cgroup.controllers"))?;
                for controller in controllers.split_whitespace() {
                    let enabled = format!("+{controller}");
                    // One that the kernel keeps to the root is refused; the kubelet names those
                    // that it misses.
                    let _ = fs::write(parent.join("cgroup.subtree_control"), enabled);
                }
                fs::create_dir(group)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounted_hierarchies_are_found() {
        let mounts = "\
            22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
            31 30 0:26 / /sys/fs/cgroup/pids rw shared:9 - cgroup cgroup rw,pids\n\
            40 30 0:35 / /sys/fs/cgroup/unified ro,nosuid - cgroup2 cgroup2 rw\n\
            nonsense\n";
        let found = Hierarchy::of_mounts(mounts);
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.folder.to_str().unwrap(), one.read_only, one.version))
            .collect();
        assert_eq!(
            found,
            [
                ("/sys/fs/cgroup/pids", false, Version::V1),
                ("/sys/fs/cgroup/unified", true, Version::V2),
            ]
        );
    }
}
