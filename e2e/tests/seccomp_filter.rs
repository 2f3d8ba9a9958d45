//! What our filters decide against the programs that runc and libseccomp make of the same rules.
//!
//! `PODFENCE_SECONDS` says how long to go on with random rules (without it 2,000 lists), and asks for
//! every capability instead of a sample; `PODFENCE_SEED` where to begin.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use podfence_e2e::bpf::{self, Call, Program};
use podfence_e2e::oracle::Oracle;
use podfence_seccomp::syscalls::{self, Libseccomp};
use podfence_seccomp::{
    Abi, Action, Applicability, Architecture, Condition, Container, Errno, Filter, KernelVersion,
    LoadError, Loader, OciRuntime, Operator, Profile, Rule, RuleSet, Runtime,
};
use podfence_workload::CapabilityMask;
use serde::Deserialize;
use serde_json::{Value, json};

/// Above every number that is in use, to see what happens to calls that are yet to come.
const NUMBERS: u32 = 560;
/// Arguments tried at one number at most; profiles need far fewer.
const MOST_ARGUMENTS: usize = 400;
/// Lists of random rules where no time is given.
const LISTS: usize = 2_000;

#[derive(Deserialize)]
struct Answer {
    version: String,
    #[serde(default)]
    program: Program,
    error: Option<String>,
}

/// What came of a comparison.
enum Outcome {
    /// So many calls were compared, without a difference.
    Equal(usize),
    /// Neither takes the rules.
    Refused,
    /// We do not say what becomes of the rules.
    Untold,
}

/// What is asked about: rules that are all there, for the filter of some ABIs.
struct Question<'a> {
    rules: &'a [Rule],
    default: Errno,
    abis: &'a [Abi],
    /// Whose names the oracle knows.
    libseccomp: Libseccomp,
}

/// The release of libseccomp whose names the oracle knows. Distributions take over the names of newer
/// releases and keep the version: Debian's 2.5.4-1+deb12u1 knows those of 2.5.5.
fn libseccomp(oracle: &mut Oracle) -> Result<Libseccomp> {
    /// The newest calls of releases that brought any, newest release first.
    const WITNESSES: [(&str, Libseccomp); 2] = [
        ("mseal", Libseccomp::new(2, 6, 0)),
        ("cachestat", Libseccomp::new(2, 5, 5)),
    ];
    let mut reported = None;
    for (name, release) in WITNESSES {
        let rules = [Rule {
            syscall: name,
            action: Action::Allow,
            conditions: Box::default(),
            applicability: Applicability::default(),
        }];
        let question = Question {
            rules: &rules,
            default: Errno::EPERM,
            abis: &[Abi::X86_64],
            libseccomp: release,
        };
        let answer: Answer = oracle.ask(&question.configuration().to_string())?;
        let number = syscalls::number(Abi::X86_64, name).context("a known call")?;
        let call = Call::new(Abi::X86_64, number, [0; 6]);
        if answer.error.is_none() && bpf::run(&answer.program, &call)? == Action::Allow {
            return Ok(release);
        }
        reported = Some(answer.version);
    }
    Ok(reported.context("a witness")?.parse::<Libseccomp>()?)
}

impl Question<'_> {
    /// As an OCI configuration.
    fn configuration(&self) -> Value {
        let syscalls: Vec<Value> = self.rules.iter().map(rule).collect();
        let architectures: Vec<String> = self.abis.iter().map(|abi| oci_name(*abi)).collect();
        json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": self.default.number(),
            "architectures": architectures,
            "syscalls": syscalls,
        })
    }

    /// Compares every number of every ABI.
    fn compare(&self, oracle: &mut Oracle) -> Result<Outcome> {
        let answer: Answer = oracle.ask(&self.configuration().to_string())?;
        let loader = Loader {
            runtime: OciRuntime::Runc,
            libseccomp: self.libseccomp,
        };
        let filter = Filter::of_rules(self.rules.to_vec(), self.default, self.abis, loader);
        let filter = match (filter, answer.error) {
            (Ok(filter), None) => filter,
            (Err(LoadError::Untold { .. }), _) => return Ok(Outcome::Untold),
            (Err(_), Some(_)) => return Ok(Outcome::Refused),
            (Ok(_), Some(error)) => bail!("only runc refuses the rules: {error}"),
            (Err(conflict), None) => bail!("only we refuse the rules: {conflict}"),
        };
        let mut compared = 0;
        for abi in self.abis {
            let conditions = conditions(self.rules, *abi);
            // Some of Arm's own numbers are far above all others.
            let named = conditions
                .keys()
                .copied()
                .filter(|number| *number >= NUMBERS);
            let others = [983_042, 983_050, u32::MAX >> 2];
            let numbers: BTreeSet<u32> = (0..NUMBERS).chain(named).chain(others).collect();
            for number in numbers {
                let tried = arguments(conditions.get(&number).map_or(&[], Vec::as_slice));
                compared += tried.len();
                for arguments in tried {
                    let ours = filter.action(*abi, number, arguments);
                    let theirs = bpf::run(&answer.program, &call(*abi, number, arguments))?;
                    if ours != theirs {
                        let ours = filter.decide_number(*abi, number, arguments);
                        let name = syscalls::name(*abi, number).unwrap_or("?");
                        bail!(
                            "{abi} {name} ({number}) {arguments:x?}: runc {theirs:?}, we {:?} by {}",
                            ours.action,
                            ours.cause
                        );
                    }
                }
            }
        }
        Ok(Outcome::Equal(compared))
    }
}

