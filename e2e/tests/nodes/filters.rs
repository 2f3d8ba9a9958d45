//! The filters of real containers on a real kernel: every call that can be decided, made by a
//! program that runs under `RuntimeDefault`, comes to what `Filter` says.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1 as core;
use kube::Api;
use podfence_e2e::{
    eventually,
    filter_comparison::Compiler,
    harness::Shared,
    lab::{Image, compile_program},
    probe::{self, Call, Outcome, Sight},
};
use podfence_seccomp::{
    Abi, Action, Architecture, Capabilities, Container, Edit, Errno, Filter, FlatProfile, Judge,
    Loader, Profile, edited,
};
use podfence_workload::{Defaulting, Kind, decode};
use serde_json::{Value, json};

use crate::nodes::Nodes;

mod table;

use table::Row;

const NAMESPACE: &str = "filters";
/// Makes the calls: `e2e/programs/probe.c`.
const PROBE: &str = "probe";
/// Two containers that make some two thousand calls each; a call that waits takes 0.4 s.
const PATIENCE: Duration = Duration::from_secs(200);
/// Pods that run side by side: most of their time they wait.
const AT_ONCE: usize = 10;
/// Says that the table of the documentation is to be written anew.
const WRITE_TABLE: &str = "PODFENCE_WRITE_TABLE";
/// A container that the calls are made in.
struct Case {
    /// Of its pod.
    name: &'static str,
    add: &'static [&'static str],
    drop: &'static [&'static str],
    /// What a file of its own has other than `RuntimeDefault` for the default capabilities: `+CALL`
    /// and `-CALL`. None: it has no file.
    edits: Option<&'static [&'static str]>,
}

const fn runtime_default(
    name: &'static str,
    add: &'static [&'static str],
    drop: &'static [&'static str],
) -> Case {
    Case {
        name,
        add,
        drop,
        edits: None,
    }
}

/// Each capability that rules ask for is there in one and missing in another.
const CASES: [Case; 21] = [
    runtime_default("default", &[], &[]),
    runtime_default("none", &[], &["ALL"]),
    runtime_default("all", &["ALL"], &[]),
    runtime_default("sys-admin", &["SYS_ADMIN"], &[]),
    runtime_default("all-but-sys-admin", &["ALL"], &["SYS_ADMIN"]),
    runtime_default("no-chroot", &[], &["SYS_CHROOT"]),
    runtime_default("bpf", &["BPF"], &["ALL"]),
    runtime_default("dac-read-search", &["DAC_READ_SEARCH"], &["ALL"]),
    runtime_default("perfmon", &["PERFMON"], &["ALL"]),
    runtime_default("sys-boot", &["SYS_BOOT"], &["ALL"]),
    runtime_default("sys-module", &["SYS_MODULE"], &["ALL"]),
    runtime_default("sys-nice", &["SYS_NICE"], &["ALL"]),
    runtime_default("sys-pacct", &["SYS_PACCT"], &["ALL"]),
    runtime_default("sys-ptrace", &["SYS_PTRACE"], &["ALL"]),
    runtime_default("sys-rawio", &["SYS_RAWIO"], &["ALL"]),
    runtime_default("sys-time", &["SYS_TIME"], &["ALL"]),
    runtime_default("sys-tty-config", &["SYS_TTY_CONFIG"], &["ALL"]),
    runtime_default("syslog", &["SYSLOG"], &["ALL"]),
    runtime_default("audit-write", &["AUDIT_WRITE"], &["ALL"]),
    // Where the kernel itself refuses nothing, every denial can be seen.
    Case {
        name: "filter-alone",
        add: &["ALL"],
        drop: &[],
        edits: Some(&[]),
    },
    // What is rendered does what was asked for.
    Case {
        name: "edited",
        add: &["ALL"],
        drop: &[],
        edits: Some(&[
            "+keyctl",
            "+unshare:arg0==CLONE_NEWUSER",
            "+clone:arg0&CLONE_NEWUSER==CLONE_NEWUSER",
            "+socket:arg0==AF_ALG",
            "+io_uring_setup",
            "-socket:arg0==AF_NETLINK",
            "-personality:arg0==8",
            "-ptrace",
        ]),
    },
];

