//! What the observer is not up to, and what it holds: a storm of calls, many containers. Makes requests.

use std::fs;

use anyhow::{Context as _, ensure};
use podfence_e2e::{
    eventually,
    harness::Shared,
    lab::Image,
    on_nodes::{PATIENCE, create, deployment, first_container, is_running},
    story::{agent_pod, everything_is_told},
};
use serde_json::json;

use crate::ground::{Ground, NAMESPACE};

/// Of one pod: a pod costs more than a container, and a node takes 110.
const CONTAINERS: usize = 10;
/// What an agent may hold in memory, in KiB.
const MOST: u64 = 32 * 1024;

/// Sixty thousand different calls in an instant are more than there is room for. What was lost can be
/// anything, so nothing is known of the container, though it was watched and did what it should.
pub(crate) async fn a_storm_is_lost_and_nothing_is_known(
    shared: Shared<Ground>,
) -> anyhow::Result<()> {
    let ground = shared.get().await?;
    // What it leaves no room for may be another container's.
    let _bustle = ground.bustle.write().await;
    let name = "storm";
    ground.begins_with(name).await?;
    eventually(PATIENCE, async || {
        let said = ground.explain(name).await?;
        let containers = said["places"][0]["containers"].as_array();
        let mut containers = containers.into_iter().flatten();
        let first = containers.find(|container| container["container"] == "first");
        let first = first.with_context(|| said.to_string())?;
        ensure!(first["verdict"] == "Unknown", "{first}");
        ensure!(first["doubt"] == "observations were lost", "{first}");
        Ok(())
    })
    .await
}

/// `make test` tells it with twenty containers, `PODFENCE_STORIES=all` with two hundred.
pub(crate) async fn many_containers_are_little_to_hold(
    shared: Shared<Ground>,
) -> anyhow::Result<()> {
    let ground = shared.get().await?;
    let _bustle = ground.bustle.read().await;
    let before = Holding::of_agent(&ground).await?;
    let name = "many";
    let pods = if everything_is_told() { 20 } else { 2 };
    let mut many = deployment(NAMESPACE, name, ground.off.name(), Image::busybox().name());
    many["spec"]["replicas"] = json!(pods);
    let containers = &mut many["spec"]["template"]["spec"]["containers"];
    let mut container = containers[0].clone();
    container["args"] = json!(["-c", "unshare -m true; exec sleep infinity"]);
    let all: Vec<_> = (0..CONTAINERS)
        .map(|number| {
            container["name"] = json!(format!("of-many-{number}"));
            container.clone()
        })
        .collect();
    *containers = json!(all);
    create(ground.lab(), &many).await?;
    let rollout = format!("deployment/{name}");
    let arguments = ["rollout", "status", "--namespace", NAMESPACE, &rollout];
    ground.lab().kubectl(&arguments).await?;
    for number in 0..CONTAINERS {
        ground
            .entry(name, &format!("of-many-{number}"), |entry| {
                !entry.starts.is_empty() && !entry.calls.is_empty()
            })
            .await?;
    }
    let after = Holding::of_agent(&ground).await?;
    println!(
        "an agent holds {} KiB, and with {} containers more {} KiB, {} of them not its program's; \
         {} KiB at most",
        before.resident,
        pods * CONTAINERS,
        after.resident,
        after.own,
        after.peak
    );
    // A program that is not optimized is three times as large, and lies in memory as it lies on disk.
    ensure!(after.own < MOST, "{} KiB", after.own);
    Ok(())
}

/// What a process holds in memory, in KiB.
struct Holding {
    resident: u64,
    /// Without what is mapped from its program's file.
    own: u64,
    /// The most that it ever was.
    peak: u64,
}

impl Holding {
    /// Of the agent on the node without SeccompDefault.
    async fn of_agent(ground: &Ground) -> anyhow::Result<Self> {
        let pod = agent_pod(ground.lab(), &ground.off).await?;
        let container = first_container(&pod).filter(|container| is_running(container));
        let id = container.and_then(|container| container.container_id.as_deref());
        let process = ground.off.process_of(id.context("no agent runs")?)?;
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let field = |name: &str| {
            let mut lines = status.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_suffix(" kB"));
            let value = value.with_context(|| format!("no {name} in {status}"))?;
            anyhow::Ok(value.trim().parse()?)
        };
        Ok(Self {
            resident: field("VmRSS:")?,
            own: field("RssAnon:")?,
            peak: field("VmHWM:")?,
        })
    }
}
