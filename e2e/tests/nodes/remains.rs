//! What is left of nodes that ended, however they did: nothing.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use podfence_e2e::{
    eventually,
    harness::Shared,
    lab::{Image, Lab, Node},
};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::nodes::{Nodes, create, deployment, is_running, needs_nodes, sees};

/// The kernel takes network interfaces apart in its own time.
const SOON: Duration = Duration::from_secs(30);
/// What programs of a node like to set, for the whole machine.
const SETTINGS: [&str; 5] = [
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
];
/// Tells this program that it is another test, which does not end by itself.
const ANOTHER_TEST: &str = "PODFENCE_ANOTHER_TEST";

pub(crate) async fn of_stopped_labs_are_none(_: Shared<Nodes>) -> anyhow::Result<()> {
    needs_nodes()?;
    let settings = settings()?;
    // Side by side, with nodes of the same name.
    let ((one, one_traces), (other, other_traces)) = tokio::try_join!(busy_lab(), busy_lab())?;
    one.stop().await?;
    one_traces.are_gone().await?;
    // The other lab notices nothing.
    ensure!(
        other_traces
            .left()
            .iter()
            .any(|left| left.starts_with("process"))
    );
    create(&other, &sleeper("later")).await?;
    sees(&other, "default", "later", is_running).await?;
    other.stop().await?;
    other_traces.are_gone().await?;
    assert_eq!(self::settings()?, settings);
    Ok(())
}

fn settings() -> anyhow::Result<Vec<String>> {
    let files = SETTINGS
        .iter()
        .map(|name| Path::new("/proc/sys").join(name));
    Ok(files.map(fs::read_to_string).collect::<Result<_, _>>()?)
}

pub(crate) async fn of_killed_and_interrupted_tests_are_none(
    _: Shared<Nodes>,
) -> anyhow::Result<()> {
    needs_nodes()?;
    // A folder of their own, so that no lab of other stories takes their leftovers away.
    let folder = tempfile::tempdir()?;
    let mut guarded = OtherTest::start(folder.path())?;
    let mut unguarded = OtherTest::start(folder.path())?;
    let (guarded_traces, unguarded_traces) = (guarded.traces()?, unguarded.traces()?);
    assert_eq!(guarded.end(Signal::KILL)?.signal(), Some(9));
    eventually(SOON, async || {
        let left = guarded_traces.left();
        let folder = format!("folder {}", guarded_traces.folder.display());
        ensure!(left == [folder], "left: {left:?}");
        Ok(())
    })
    .await?;

    // What nobody guards goes on without its test.
    kill_process(guard_of(unguarded.child.id())?, Signal::KILL)?;
    assert_eq!(unguarded.end(Signal::KILL)?.signal(), Some(9));
    let left = unguarded_traces.left();
    ensure!(
        left.iter().any(|left| left.starts_with("process")),
        "left: {left:?}"
    );

    // Until the next lab is started, by a test that Ctrl-C ends then.
    let mut next = OtherTest::start(folder.path())?;
    let next_traces = next.traces()?;
    guarded_traces.are_gone().await?;
    unguarded_traces.are_gone().await?;
    assert_eq!(next.end(Signal::INT)?.code(), Some(130));
    next_traces.are_gone().await
}

fn sleeper(name: &str) -> serde_json::Value {
    let mut sleeper = deployment("default", name, "busy", Image::busybox().name());
    sleeper["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["-c", "sleep 1000000"]);
    sleeper
}

/// A lab with a node on which a pod runs.
async fn busy_lab() -> anyhow::Result<(Lab, Traces)> {
    let lab = Lab::start().await?;
    let node = lab.node("busy").start().await?;
    node.import(&Image::busybox()).await?;
    create(&lab, &sleeper("sleeper")).await?;
    sees(&lab, "default", "sleeper", is_running).await?;
    let traces = Traces::of(&lab, &node)?;
    Ok((lab, traces))
}

/// Where this program was started as another test: starts a busy lab, prints its traces and waits.
pub(crate) fn be_another_test() -> Option<ExitCode> {
    env::var_os(ANOTHER_TEST)?;
    let runtime = tokio::runtime::Runtime::new().ok()?;
    let ended = runtime.block_on(async {
        let (_lab, traces) = busy_lab().await?;
        println!("{}", serde_json::to_string(&traces)?);
        std::future::pending::<anyhow::Result<()>>().await
    });
    ended.err().map(|error| {
        eprintln!("{error:#}");
        ExitCode::FAILURE
    })
}

/// This program, started again with its labs in a folder.
struct OtherTest {
    child: Child,
}

impl OtherTest {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        let child = Command::new(env::current_exe()?)
            .env(ANOTHER_TEST, "yes")
            .env("TMPDIR", folder)
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self { child })
    }

    /// Waits until the lab is busy.
    fn traces(&mut self) -> anyhow::Result<Traces> {
        let output = self.child.stdout.take().context("no output")?;
        let line = BufReader::new(output).lines().next();
        let line = line.context("it ended by itself")??;
        Ok(serde_json::from_str(&line)?)
    }

    fn end(&mut self, signal: Signal) -> anyhow::Result<ExitStatus> {
        let id = Pid::from_raw(self.child.id().try_into()?);
        kill_process(id.context("no process")?, signal)?;
        Ok(self.child.wait()?)
    }
}