/// The two pods of a case. They are two because containers of one pod share what some calls make,
/// such as message queues.
#[derive(Clone, Copy)]
enum Side {
    Confined,
    Unconfined,
}

impl Case {
    /// Of its profile, in the node's folder.
    fn file(&self) -> String {
        format!("{NAMESPACE}-{}.json", self.name)
    }

    fn pod(&self, side: Side, node: &str) -> Value {
        let (suffix, profile) = match side {
            Side::Confined if self.edits.is_some() => (
                "confined",
                json!({ "type": "Localhost", "localhostProfile": self.file() }),
            ),
            Side::Confined => ("confined", json!({ "type": "RuntimeDefault" })),
            Side::Unconfined => ("unconfined", json!({ "type": "Unconfined" })),
        };
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": format!("{}-{suffix}", self.name), "namespace": NAMESPACE },
            "spec": {
                "nodeName": node,
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 0,
                "containers": [{
                    "name": "probe",
                    "image": Image::of_program(PROBE, "").name(),
                    "args": ["/calls/calls"],
                    "securityContext": {
                        "capabilities": { "add": self.add, "drop": self.drop },
                        "seccompProfile": profile,
                    },
                    "volumeMounts": [{ "name": "calls", "mountPath": "/calls" }],
                }],
                "volumes": [{ "name": "calls", "configMap": { "name": "calls" } }],
            },
        })
    }
}

/// What the filters of a node depend on.
struct Ground {
    profile: Profile,
    container: Container,
    loader: Loader,
    abis: Vec<Abi>,
    /// As `uname -r` prints it.
    kernel: String,
}

impl Ground {
    async fn of(nodes: &Nodes) -> anyhow::Result<Self> {
        let api: Api<core::Node> = Api::all(nodes.lab.client());
        let status = api.get(nodes.off.name()).await?.status.unwrap_or_default();
        let info = status
            .node_info
            .context("the node says nothing of itself")?;
        let profile: Profile = info.container_runtime_version.parse()?;
        ensure!(profile.assumed.is_none(), "{profile:?} is not known");
        let container = Container {
            architecture: info.architecture.parse()?,
            bounding: profile.runtime.default_capabilities(),
            kernel: info.kernel_version.parse()?,
        };
        ensure!(
            container.architecture == Architecture::Amd64,
            "the probe is for amd64"
        );
        // runc is built on this machine, as the oracle is.
        let loader = Compiler::start()?.loader();
        Ok(Self {
            profile,
            container,
            loader,
            abis: vec![Abi::X86_64, Abi::X86, Abi::X32],
            kernel: info.kernel_version,
        })
    }

    /// The profile of a case that has one of its own.
    fn localhost(&self, edits: &[&str]) -> anyhow::Result<FlatProfile> {
        let edits: Vec<Edit> = edits
            .iter()
            .map(|edit| match edit.split_at(1) {
                ("+", call) => Edit::read(true, call),
                (_, call) => Edit::read(false, call),
            })
            .collect::<Result<_, _>>()?;
        let rules = &self.profile.rules;
        Ok(edited(rules, self.container, self.loader, &edits)?)
    }

    /// The filter of a case's confined container, from its pod as the operator would read it.
    fn filter(&self, case: &Case, pod: &Value) -> anyhow::Result<Filter> {
        if let Some(edits) = case.edits {
            let filter = self.localhost(edits)?.load(self.loader)?;
            return Ok(filter.on_kernel(self.container.kernel));
        }
        let pod = decode(Kind::Pod, pod.to_string().as_bytes(), Defaulting::AsServed)?;
        let template = pod.template.context("a pod has one")?;
        let container = template.containers.first().context("a pod has one")?;
        let capabilities = Capabilities::of(self.profile.runtime, &template, container)?;
        let container = Container {
            bounding: capabilities.context("it is not for Windows")?.bounding,
            ..self.container
        };
        Ok(Filter::load(&self.profile.rules, container, self.loader)?)
    }

