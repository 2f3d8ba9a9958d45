//! The programs that are measured, on the kernel's tracepoints and off them. Does I/O.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use aya::programs::Program;
use aya::programs::raw_trace_point::RawTracePointLinkId;
use aya::programs::tp_btf::BtfTracePointLinkId;
use aya::{Btf, Ebpf, EbpfLoader};
use podfence_agent::observe::clock::Clock;
use podfence_agent::observe::kernel::Kernel;
use podfence_agent::observe::tables::Tables;
use podfence_e2e::lab::compile_program;
use podfence_seccomp::{Architecture, Profile, Sieve};
use tempfile::TempDir;

/// The newest containerd's, whose profile is what the observer goes by on most nodes.
const PROFILE: &str = "containerd/2.3.7";
/// The program that makes calls.
const CALLS: &str = "observed_calls";

/// What is on the tracepoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Programs {
    /// Nothing.
    Nothing,
    /// A program that does nothing on each.
    Empty,
    /// One that does nothing where calls go in.
    EmptyEnter,
    /// The observer.
    Observer,
    /// The observer without what looks at calls that come back.
    ObserverEnter,
    /// Another version of the observer's programs.
    Other,
}

impl Programs {
    /// As people are told.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Empty => "empty",
            Self::EmptyEnter => "empty, enter only",
            Self::Observer => "observer",
            Self::ObserverEnter => "observer, enter only",
            Self::Other => "other observer",
        }
    }
}

/// Programs on the tracepoints, until it is dropped.
pub(crate) enum Attached {
    /// None.
    Nothing,
    /// Some that nobody asks anything.
    Mute(Mute),
    /// The observer.
    Observer(Box<Kernel>),
}

/// Programs that nobody asks anything, and the tracepoints that they are on.
pub(crate) struct Mute {
    ebpf: Box<Ebpf>,
    tracepoints: Vec<&'static str>,
    links: Vec<Link>,
}

/// With the types of what a tracepoint says, or without.
enum Link {
    Untyped(RawTracePointLinkId),
    Typed(BtfTracePointLinkId),
}

impl Mute {
    fn program(&mut self, tracepoint: &str) -> Result<&mut Program> {
        let name = match tracepoint {
            "sys_enter" => "enter",
            _ => "leave",
        };
        let program = self.ebpf.program_mut(name);
        program.context("the program is missing")
    }

    fn load(&mut self, types: &Btf) -> Result<()> {
        for tracepoint in self.tracepoints.clone() {
            match self.program(tracepoint)? {
                Program::RawTracePoint(program) => program.load()?,
                Program::BtfTracePoint(program) => program.load(tracepoint, types)?,
                other => bail!(
                    "{tracepoint} has no program of the kind {:?}",
                    other.prog_type()
                ),
            }
        }
        Ok(())
    }

    fn attach(&mut self) -> Result<()> {
        for tracepoint in self.tracepoints.clone() {
            let link = match self.program(tracepoint)? {
                Program::RawTracePoint(program) => Link::Untyped(program.attach(tracepoint)?),
                Program::BtfTracePoint(program) => Link::Typed(program.attach()?),
                other => bail!(
                    "{tracepoint} has no program of the kind {:?}",
                    other.prog_type()
                ),
            };
            self.links.push(link);
        }
        Ok(())
    }

    fn detach(&mut self) -> Result<()> {
        for tracepoint in self.tracepoints.clone().into_iter().rev() {
            let link = self.links.pop().context("it is not attached")?;
            match (self.program(tracepoint)?, link) {
                (Program::RawTracePoint(program), Link::Untyped(link)) => program.detach(link)?,
                (Program::BtfTracePoint(program), Link::Typed(link)) => program.detach(link)?,
                _ => bail!("{tracepoint} has another program than was attached"),
            }
        }
        Ok(())
    }
}

impl Attached {
    /// Takes them off the tracepoints, and keeps them ready.
    pub(crate) fn rest(&mut self) -> Result<()> {
        match self {
            Self::Nothing => {}
            Self::Mute(mute) => mute.detach()?,
            Self::Observer(kernel) => {
                kernel.follow_entries(false)?;
                kernel.follow_returns(false)?;
            }
        }
        Ok(())
    }

    /// Puts both programs on the tracepoints again.
    pub(crate) fn resume(&mut self) -> Result<()> {
        match self {
            Self::Nothing => {}
            Self::Mute(mute) => mute.attach()?,
            Self::Observer(kernel) => {
                kernel.follow_returns(true)?;
                kernel.follow_entries(true)?;
            }
        }
        Ok(())
    }

    /// Does what the agent does once a second.
    pub(crate) fn look(&mut self) -> Result<()> {
        if let Self::Observer(kernel) = self {
            kernel.look(Clock::now())?;
        }
        Ok(())
    }
}

