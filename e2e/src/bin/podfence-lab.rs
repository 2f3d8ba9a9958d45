//! Starts a lab, prints how to reach it, and keeps it up until it is told to end. Starts processes.

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use podfence_e2e::lab::{KubernetesVersion, Lab};
use tokio::signal::unix::{SignalKind, signal};

/// A real Kubernetes control plane on this machine, for as long as this command runs.
///
/// It ends, and everything it started with it, by Ctrl-C, by SIGTERM, when its terminal is closed
/// and when it is killed.
#[derive(Parser)]
struct Arguments {
    /// The release of the API server.
    #[arg(long, value_enum, default_value = "1.37")]
    kubernetes: Release,
}

#[derive(Clone, Copy, ValueEnum)]
enum Release {
    #[value(name = "1.34")]
    V1_34,
    #[value(name = "1.37")]
    V1_37,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let version = match arguments.kubernetes {
        Release::V1_34 => KubernetesVersion::V1_34,
        Release::V1_37 => KubernetesVersion::V1_37,
    };
    let lab = Lab::builder().kubernetes(version).start().await?;
    println!("export KUBECONFIG={}", lab.kubeconfig().display());
    println!(
        "# kubectl, if there is none: {}",
        lab.kubectl_path().display()
    );
    println!("# processes: {:?}", lab.process_ids().await);
    eprintln!("The lab runs until Ctrl-C.");
    // The lab's supervisor ends this process at the other signals.
    signal(SignalKind::hangup())?
        .recv()
        .await
        .context("no signal can be waited for")?;
    lab.stop().await
}