    /// The errors that some rule says, and those for calls without a rule.
    fn said(&self) -> Vec<Errno> {
        let rules = self.profile.rules.rules.iter();
        let errors = rules.filter_map(|rule| match rule.action {
            Action::Errno(errno) => Some(errno),
            Action::Allow | Action::KillThread => None,
        });
        errors
            .chain([self.profile.rules.default, Errno::ENOSYS])
            .collect()
    }
}

/// What a case came to.
#[derive(Default)]
struct Counts {
    tried: usize,
    denied: usize,
    allowed: usize,
    untold: usize,
    different: Vec<String>,
}

pub(crate) async fn of_the_kernel_do_what_is_decided(shared: Shared<Nodes>) -> anyhow::Result<()> {
    let nodes = shared.get().await?;
    let ground = Ground::of(&nodes).await?;
    nodes.namespace(NAMESPACE).await?;
    let folder = tempfile::tempdir()?;
    let program = compile_program(PROBE, folder.path())?;
    nodes.off.import(&Image::of_program(PROBE, program)).await?;
    for case in &CASES {
        if let Some(edits) = case.edits {
            let file = nodes.off.seccomp_folder()?.join(case.file());
            fs::write(file, ground.localhost(edits)?.write()?)?;
        }
    }

    let confined = CASES
        .iter()
        .map(|case| case.pod(Side::Confined, nodes.off.name()));
    let confined: Vec<Value> = confined.collect();
    let filters: Vec<Filter> = CASES
        .iter()
        .zip(&confined)
        .map(|(case, pod)| ground.filter(case, pod))
        .collect::<anyhow::Result<_>>()?;
    let calls: BTreeSet<Call> = filters
        .iter()
        .flat_map(|filter| probe::calls(filter, &ground.abis))
        .collect();
    hand_over(&nodes, &calls).await?;
    let unconfined = CASES
        .iter()
        .map(|case| case.pod(Side::Unconfined, nodes.off.name()));
    let pods: Vec<Value> = confined
        .iter()
        .cloned()
        .zip(unconfined)
        .flat_map(<[_; 2]>::from)
        .collect();
    let outcomes: Vec<BTreeMap<Call, Outcome>> = stream::iter(pods)
        .map(|pod| make_calls(Arc::clone(&nodes), pod))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;

    let said = ground.said();
    let mut seen = Seen::default();
    for ((case, filter), sides) in CASES.iter().zip(&filters).zip(outcomes.chunks(2)) {
        let [confined, unconfined] = sides else {
            anyhow::bail!("{} has not two pods", case.name);
        };
        let mut counts = Counts::default();
        for call in &calls {
            let (Some(confined), Some(unconfined)) = (confined.get(call), unconfined.get(call))
            else {
                anyhow::bail!("{}: {call} was not made", case.name);
            };
            counts.add(call, filter, &said, [*confined, *unconfined], &mut seen)?;
        }
        println!("{:>18}: {counts}", case.name);
        seen.different.extend(
            counts
                .different
                .iter()
                .map(|line| format!("{}: {line}", case.name)),
        );
    }
    seen.report(&ground, &calls);
    // As runc comes to be linked; what it is linked with here is in the filters above.
    let judge = Judge::load(&ground.profile.rules, ground.container, Loader::default())?;
    let of = |name: &str| {
        let at = CASES.iter().position(|case| case.name == name);
        at.and_then(|at| outcomes.get(2 * at + 1))
            .context("a case without calls")
    };
    let (default, all) = (of("default")?, of("filter-alone")?);
    let rows = table::rows(
        &judge,
        &calls,
        [&|call| default.get(call).copied(), &|call| {
            all.get(call).copied()
        }],
    )?;
    keep_table(&ground, &rows)?;
    ensure!(seen.different.is_empty(), "{}", seen.different.join("\n"));
    seen.is_enough()
}

