//! The operator on a real API server: how soon a new namespace is labelled, how soon after its start
//! every verdict is in the status, and what that takes in processor time and memory.
//!
//! Figures, not tests: nothing here fails for being slow. The machine also runs etcd, the API server
//! and this program, so absolute times speak of all of them. `PODFENCE_BENCH_NAMESPACES` and
//! `PODFENCE_BENCH_PODS` change the size of the second part.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use podfence_e2e::eventually;
use podfence_e2e::lab::Lab;
use podfence_e2e::story::{Cluster, Operator, Passes, STORY_LABEL, Story, pod};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const REACTIONS: usize = 500;
const NAMESPACES: usize = 1_000;
const PODS: usize = 10_000;
/// Requests under way at once while the cluster is filled.
const WRITERS: usize = 32;
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

#[tokio::main]
async fn main() -> Result<()> {
    let builder = Lab::builder()
        .controller_manager_argument("--kube-api-qps=5000")
        .controller_manager_argument("--kube-api-burst=10000");
    let cluster = Cluster::start_with(builder).await?;
    let operator = cluster.operator().await?.start().await?;
    react(&cluster).await?;
    operator.stop().await?;
    start(&cluster).await?;
    cluster.stop().await
}

/// How soon a new namespace has its labels, on an idle cluster.
async fn react(cluster: &Arc<Cluster>) -> Result<()> {
    let story = cluster.story("react").await?;
    story.restricted().await?;
    story
        .policy(
            "all",
            "restricted",
            json!({ "rollout": { "strategy": "Immediate" } }),
        )
        .await?;
    let (sender, mut labelled) = mpsc::unbounded_channel();
    // Ended with this function: an API server that stops waits for the watches on it.
    let mut watches = JoinSet::new();
    watches.spawn(tell_labelled(story.client(), sender));
    let namespaces: Api<Namespace> = Api::all(story.client());
    let mut times = Vec::with_capacity(REACTIONS);
    for number in 0..REACTIONS {
        let name = story.full(&format!("n{number}"));
        let namespace: Namespace = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { STORY_LABEL: story.label() } },
        }))?;
        let asked = Instant::now();
        namespaces
            .create(&PostParams::default(), &namespace)
            .await?;
        let created = Instant::now();
        while labelled.recv().await.context("the watch ended")? != name {}
        times.push((asked.elapsed(), created.elapsed()));
    }
    let mut since_request: Vec<_> = times.iter().map(|(request, _)| *request).collect();
    let mut since_created: Vec<_> = times.iter().map(|(_, created)| *created).collect();
    println!("namespace created to labels seen in a watch, {REACTIONS} namespaces one by one:");
    println!("  from the request    {}", spread(&mut since_request));
    println!("  from its response   {}", spread(&mut since_created));
    Ok(())
}

fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    format!(
        "median {:.1} ms, p99 {:.1} ms, worst {:.1} ms",
        at(50),
        at(99),
        at(100)
    )
}

/// Sends the names of namespaces, each when it is first seen with an enforce label.
async fn tell_labelled(client: Client, sender: mpsc::UnboundedSender<String>) {
    let config = watcher::Config::default().labels(ENFORCE);
    let mut events = watcher(Api::<Namespace>::all(client), config).boxed();
    let mut seen = HashSet::new();
    while let Some(event) = events.next().await {
        let Ok(Event::Apply(namespace) | Event::InitApply(namespace)) = event else {
            continue;
        };
        let name = namespace.name_any();
        if seen.insert(name.clone()) && sender.send(name).is_err() {
            return;
        }
    }
}