/// The call as the kernel numbers it: MIPS counts on from a base of each ABI.
fn call(abi: Abi, number: u32, arguments: [u64; 6]) -> Call {
    let base = match abi {
        Abi::Mips => 4000,
        Abi::Mips64 => 5000,
        Abi::Mips64n32 => 6000,
        _ => 0,
    };
    Call::new(abi, base + number, arguments)
}

/// The name of an ABI in an OCI configuration, little-endian where there are two.
fn oci_name(abi: Abi) -> String {
    let name = match abi {
        Abi::Ppc64 => "PPC64LE".to_owned(),
        Abi::Mips => "MIPSEL".to_owned(),
        Abi::Mips64 => "MIPSEL64".to_owned(),
        Abi::Mips64n32 => "MIPSEL64N32".to_owned(),
        other => other.as_str().to_uppercase(),
    };
    format!("SCMP_ARCH_{name}")
}

fn rule(rule: &Rule) -> Value {
    let mut entry = json!({ "names": [rule.syscall], "action": "SCMP_ACT_ALLOW" });
    if let Action::Errno(errno) = rule.action {
        entry["action"] = json!("SCMP_ACT_ERRNO");
        entry["errnoRet"] = json!(errno.number());
    }
    let conditions = rule.conditions.iter().map(|condition| {
        let (operator, value, second) = match condition.operator {
            Operator::NotEqual(value) => ("NE", value, 0),
            Operator::Less(value) => ("LT", value, 0),
            Operator::LessOrEqual(value) => ("LE", value, 0),
            Operator::Equal(value) => ("EQ", value, 0),
            Operator::GreaterOrEqual(value) => ("GE", value, 0),
            Operator::Greater(value) => ("GT", value, 0),
            Operator::MaskedEqual { mask, value } => ("MASKED_EQ", mask, value),
        };
        json!({
            "index": condition.index, "op": format!("SCMP_CMP_{operator}"),
            "value": value, "valueTwo": second,
        })
    });
    entry["args"] = conditions.collect();
    entry
}

/// The conditions on the calls of each number that has any; those of calls that are made through
/// another one count for that as well.
fn conditions(rules: &[Rule], abi: Abi) -> BTreeMap<u32, Vec<Condition>> {
    let mut conditions = BTreeMap::<u32, Vec<Condition>>::new();
    let carriers = ["socketcall", "ipc"].map(|name| syscalls::number(abi, name));
    for rule in rules {
        let own = syscalls::number(abi, rule.syscall);
        for number in carriers.into_iter().chain([own]).flatten() {
            conditions
                .entry(number)
                .or_default()
                .extend(&rule.conditions);
        }
    }
    for carrier in carriers.into_iter().flatten() {
        let which = (0..25).map(|number| Condition {
            index: 0,
            operator: Operator::Equal(number),
        });
        conditions.entry(carrier).or_default().extend(which);
    }
    conditions
}

