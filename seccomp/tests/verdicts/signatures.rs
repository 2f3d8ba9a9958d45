//! The known breakages: that they can be read, are true of real profiles, and recognise what they should.

use std::collections::{HashMap, HashSet};

use podfence_seccomp::evidence::Arguments;
use podfence_seccomp::signature::{Appearance, Severity, Signature, parse};
use podfence_seccomp::{
    Abi, Action, Certainty, Container, Filter, Loader, Profile, RuleSet, Runtime, Verdict,
};
use podfence_workload::{CapabilityMask, CapabilitySet};

use super::facts::{Question, container, filter, signatures};

#[test]
fn a_wrong_line_is_named() {
    let whole = "software x\nimage x\ncall unshare\nunlocked-by SYS_ADMIN\nseverity fatal\nsymptom s\nsource a/b#1\n";
    assert_eq!(parse(whole).map(|all| all.len()), Ok(1));
    for (text, line, want) in [
        ("image x", 1, "before the software"),
        ("# note\n\nsoftware", 3, "no line of a signature"),
        ("software x\nimage", 2, "no line of a signature"),
        ("software x\nimage  ", 2, "no line of a signature"),
        ("software x\ncolour red", 2, "no line of a signature"),
        (
            "software x\ncall unshar",
            2,
            "no system call is named \"unshar\"",
        ),
        (
            "software x\ncall unshare AF_ALG",
            2,
            "no argument of unshare is named \"AF_ALG\"",
        ),
        (
            "software x\ncall keyctl 3",
            2,
            "no argument of keyctl is named \"3\"",
        ),
        (
            "software x\nadds CAP_BPF",
            2,
            "no capability is named \"CAP_BPF\"",
        ),
        (
            "software x\nunlocked-by none",
            2,
            "no capability is named \"none\"",
        ),
        (
            "software x\nseverity bad",
            2,
            "not fatal, degraded or tolerated",
        ),
        ("software x\nfix a\nfix b", 3, "fix is said twice"),
        (
            "\nsoftware x\ncall unshare",
            2,
            "has no image, command, argument or adds",
        ),
        ("software x\nwithout y\ncall unshare", 1, "has no image"),
        ("software x\nimage y\nsource z", 1, "has no call"),
        ("software x\nimage y\ncall unshare", 1, "has no source"),
        (
            "software x\nimage y\ncall unshare\nsource z",
            1,
            "has no unlocked-by",
        ),
        ("software x\nimage y\nsoftware z", 1, "\"x\" has no call"),
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!(error.line, line, "{text:?}: {error}");
        assert!(error.to_string().contains(want), "{text:?}: {error}");
    }
}

/// Every different set of rules that is known, with what a container gets by default.
fn known_rules() -> Vec<(RuleSet, CapabilityMask)> {
    let mut known = Vec::new();
    for runtime in Runtime::ALL {
        let mut seen = HashSet::new();
        for release in Profile::releases(runtime).expect("the data read") {
            let rules = Profile::of(runtime, release).expect("a release").rules;
            if seen.insert(rules.hash) {
                known.push((rules, runtime.default_capabilities()));
            }
        }
    }
    known
}

/// The filters of all these for containers that add some capabilities, in the same order.
fn filters(known: &[(RuleSet, CapabilityMask)], added: CapabilityMask) -> Vec<Filter> {
    let load = |(rules, default): &(RuleSet, CapabilityMask)| {
        let of = Container {
            bounding: default.union(added),
            ..container(&[])
        };
        Filter::load(rules, of, Loader::default()).expect("it loads")
    };
    known.iter().map(load).collect()
}

fn all() -> &'static [Signature] {
    Signature::all().expect("the data read")
}

/// The call as the filter sees it, with what is asked for in its first argument.
fn goes_through(filter: &Filter, name: &str, first: u64) -> bool {
    let decision = filter.decide(Abi::X86_64, name, [first, 0, 0, 0, 0, 0]);
    decision.expect("a call of x86").action == Action::Allow
}

