//! The form of filters for observers says what the filters say, of every rule set.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeSet, HashSet};

use podfence_seccomp::{
    Abi, Action, Architecture, Compiled, Container, Errno, Filter, FilterKey, Loader, OciRuntime,
    Operator, Outcome, Profile, RuleSet, Runtime, syscalls,
};
use podfence_workload::CapabilityMask;

/// Numbers that are compared: all that are in use and some that are not.
const NUMBERS: u32 = 1100;

fn container(architecture: Architecture, bounding: CapabilityMask) -> Container {
    Container {
        architecture,
        bounding,
        kernel: "6.18".parse().expect("a kernel"),
    }
}

/// The first release of each rule set of every runtime.
fn rule_sets() -> Vec<(String, RuleSet)> {
    let mut seen = HashSet::new();
    let mut sets = Vec::new();
    for runtime in Runtime::ALL {
        for release in Profile::releases(runtime).expect("the data read") {
            let rules = Profile::of(runtime, release).expect("a release").rules;
            if seen.insert(rules.hash) {
                sets.push((format!("{runtime}/{release}"), rules));
            }
        }
    }
    sets
}

/// Arguments on both sides of every condition on the call of a number.
fn arguments(filter: &Filter, abi: Abi, number: u32) -> Vec<[u64; 6]> {
    let name = syscalls::name(abi, number).unwrap_or_default();
    let mut values: [BTreeSet<u64>; 6] = Default::default();
    let is_carrier = matches!(name, "socketcall" | "ipc");
    if is_carrier {
        values[0].extend(0..26);
    }
    for rule in filter.rules() {
        if rule.syscall != name && !is_carrier {
            continue;
        }
        for condition in &rule.conditions {
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
                    value | 0xffff_ffff_0000_0000,
                ],
                Operator::MaskedEqual { mask, value } => {
                    vec![value, value ^ mask, value | !mask, !mask, mask]
                }
            };
            values[usize::from(condition.index)].extend(near);
        }
    }
    let mut all = vec![[0; 6], [u64::MAX; 6]];
    for (index, values) in values.iter().enumerate() {
        for before in all.clone() {
            all.extend(values.iter().map(|value| {
                let mut arguments = before;
                arguments[index] = *value;
                arguments
            }));
        }
    }
    assert!(all.len() < 100_000, "{abi} {name}: {}", all.len());
    all
}

#[test]
fn the_compiled_form_of_every_rule_set_agrees_with_its_filters() {
    let (mut filters, mut calls, mut by_arguments) = (0, 0, 0);
    for (at, (name, rules)) in rule_sets().into_iter().enumerate() {
        let usual = Runtime::Containerd.default_capabilities();
        let sets = [
            usual,
            CapabilityMask::default(),
            CapabilityMask::ALL,
            usual.union(CapabilityMask::of(&["SYS_ADMIN"])),
        ];
        let architectures = [
            Architecture::Amd64,
            Architecture::Arm64,
            Architecture::S390x,
        ];
        for (place, architecture) in architectures.into_iter().enumerate() {
            // Every rule set on each architecture, every capability set for each rule set in turn.
            let bounding = sets[(at + place) % sets.len()];
            let runtime = [OciRuntime::Runc, OciRuntime::Crun][(at + place) % 2];
            let loader = Loader {
                runtime,
                ..Loader::default()
            };
            let filter =
                Filter::load(&rules, container(architecture, bounding), loader).expect("it loads");
            let compiled = Compiled::of(&filter).expect("few classes");
            filters += 1;
            for abi in filter.abis() {
                for number in (0..NUMBERS).chain([983_042, 983_045, u32::MAX >> 2]) {
                    for arguments in arguments(&filter, abi, number) {
                        calls += 1;
                        assert_eq!(
                            compiled.action(abi, number, arguments),
                            filter.action(abi, number, arguments),
                            "{name} {architecture} {abi} {number} {arguments:x?}"
                        );
                    }
                }
            }
            by_arguments += compiled
                .abis()
                .iter()
                .flat_map(|abi| abi.others.values())
                .filter(|outcome| matches!(outcome, Outcome::ByArguments(_)))
                .count();
        }
    }
    assert!(
        filters > 120 && calls > 500_000 && by_arguments > 500,
        "{filters} {calls} {by_arguments}"
    );
}

#[test]
fn what_is_always_allowed_is_a_bit_and_what_is_not_says_its_arguments() {
    let rules = "containerd/2.3.7"
        .parse::<Profile>()
        .expect("a profile")
        .rules;
    let container = container(
        Architecture::Amd64,
        Runtime::Containerd.default_capabilities(),
    );
    let filter = Filter::load(&rules, container, Loader::default()).expect("it loads");
    let compiled = Compiled::of(&filter).expect("few classes");
    assert_eq!(compiled.action(Abi::S390, 1, [0; 6]), Action::KillThread);
    let abi = &compiled.abis()[0];
    assert_eq!(abi.abi, Abi::X86_64);
    let number = |name| syscalls::number(Abi::X86_64, name).expect("a call");
    for (name, allowed, other) in [
        ("read", true, ""),
        ("keyctl", false, ""),
        ("clone3", false, "always"),
        ("clone", false, "arg0&0x7e020000==0"),
        (
            "personality",
            false,
            "arg0 in 0,8,0x20000,0x20008,0xffffffff",
        ),
        ("socket", false, "arg0 in 0-37,39,41-45"),
    ] {
        assert_eq!(abi.is_always_allowed(number(name)), allowed, "{name}");
        let said = match abi.others.get(&number(name)) {
            None => String::new(),
            Some(Outcome::Always(_)) => "always".to_owned(),
            Some(Outcome::ByArguments(classes)) => {
                assert_eq!(classes.listed.len(), 1, "{name}: {classes:?}");
                let when = &classes.listed[0].when;
                when.iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" ")
            }
        };
        assert_eq!(said, other, "{name}");
    }
    assert_eq!(abi.unnamed, Action::Errno(Errno::EPERM));
    assert_eq!(abi.above, Action::Errno(Errno::ENOSYS));
}

#[test]
fn equal_keys_are_equal_filters_and_others_are_told_apart() {
    let rules = |text: &str| text.parse::<Profile>().expect("a profile").rules;
    let usual = container(
        Architecture::Amd64,
        Runtime::Containerd.default_capabilities(),
    );
    let key = |text: &str, container, loader| FilterKey::of(&rules(text), container, loader);
    let first = key("containerd/2.2.5", usual, Loader::default());
    assert_eq!(first, key("containerd/2.3.1", usual, Loader::default()));
    let crun = Loader {
        runtime: OciRuntime::Crun,
        ..Loader::default()
    };
    for other in [
        key("containerd/2.3.7", usual, Loader::default()),
        key("containerd/2.2.5", usual, crun),
        key(
            "containerd/2.2.5",
            container(Architecture::Amd64, CapabilityMask::ALL),
            Loader::default(),
        ),
    ] {
        assert_ne!(first, other);
    }
}