/// Writes the table where that is asked for, and sees whether the one of the documentation is right
/// in what depends on nothing but the rules.
fn keep_table(ground: &Ground, rows: &[Row]) -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/system-calls.md");
    let kernel = ground.container.kernel;
    if env::var_os(WRITE_TABLE).is_some() {
        let page = table::page(rows, &ground.profile.to_string(), kernel);
        return Ok(fs::write(path, page)?);
    }
    match table::is_current(&fs::read_to_string(path)?, rows, kernel) {
        Some(is_current) => ensure!(
            is_current,
            "docs/reference/system-calls.md is out of date: run make system-calls"
        ),
        None => println!("docs/reference/system-calls.md is of another kernel, and not compared"),
    }
    Ok(())
}

/// Gives the list of calls to the probes.
async fn hand_over(nodes: &Nodes, calls: &BTreeSet<Call>) -> anyhow::Result<()> {
    let text = calls.iter().fold(String::new(), |mut text, call| {
        let _ = writeln!(text, "{call}");
        text
    });
    let calls = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "calls", "namespace": NAMESPACE },
        "data": { "calls": text },
    });
    nodes.create(&calls).await
}

/// Runs a pod, and reads what it says.
async fn make_calls(nodes: Arc<Nodes>, pod: Value) -> anyhow::Result<BTreeMap<Call, Outcome>> {
    nodes.create(&pod).await?;
    let name = pod["metadata"]["name"].as_str().context("no name")?;
    let pods: Api<core::Pod> = Api::namespaced(nodes.lab.client(), NAMESPACE);
    eventually(PATIENCE, async || {
        let status = pods.get(name).await?.status.unwrap_or_default();
        ensure!(
            status.phase.as_deref() == Some("Succeeded"),
            "{name}: {status:?}"
        );
        Ok(())
    })
    .await?;
    let logs = ["logs", "--namespace", NAMESPACE, name];
    let output = nodes.lab.kubectl(&logs).await?.stdout;
    probe::read(&output).with_context(|| name.to_owned())
}

/// What was seen in any case.
#[derive(Default)]
struct Seen {
    denied: BTreeSet<(Call, Action)>,
    allowed: BTreeSet<Call>,
    decided: BTreeSet<(Call, Action)>,
    different: Vec<String>,
}

impl Counts {
    fn add(
        &mut self,
        call: &Call,
        filter: &Filter,
        said: &[Errno],
        [confined, unconfined]: [Outcome; 2],
        seen: &mut Seen,
    ) -> anyhow::Result<()> {
        let Call {
            abi,
            number,
            arguments,
        } = *call;
        let action = filter.action(abi, number, arguments);
        self.tried += 1;
        seen.decided.insert((*call, action));
        match probe::judge(action, said, confined, unconfined)? {
            Sight::Denied => {
                self.denied += 1;
                seen.denied.insert((*call, action));
            }
            Sight::Allowed => {
                self.allowed += 1;
                seen.allowed.insert(*call);
            }
            Sight::Untold => self.untold += 1,
            Sight::Different => self.different.push(format!(
                "{} ({call}) is decided as {action:?}; confined: {confined}, unconfined: {unconfined}",
                call.name(),
            )),
        }
        Ok(())
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            tried,
            denied,
            allowed,
            untold,
            different,
        } = self;
        let different = different.len();
        write!(
            formatter,
            "{tried} calls tried, {denied} seen denied, {allowed} seen allowed, \
             {untold} the same either way, {different} different"
        )
    }
}

impl Seen {
    fn report(&self, ground: &Ground, calls: &BTreeSet<Call>) {
        let (decided, told) = (self.decided.len(), self.denied.len() + self.allowed.len());
        println!(
            "{}, kernel {}: {} calls in {} containers, {decided} decisions, {told} of them seen, \
             {} differences",
            ground.profile,
            ground.kernel,
            calls.len(),
            CASES.len(),
            self.different.len(),
        );
    }

    /// A kernel that refuses everything, or a probe that calls nothing, must not pass.
    fn is_enough(&self) -> anyhow::Result<()> {
        let told = self.denied.len() + self.allowed.len();
        ensure!(
            told * 10 > self.decided.len() * 6,
            "only {told} of {} seen",
            self.decided.len()
        );
        Ok(())
    }
}
