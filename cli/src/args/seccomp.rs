//! What is typed behind `seccomp`, `render` and `completions`. No I/O.

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;
use podfence_seccomp::syscalls::{self, Libseccomp};
use podfence_seccomp::{
    Abi, Architecture, Container, Edit, InvalidEdit, KernelVersion, Loader, OciRuntime, Profile,
    RefusedCapability, Runtime,
};
use podfence_workload::{CapabilityMask, CapabilitySet};

use crate::nearest::nearest;

/// What RuntimeDefault does with system calls: ask about one, or compare two runtimes.
#[derive(Debug, Subcommand)]
pub(crate) enum SeccompCommand {
    Explain(ExplainArguments),
    Compare(CompareArguments),
}

/// Write files for nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum RenderCommand {
    SeccompProfile(SeccompProfileArguments),
}

/// Say what RuntimeDefault does with one system call, and which rule decides.
///
/// The answer is that of the filter which runc or crun makes of the profile for such a container,
/// not only of the profile's text. Where it depends on arguments that are not given, every class of
/// them is listed.
///
/// Exits with 0 when the question was answered, whatever the answer is, and with 2 otherwise.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub(crate) struct ExplainArguments {
    /// The runtime and its version, as the status of a Node says it.
    #[arg(long, value_name = "RUNTIME/VERSION", value_parser = profile)]
    pub(crate) profile: Profile,

    /// The system call.
    #[arg(long, value_name = "NAME")]
    pub(crate) syscall: String,

    /// The set of system calls of the program: x86 for a program of 32 bits on an amd64 node, for
    /// example. [default: the node's own]
    #[arg(long)]
    pub(crate) abi: Option<Abi>,

    /// An argument of the call, counted from 0: a number, or names of flags and constants joined
    /// by |. May be given several times.
    #[arg(long = "arg", value_name = "N=VALUE")]
    pub(crate) arguments: Vec<String>,

    #[command(flatten)]
    pub(crate) container: ContainerArguments,

    /// What to print.
    #[arg(short = 'o', long, value_enum, default_value_t = Form::Text)]
    pub(crate) output: Form,
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  # May a container make a user namespace?
  kubectl podfence seccomp explain --profile containerd/2.3.7 --syscall unshare

  # For which arguments may it make a socket?
  kubectl podfence seccomp explain --profile containerd/2.3.7 --syscall socket

  # With a capability more, and the flags that are passed, for a machine to read
  kubectl podfence seccomp explain --profile cri-o/1.36.0 --capabilities +SYS_ADMIN \\
    --syscall clone --arg '0=CLONE_NEWUSER|CLONE_NEWNS' -o json

  # A program of 32 bits, on a node with an old libseccomp
  kubectl podfence seccomp explain --profile containerd/1.7.24 --abi x86 \\
    --libseccomp 2.5.4 --syscall clock_gettime64";

/// Say what changes for a container between two runtimes.
///
/// Every call of every ABI that a container's filter is made for is asked about, with every class
/// of arguments that either filter tells apart. What a container adds and drops applies to what
/// each runtime gives by default.
///
/// Exits with 0 when nothing changes, with 1 when something does, and with 2 on errors, as diff.
#[derive(Debug, Args)]
#[command(after_help = COMPARE_EXAMPLES)]
pub(crate) struct CompareArguments {
    /// The runtime and its version before.
    #[arg(value_name = "BEFORE", value_parser = profile)]
    pub(crate) before: Profile,

    /// The runtime and its version after.
    #[arg(value_name = "AFTER", value_parser = profile)]
    pub(crate) after: Profile,

    /// Only this set of system calls. [default: all that a filter is made for]
    #[arg(long)]
    pub(crate) abi: Option<Abi>,

    #[command(flatten)]
    pub(crate) container: ContainerArguments,

    /// What to print.
    #[arg(short = 'o', long, value_enum, default_value_t = Form::Text)]
    pub(crate) output: Form,
}

