//! What was typed on the command line, and the configuration that comes of it. Reads the
//! environment through clap, does no other I/O.

use std::net::SocketAddr;

use clap::Parser;
use podfence_crd::GoDuration;
use podfence_daemon::process::LogFormat;

use crate::controller::SeccompSettings;
use crate::lease;

/// Brings every namespace to the Pod Security level that its policy asks for, without breaking what
/// runs, and reports what stands in the way.
///
/// The cluster is found as kubectl finds it: $KUBECONFIG, ~/.kube/config, and inside of a pod the
/// service account.
#[derive(Debug, Parser)]
#[command(name = "podfence-operator", version)]
pub struct Args {
    /// Name of the Lease that the replicas share. Only its holder writes; the others watch and
    /// wait. The shipped Role names this Lease, so another name needs another Role
    #[arg(long, value_name = "NAME", default_value = "podfence-operator")]
    lease_name: String,

    /// Namespace of the Lease. It is also the operator's own namespace, which no policy touches
    #[arg(
        long,
        value_name = "NAMESPACE",
        env = "POD_NAMESPACE",
        default_value = "podfence-system"
    )]
    lease_namespace: String,

    /// Name under which this replica holds the Lease; a random part is added, so that a restarted
    /// replica is not taken for the one before it
    #[arg(
        long,
        value_name = "NAME",
        env = "POD_NAME",
        default_value = "podfence-operator"
    )]
    identity: String,

    /// How long a Lease that nobody renews still belongs to its holder. Whole seconds
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    lease_duration: GoDuration,

    /// How long the holder goes on trying to renew before it stops writing and exits. Shorter than
    /// --lease-duration, so that it is over before somebody else begins
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    lease_renew_deadline: GoDuration,

    /// Pause between two tries to get or to renew the Lease. Shorter than --lease-renew-deadline
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    lease_retry_period: GoDuration,

    /// Where to serve /metrics. Port 0 takes any free port and logs it
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    metrics_address: SocketAddr,

    /// Where to serve /healthz (the event loop turns) and /readyz (every kind was listed once)
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8081")]
    health_address: SocketAddr,

    /// How many requests to the API server may be under way at once, watches apart. Never more than
    /// one for a namespace
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=512))]
    concurrency: u16,

    /// Namespace of the agents, which no policy touches. What a node's agent reports counts as long as its pod in this
    /// namespace, with the label app.kubernetes.io/name=podfence-agent, is ready
    #[arg(long, value_name = "NAMESPACE", default_value = "podfence-agent")]
    agent_namespace: String,

    /// Key of the label by which an administrator states on a Node, with true or false, whether its
    /// kubelet runs with seccompDefault. It counts where no agent has asked the kubelet
    #[arg(long, value_name = "LABEL")]
    seccomp_default_node_label: Option<String>,

    /// How long a container must have been ready to count as faring well. After as long the kubelet
    /// forgets that it crashed
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    seccomp_settling_time: GoDuration,

    /// What to log: a level, or levels by module, such as `info,podfence_operator=debug`
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    log_filter: String,

    /// How to write the log
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    log_format: LogFormat,
}

/// Everything that the operator needs to run, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who is elected, and how.
    pub lease: lease::Settings,
    /// Where `/metrics` is served.
    pub metrics_address: SocketAddr,
    /// Where `/healthz` and `/readyz` are served.
    pub health_address: SocketAddr,
    /// Requests under way at once, at least one.
    pub concurrency: usize,
    /// What the verdicts on SeccompDefault are made with.
    pub seccomp: SeccompSettings,
    /// Filter of the log, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log_filter: String,
    /// Form of the log.
    pub log_format: LogFormat,
}

/// Why the arguments do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// A Lease holds its duration in whole seconds, at least one.
    #[error("--lease-duration {0:?}: must be whole seconds, at least 1s")]
    LeaseDuration(String),
    /// Otherwise two replicas could write at once.
    #[error("--lease-renew-deadline {0:?}: must be shorter than --lease-duration {1:?}")]
    RenewDeadline(String, String),
    /// Otherwise one lost request loses the Lease.
    #[error(
        "--lease-retry-period {0:?}: must be above 0 and at most half of --lease-renew-deadline {1:?}"
    )]
    RetryPeriod(String, String),
    /// Names of Kubernetes are never empty.
    #[error("{0} must not be empty")]
    Empty(&'static str),
}