/// How soon after its start the operator has said everything there is to say.
async fn start(cluster: &Arc<Cluster>) -> Result<()> {
    let (namespaces, pods) = (
        size("PODFENCE_BENCH_NAMESPACES", NAMESPACES)?,
        size("PODFENCE_BENCH_PODS", PODS)?,
    );
    let story = cluster.story("start").await?;
    fill(&story, namespaces, pods).await?;
    story.restricted().await?;
    println!("{namespaces} namespaces and {pods} pods, from the start of the process:");
    let dry_run = json!({ "strategy": "DryRun" });
    let guarded = json!({ "strategy": "Guarded", "soak": "0s" });
    let runs = [
        ("every verdict (dry run)", dry_run),
        ("every verdict, all labels written", guarded.clone()),
        ("every verdict, nothing to write", guarded),
    ];
    for (run, (what, rollout)) in runs.into_iter().enumerate() {
        // Another generation, so that the status of the run before does not count for this one.
        let spec = json!({ "rollout": rollout, "priority": run });
        story.policy("all", "restricted", spec).await?;
        report(what, cluster, &story, pods, namespaces).await?;
    }
    Ok(())
}

fn size(variable: &str, default: usize) -> Result<usize> {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .with_context(|| format!("{variable} is not a number: {text:?}")),
        Err(_) => Ok(default),
    }
}

/// Half of the pods pass restricted, the others only baseline.
async fn fill(story: &Story, namespaces: usize, pods: usize) -> Result<()> {
    let began = Instant::now();
    all((0..namespaces).map(|number| async move { story.namespace(&format!("n{number}")).await }))
        .await?;
    let client = story.client();
    all((0..pods).map(|number| {
        let passes = if number % 2 == 0 {
            Passes::Restricted
        } else {
            Passes::Baseline
        };
        let namespace = story.full(&format!("n{}", number % namespaces));
        let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        let pod = pod(&namespace, &format!("pod-{number}"), passes);
        async move {
            let pod: Pod = serde_json::from_value(pod)?;
            // The namespace's service account is made a moment after the namespace.
            eventually(Duration::from_secs(60), async || {
                Ok(api.create(&PostParams::default(), &pod).await?)
            })
            .await?;
            Ok(())
        }
    }))
    .await?;
    println!(
        "(filled the cluster in {:.0} s)",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

async fn all(requests: impl Iterator<Item = impl Future<Output = Result<()>>>) -> Result<()> {
    stream::iter(requests)
        .buffer_unordered(WRITERS)
        .try_collect()
        .await
}

/// Starts an operator, waits until the status speaks of every pod, and stops it.
async fn report(
    what: &str,
    cluster: &Arc<Cluster>,
    story: &Story,
    pods: usize,
    namespaces: usize,
) -> Result<()> {
    let generation = story.get_policy("all").await?.metadata.generation;
    let began = Instant::now();
    let operator = cluster.operator().await?.start_waiting().await?;
    eventually(Duration::from_secs(300), async || {
        let policy = story.get_policy("all").await?;
        let status = policy.status.context("no status yet")?;
        let checked = usize::try_from(status.summary.workloads_checked)?;
        let matched = usize::try_from(status.summary.namespaces_matched)?;
        let settled = status
            .conditions
            .iter()
            .all(|it| it.reason != "Progressing");
        anyhow::ensure!(
            Some(status.observed_generation) == generation
                && settled
                && checked == pods
                && matched == namespaces,
            "{checked} of {pods} pods, {matched} of {namespaces} namespaces"
        );
        Ok(())
    })
    .await?;
    let elapsed = began.elapsed().as_secs_f64();
    println!("  {what:<36} {elapsed:5.1} s, {}", consumption(&operator)?);
    operator.stop().await
}

/// Processor time and peak memory of a running operator.
fn consumption(operator: &Operator) -> Result<String> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", operator.process().pid()))?;
    // Fields are counted after the name, which may hold anything: utime and stime are the 12th and
    // 13th from there, in ticks of a hundredth of a second.
    let (_, fields) = stat.rsplit_once(')').context("an odd /proc/PID/stat")?;
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse::<u64>)
        .sum::<std::result::Result<u64, _>>()?;
    let megabytes = |bytes: u64| bytes / 1_000_000;
    Ok(format!(
        "{}.{:02} s of processor time, {} MB resident at the peak",
        ticks / 100,
        ticks % 100,
        megabytes(operator.peak_resident_bytes()?)
    ))
}