const COMPARE_EXAMPLES: &str = "\
Examples:
  # What does an upgrade change for a container that asks for nothing?
  kubectl podfence seccomp compare containerd/1.7.28 containerd/2.3.7

  # A move to another runtime, for a container that drops everything, for a machine to read
  kubectl podfence seccomp compare containerd/2.3.7 cri-o/1.36.0 --capabilities -ALL \\
    -o json";

/// Write RuntimeDefault as a Localhost profile, with single calls allowed or denied.
///
/// The file is flat: it has the rules of a container with these capabilities on such a node, as
/// containerd loads them. It is written only when the filter that comes of it does what was asked
/// for with each call that is named, and with every other call what RuntimeDefault does. Denying
/// wins over allowing; what is denied gets what calls get that no rule names.
///
/// Exits with 0 when the profile was written, and with 2 otherwise.
#[derive(Debug, Args)]
#[command(after_help = RENDER_EXAMPLES)]
pub(crate) struct SeccompProfileArguments {
    /// The runtime and its version, as the status of a Node says it.
    #[arg(long, value_name = "RUNTIME/VERSION", value_parser = profile)]
    pub(crate) profile: Profile,

    /// A call to allow, for all arguments or for some. May be given several times.
    #[arg(long, value_name = "CALL[:argN==VALUE,...]", value_parser = allow)]
    pub(crate) allow: Vec<Edit>,

    /// A call to deny, for all arguments or for some. May be given several times.
    #[arg(long, value_name = "CALL[:argN==VALUE,...]", value_parser = deny)]
    pub(crate) deny: Vec<Edit>,

    #[command(flatten)]
    pub(crate) container: ContainerArguments,
}

const RENDER_EXAMPLES: &str = "\
Examples:
  # RuntimeDefault, and user namespaces
  kubectl podfence render seccomp-profile --profile containerd/2.3.7 \\
    --allow 'unshare:arg0==CLONE_NEWUSER' \\
    --allow 'clone:arg0&CLONE_NEWUSER==CLONE_NEWUSER'

  # For a container without capabilities on arm64, with io_uring and without raw sockets
  kubectl podfence render seccomp-profile --profile containerd/2.3.7 --arch arm64 \\
    --capabilities -ALL --allow io_uring_setup --allow io_uring_enter \\
    --allow io_uring_register --deny socket:arg0==AF_PACKET";

/// Print a script that completes this command in a shell.
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct CompletionsArguments {
    /// The shell that is to complete what is typed.
    #[arg(value_name = "SHELL", value_parser = clap::builder::EnumValueParser::<KnownShell>::new())]
    pub(crate) shell: KnownShell,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  # Complete kubectl-podfence in this bash
  source <(kubectl podfence completions bash)

  # In every fish
  kubectl podfence completions fish > ~/.config/fish/completions/kubectl-podfence.fish";

/// A shell with completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KnownShell {
    Bash,
    Zsh,
    Fish,
}

impl From<KnownShell> for Shell {
    fn from(shell: KnownShell) -> Self {
        match shell {
            KnownShell::Bash => Self::Bash,
            KnownShell::Zsh => Self::Zsh,
            KnownShell::Fish => Self::Fish,
        }
    }
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// The container that a filter is for, and who loads it.
#[derive(Debug, Args)]
pub(crate) struct ContainerArguments {
    /// The node's architecture, as GOARCH names it.
    #[arg(long, default_value = "amd64")]
    arch: Architecture,

    /// What the container adds to the runtime's default capabilities and drops from them, as
    /// Kubernetes writes it; ALL stands for every capability.
    #[arg(
        long,
        value_name = "+X,-Y",
        value_parser = capability_change,
        allow_hyphen_values = true,
        hide_default_value = true,
        default_value = ""
    )]
    capabilities: CapabilityChange,

    /// The node's kernel.
    #[arg(long, value_name = "VERSION", default_value = "6.18")]
    kernel: KernelVersion,

    /// The program that runs containers.
    #[arg(long, value_enum, default_value_t = Runner::Runc)]
    runtime: Runner,

    /// The libseccomp that it is linked with: it leaves out rules for calls that it does not know.
    #[arg(long, value_name = "VERSION", default_value_t = Libseccomp::NEWEST)]
    libseccomp: Libseccomp,
}

