//! A sieve lets nothing pass that a container would be denied, of every rule set.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeSet, HashSet};

use podfence_seccomp::{
    Abi, Action, Architecture, Container, Filter, FilterKey, Kept, Loader, NUMBERS, OciRuntime,
    Operator, Profile, RuleSet, Runtime, Sieve, syscalls,
};
use podfence_workload::CapabilityMask;

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
fn nothing_passes_that_a_container_would_be_denied() {
    let rng = &mut fastrand::Rng::with_seed(7);
    let (mut calls, mut passed) = (0_u64, 0_u64);
    for (at, (name, rules)) in rule_sets().into_iter().enumerate() {
        for (place, architecture) in [Architecture::Amd64, Architecture::Arm64]
            .into_iter()
            .enumerate()
        {
            let usual = Runtime::Containerd.default_capabilities();
            let kernel = container(architecture, usual).kernel;
            let sieve = Sieve::of(&rules, architecture, kernel).expect("few classes");
            let random = CapabilityMask::ALL.names().filter(|_| rng.bool());
            let random = random
                .filter_map(CapabilityMask::named)
                .fold(CapabilityMask::default(), CapabilityMask::union);
            let sets = [
                CapabilityMask::default(),
                usual,
                random,
                CapabilityMask::ALL,
            ];
            // Every rule set on each architecture, the sets of capabilities in turn.
            let container = container(architecture, sets[(at + place) % sets.len()]);
            let filter = Filter::load(&rules, container, Loader::default()).expect("it loads");
            for abi in sieve.abis() {
                for number in (0..NUMBERS).chain([NUMBERS, 983_042, u32::MAX >> 2]) {
                    // It is answered as if there were none, and judged as clone.
                    if syscalls::name(abi, number) == Some("clone3") {
                        continue;
                    }
                    for arguments in arguments(&filter, abi, number) {
                        calls += 1;
                        let is_let = sieve.passes(abi, number, arguments);
                        passed += u64::from(is_let);
                        assert!(
                            !is_let || filter.action(abi, number, arguments) == Action::Allow,
                            "{name} {abi} {number} {arguments:x?} {container:?}"
                        );
                    }
                }
            }
        }
    }
    assert!(calls > 400_000 && passed > 100_000, "{calls} {passed}");
}

#[test]
fn what_programs_do_all_the_time_passes() {
    let sieve = |text: &str| {
        let rules = text.parse::<Profile>().expect("a profile").rules;
        let kernel = "6.18".parse().expect("a kernel");
        Sieve::of(&rules, Architecture::Amd64, kernel).expect("few classes")
    };
    let (containerd, cri_o) = (sieve("containerd/2.3.7"), sieve("cri-o/1.36.0"));
    // CLONE_VM and the other flags of a thread; CLONE_NEWUSER.
    let (thread, user) = (0x003d_0f00, 0x1000_0000);
    for (sieve, name, first, want) in [
        (&containerd, "keyctl", 0, false),
        (&containerd, "unshare", 0, false),
        (&containerd, "read", u64::MAX, true),
        (&containerd, "clone", user | thread, false),
        (&containerd, "clone", thread, true),
        (&containerd, "clone3", user | thread, false),
        (&containerd, "clone3", thread, true),
        (&containerd, "socket", 38, false),
        (&containerd, "socket", 2, true),
        (&containerd, "socket", 1 << 32 | 2, false),
        (&containerd, "personality", 0x0004_0000, false),
        (&containerd, "personality", 0, true),
        (&cri_o, "keyctl", 0, true),
        (&cri_o, "clone", user, false),
        (&cri_o, "clone", thread, true),
        (&cri_o, "socket", 2, true),
        (&cri_o, "socket", 40, false),
    ] {
        let number = syscalls::number(Abi::X86_64, name).expect("a call");
        let arguments = [first, 0, 0, 0, 0, 0];
        assert_eq!(
            sieve.passes(Abi::X86_64, number, arguments),
            want,
            "{name} {first:#x}"
        );
    }
    assert!(
        !containerd.passes(Abi::S390x, 3, [0; 6]),
        "no ABI of the node"
    );
    assert!(
        !containerd.passes(Abi::X86_64, 2000, [0; 6]),
        "no number of any call"
    );
}

#[test]
fn of_what_does_not_pass_the_arguments_that_count_are_kept() {
    let rules = "containerd/2.3.7"
        .parse::<Profile>()
        .expect("a profile")
        .rules;
    let kernel = "6.18".parse().expect("a kernel");
    let sieve = Sieve::of(&rules, Architecture::Amd64, kernel).expect("few classes");
    let kept = |name| {
        let number = syscalls::number(Abi::X86_64, name).expect("a call");
        let mut kept = sieve
            .kept(Abi::X86_64)
            .filter(|(known, _)| *known == number);
        kept.next().map(|(_, kept)| kept.arguments.clone())
    };
    let namespaces = 0x7e02_0080;
    for (name, want) in [
        ("read", None),
        ("keyctl", Some(vec![])),
        ("clone", Some(vec![(0, namespaces)])),
        ("clone3", Some(vec![(0, namespaces)])),
        ("unshare", Some(vec![(0, namespaces)])),
        ("setns", Some(vec![(1, namespaces)])),
        ("socket", Some(vec![(0, u64::MAX)])),
        ("personality", Some(vec![(0, u64::MAX)])),
    ] {
        assert_eq!(kept(name), want, "{name}");
    }
    // An observer in the kernel has room for two.
    for (name, rules) in rule_sets() {
        let sieve = Sieve::of(&rules, Architecture::Amd64, kernel).expect("few classes");
        let most = |kept: &Kept| kept.arguments.len() <= 2 && kept.passes.len() <= 70;
        let all = sieve.abis().flat_map(|abi| sieve.kept(abi));
        assert!(all.map(|(_, kept)| kept).all(most), "{name}");
    }
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