impl Drop for OtherTest {
    fn drop(&mut self) {
        // It has ended already unless the story failed, and then it must end too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The one child of a test that is no program of Kubernetes.
fn guard_of(test: u32) -> anyhow::Result<Pid> {
    let guard = processes().find(|process| {
        let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
        let parent = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.split(' ').nth(1));
        parent == Some(&test.to_string()) && stat.contains("(sh)")
    });
    let guard = guard.context("the test has no guard")?;
    let id = guard
        .file_name()
        .and_then(|name| name.to_str())
        .context("no id")?;
    Pid::from_raw(id.parse()?).context("no id")
}

/// By what a node is known on this machine.
#[derive(Debug, Serialize, Deserialize)]
struct Traces {
    folder: PathBuf,
    control_groups: Vec<PathBuf>,
    /// By the names of their mounts, for the kernel gives their numbers again.
    network_namespaces: BTreeSet<String>,
    interfaces: BTreeSet<String>,
}

impl Traces {
    /// Those of a node on which a pod runs.
    fn of(lab: &Lab, node: &Node) -> anyhow::Result<Self> {
        let mut traces = Self {
            folder: lab.folder().to_owned(),
            control_groups: node.control_groups(),
            network_namespaces: BTreeSet::new(),
            interfaces: interfaces_into(&node.subnet())?,
        };
        for process in processes() {
            if traces.is_of(&process) {
                let mounts = fs::read_to_string(process.join("mountinfo")).unwrap_or_default();
                let names = mounts.lines().filter_map(network_namespace);
                traces.network_namespaces.extend(names);
            }
        }
        ensure!(traces.network_namespaces.len() == 1, "{traces:?}");
        ensure!(traces.interfaces.len() == 1, "{traces:?}");
        // One of each, or nothing would be proved by their absence.
        for kind in [
            "process",
            "mount",
            "namespace",
            "interface",
            "group",
            "folder",
        ] {
            let left = traces.left();
            ensure!(
                left.iter().any(|left| left.starts_with(kind)),
                "no {kind}: {left:?}"
            );
        }
        Ok(traces)
    }

    /// Whether a process is in one of the control groups, or was told about the lab's folder.
    fn is_of(&self, process: &Path) -> bool {
        let groups = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        let command = fs::read(process.join("cmdline")).unwrap_or_default();
        let name = |path: &Path| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        let folder = name(&self.folder);
        let command = String::from_utf8_lossy(&command);
        self.control_groups
            .iter()
            .any(|group| groups.contains(&name(group)))
            || command.contains(&folder)
    }

    /// What is there of it.
    fn left(&self) -> Vec<String> {
        let mut left = BTreeSet::new();
        let folder = self.folder.to_string_lossy();
        for process in processes() {
            if self.is_of(&process) {
                left.insert(format!("process {}", process.display()));
            }
            let mounts = fs::read_to_string(process.join("mountinfo")).unwrap_or_default();
            for mount in mounts.lines() {
                if mount.contains(&*folder) {
                    left.insert(format!("mount {mount}"));
                }
                let namespace = network_namespace(mount);
                if namespace.is_some_and(|name| self.network_namespaces.contains(&name)) {
                    left.insert(format!("namespace {mount}"));
                }
            }
        }
        let interfaces = self
            .interfaces
            .iter()
            .map(|name| Path::new("/sys/class/net").join(name));
        left.extend(existing("interface", interfaces));
        left.extend(existing("group", self.control_groups.iter().cloned()));
        left.extend(existing("folder", [self.folder.clone()]));
        left.into_iter().collect()
    }

    async fn are_gone(&self) -> anyhow::Result<()> {
        eventually(SOON, async || {
            let left = self.left();
            ensure!(left.is_empty(), "left: {left:?}");
            Ok(())
        })
        .await
    }
}

/// The name of a network namespace that containerd made, from the line of its mount.
fn network_namespace(mount: &str) -> Option<String> {
    let (place, file_system) = mount.split_once(" - ")?;
    let path = place.split(' ').nth(4)?;
    let name = path.rsplit('/').next()?;
    let is_one = file_system.starts_with("nsfs ") && name.starts_with("cni-");
    is_one.then(|| name.to_owned())
}

fn existing(kind: &str, paths: impl IntoIterator<Item = PathBuf>) -> impl Iterator<Item = String> {
    let paths = paths.into_iter().filter(|path| path.exists());
    paths.map(move |path| format!("{kind} {}", path.display()))
}

/// The folders of all processes of this machine.
fn processes() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.iter().all(u8::is_ascii_digit)
    })
}

/// The interfaces of this machine through which it reaches a subnet of 256 addresses.
fn interfaces_into(subnet: &str) -> anyhow::Result<BTreeSet<String>> {
    let numbers: Vec<u32> = subnet
        .split(['.', '/'])
        .take(3)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let routes = fs::read_to_string("/proc/net/route")?;
    let interfaces = routes.lines().filter_map(|route| {
        let mut fields = route.split_whitespace();
        let interface = fields.next()?;
        // In the byte order of the machine, which is little-endian on all that run Kubernetes.
        let address = u32::from_str_radix(fields.next()?, 16).ok()?;
        let address = address.to_le_bytes().map(u32::from);
        address.starts_with(&numbers).then(|| interface.to_owned())
    });
    Ok(interfaces.collect())
}