/// What runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Runner {
    Runc,
    Crun,
}

/// Capabilities to add and to drop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CapabilityChange {
    add: Vec<String>,
    drop: Vec<String>,
}

impl CapabilityChange {
    /// The bounding set under a runtime, whose default capabilities this changes.
    ///
    /// # Errors
    ///
    /// When the runtime refuses the capabilities.
    pub(crate) fn of(&self, runtime: Runtime) -> Result<CapabilityMask, RefusedCapability> {
        let [add, drop] = [&self.add, &self.drop]
            .map(|names| names.iter().map(String::as_str).collect::<CapabilitySet>());
        runtime.bounding_capabilities(&add, &drop)
    }
}

impl ContainerArguments {
    /// The container under a runtime, whose default capabilities it changes.
    ///
    /// # Errors
    ///
    /// When the runtime refuses the capabilities.
    pub(crate) fn container(&self, runtime: Runtime) -> Result<Container, RefusedCapability> {
        Ok(Container {
            architecture: self.arch,
            bounding: self.capabilities.of(runtime)?,
            kernel: self.kernel,
        })
    }

    pub(crate) fn loader(&self) -> Loader {
        Loader {
            runtime: match self.runtime {
                Runner::Runc => OciRuntime::Runc,
                Runner::Crun => OciRuntime::Crun,
            },
            libseccomp: self.libseccomp,
        }
    }
}

pub(super) fn profile(text: &str) -> Result<Profile, String> {
    text.parse::<Profile>().map_err(|error| {
        let mut message = vec![error.to_string()];
        for runtime in Runtime::ALL {
            let mut lines: Vec<&str> = Vec::new();
            for release in Profile::releases(runtime).into_iter().flatten() {
                let line = release.rsplit_once('.').map_or(release, |(line, _)| line);
                if lines.last() != Some(&line) {
                    lines.push(line);
                }
            }
            let known = lines.join(", ");
            message.push(format!("  known of {runtime}: {known}"));
        }
        message.join("\n")
    })
}

pub(super) fn capability_change(text: &str) -> Result<CapabilityChange, String> {
    let mut change = CapabilityChange::default();
    for word in text.split(',').filter(|_| !text.is_empty()) {
        let (list, name) = if let Some(name) = word.strip_prefix('+') {
            (&mut change.add, name)
        } else if let Some(name) = word.strip_prefix('-') {
            (&mut change.drop, name)
        } else {
            return Err(format!(
                "{word:?} is neither added nor dropped: write +{word} or -{word}"
            ));
        };
        let name = name.to_ascii_uppercase();
        let plain = name.strip_prefix("CAP_").unwrap_or(&name);
        if name != "ALL" && CapabilityMask::named(&name).is_none() {
            return Err(if CapabilityMask::named(plain).is_some() {
                format!("write {plain}, as Kubernetes does: containerd ignores {name}")
            } else {
                let known = CapabilityMask::ALL.names();
                format!("Linux has no capability {name:?}{}", nearest(plain, known))
            });
        }
        list.push(name);
    }
    Ok(change)
}

fn allow(text: &str) -> Result<Edit, String> {
    edit(true, text)
}

fn deny(text: &str) -> Result<Edit, String> {
    edit(false, text)
}

fn edit(allow: bool, text: &str) -> Result<Edit, String> {
    Edit::read(allow, text).map_err(|error| match &error {
        InvalidEdit::Call(name) => {
            let names = syscalls::names().iter().copied();
            format!("{error}{}", nearest(name, names))
        }
        _ => error.to_string(),
    })
}