/// Arguments on both sides of every condition, and of every two.
fn arguments(conditions: &[Condition]) -> Vec<[u64; 6]> {
    const FEWEST: [[u64; 6]; 2] = [[0; 6], [u64::MAX; 6]];
    if conditions.is_empty() {
        return FEWEST.to_vec();
    }
    let mut values: [BTreeSet<u64>; 6] = Default::default();
    for condition in conditions {
        let near = match condition.operator {
            Operator::NotEqual(value)
            | Operator::Less(value)
            | Operator::LessOrEqual(value)
            | Operator::Equal(value)
            | Operator::GreaterOrEqual(value)
            | Operator::Greater(value) => vec![
                value,
                value.wrapping_sub(1),
                value.wrapping_add(1),
                value ^ (1 << 32),
                value | (u64::from(u32::MAX) << 32),
            ],
            Operator::MaskedEqual { mask, value } => {
                let lowest = mask & mask.wrapping_neg();
                vec![
                    value,
                    value | !mask,
                    value ^ lowest,
                    value ^ mask,
                    !mask,
                    mask,
                ]
            }
        };
        let values = values.get_mut(usize::from(condition.index));
        values.expect("six arguments").extend(near);
    }
    let mut all = FEWEST.to_vec();
    for (index, values) in values.iter().enumerate() {
        let so_far = all.clone();
        for value in values {
            all.extend(so_far.iter().map(|arguments| {
                let mut arguments = *arguments;
                arguments[index] = *value;
                arguments
            }));
        }
        all.truncate(MOST_ARGUMENTS);
    }
    all
}

fn capability(name: &str) -> CapabilityMask {
    CapabilityMask::named(name).expect("a capability")
}

/// What containerd gives a container that asks for nothing.
fn usual() -> CapabilityMask {
    CapabilityMask::of(&[
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ])
}

/// Containers whose rules differ: of each capability that rules ask for, one without and one with it.
fn bounding_sets(rules: &RuleSet) -> Vec<CapabilityMask> {
    let none = CapabilityMask::default();
    let mut sets = vec![none, usual(), CapabilityMask::ALL];
    let asked = rules.rules.iter().fold(none, |all, rule| {
        let applicability = &rule.applicability;
        all.union(applicability.capabilities)
            .union(applicability.without_capabilities)
    });
    for name in asked.names() {
        sets.push(capability(name));
        sets.push(CapabilityMask::ALL.difference(capability(name)));
        if seconds().is_some() {
            sets.push(usual().union(capability(name)));
            sets.push(usual().difference(capability(name)));
        }
    }
    sets
}

fn seconds() -> Option<Duration> {
    let text = std::env::var("PODFENCE_SECONDS").ok()?;
    Some(Duration::from_secs(
        text.parse().expect("PODFENCE_SECONDS is a number"),
    ))
}

/// One release of each rule set of a runtime, and its rules.
fn distinct(runtime: Runtime) -> Vec<Profile> {
    let mut seen = BTreeSet::new();
    Profile::releases(runtime)
        .expect("the data read")
        .map(|release| Profile::of(runtime, release).expect("a known release"))
        .filter(|profile| seen.insert(profile.rules.hash))
        .collect()
}

#[test]
fn the_filters_of_every_release_decide_as_runc_and_libseccomp() -> Result<()> {
    let mut oracle = Oracle::start("seccomp", &[])?;
    let libseccomp = libseccomp(&mut oracle)?;
    let kernels = ["4.7", "6.18"].map(|kernel| kernel.parse::<KernelVersion>().expect("a kernel"));
    // The native architecture of the oracle is always in its filter, so arm64 has it beside its own.
    let nodes = [
        (Architecture::Amd64, vec![Abi::X86_64, Abi::X86, Abi::X32]),
        (
            Architecture::Arm64,
            vec![Abi::X86_64, Abi::Aarch64, Abi::Arm],
        ),
    ];
    for runtime in Runtime::ALL {
        let (mut sets, mut filters, mut calls) = (0, 0, 0);
        let mut asked = HashSet::new();
        for profile in distinct(runtime) {
            sets += 1;
            for (architecture, abis) in &nodes {
                for (at, bounding) in bounding_sets(&profile.rules).into_iter().enumerate() {
                    // The sample has every set of capabilities on one of them.
                    if seconds().is_none() && (at + sets) % 4 != 0 {
                        continue;
                    }
                    let container = Container {
                        architecture: *architecture,
                        bounding,
                        kernel: kernels[at % kernels.len()],
                    };
                    let active: Vec<Rule> = profile.rules.active(container).cloned().collect();
                    if !asked.insert((*architecture, profile.rules.default, active.clone())) {
                        continue;
                    }
                    let question = Question {
                        rules: &active,
                        default: profile.rules.default,
                        abis,
                        libseccomp,
                    };
                    let outcome = question.compare(&mut oracle);
                    match outcome.with_context(|| format!("{profile} {container:?}"))? {
                        Outcome::Equal(compared) => calls += compared,
                        Outcome::Refused | Outcome::Untold => {
                            bail!("{profile} {container:?}: its rules are refused")
                        }
                    }
                    filters += 1;
                }
            }
        }
        println!("{runtime}: {sets} rule sets, {filters} filters, {calls} calls: no difference");
        assert!(
            filters > 10 * sets,
            "every rule set is loaded for many containers"
        );
    }
    Ok(())
}

