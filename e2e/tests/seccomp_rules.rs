//! The rules that our data have for a container against those that the runtimes' own code makes.
//!
//! What is compared is what a container gets, and then what it comes to: the runtime's list, in the
//! runtime's own order, is given to runc and libseccomp, and our filter must decide as their program.
//!
//! `PODFENCE_SECONDS` asks for every set of capabilities and every kernel instead of a sample, and says
//! how long to go on with random sets; `PODFENCE_SEED` where to begin with these.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use podfence_e2e::filter_comparison::{self, Compiled, Compiler};
use podfence_e2e::oci_profile::{ListedRule, OciProfile};
use podfence_e2e::oracle::Oracle;
use podfence_seccomp::{Abi, Architecture, Container, Filter, KernelVersion, Profile, Runtime};
use podfence_workload::CapabilityMask;
use serde::Deserialize;
use serde_json::{Value, json};

/// A line of releases with a program that has the newest one of it that is served
/// (`e2e/oracle/runtime-default/lines`).
struct Line {
    name: &'static str,
    runtime: Runtime,
    /// Architectures that the program can answer for, beside that of this machine.
    elsewhere: &'static [Architecture],
}

const LINES: [Line; 8] = [
    containerd("containerd-1.6"),
    containerd("containerd-1.7"),
    containerd("containerd-2.0"),
    containerd("containerd-2.1"),
    containerd("containerd-2.2"),
    containerd("containerd-2.3"),
    containerd("containerd-2.4"),
    Line {
        name: "cri-o-1.36",
        runtime: Runtime::CriO,
        // It asks libseccomp, which knows only the machine that it runs on.
        elsewhere: &[],
    },
];

const fn containerd(name: &'static str) -> Line {
    Line {
        name,
        runtime: Runtime::Containerd,
        elsewhere: &ELSEWHERE,
    }
}

/// All but this machine's.
const ELSEWHERE: [Architecture; 12] = [
    Architecture::Arm64,
    Architecture::Arm,
    Architecture::I386,
    Architecture::Loong64,
    Architecture::Mips,
    Architecture::Mips64,
    Architecture::Mips64le,
    Architecture::Mipsle,
    Architecture::Ppc64,
    Architecture::Ppc64le,
    Architecture::Riscv64,
    Architecture::S390x,
];

/// Around 4.8, which containerd asks for, and far away from it.
const KERNELS: [&str; 5] = ["4.7", "4.8", "3.10", "5.0", "6.18"];
/// Random sets of capabilities where no time is given.
const RANDOM_SETS: usize = 20;

#[derive(Deserialize)]
struct Answer {
    version: String,
    profile: Option<Value>,
    error: Option<String>,
}

/// What was compared.
#[derive(Default)]
struct Counts {
    lists: usize,
    filters: usize,
    calls: usize,
}

/// A line's program beside our rules.
struct Comparison {
    oracle: Oracle,
    profile: Profile,
    /// Lists that were loaded already.
    loaded: HashSet<(Architecture, Vec<ListedRule>)>,
    counts: Counts,
}

impl Comparison {
    fn start(line: &Line) -> Result<Self> {
        let mut oracle = Oracle::start(&format!("runtime-default/{}", line.name), &[])?;
        let first = question(None, CapabilityMask::default(), kernel(KERNELS[0]));
        let version = oracle.ask::<Answer>(&first)?.version;
        let profile = Profile::of(line.runtime, &version)?;
        ensure!(
            profile.assumed.is_none(),
            "the data do not have {} {version}",
            line.name
        );
        Ok(Self {
            oracle,
            profile,
            loaded: HashSet::new(),
            counts: Counts::default(),
        })
    }

    /// Asks for the runtime's rules; without an architecture for those on this machine.
    fn ask(&mut self, architecture: Option<Architecture>, container: Container) -> Result<Value> {
        let question = question(architecture, container.bounding, container.kernel);
        let answer: Answer = self.oracle.ask(&question)?;
        if let Some(error) = answer.error {
            bail!("{error}");
        }
        answer.profile.context("an answer without a profile")
    }

    /// Compares what one container gets.
    fn rules(&mut self, container: Container, compiler: Option<&mut Compiler>) -> Result<()> {
        let here = container.architecture == Architecture::Amd64;
        let json = self.ask((!here).then_some(container.architecture), container)?;
        let theirs = OciProfile::read(&json)?;
        let rules = &self.profile.rules;
        ensure!(
            theirs.default == rules.default,
            "calls without a rule get {}, we say {}",
            theirs.default,
            rules.default
        );
        let own = container.architecture.native_abi();
        let abis: BTreeSet<Abi> = theirs.abis.iter().copied().chain([own]).collect();
        let ours: BTreeSet<Abi> = rules.abis(container.architecture).into_iter().collect();
        ensure!(abis == ours, "the ABIs are {abis:?}, we say {ours:?}");
        equal_rules(&self.profile, container, &theirs.rules)?;
        carriers_come_first(&theirs.rules)?;
        self.counts.lists += 1;
        let Some(compiler) = compiler else {
            return Ok(());
        };
        let key = (container.architecture, theirs.rules.clone());
        if self.loaded.insert(key) {
            self.counts.calls += self.filters(container, &theirs, json, compiler)?;
            self.counts.filters += 1;
        }
        Ok(())
    }