impl Args {
    /// Checks what clap cannot check.
    ///
    /// # Errors
    /// When two arguments contradict each other.
    pub fn resolve(self) -> Result<Config, ArgsError> {
        let Self {
            lease_name,
            lease_namespace,
            identity,
            lease_duration,
            lease_renew_deadline,
            lease_retry_period,
            metrics_address,
            health_address,
            concurrency,
            agent_namespace,
            seccomp_default_node_label,
            seccomp_settling_time,
            log_filter,
            log_format,
        } = self;
        for (flag, value) in [
            ("--lease-name", &lease_name),
            ("--lease-namespace", &lease_namespace),
            ("--identity", &identity),
            ("--agent-namespace", &agent_namespace),
        ] {
            if value.is_empty() {
                return Err(ArgsError::Empty(flag));
            }
        }
        let (duration, deadline, retry) = (
            lease_duration.length(),
            lease_renew_deadline.length(),
            lease_retry_period.length(),
        );
        if duration.subsec_nanos() != 0 || duration.is_zero() {
            return Err(ArgsError::LeaseDuration(lease_duration.to_string()));
        }
        if deadline >= duration {
            return Err(ArgsError::RenewDeadline(
                lease_renew_deadline.to_string(),
                lease_duration.to_string(),
            ));
        }
        if retry.is_zero() || retry.saturating_mul(2) > deadline {
            return Err(ArgsError::RetryPeriod(
                lease_retry_period.to_string(),
                lease_renew_deadline.to_string(),
            ));
        }
        Ok(Config {
            lease: lease::Settings {
                name: lease_name,
                namespace: lease_namespace,
                identity: lease::unique_identity(&identity),
                duration,
                renew_deadline: deadline,
                retry_period: retry,
            },
            metrics_address,
            health_address,
            concurrency: usize::from(concurrency),
            seccomp: SeccompSettings {
                agent_namespace,
                node_label: seccomp_default_node_label,
                settling: seccomp_settling_time.length(),
            },
            log_filter,
            log_format,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Args, ArgsError};

    fn resolve(arguments: &[&str]) -> Result<super::Config, ArgsError> {
        let program = ["podfence-operator"];
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
    fn the_defaults_fit_together() {
        let config = resolve(&[]).expect("the defaults");
        assert_eq!(config.lease.name, "podfence-operator");
        assert_eq!(config.concurrency, 32);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (name, arguments, want) in [
            (
                "no duration",
                &["--lease-duration=0"][..],
                "--lease-duration \"0\"",
            ),
            (
                "half a second",
                &["--lease-duration=1500ms"],
                "--lease-duration \"1500ms\"",
            ),
            (
                "deadline as long",
                &["--lease-renew-deadline=15s"],
                "--lease-renew-deadline",
            ),
            (
                "no pause",
                &["--lease-retry-period=0"],
                "--lease-retry-period",
            ),
            (
                "a pause too long",
                &["--lease-retry-period=6s"],
                "--lease-retry-period",
            ),
            (
                "no name",
                &["--lease-name="],
                "--lease-name must not be empty",
            ),
        ] {
            let refused = resolve(arguments).expect_err(name).to_string();
            assert!(refused.contains(want), "{name}: {refused}");
        }
        assert!(Args::try_parse_from(["x", "--concurrency=0"]).is_err());
        assert!(Args::try_parse_from(["x", "--lease-duration=1d"]).is_err());
    }

    #[test]
    fn two_replicas_are_never_one() {
        let first = resolve(&["--identity=pod-1"])
            .expect("resolves")
            .lease
            .identity;
        let second = resolve(&["--identity=pod-1"])
            .expect("resolves")
            .lease
            .identity;
        assert!(first.starts_with("pod-1_"), "{first}");
        assert_ne!(first, second);
    }
}