#[test]
fn every_call_is_denied_by_a_known_release_and_unlocked_as_it_says() {
    let known = known_rules();
    let usual = filters(&known, CapabilityMask::default());
    let with_all = filters(&known, CapabilityMask::ALL);
    // Most are unlocked by the same few, and there are many filters.
    let mut with = HashMap::new();
    for signature in all() {
        let software = signature.software;
        for call in &signature.calls {
            let first = call.argument().unwrap_or_default();
            let through = |filter: &Filter| goes_through(filter, call.name, first);
            let denying: Vec<usize> = (0..usual.len())
                .filter(|at| !through(&usual[*at]))
                .collect();
            assert!(
                !denying.is_empty(),
                "{software}: nobody denies {}",
                call.name
            );
            for name in signature.unlocked_by.names() {
                let load = || filters(&known, CapabilityMask::of(&[name]));
                let filters = with.entry(name).or_insert_with(load);
                let unlocks = denying.iter().any(|at| through(&filters[*at]));
                assert!(unlocks, "{software}: {name} does not unlock {}", call.name);
            }
            let is_unlocked = denying.iter().all(|at| through(&with_all[*at]));
            let says_nothing = signature.unlocked_by.is_empty();
            assert!(
                !(says_nothing && is_unlocked),
                "{software}: {} is unlocked",
                call.name
            );
        }
    }
}

#[test]
fn data_are_sound() {
    let mut names: Vec<_> = all().iter().map(|signature| signature.software).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all().len(), "each software once");
    for signature in all() {
        for source in &signature.sources {
            let (repository, number) = source.split_once('#').expect("an issue");
            assert!(
                repository.contains('/') && !source.contains("://"),
                "{source}"
            );
            assert!(number.parse::<u32>().is_ok(), "{source}");
        }
    }
    for severity in [Severity::Fatal, Severity::Degraded, Severity::Tolerated] {
        assert!(all().iter().any(|signature| signature.severity == severity));
    }
}

#[test]
fn software_is_recognised_by_image_command_argument_and_capability() {
    let perfmon: CapabilitySet = ["PERFMON"].into_iter().collect();
    let none: CapabilitySet = [].into_iter().collect();
    for (image, command, added, want) in [
        ("", &[][..], &none, vec![]),
        ("nginx:1.29", &[], &none, vec![]),
        (
            "ghcr.io/tigerbeetle/tigerbeetle:0.16.1",
            &[],
            &none,
            vec!["TigerBeetle"],
        ),
        ("postgres:18", &[], &none, vec![]),
        (
            "postgres:18",
            &["-c", "io_method=io_uring"],
            &none,
            vec!["PostgreSQL with io_uring"],
        ),
        (
            "debian",
            &["sh", "-c", "/usr/bin/bwrap --ro-bind / / sh"],
            &none,
            vec!["bubblewrap"],
        ),
        (
            "debian",
            &["chromium", "--headless"],
            &none,
            vec!["Chrome and what drives it"],
        ),
        ("debian", &["chromium", "--no-sandbox"], &none, vec![]),
        (
            "debian",
            &["app"],
            &perfmon,
            vec!["profilers that have PERFMON"],
        ),
        ("bwrap", &["true"], &none, vec![]),
    ] {
        let looks = Appearance {
            image,
            command,
            added: Some(added),
        };
        let got: Vec<_> = all()
            .iter()
            .filter(|signature| signature.recognises(looks))
            .map(|signature| signature.software)
            .collect();
        assert_eq!(got, want, "{image} {command:?}");
    }
}

#[test]
fn a_suspicion_names_what_this_profile_denies() {
    let bubblewrap = signatures("", &["bwrap"]);
    let question = Question {
        signatures: &bubblewrap,
        ..Question::default()
    };
    let got = question.ask(&filter(), &[]);
    assert_eq!(got.verdict, Verdict::Suspected);
    assert!(
        got.calls
            .iter()
            .all(|call| call.certainty == Certainty::Suspected)
    );
    assert!(
        got.calls
            .iter()
            .all(|call| call.arguments != Arguments::UNRECORDED)
    );
    let rules = super::facts::rules("containerd/2.3.7");
    let with = Filter::load(&rules, container(&["SYS_ADMIN"]), Loader::default());
    let got = question.ask(&with.expect("it loads"), &[]);
    assert_eq!(
        (got.verdict, got.calls),
        (Verdict::Unknown, vec![]),
        "nothing is denied"
    );
}