    /// Compares what the rules come to.
    fn filters(
        &self,
        container: Container,
        theirs: &OciProfile,
        mut json: Value,
        compiler: &mut Compiler,
    ) -> Result<usize> {
        if theirs.abis.is_empty() {
            // runc would take the ABI of the machine that it runs on, which is not this one.
            let own = OciProfile {
                abis: vec![container.architecture.native_abi()],
                ..theirs.clone()
            };
            json["architectures"] = own.to_json()["architectures"].take();
        }
        let filter = Filter::load(&self.profile.rules, container, compiler.loader())?;
        match compiler.compile(&json)? {
            Compiled::Program(program) => {
                filter_comparison::compare(&filter, &program, &theirs.rules)
            }
            Compiled::Refused(error) => bail!("runc refuses the rules: {error}"),
            Compiled::Endless => bail!("libseccomp does not come to an end"),
        }
    }
}

fn question(
    architecture: Option<Architecture>,
    bounding: CapabilityMask,
    kernel: KernelVersion,
) -> String {
    let capabilities: Vec<String> = bounding.names().map(|name| format!("CAP_{name}")).collect();
    json!({
        "architecture": architecture.map_or("", Architecture::as_str),
        "kernel": [kernel.major, kernel.minor],
        "capabilities": capabilities,
    })
    .to_string()
}

fn kernel(text: &str) -> KernelVersion {
    text.parse().expect("a kernel")
}

/// The same rules, each as often: their order is the next question. CRI-O alone has rules again that
/// are there already, which is nothing to a filter and is not in the data.
fn equal_rules(profile: &Profile, container: Container, theirs: &[ListedRule]) -> Result<()> {
    let mut ours: Vec<ListedRule> = profile.rules.active(container).map(Into::into).collect();
    let mut theirs = theirs.to_vec();
    for rules in [&mut ours, &mut theirs] {
        rules.sort_unstable();
        if profile.runtime == Runtime::CriO {
            rules.dedup();
        }
    }
    if ours == theirs {
        return Ok(());
    }
    let only = |these: &[ListedRule], others: &[ListedRule]| -> Vec<ListedRule> {
        let mut left = these.to_vec();
        for other in others {
            if let Some(at) = left.iter().position(|rule| rule == other) {
                left.swap_remove(at);
            }
        }
        left
    };
    bail!(
        "only the runtime has {:?}, only we have {:?}",
        only(&theirs, &ours),
        only(&ours, &theirs)
    )
}

/// Calls that some ABIs make others through, and these.
const CARRIERS: [(&str, &[&str]); 2] = [
    (
        "socketcall",
        &[
            "socket",
            "bind",
            "connect",
            "listen",
            "accept",
            "getsockname",
            "getpeername",
            "socketpair",
            "send",
            "recv",
            "sendto",
            "recvfrom",
            "shutdown",
            "setsockopt",
            "getsockopt",
            "sendmsg",
            "recvmsg",
            "accept4",
            "recvmmsg",
            "sendmmsg",
        ],
    ),
    (
        "ipc",
        &[
            "semop",
            "semget",
            "semctl",
            "semtimedop",
            "msgsnd",
            "msgrcv",
            "msgget",
            "msgctl",
            "shmat",
            "shmdt",
            "shmget",
            "shmctl",
        ],
    ),
];

/// What our order of the rules relies on: a call that others are made through comes before those of
/// them with which something else is done. The order of rules that do the same is nothing.
fn carriers_come_first(rules: &[ListedRule]) -> Result<()> {
    for (carrier, carried) in CARRIERS {
        for (last, through) in rules.iter().enumerate() {
            if through.syscall != carrier {
                continue;
            }
            let contradiction = rules[..last].iter().find(|rule| {
                rule.action != through.action && carried.contains(&rule.syscall.as_str())
            });
            if let Some(rule) = contradiction {
                bail!("{carrier} comes after {rule:?}");
            }
        }
    }
    Ok(())
}

/// How long to go on, where that is said.
fn seconds() -> Option<Duration> {
    let text = std::env::var("PODFENCE_SECONDS").ok()?;
    Some(Duration::from_secs(
        text.parse().expect("PODFENCE_SECONDS is a number"),
    ))
}

/// None, the runtime's own, all, each capability alone and all but each.
fn bounding_sets(runtime: Runtime) -> Vec<CapabilityMask> {
    let all = CapabilityMask::ALL;
    let mut sets = vec![
        CapabilityMask::default(),
        runtime.default_capabilities(),
        all,
    ];
    for name in all.names() {
        let one = CapabilityMask::of(&[name]);
        sets.extend([one, all.difference(one)]);
    }
    sets
}

