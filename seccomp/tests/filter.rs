//! What filters decide, and that every release's rules can be loaded at all.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::panic)]

use std::collections::HashSet;

use podfence_seccomp::syscalls::Libseccomp;
use podfence_seccomp::{
    Abi, Action, Architecture, Cause, Container, Errno, Filter, Loader, OciRuntime, Profile,
    Runtime, explain,
};
use podfence_workload::CapabilityMask;

fn container(bounding: CapabilityMask) -> Container {
    Container {
        architecture: Architecture::Amd64,
        bounding,
        kernel: "6.18".parse().expect("a kernel"),
    }
}

fn usual() -> Container {
    container(Runtime::Containerd.default_capabilities())
}

fn profile(text: &str) -> Profile {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn the_rules_of_every_release_are_loaded_for_every_single_capability() {
    for runtime in Runtime::ALL {
        let mut seen = HashSet::new();
        for release in Profile::releases(runtime).expect("the data read") {
            let rules = Profile::of(runtime, release).expect("a release").rules;
            if !seen.insert(rules.hash) {
                continue;
            }
            let single = CapabilityMask::ALL
                .names()
                .map(|name| CapabilityMask::of(&[name]));
            for bounding in single.chain([CapabilityMask::default(), CapabilityMask::ALL]) {
                for architecture in [Architecture::Amd64, Architecture::Arm64] {
                    let container = Container {
                        architecture,
                        ..container(bounding)
                    };
                    if let Err(error) = Filter::load(&rules, container, Loader::default()) {
                        panic!("{runtime}/{release} {architecture}: {error}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_decision_says_what_unlocks_the_call() {
    let rules = profile("containerd/2.3.7").rules;
    for (name, arguments, action, unlocked_by) in [
        ("read", [0; 6], Action::Allow, vec![]),
        (
            "unshare",
            [0; 6],
            Action::Errno(Errno::EPERM),
            vec!["SYS_ADMIN"],
        ),
        (
            "bpf",
            [0; 6],
            Action::Errno(Errno::EPERM),
            vec!["SYS_ADMIN", "BPF"],
        ),
        ("keyctl", [0; 6], Action::Errno(Errno::EPERM), vec![]),
        (
            "clone3",
            [0; 6],
            Action::Errno(Errno::ENOSYS),
            vec!["SYS_ADMIN"],
        ),
        ("socket", [2, 0, 0, 0, 0, 0], Action::Allow, vec![]),
        (
            "socket",
            [38, 0, 0, 0, 0, 0],
            Action::Errno(Errno::EPERM),
            vec![],
        ),
    ] {
        let call = (Abi::X86_64, name);
        let explanation = explain(&rules, usual(), Loader::default(), call, arguments)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(explanation.decision.action, action, "{name}");
        assert_eq!(explanation.unlocked_by, unlocked_by, "{name}");
    }
}

#[test]
fn runc_answers_for_calls_above_the_highest_and_crun_does_not() {
    let rules = profile("containerd/2.3.7").rules;
    for (runtime, errno, cause) in [
        (OciRuntime::Runc, Errno::ENOSYS, Cause::AboveHighest),
        (OciRuntime::Crun, Errno::EPERM, Cause::Default),
    ] {
        let loader = Loader {
            runtime,
            ..Loader::default()
        };
        let filter = Filter::load(&rules, usual(), loader).expect("it loads");
        let decision = filter.decide_number(Abi::X86_64, 1000, [0; 6]);
        assert_eq!(
            decision.action,
            Action::Errno(errno),
            "{}",
            runtime.as_str()
        );
        assert_eq!(decision.cause, cause, "{}", runtime.as_str());
    }
}

#[test]
fn a_call_that_an_old_libseccomp_does_not_know_is_said_to_be_so() {
    let rules = profile("containerd/2.3.7").rules;
    let libseccomp = Libseccomp::new(2, 5, 5);
    let loader = Loader {
        libseccomp,
        ..Loader::default()
    };
    let filter = Filter::load(&rules, usual(), loader).expect("it loads");
    let decision = filter.decide(Abi::X86_64, "mseal", [0; 6]).expect("a call");
    assert_eq!(decision.action, Action::Errno(Errno::ENOSYS));
    assert_eq!(decision.cause, Cause::UnknownTo(libseccomp));
    assert_eq!(filter.action(Abi::S390, 1, [0; 6]), Action::KillThread);
    assert!(filter.decide(Abi::X86_64, "no_such_call", [0; 6]).is_err());
}

#[test]
fn the_kernel_asks_no_filter_about_its_own_probes() {
    let rules = profile("containerd/2.1.0").rules;
    for (kernel, uretprobe, uprobe) in [
        (
            "6.13",
            Action::Errno(Errno::EPERM),
            Action::Errno(Errno::EPERM),
        ),
        ("6.14", Action::Allow, Action::Errno(Errno::EPERM)),
        ("6.18", Action::Allow, Action::Allow),
    ] {
        let container = Container {
            kernel: kernel.parse().expect("a kernel"),
            ..usual()
        };
        let filter = Filter::load(&rules, container, Loader::default()).expect("it loads");
        for (name, action) in [("uretprobe", uretprobe), ("uprobe", uprobe)] {
            let decision = filter.decide(Abi::X86_64, name, [0; 6]).expect("a call");
            assert_eq!(decision.action, action, "{name} on {kernel}");
            let is_past = decision.cause == Cause::PastFilters;
            assert_eq!(is_past, action == Action::Allow, "{name} on {kernel}");
        }
        // The number is another call's on 32 bits.
        assert!(!filter.asks_no_filter(Abi::X86, 335));
    }
}
