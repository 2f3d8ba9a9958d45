//! Profiles by runtime and version: what is known, what is assumed, and what changed between releases.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use podfence_seccomp::{
    Abi, Architecture, Assumption, Profile, ProfileError, Provenance, RuleSet, Runtime,
};

fn profile(text: &str) -> Profile {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_version_is_a_release_or_is_taken_for_one() {
    let suffix = |text: &str| Some(Assumption::Suffix(text.to_owned()));
    for (asked, release, assumed) in [
        ("containerd/2.3.7", "2.3.7", None),
        ("containerd://2.3.7", "2.3.7", None),
        ("containerd/v2.3.7", "2.3.7", None),
        ("cri-o://1.34.0", "1.34.0", None),
        ("crio/1.34.0", "1.34.0", None),
        ("docker://25.0.3", "25.0.3", None),
        ("moby/25.0.3", "25.0.3", None),
        ("containerd/1.7.24~ds1", "1.7.24", suffix("~ds1")),
        ("containerd/2.0.5-k3s1", "2.0.5", suffix("-k3s1")),
        ("containerd/2.1.999", "2.1.9", Some(Assumption::Newer)),
        ("containerd/1.7.999", "1.7.35", Some(Assumption::Newer)),
        ("containerd/99.0.0", "2.4.2", Some(Assumption::Newer)),
        ("cri-o/1.99.0", "1.36.3", Some(Assumption::Newer)),
        ("containerd/1.9.0", "1.7.35", Some(Assumption::Unlisted)),
        ("docker/26.9.9", "26.1.5", Some(Assumption::Unlisted)),
    ] {
        let profile = profile(asked);
        assert_eq!(
            (profile.release, &profile.assumed),
            (release, &assumed),
            "{asked}"
        );
    }
}

#[test]
fn what_is_no_profile_is_refused_with_what_is() {
    for (text, want) in [
        ("", "write containerd/2.3.7"),
        ("containerd", "write containerd/2.3.7"),
        ("containerd/", "write containerd/2.3.7"),
        ("containerd/2.3", "write containerd/2.3.7"),
        ("containerd/main", "write containerd/2.3.7"),
        ("rkt/1.30.0", "write containerd/2.3.7"),
        ("containerd/1.3.9", "the oldest that is known is 1.4.0"),
        ("cri-o/1.21.0", "the oldest that is known is 1.22.0"),
    ] {
        let error: ProfileError = text.parse::<Profile>().expect_err(text);
        assert!(error.to_string().contains(want), "{text:?}: {error}");
    }
}

#[test]
fn every_line_of_releases_is_there() {
    for (runtime, lines) in [
        (
            Runtime::Containerd,
            vec!["1.6", "1.7", "2.0", "2.1", "2.2", "2.3", "2.4"],
        ),
        (
            Runtime::CriO,
            vec![
                "1.28", "1.29", "1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36",
            ],
        ),
        (
            Runtime::Docker,
            vec![
                "20.10", "23.0", "24.0", "25.0", "26.1", "27.5", "28.5", "29.7",
            ],
        ),
    ] {
        let known: BTreeSet<_> = Profile::releases(runtime)
            .expect("the data read")
            .filter_map(|release| Some(release.rsplit_once('.')?.0))
            .collect();
        for line in lines {
            assert!(known.contains(line), "{runtime} {line}");
        }
    }
}

#[test]
fn where_rules_come_from_is_said() {
    assert_eq!(
        profile("containerd/2.3.7").provenance,
        Provenance::Extracted
    );
    assert_eq!(profile("cri-o/1.22.0").provenance, Provenance::Imported);
}

/// The rules of a call, as the data write them.
fn rules(set: &RuleSet, call: &str) -> Vec<String> {
    let rules = set.rules.iter().filter(|rule| rule.syscall == call);
    rules.map(ToString::to_string).collect()
}

#[test]
fn profiles_change_in_patch_releases() {
    for (before, after, call) in [
        ("containerd/1.7.31", "containerd/1.7.32", "socket"),
        ("containerd/2.3.6", "containerd/2.3.7", "socket"),
        ("containerd/1.7.35", "containerd/2.0.0", "io_uring_setup"),
        ("cri-o/1.29.8", "cri-o/1.29.9", "clone"),
        ("cri-o/1.35.0", "cri-o/1.35.1", "socket"),
        ("docker/29.4.1", "docker/29.4.2", "socketcall"),
    ] {
        let (old, new) = (profile(before).rules, profile(after).rules);
        assert_ne!(old.hash, new.hash, "{after}");
        assert_ne!(rules(&old, call), rules(&new, call), "{after} {call}");
    }
    let same = profile("containerd/2.3.1").rules.hash;
    assert_eq!(
        profile("containerd/2.2.5").rules.hash,
        same,
        "equal rules have one name"
    );
}

#[test]
fn filters_are_made_for_the_abis_that_a_node_runs() {
    let rules = profile("containerd/2.3.7").rules;
    assert_eq!(
        rules.abis(Architecture::Amd64),
        [Abi::X86_64, Abi::X32, Abi::X86]
    );
    assert_eq!(rules.abis(Architecture::Arm64), [Abi::Aarch64, Abi::Arm]);
    assert_eq!(rules.abis(Architecture::Ppc64le), [Abi::Ppc64]);
}