/// Rules that no profile has: on few calls, with conditions that overlap and contradict.
fn random_rules(random: &mut fastrand::Rng) -> Vec<Rule> {
    const CALLS: [&str; 7] = [
        "socket",
        "clone",
        "personality",
        "read",
        "shmget",
        "mseal",
        "bind",
    ];
    const VALUES: [u64; 9] = [0, 1, 2, 8, 16, 40, 0xffff_ffff, 1 << 32, (1 << 32) + 16];
    const MASKS: [u64; 5] = [0, 1, 0x18, 0x7e02_0000, 0xff_0000_0000];
    const ACTIONS: [Action; 3] = [
        Action::Allow,
        Action::Errno(Errno::EINVAL),
        Action::Errno(Errno::EPERM),
    ];
    let few = random.usize(1..=2);
    let contradict = random.u8(0..3) == 0;
    // libseccomp's time to write the program grows exponentially with what is compared in a row.
    let rules = random.usize(1..5);
    (0..rules)
        .map(|_| {
            let mut conditions: Vec<Condition> = Vec::new();
            for _ in 0..random.usize(0..=2) {
                let value = VALUES[random.usize(..VALUES.len())];
                let mask = MASKS[random.usize(..MASKS.len())];
                let operator = match random.u8(0..8) {
                    0 => Operator::NotEqual(value),
                    1 => Operator::Less(value),
                    2 => Operator::LessOrEqual(value),
                    3 => Operator::GreaterOrEqual(value),
                    4 => Operator::Greater(value),
                    5 => Operator::MaskedEqual {
                        mask,
                        value: value & mask,
                    },
                    _ => Operator::Equal(value),
                };
                let index = random.u8(0..3);
                conditions.push(Condition { index, operator });
            }
            let action = if contradict {
                ACTIONS[random.usize(..ACTIONS.len())]
            } else {
                Action::Allow
            };
            Rule {
                syscall: CALLS[random.usize(..CALLS.len()).min(few)],
                action,
                conditions: conditions.into(),
                applicability: Applicability::default(),
            }
        })
        .collect()
}

#[test]
fn random_rules_decide_as_runc_and_libseccomp() -> Result<()> {
    let mut oracle = Oracle::start("seccomp", &[])?;
    let libseccomp = libseccomp(&mut oracle)?;
    let seed = std::env::var("PODFENCE_SEED").map_or(Ok(1), |seed| seed.parse())?;
    let mut random = fastrand::Rng::with_seed(seed);
    // All that libseccomp 2.5 can have in one filter on a little-endian machine.
    let abis = [
        Abi::X86_64,
        Abi::X86,
        Abi::X32,
        Abi::Aarch64,
        Abi::Arm,
        Abi::Riscv64,
        Abi::Ppc64,
        Abi::Mips,
        Abi::Mips64,
        Abi::Mips64n32,
    ];
    let end = seconds().map(|seconds| Instant::now() + seconds);
    let (mut lists, mut refused, mut untold, mut calls) = (0, 0, 0, 0);
    let mut odd: Vec<String> = Vec::new();
    while end.map_or(lists < LISTS, |end| Instant::now() < end) {
        let rules = random_rules(&mut random);
        let question = Question {
            rules: &rules,
            default: Errno::EPERM,
            abis: &abis[..random.usize(1..=abis.len())],
            libseccomp,
        };
        match question.compare(&mut oracle) {
            Ok(Outcome::Refused) => refused += 1,
            Ok(Outcome::Untold) => untold += 1,
            Ok(Outcome::Equal(compared)) => calls += compared,
            Err(error) => {
                let text: Vec<String> = rules.iter().map(ToString::to_string).collect();
                odd.push(format!("{}\n  {error}", text.join("; ")));
            }
        }
        lists += 1;
    }
    println!(
        "{lists} lists of random rules from seed {seed}, {refused} refused by both, \
         {untold} that we do not tell, {calls} calls"
    );
    for difference in &odd {
        println!("{difference}");
    }
    assert_eq!(odd.len(), 0, "differences");
    assert!(untold < lists / 2, "most lists are told");
    Ok(())
}
