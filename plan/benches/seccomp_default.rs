//! How long it takes to judge ten thousand workloads of which three thousand would fail, and to say
//! it of a node, and how large that status is. Prints figures; run it with `make bench`.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code
)]

#[path = "../tests/seccomp_default/cluster.rs"]
mod cluster;
#[path = "../tests/seccomp_default/crowd.rs"]
mod crowd;

use std::time::Instant;

use cluster::{now, view};
use podfence_plan::seccomp_default::{NodeView, plan_node_status};

/// Each figure is the best of so many.
const RUNS: usize = 5;

fn main() {
    let mut clusters = crowd::clusters();
    let mut best = f64::MAX;
    let mut assessed = Vec::new();
    for _ in 0..RUNS {
        let mut nodes = cluster::Cluster::new().nodes();
        let began = Instant::now();
        assessed = clusters
            .iter_mut()
            .map(|(name, cluster)| (name.clone(), cluster.assess_on(&mut nodes)))
            .collect();
        best = best.min(began.elapsed().as_secs_f64());
    }
    let workloads: usize = assessed.iter().map(|(_, it)| it.workloads.len()).sum();
    println!("{workloads} workloads judged in {:.0} ms", best * 1e3);

    let mut nodes = cluster::Cluster::new().nodes();
    // The landing of every workload names nodes of this set.
    for (_, cluster) in &mut clusters {
        cluster.assess_on(&mut nodes);
    }
    let namespaces: Vec<_> = assessed
        .iter()
        .map(|(name, it)| (name.as_str(), it))
        .collect();
    let (mut first, mut best, mut bytes) = (None, f64::MAX, 0);
    for _ in 0..RUNS {
        let began = Instant::now();
        let status = plan_node_status(&NodeView {
            node: nodes.get("off").expect("the node"),
            generation: 1,
            seccomp: view(&nodes, &namespaces),
            previous: None,
            now: now(),
        });
        let took = began.elapsed().as_secs_f64();
        first.get_or_insert(took);
        best = best.min(took);
        bytes = serde_json::to_vec(&status).expect("JSON").len();
    }
    let first = first.unwrap_or_default();
    println!(
        "the status of a node: {bytes} bytes, {:.1} ms the first time, {:.1} ms then",
        first * 1e3,
        best * 1e3
    );
}
