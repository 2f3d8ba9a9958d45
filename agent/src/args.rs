//! What was typed on the command line, and the configuration that comes of it. Reads the
//! environment through clap, does no other I/O.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use podfence_daemon::process::LogFormat;

/// Where a pod finds the authority of its cluster.
const AUTHORITY: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
/// Where a pod finds its token.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Looks at the node that it runs on and keeps the report of it.
///
/// It looks at nothing that it is not told to, and needs no right for what it does not look at:
/// docs/agent.md says which function needs what. The cluster is found as kubectl finds it.
#[derive(Debug, Parser)]
#[command(name = "podfence-agent", version)]
pub struct Args {
    /// Name of the Node that it runs on
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    node_name: String,

    #[command(flatten)]
    functions: Functions,

    #[command(flatten)]
    places: Places,

    /// Records of system calls that are written in a minute at most, once eight were written at once.
    /// What waits is merged
    #[arg(long, value_name = "NUMBER", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=600))]
    records_per_minute: u32,

    /// The authority that signed the kubelet's certificate. The token is sent to nobody else
    #[arg(long, value_name = "FILE", default_value = AUTHORITY)]
    kubelet_authority: PathBuf,

    /// The token that is shown to the kubelet
    #[arg(long, value_name = "FILE", default_value = TOKEN)]
    kubelet_token: PathBuf,

    /// Address of the kubelet; without it, the internal one that the Node says
    #[arg(long, value_name = "ADDRESS")]
    kubelet_address: Option<IpAddr>,

    /// Port of the kubelet; without it, the one that the Node says
    #[arg(long, value_name = "PORT")]
    kubelet_port: Option<u16>,

    /// Where to serve /healthz (the loop turns) and /readyz (what was seen last is written)
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8081")]
    health_address: SocketAddr,

    /// What to log: a level, or levels by module, such as `info,podfence_agent=debug`
    ///
    /// kube's own log is off: what it says there, the agent says once more and in fewer words.
    #[arg(
        long,
        value_name = "FILTER",
        env = "RUST_LOG",
        default_value = "info,kube_client=off,kube_runtime=off"
    )]
    log_filter: String,

    /// How to write the log
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    log_format: LogFormat,
}

/// What the agent looks at.
#[allow(clippy::struct_excessive_bools)] // Each is a flag of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
pub struct Functions {
    /// Ask the kubelet for its seccompDefault
    #[arg(long)]
    pub kubelet: bool,

    /// Compare the RuntimeDefault of running containers with what is known of the runtime's release
    #[arg(long)]
    pub runtime: bool,

    /// Find running containers that are older than the last change of seccompDefault
    #[arg(long)]
    pub containers: bool,

    /// Say the kernel's version and what its filters can do
    #[arg(long)]
    pub kernel: bool,

    /// Say whether AppArmor is enabled
    #[arg(long)]
    pub apparmor: bool,

    /// List the seccomp profiles that workloads can choose by Localhost
    #[arg(long)]
    pub seccomp_profiles: bool,

    /// Observe the system calls of containers
    #[arg(long)]
    pub system_calls: bool,
}

impl Functions {
    /// Whether any of them needs the node's pods.
    #[must_use]
    pub const fn need_pods(self) -> bool {
        // The kubelet's setting shows in containers where the kubelet does not answer.
        self.kubelet || self.runtime || self.containers || self.system_calls
    }

    fn any(self) -> bool {
        self != Self::default()
    }
}

/// Where the agent looks.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Places {
    /// Where containerd has the bundles of containers: a folder each, with its config.json
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
    )]
    pub containerd_bundles: PathBuf,

    /// Where CRI-O has them: a folder each, with userdata/config.json
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "/run/containers/storage/overlay-containers"
    )]
    pub cri_o_bundles: PathBuf,

    /// The kubelet's folder seccomp, at the path that it has on the node, so that links in it lead
    /// where they lead there
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "/var/lib/kubelet/seccomp"
    )]
    pub seccomp_folder: PathBuf,

    /// Where the kernel says what it is
    #[arg(long, value_name = "FOLDER", default_value = "/proc")]
    pub proc: PathBuf,

    /// Where the kernel says which modules it has
    #[arg(long, value_name = "FOLDER", default_value = "/sys")]
    pub sys: PathBuf,
}

