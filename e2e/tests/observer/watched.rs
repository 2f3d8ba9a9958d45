//! Programs that are watched: each in a mount namespace of its own, as containers are. Starts
//! processes, asks the kernel.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use podfence_agent::observe::{
    clock::Clock,
    kernel::Kernel,
    sight::{SeenCall, Sight, Space},
    tables::Tables,
};
use podfence_e2e::{
    eventually,
    harness::{Stage, skipped},
    lab::compile_program,
};
use podfence_seccomp::{Architecture, Profile, Sieve};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
    time::sleep,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Often, so that what is read while it changes is read here.
const INTERVAL: Duration = Duration::from_millis(20);

/// An observer at work, and everything that it has seen.
pub(crate) struct Watched {
    folder: TempDir,
    program: PathBuf,
    sights: Arc<Mutex<Vec<Sight>>>,
    looking: JoinHandle<anyhow::Result<()>>,
}

/// What was seen of a program and of those that it executed in spaces of their own.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) calls: Vec<SeenCall>,
    pub(crate) space: Option<Space>,
    pub(crate) lost: u64,
    /// How many of its spaces are blind.
    pub(crate) blind: usize,
}

/// A program that runs.
pub(crate) struct Process {
    name: String,
    child: Child,
}

/// Ends a story where programs cannot be loaded into the kernel.
pub(crate) fn needs_root() -> anyhow::Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(skipped("only root may load programs into the kernel"))
}

/// Programs of the observer's, at work.
pub(crate) fn kernel() -> anyhow::Result<Kernel> {
    let profile: Profile = "containerd/2.3.7".parse()?;
    let sieve = Sieve::of(&profile.rules, Architecture::Amd64, "6.18".parse()?)?;
    let (kernel, _) = Kernel::start(Tables::of(&sieve)?, Clock::now())?;
    Ok(kernel)
}

impl Stage for Watched {
    async fn build() -> anyhow::Result<Self> {
        needs_root()?;
        let folder = tempfile::tempdir()?;
        let program = compile_program("seen", folder.path())?;
        let mut kernel = kernel()?;
        let sights = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&sights);
        let looking = tokio::spawn(async move {
            loop {
                let sight = kernel.look(Clock::now())?;
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(sight);
                sleep(INTERVAL).await;
            }
        });
        Ok(Self {
            folder,
            program,
            sights,
            looking,
        })
    }

    async fn strike(self) -> anyhow::Result<()> {
        self.looking.abort();
        match self.looking.await {
            Ok(ended) => ended.context("the observer ended"),
            Err(error) if error.is_cancelled() => Ok(()),
            Err(error) => bail!(error),
        }
    }
}

impl Watched {
    /// Starts a program of one manner, under a name of its own.
    pub(crate) fn start(&self, manner: &str) -> anyhow::Result<Process> {
        let number = fs::read_dir(self.folder.path())?.count();
        let name = format!("{manner}-{number}");
        let copy = self.folder.path().join(&name);
        fs::copy(&self.program, &copy)?;
        let child = Command::new("unshare")
            .args(["--mount", "--"])
            .args([copy.as_os_str(), manner.as_ref()])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Process { name, child })
    }

    /// Runs a program of one manner to its end, and says what was seen of it.
    pub(crate) async fn run(&self, manner: &str) -> anyhow::Result<Program> {
        let mut process = self.start(manner)?;
        let status = process.child.wait().await?;
        ensure!(status.success(), "{manner}: {status}");
        let looked = self.looks();
        // One look may have been under way.
        eventually(PATIENCE, async || {
            ensure!(self.looks() > looked + 1, "{}", self.outcome());
            Ok(())
        })
        .await?;
        Ok(self.program(&process.name))
    }

    /// Runs one more program in the space of another one, as an administrator does who looks into a
    /// container.
    pub(crate) async fn run_within(&self, process: &Process) -> anyhow::Result<()> {
        let id = process.child.id().context("it has ended")?.to_string();
        let program = self.folder.path().join(&process.name);
        let status = Command::new("nsenter")
            .args(["--mount", "--target", &id, "--"])
            .args([program.as_os_str(), "refused".as_ref()])
            .status()
            .await?;
        ensure!(status.success(), "{status}");
        Ok(())
    }

    /// Waits until so much was seen of a program.
    pub(crate) async fn sees(
        &self,
        process: &Process,
        is_so: impl Fn(&Program) -> bool,
    ) -> anyhow::Result<Program> {
        eventually(PATIENCE, async || {
            let program = self.program(&process.name);
            ensure!(is_so(&program), "{program:?} {}", self.outcome());
            Ok(program)
        })
        .await
    }

    fn looks(&self) -> usize {
        let sights = self.sights.lock();
        sights.unwrap_or_else(PoisonError::into_inner).len()
    }

    fn outcome(&self) -> &'static str {
        if self.looking.is_finished() {
            "the observer has ended"
        } else {
            "the observer goes on"
        }
    }

    fn program(&self, name: &str) -> Program {
        let sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = sights.iter().flat_map(|sight| &sight.calls);
        let is_own = |call: &&SeenCall| {
            let file = call.executable.rsplit('/').next();
            file.is_some_and(|file| file == name || file.strip_prefix("memfd:") == Some(name))
        };
        let calls = merged(calls.filter(is_own));
        // What it has begun, of those that are new with each look.
        let ids: Vec<_> = calls.iter().map(|call| call.space).collect();
        let mut spaces = sights.iter().flat_map(|sight| &sight.spaces);
        let own = |space: &&Space| ids.contains(&space.id);
        let blind = spaces.clone().filter(own).filter(|space| space.blind);
        let blind: HashSet<_> = blind.map(|space| space.id).collect();
        Program {
            name: name.to_owned(),
            blind: blind.len(),
            lost: spaces.clone().filter(own).map(|space| space.lost).sum(),
            space: spaces.rfind(own).cloned(),
            calls,
        }
    }
}

/// What several looks say of the same calls, as one.
fn merged<'a>(calls: impl Iterator<Item = &'a SeenCall>) -> Vec<SeenCall> {
    let mut merged = HashMap::<_, SeenCall>::new();
    for call in calls {
        let SeenCall {
            space,
            abi,
            number,
            arguments,
            fate,
            executable,
            ..
        } = call;
        let same = (*space, *abi, *number, arguments, *fate, executable);
        merged
            .entry(same)
            .and_modify(|known| known.count += call.count)
            .or_insert_with(|| call.clone());
    }
    merged.into_values().collect()
}

impl Process {
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}
