//! Shows Podfence at work: a real API server, the operator, the samples, nodes with their agents where
//! this machine can run any, and what `kubectl get` says. Starts processes.
//!
//! `make demo` runs it. It leaves nothing behind, unless `KEEP=1` is set: then it all stays up
//! until Ctrl-C.

mod labels;
mod nodes;
mod screen;

use std::{env, sync::Arc, time::Instant};

use anyhow::Context as _;
use podfence_e2e::{
    build_program,
    lab::{Lab, Node},
    story::{Cluster, Operator, build_agent, build_operator},
};
use tokio::signal::unix::{SignalKind, signal};

use screen::{note, say, seconds};

/// How long a pod must be ready to be well: the ten minutes of an installation are no demo.
const SETTLING: &str = "5s";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let keep = env::var("KEEP").is_ok_and(|keep| !keep.is_empty() && keep != "0");
    let obstacle = Node::obstacle();
    build(obstacle.is_none()).await?;
    let (cluster, operator) = begin().await?;
    let result = tell(cluster.lab(), obstacle.as_deref()).await;
    if result.is_err() {
        eprintln!("{}", operator.process().log_tail());
    }
    result?;
    if keep {
        stay(cluster.lab()).await?;
    }
    end(operator, cluster).await
}

async fn build(with_nodes: bool) -> anyhow::Result<()> {
    say("First the operator is compiled, unless it is there already.");
    build_operator().await?;
    if with_nodes {
        say("Then the node agent, static as in its image, and the command line.");
        build_agent().await?;
        build_program("kubectl-podfence").await?;
    }
    Ok(())
}

async fn begin() -> anyhow::Result<(Arc<Cluster>, Operator)> {
    say(
        "A Kubernetes of our own: etcd, API server, scheduler and controllers, as real as any, but \
         without nodes at first: pods stay Pending.",
    );
    let began = Instant::now();
    let cluster = Cluster::start_for_nodes().await?;
    note(&format!(
        "started, with config/default applied to it, in {:.1} s",
        seconds(began)
    ));

    say(
        "The operator, as a process of this machine: it has its own service account's token and \
         the shipped roles, no more.",
    );
    let began = Instant::now();
    let operator = cluster.operator().await?;
    let operator = operator.flag("seccomp-settling-time", SETTLING);
    let operator = operator.start().await?;
    note(&format!(
        "process {}, holds the Lease after {:.1} s",
        operator.process().pid(),
        seconds(began)
    ));
    Ok((cluster, operator))
}

async fn tell(lab: &Lab, obstacle: Option<&str>) -> anyhow::Result<()> {
    labels::tell(lab).await?;
    match obstacle {
        None => nodes::tell(lab).await,
        Some(obstacle) => {
            say(&format!(
                "What comes now is left out here, which is what programs do on nodes with \
                 SeccompDefault and without: {obstacle}."
            ));
            Ok(())
        }
    }
}

/// Keeps it all up. The lab's supervisor ends this process, and everything else, when a signal
/// comes.
async fn stay(lab: &Lab) -> anyhow::Result<()> {
    say("It all stays up until Ctrl-C. In another terminal:");
    println!("  export KUBECONFIG={}", lab.kubeconfig().display());
    println!(
        "  alias kubectl={}    # if there is none",
        lab.kubectl_path().display()
    );
    println!("  kubectl describe namespacepolicy apps");
    println!("  kubectl get nodereports -o yaml");
    signal(SignalKind::hangup())?
        .recv()
        .await
        .context("no signal can be waited for")
}

async fn end(operator: Operator, cluster: Arc<Cluster>) -> anyhow::Result<()> {
    operator.stop().await?;
    drop(operator);
    cluster.stop().await?;
    say("Everything is stopped and gone. `make demo KEEP=1` keeps it up, to look around.");
    Ok(())
}