/// How the kubelet is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeletAccess {
    /// The authority of its certificate.
    pub authority: PathBuf,
    /// What it is shown.
    pub token: PathBuf,
    /// Its address, in place of the Node's.
    pub address: Option<IpAddr>,
    /// Its port, in place of the Node's.
    pub port: Option<u16>,
}

/// Everything that the agent needs to run, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The Node's name.
    pub node_name: String,
    /// What to look at.
    pub functions: Functions,
    /// Where to look.
    pub places: Places,
    /// How soon after one record of system calls another one may be written, in the long run.
    pub record_pace: Duration,
    /// How to ask the kubelet.
    pub kubelet: KubeletAccess,
    /// Where `/healthz` and `/readyz` are served.
    pub health_address: SocketAddr,
    /// Filter of the log, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log_filter: String,
    /// Form of the log.
    pub log_format: LogFormat,
}

/// Why the arguments do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// Names of Kubernetes are never empty.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// An agent that looks at nothing has nothing to do.
    #[error(
        "nothing to look at: give at least one of --kubelet, --runtime, --containers, --kernel, \
         --apparmor, --seccomp-profiles and --system-calls"
    )]
    NoFunction,
}

impl Args {
    /// Checks what clap cannot check.
    ///
    /// # Errors
    /// When there is nothing to look at, or nobody to say it of.
    pub fn resolve(self) -> Result<Config, ArgsError> {
        let Self {
            node_name,
            functions,
            places,
            records_per_minute,
            kubelet_authority,
            kubelet_token,
            kubelet_address,
            kubelet_port,
            health_address,
            log_filter,
            log_format,
        } = self;
        if node_name.is_empty() {
            return Err(ArgsError::Empty("--node-name"));
        }
        if !functions.any() {
            return Err(ArgsError::NoFunction);
        }
        Ok(Config {
            node_name,
            functions,
            places,
            record_pace: Duration::from_secs(60) / records_per_minute,
            kubelet: KubeletAccess {
                authority: kubelet_authority,
                token: kubelet_token,
                address: kubelet_address,
                port: kubelet_port,
            },
            health_address,
            log_filter,
            log_format,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Args, ArgsError, Functions};

    fn resolve(arguments: &[&str]) -> Result<super::Config, ArgsError> {
        let program = ["podfence-agent"];
        Args::try_parse_from(program.iter().chain(arguments))
            .expect("parses")
            .resolve()
    }

    #[test]
    fn every_flag_explains_itself() {
        let command = Args::command();
        command.clone().debug_assert();
        for argument in command.get_arguments() {
            let help = argument
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.len() > 10, "{} has no help", argument.get_id());
        }
    }

    #[test]
    fn an_agent_without_a_node_or_a_function_is_refused() {
        assert!(Args::try_parse_from(["x", "--kubelet-port=70000"]).is_err());
        for (name, arguments, want) in [
            (
                "no name",
                &["--node-name=", "--kernel"][..],
                ArgsError::Empty("--node-name"),
            ),
            ("no function", &["--node-name=a"], ArgsError::NoFunction),
        ] {
            assert_eq!(resolve(arguments).expect_err(name), want, "{name}");
        }
    }

    #[test]
    fn each_function_is_switched_on_by_itself() {
        let off = Functions::default();
        #[rustfmt::skip]
        let flags = [
            ("--kubelet", Functions { kubelet: true, ..off }, true),
            ("--runtime", Functions { runtime: true, ..off }, true),
            ("--containers", Functions { containers: true, ..off }, true),
            ("--kernel", Functions { kernel: true, ..off }, false),
            ("--apparmor", Functions { apparmor: true, ..off }, false),
            ("--seccomp-profiles", Functions { seccomp_profiles: true, ..off }, false),
            ("--system-calls", Functions { system_calls: true, ..off }, true),
        ];
        for (flag, want, pods) in flags {
            let config = resolve(&["--node-name=a", flag]).expect(flag);
            assert_eq!(config.functions, want, "{flag}");
            assert_eq!(config.functions.need_pods(), pods, "{flag}");
        }
    }
}
