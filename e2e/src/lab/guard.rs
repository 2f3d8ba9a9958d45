//! Ends all processes of a node, whatever ends this process. Starts a process of its own.
//!
//! A node's containers and their shims are not this process's children: containerd detaches them,
//! so no parent-death signal reaches them. What they cannot leave is their control group. A shell
//! script of its own process group holds the reading end of a pipe and waits for its end; the
//! kernel closes the writing end when this process drops it, panics or is killed. The script then
//! kills everything in the node's control groups. Mounts, network namespaces and their interfaces
//! live in a mount namespace that goes with the last of these processes.

use std::{
    collections::BTreeMap,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, ensure};

const SCRIPT: &str = include_str!("guard.sh");

/// Those that still wait; a signal that ends this process runs no destructors.
static WAITING: Mutex<BTreeMap<u64, Child>> = Mutex::new(BTreeMap::new());

/// The guard of some control groups; they are emptied and removed when this value is dropped.
#[derive(Debug)]
pub(super) struct Guard {
    number: u64,
}

impl Guard {
    /// Starts to guard control groups, which need not exist yet.
    pub(super) fn start(groups: &[PathBuf]) -> anyhow::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "guard"])
            .args(groups)
            // No other child inherits the pipe's writing end, which would keep it open.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .context("failed to start the guard of a node")?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        waiting(|guards| guards.insert(number, child));
        Ok(Self { number })
    }

    /// Kills all that is guarded, and returns when it is gone: fractions of a second. It blocks.
    ///
    /// # Errors
    ///
    /// When something could not be killed or removed.
    pub(super) fn end(&self) -> anyhow::Result<()> {
        waiting(|guards| guards.remove(&self.number)).map_or(Ok(()), end)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("lab: {error:#}");
        }
    }
}

/// Ends every guard of this process; for the end by a signal.
pub(super) fn end_all() {
    for guard in waiting(std::mem::take).into_values() {
        // Nobody is left to tell, and the next lab tries again.
        let _ = end(guard);
    }
}

fn end(mut guard: Child) -> anyhow::Result<()> {
    drop(guard.stdin.take());
    let status = guard.wait().context("failed to wait for a node's guard")?;
    ensure!(status.success(), "the processes of a node do not end");
    Ok(())
}

fn waiting<T>(change: impl FnOnce(&mut BTreeMap<u64, Child>) -> T) -> T {
    change(&mut WAITING.lock().unwrap_or_else(PoisonError::into_inner))
}