fn random_set(random: &mut fastrand::Rng) -> CapabilityMask {
    let share = random.u8(1..10);
    let all = CapabilityMask::ALL.names();
    let chosen: Vec<&str> = all.filter(|_| random.u8(..10) < share).collect();
    CapabilityMask::of(&chosen)
}

/// Whether libseccomp can make a filter for the ABIs of an architecture on this machine: it has no
/// filter for two byte orders, and this machine's is always in it.
fn can_be_loaded(architecture: Architecture) -> bool {
    match architecture {
        Architecture::Amd64
        | Architecture::Arm64
        | Architecture::Arm
        | Architecture::I386
        | Architecture::Mips64le
        | Architecture::Mipsle
        | Architecture::Ppc64le
        | Architecture::Riscv64 => true,
        // The ABI is unknown to libseccomp 2.5.
        Architecture::Loong64
        | Architecture::Mips
        | Architecture::Mips64
        | Architecture::Ppc64
        | Architecture::S390x => false,
    }
}

/// The containers of a line: every combination, or a sample that has every set of capabilities on
/// this machine's architecture and on another one, with each kernel and architecture in turn.
fn containers(line: &Line, random: &mut fastrand::Rng) -> Vec<Container> {
    let mut sets = bounding_sets(line.runtime);
    sets.extend((0..RANDOM_SETS).map(|_| random_set(random)));
    let kernels = KERNELS.map(kernel);
    let container =
        |architecture: Architecture, bounding: &CapabilityMask, kernel: usize| Container {
            architecture,
            bounding: *bounding,
            kernel: kernels[kernel % kernels.len()],
        };
    let mut containers = Vec::new();
    if seconds().is_some() {
        let here = [Architecture::Amd64];
        for architecture in here.iter().chain(line.elsewhere) {
            for bounding in &sets {
                containers.extend(
                    (0..kernels.len()).map(|kernel| container(*architecture, bounding, kernel)),
                );
            }
        }
        return containers;
    }
    let sets = || sets.iter().enumerate();
    containers.extend(sets().map(|(at, bounding)| container(Architecture::Amd64, bounding, at)));
    if !line.elsewhere.is_empty() {
        containers.extend(sets().map(|(at, bounding)| {
            container(line.elsewhere[at % line.elsewhere.len()], bounding, at + 1)
        }));
    }
    containers
}

#[test]
fn containers_get_the_rules_that_the_runtime_makes() -> Result<()> {
    let seed = std::env::var("PODFENCE_SEED").map_or(Ok(1), |seed| seed.parse())?;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut compiler = Compiler::start()?;
    let lines = u32::try_from(LINES.len())?;
    let share = seconds().map(|seconds| seconds / lines);
    let mut total = Counts::default();
    for line in &LINES {
        let end = share.map(|share| Instant::now() + share);
        let mut comparison = Comparison::start(line)?;
        let all = containers(line, &mut random);
        let mut compare = |comparison: &mut Comparison, at: usize, container: Container| {
            // A filter takes as long as a hundred lists; of every seventh all kernels and
            // architectures have one.
            let is_loaded = can_be_loaded(container.architecture)
                && (seconds().is_some() || at.is_multiple_of(7));
            let compiler = is_loaded.then_some(&mut compiler);
            let outcome = comparison.rules(container, compiler);
            outcome.with_context(|| format!("{} {container:?}", comparison.profile))
        };
        for (at, container) in all.iter().enumerate() {
            compare(&mut comparison, at, *container)?;
        }
        while end.is_some_and(|end| Instant::now() < end) {
            let container = Container {
                bounding: random_set(&mut random),
                ..all[random.usize(..all.len())]
            };
            compare(&mut comparison, 1, container)?;
        }
        let Counts {
            lists,
            filters,
            calls,
        } = comparison.counts;
        println!(
            "{}: {lists} lists of rules, {filters} filters, {calls} calls: no difference",
            comparison.profile
        );
        assert!(
            lists > 100 && filters > 4,
            "rules and what they come to are compared"
        );
        total.lists += lists;
        total.filters += filters;
        total.calls += calls;
    }
    println!(
        "{lines} lines of releases, {} sets of capabilities and random ones from seed {seed}, \
         {} kernels: {} lists, {} filters, {} calls",
        bounding_sets(Runtime::Containerd).len(),
        KERNELS.len(),
        total.lists,
        total.filters,
        total.calls
    );
    Ok(())
}

/// What stands for other architectures is a copy that is asked otherwise; for this one both must say
/// the same.
#[test]
fn the_copy_for_other_architectures_is_the_library() -> Result<()> {
    for line in LINES.iter().filter(|line| !line.elsewhere.is_empty()) {
        let mut comparison = Comparison::start(line)?;
        for bounding in bounding_sets(line.runtime) {
            for text in KERNELS {
                let container = Container {
                    architecture: Architecture::Amd64,
                    bounding,
                    kernel: kernel(text),
                };
                let here = comparison.ask(None, container)?;
                let copy = comparison.ask(Some(Architecture::Amd64), container)?;
                assert_eq!(here, copy, "{} {container:?}", line.name);
            }
        }
    }
    Ok(())
}