/// What is needed to attach them, and the program that makes calls.
pub(crate) struct Workshop {
    folder: TempDir,
    empty: PathBuf,
    other: Option<PathBuf>,
    tables: Tables,
}

impl Workshop {
    /// Compiles what there is to compile.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // Services without rights have their files in it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        compile_program(CALLS, folder.path())?;
        Ok(Self {
            empty: compile_empty(folder.path())?,
            folder,
            other: std::env::var_os("PODFENCE_BENCH_OBSERVER").map(PathBuf::from),
            tables: tables()?,
        })
    }

    /// A folder that is removed in the end.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether there is another version.
    pub(crate) fn has_other(&self) -> bool {
        self.other.is_some()
    }

    /// The program that makes calls, as a program of this mount namespace.
    pub(crate) fn calls(&self) -> Command {
        let mut command = Command::new(self.folder().join(CALLS));
        command.stdin(Stdio::null());
        command
    }

    /// The program that makes calls, as the program of a container.
    pub(crate) fn contained_calls(&self) -> Command {
        let mut command = contained();
        command.arg(self.folder().join(CALLS));
        command
    }

    /// Puts programs on the tracepoints. The observer ignores the mount namespace of this process, as
    /// the agent does.
    pub(crate) fn attach(&self, programs: Programs) -> Result<Attached> {
        Ok(match programs {
            Programs::Nothing => Attached::Nothing,
            Programs::Empty => self.mute(&self.empty, &["sys_exit", "sys_enter"])?,
            Programs::EmptyEnter => self.mute(&self.empty, &["sys_enter"])?,
            Programs::Other => {
                let other = self.other.as_deref().context("there is no other")?;
                self.mute(other, &["sys_exit", "sys_enter"])?
            }
            Programs::Observer | Programs::ObserverEnter => {
                let mut kernel = self.observer()?;
                self.ignore_host(&mut kernel)?;
                kernel.follow_returns(programs == Programs::Observer)?;
                Attached::Observer(Box::new(kernel))
            }
        })
    }

    /// The observer as it begins.
    pub(crate) fn observer(&self) -> Result<Kernel> {
        Ok(Kernel::start(self.tables.clone(), Clock::now())?.0)
    }

    /// Looks which space a program of this mount namespace is in, and ignores it.
    pub(crate) fn ignore_host(&self, kernel: &mut Kernel) -> Result<()> {
        let status = self.calls().arg("leave").stdout(Stdio::null()).status()?;
        ensure!(status.success(), "{CALLS} failed: {status}");
        let own = self.folder().join(CALLS);
        let sight = kernel.look(Clock::now())?;
        let mut calls = sight.calls.iter();
        let own = calls.find(|call| Path::new(&*call.executable) == own);
        let space = own
            .context("the observer does not see this mount namespace")?
            .space;
        Ok(kernel.ignore(space)?)
    }

    fn mute(&self, object: &Path, tracepoints: &[&'static str]) -> Result<Attached> {
        let types = Btf::from_sys_fs()?;
        let object = fs::read(object)?;
        let began = u64::try_from(Clock::now().since_boot.as_nanos())?;
        let ebpf = EbpfLoader::new()
            .btf(Some(&types))
            .override_global("tables", self.tables.bytes(), false)
            .override_global("began", &began, false)
            .load(&object)?;
        let mut mute = Mute {
            ebpf: Box::new(ebpf),
            tracepoints: tracepoints.to_vec(),
            links: Vec::new(),
        };
        mute.load(&types)?;
        mute.attach()?;
        Ok(Attached::Mute(mute))
    }
}

/// A command that runs what follows as the runtime runs a container's program: executed from a mount
/// namespace of its own. It ends with this thread, whatever becomes of it.
pub(crate) fn contained() -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "setpriv", "--pdeathsig", "KILL"])
        .stdin(Stdio::null());
    command
}

/// What the observer on this node goes by.
pub(crate) fn tables() -> Result<Tables> {
    let profile: Profile = PROFILE.parse()?;
    let architecture = match std::env::consts::ARCH {
        "x86_64" => Architecture::Amd64,
        "aarch64" => Architecture::Arm64,
        other => bail!("the observer is not written for {other}"),
    };
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let sieve = Sieve::of(&profile.rules, architecture, release.trim().parse()?)?;
    Ok(Tables::of(&sieve)?)
}

fn compile_empty(folder: &Path) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/empty_tracepoints.c");
    let object = folder.join("empty_tracepoints.o");
    // As the agent's build script does.
    let clang = std::env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let status = Command::new(&clang)
        .args(["-target", "bpf", "-mcpu=v2", "-O2", "-g", "-c"])
        .args(["-Wall", "-Wextra", "-Werror", "-o"])
        .args([&object, &source])
        .status()
        .with_context(|| format!("failed to run {}", clang.display()))?;
    ensure!(status.success(), "clang failed: {status}");
    Ok(object)
}
