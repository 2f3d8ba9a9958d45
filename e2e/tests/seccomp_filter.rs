//! What our filters decide against the programs that runc and libseccomp make of the same rules.
//!
//! `PODFENCE_SECONDS` says how long to go on with random rules (without it 2,000 lists), and asks for
//! every capability instead of a sample; `PODFENCE_SEED` where to begin.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use podfence_e2e::filter_comparison::{self, Compiled, Compiler};
use podfence_e2e::oci_profile::{ListedRule, OciProfile};
use podfence_seccomp::{
    Abi, Action, Applicability, Architecture, Condition, Container, Errno, Filter, KernelVersion,
    LoadError, Operator, Profile, Rule, RuleSet, Runtime,
};
use podfence_workload::CapabilityMask;

/// Lists of random rules where no time is given.
const LISTS: usize = 2_000;

/// What came of a comparison.
enum Outcome {
    /// So many calls were compared, without a difference.
    Equal(usize),
    /// Neither takes the rules.
    Refused,
    /// We do not say what becomes of the rules.
    Untold,
    /// libseccomp does not come to an end with the rules.
    Endless,
}

/// What is asked about: rules that are all there, for the filter of some ABIs.
struct Question<'a> {
    rules: &'a [Rule],
    default: Errno,
    abis: &'a [Abi],
}

impl Question<'_> {
    /// Compares every number of every ABI.
    fn compare(&self, compiler: &mut Compiler) -> Result<Outcome> {
        let profile = OciProfile {
            default: self.default,
            abis: self.abis.to_vec(),
            rules: self.rules.iter().map(Into::into).collect(),
        };
        let filter = Filter::of_rules(
            self.rules.to_vec(),
            self.default,
            self.abis,
            compiler.loader(),
        );
        if matches!(filter, Err(LoadError::Untold { .. })) {
            return Ok(Outcome::Untold);
        }
        match (filter, compiler.compile(&profile.to_json())?) {
            (_, Compiled::Endless) => Ok(Outcome::Endless),
            (Err(_), Compiled::Refused(_)) => Ok(Outcome::Refused),
            (Ok(_), Compiled::Refused(error)) => bail!("only runc refuses the rules: {error}"),
            (Err(conflict), Compiled::Program(_)) => bail!("only we refuse the rules: {conflict}"),
            (Ok(filter), Compiled::Program(program)) => {
                filter_comparison::compare(&filter, &program, &profile.rules).map(Outcome::Equal)
            }
        }
    }
}

fn capability(name: &str) -> CapabilityMask {
    CapabilityMask::named(name).expect("a capability")
}

/// Containers whose rules differ: of each capability that rules ask for, one without and one with it.
fn bounding_sets(rules: &RuleSet) -> Vec<CapabilityMask> {
    let none = CapabilityMask::default();
    let usual = Runtime::Containerd.default_capabilities();
    let mut sets = vec![none, usual, CapabilityMask::ALL];
    let asked = rules.rules.iter().fold(none, |all, rule| {
        let applicability = &rule.applicability;
        all.union(applicability.capabilities)
            .union(applicability.without_capabilities)
    });
    for name in asked.names() {
        sets.push(capability(name));
        sets.push(CapabilityMask::ALL.difference(capability(name)));
        if seconds().is_some() {
            sets.push(usual.union(capability(name)));
            sets.push(usual.difference(capability(name)));
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
    let mut compiler = Compiler::start()?;
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
                    };
                    let outcome = question.compare(&mut compiler);
                    match outcome.with_context(|| format!("{profile} {container:?}"))? {
                        Outcome::Equal(compared) => calls += compared,
                        Outcome::Refused | Outcome::Untold | Outcome::Endless => {
                            bail!("{profile} {container:?}: its rules make no filter")
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
    let mut compiler = Compiler::start()?;
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
    let (mut lists, mut refused, mut untold, mut endless, mut calls) = (0, 0, 0, 0, 0);
    let mut odd: Vec<String> = Vec::new();
    while end.map_or(lists < LISTS, |end| Instant::now() < end) {
        let rules = random_rules(&mut random);
        let question = Question {
            rules: &rules,
            default: Errno::EPERM,
            abis: &abis[..random.usize(1..=abis.len())],
        };
        match question.compare(&mut compiler) {
            Ok(Outcome::Refused) => refused += 1,
            Ok(Outcome::Untold) => untold += 1,
            Ok(Outcome::Endless) => endless += 1,
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
         {untold} that we do not tell, {endless} that libseccomp does not come to an end with, \
         {calls} calls"
    );
    for difference in &odd {
        println!("{difference}");
    }
    assert_eq!(odd.len(), 0, "differences");
    assert!(untold < lists / 3, "most lists are told");
    assert!(
        endless <= lists / 50,
        "libseccomp comes to an end with all but a few lists"
    );
    Ok(())
}

/// Whoever asks about rules that libseccomp 2.5 works on for ever must be able to go on.
#[test]
fn a_list_without_an_end_is_given_up() -> Result<()> {
    let rule = |conditions: &[(u8, Operator)]| ListedRule {
        syscall: "clone".to_owned(),
        action: Action::Allow,
        conditions: conditions
            .iter()
            .map(|(index, operator)| Condition {
                index: *index,
                operator: *operator,
            })
            .collect(),
    };
    let less = (0, Operator::Less(0x1_0000_0010));
    let mut profile = OciProfile {
        default: Errno::EPERM,
        abis: vec![Abi::X86_64, Abi::Aarch64],
        rules: vec![
            rule(&[(1, Operator::GreaterOrEqual(0x1_0000_0010)), less]),
            rule(&[(2, Operator::Greater(2)), less]),
            rule(&[(0, Operator::Equal(16))]),
            rule(&[(0, Operator::Equal(0xffff_ffff))]),
        ],
    };
    let mut compiler = Compiler::start()?;
    let start = Instant::now();
    let outcome = compiler.compile(&profile.to_json())?;
    let is_endless = matches!(outcome, Compiled::Endless);
    println!("given up: {is_endless}, after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(30), "it is given up");
    profile.rules.truncate(1);
    match compiler.compile(&profile.to_json())? {
        Compiled::Program(_) => Ok(()),
        other => bail!("the next list gets {other:?}"),
    }
}
