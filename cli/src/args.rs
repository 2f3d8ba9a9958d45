//! What was typed, and what it asks for. No I/O.

mod explain;
mod import;
mod seccomp;
mod status;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use podfence_podsecurity::{Level, LevelVersion, Version};

use crate::read::Input;

pub(crate) use explain::{ObjectName, WhyArguments};
pub(crate) use import::{
    AuditLogArguments, GadgetArguments, ImportCommand, ManifestForm, SpoArguments, TargetArguments,
    WorkloadName, digest, kinds,
};
pub(crate) use seccomp::{
    CompareArguments, CompletionsArguments, ContainerArguments, ExplainArguments, Form,
    RenderCommand, SeccompCommand, SeccompProfileArguments,
};
pub(crate) use status::StatusArguments;

/// Pod Security and seccomp for workloads: the engine of Podfence on the command line.
#[derive(Debug, Parser)]
#[command(name = "kubectl-podfence", bin_name = "kubectl podfence", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Scan(ScanArguments),
    #[command(subcommand)]
    Seccomp(SeccompCommand),
    #[command(subcommand)]
    Render(RenderCommand),
    #[command(subcommand)]
    Import(ImportCommand),
    Status(StatusArguments),
    Explain(WhyArguments),
    Completions(CompletionsArguments),
}

/// Judge the pods and pod templates in manifests by the Pod Security Standards.
///
/// Every verdict and every message is that of the Pod Security admission controller for the same
/// pod. Manifests are taken as written; only a volume without a source is an emptyDir, as it
/// would be in the cluster. In a folder, every .yaml, .yml and .json file is read, folders in it
/// included.
///
/// Exits with 0 when everything is allowed, with 1 when something is not, and with 2 when
/// something could not be read; whatever else was read is reported nevertheless.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ScanArguments {
    /// A file, a folder, or - for standard input; may be given several times.
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "FILE|DIR|-",
        required = true
    )]
    inputs: Vec<OsString>,

    /// The level to judge by: privileged, baseline or restricted.
    #[arg(long, value_name = "LEVEL", default_value = "restricted")]
    level: Level,

    /// The version of the level's rules: latest, or one such as v1.34.
    #[arg(long, value_name = "VERSION", default_value = "latest")]
    version: Version,

    /// A file with a policy profile, to judge by what it enforces; by what it audits or warns
    /// about where it enforces nothing.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["level", "version"])]
    profile: Option<PathBuf>,

    /// What to print.
    #[arg(short = 'o', long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  # What would the restricted level forbid in these manifests?
  kubectl podfence scan -f deploy/

  # The same of what kustomize or Helm makes, at the rules of one Kubernetes version
  kubectl kustomize overlays/production | kubectl podfence scan --version v1.34 -f -
  helm template ./chart | kubectl podfence scan --level baseline -f -

  # By the profile that the namespaces will have, for a machine to read
  kubectl podfence scan --profile restricted-profile.yaml -o json -f deploy/ -f job.yaml

  # What runs in a cluster now
  kubectl get pods --all-namespaces -o json | kubectl podfence scan -f -";

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// One line an object, and a summary.
    Table,
    /// The table, with the admission controller's message and what was skipped.
    Wide,
    /// One JSON object.
    Json,
    /// The same as YAML.
    Yaml,
}

/// A scan as it was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ScanConfig {
    /// What to read, in order.
    pub(crate) inputs: Vec<Input>,
    /// What to judge by.
    pub(crate) standard: Standard,
    /// What to print.
    pub(crate) output: Output,
}

/// What to judge by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standard {
    /// This level and version.
    Given(LevelVersion),
    /// What the profile in this file says.
    Profile(PathBuf),
}

/// Standard input was named more than once, and is empty the second time.
#[derive(Debug, thiserror::Error)]
#[error("standard input can be read only once")]
pub(crate) struct StdinTwice;

impl TryFrom<ScanArguments> for ScanConfig {
    type Error = StdinTwice;

    fn try_from(arguments: ScanArguments) -> Result<Self, StdinTwice> {
        let ScanArguments {
            inputs,
            level,
            version,
            profile,
            output,
        } = arguments;
        let inputs: Vec<Input> = inputs.into_iter().map(Input::from).collect();
        if inputs
            .iter()
            .filter(|input| **input == Input::Stdin)
            .count()
            > 1
        {
            return Err(StdinTwice);
        }
        let standard = match profile {
            Some(path) => Standard::Profile(path),
            None => Standard::Given(LevelVersion { level, version }),
        };
        Ok(Self {
            inputs,
            standard,
            output,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::Arguments;

    #[test]
    fn every_command_and_flag_explains_itself() {
        let command = Arguments::command();
        command.clone().debug_assert();
        explains_itself(&command);
    }

    fn explains_itself(command: &Command) {
        let name = command.get_name();
        assert!(command.get_about().is_some(), "{name} has no help");
        for argument in command.get_arguments() {
            let id = argument.get_id();
            let help = argument.get_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            assert!(help.len() > 10, "{id} of {name} has no help");
        }
        command.get_subcommands().for_each(explains_itself);
    }
}
