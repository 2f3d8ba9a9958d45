//! Where one node lives: its folders, its mount namespace, its control group. Does file I/O.
//!
//! A node believes that it has a machine of its own: its programs run in a mount namespace in which
//! `/run`, `/var/lib` and `/var/log` are folders of the lab, so everything there has the path that
//! it has on any node, and nothing of it on this machine. The kernel's settings stay as they are
//! too. Processes, users and the network are the
//! machine's own, so what the kernel tells about a process of a node is true outside it too.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{cgroup::ControlGroup, folder::Folder, guard::Guard, process::Program};

/// What a node has of its own.
const OWN: [&str; 3] = ["run", "var/lib", "var/log"];

/// What the kubelet and the network plugin would set in the kernel, for good and for everybody: to
/// them it reads as set already. No pod here needs any of it.
const SETTINGS: [(&str, &str); 7] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
    ("net/ipv4/ip_forward", "1"),
];

const BLINDFOLD_NAME: &str = "blindfold";

/// Joins control groups, given before `--`, and becomes the program after it.
const JOIN: &str = r#"
while [ "$1" != -- ]; do echo $$ >"$1"; shift; done
shift
exec "$@"
"#;
/// Covers what a node has of its own before that. Its mounts must not show on the machine, but the
/// machine's must go on it, so the namespace is a slave first and shares with its own pods then.
const COVER: &str = r#"
mount --make-rshared /
root=$1
shift
for own in run var/lib var/log; do mount --bind "$root/$own" "/$own"; done
"#;
/// Becomes a program that sees the settings as set. In a mount namespace of its own, for in that of
/// the containers a `/proc` that is covered anywhere would forbid them user namespaces; all other
/// mounts go both ways.
const BLINDFOLD: &str = r#"#!/bin/sh -eu
[ "${1-}" = --apart ] || exec unshare --mount --propagation unchanged -- "$0" --apart "$@"
shift
mount --make-rprivate /proc
cd "$(dirname "$0")"
find proc/sys -type f | while read -r setting; do mount --bind "$setting" "/$setting"; done
cd /
exec "$@"
"#;

/// The place of one node.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    group: ControlGroup,
    guard: Guard,
}

impl Place {
    /// Makes the folders and the control group of the node `name` of the lab in `folder`.
    pub(super) fn create(folder: &Folder, name: &str) -> anyhow::Result<Self> {
        let root = folder.data().join("nodes").join(name);
        for own in OWN {
            fs::create_dir_all(root.join(own))?;
        }
        for (setting, value) in SETTINGS {
            let (real, own) = (Path::new("/proc/sys").join(setting), root.join("proc/sys"));
            let own = own.join(setting);
            // A kernel without keys has no setting for them.
            if real.exists() {
                fs::create_dir_all(own.parent().unwrap_or(&root))?;
                fs::write(own, format!("{value}\n"))?;
            }
        }
        let blindfold = root.join(BLINDFOLD_NAME);
        fs::write(&blindfold, BLINDFOLD)?;
        fs::set_permissions(&blindfold, Permissions::from_mode(0o755))?;
        let group = ControlGroup::named(format!("{}{name}", folder.control_group_prefix()))?;
        // First, so that a group that is made in half is removed.
        let guard = Guard::start(&group.folders())?;
        group.create()?;
        Ok(Self { root, group, guard })
    }

    /// The folder of the node.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn group(&self) -> &ControlGroup {
        &self.group
    }

    /// Where a file of the node's `/run`, `/var/lib` or `/var/log` is on this machine.
    pub(super) fn outside(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// The program that runs another one, given with its arguments, without a way to the kernel's
    /// settings.
    pub(super) fn blindfold(&self) -> PathBuf {
        self.root.join(BLINDFOLD_NAME)
    }

    /// A program that begins the node's mount namespace.
    pub(super) fn first_program(&self, name: &str, program: &Path) -> Program {
        Program::new(name, "unshare")
            .arguments(["--mount", "--propagation", "slave", "--", "sh", "-euc"])
            .argument(format!("{COVER}{JOIN}"))
            .arguments([OsString::from("node"), self.root.clone().into()])
            .arguments(self.joined(program))
    }

    /// A program in the mount namespace of a process of the node, blindfolded.
    pub(super) fn program(&self, name: &str, program: &Path, process: u32) -> Program {
        Program::new(name, "nsenter")
            .arguments(["--mount".to_owned(), format!("--target={process}")])
            .arguments(["--", "sh", "-euc", JOIN, "node"])
            .arguments(self.joined(&self.blindfold()))
            .argument(program)
    }

    fn joined(&self, program: &Path) -> Vec<OsString> {
        let groups = self.group.system_processes().into_iter();
        let mut arguments: Vec<OsString> = groups.map(OsString::from).collect();
        arguments.extend([OsString::from("--"), program.into()]);
        arguments
    }

    /// Ends every process of the node; its mounts and network namespaces go with them.
    ///
    /// # Errors
    ///
    /// When one does not end.
    pub(super) fn clear(&self) -> anyhow::Result<()> {
        self.guard.end()
    }
}
