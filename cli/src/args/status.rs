//! What is typed behind `status`. No I/O.

// `--help` prints these comments as they are, backticks and all.
#![allow(clippy::doc_markdown)]

use clap::Args;

/// Say what the policies of a cluster enforce, what they hold back and by whom, and who would fail
/// under SeccompDefault.
///
/// Reads the statuses of NamespacePolicies and NodeReports; Podfence's operator writes them. With
/// the name of a policy, of this one alone and without the nodes.
///
/// Exits with 0 when every policy is ready and enforced everywhere and no workload fails under
/// SeccompDefault or would; with 1 when one is not, or one does; and with 2 when that could not be
/// read. That too little is known of workloads makes no difference.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArguments {
    /// The policy. [default: all of them]
    #[arg(value_name = "POLICY")]
    pub(crate) policy: Option<String>,

    /// The context of the kubeconfig. [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  # All policies and nodes
  kubectl podfence status

  # One policy, in another cluster
  kubectl podfence status apps --context production";
