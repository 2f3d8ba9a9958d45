//! What is offered, in which order, and what Pod Security takes away from it.

use podfence_seccomp::evidence::{Fact, Outcome::Success};
use podfence_seccomp::fix::{Admission, Change, Fix, Fixes, Setting, explain_finding};
use podfence_seccomp::signature::Signature;
use podfence_seccomp::{Errno, Filter, Judgement, Loader, RuleSet, Verdict};
use podfence_workload::CapabilityMask;

use super::facts::{
    CONFINED, CRASHING, EPERM, NEWUSER, Question, UNCONFINED, ambiguous, call, container, denial,
    filter, health, rules, signatures, start, stretch, well,
};

/// A level as far as the changes go that it forbids, now and planned.
#[derive(Clone, Copy)]
enum Level {
    Privileged,
    Baseline,
}

struct Levels(Level, Level);

impl Level {
    fn admits(self, change: Change) -> bool {
        match self {
            Self::Privileged => true,
            Self::Baseline => change == Change::LocalhostProfile,
        }
    }
}

impl Admission for Levels {
    fn admits_now(&self, change: Change) -> bool {
        self.0.admits(change)
    }

    fn admits_planned(&self, change: Change) -> bool {
        self.1.admits(change)
    }
}

const FREE: Levels = Levels(Level::Privileged, Level::Privileged);

fn ask(facts: &[Fact], signatures: &[&Signature]) -> Judgement {
    let question = Question {
        signatures,
        ..Question::default()
    };
    question.ask(&filter(), facts)
}

fn fixes(rules: &RuleSet, judgement: &Judgement, known: &[&Signature], levels: &Levels) -> Fixes {
    let setting = Setting {
        profile: rules,
        container: container(&[]),
        loader: Loader::default(),
    };
    Fixes::of(judgement, known, setting, levels).expect("they load")
}

fn names(fixes: &[Fix]) -> Vec<&'static str> {
    fixes.iter().map(Fix::as_str).collect()
}

#[test]
fn fixes_come_least_privilege_first() {
    let rules = rules("containerd/2.3.7");
    let rest = [
        "LocalhostProfile",
        "Unconfined",
        "NodesWithoutSeccompDefault",
    ];
    let and_rest = |first: &[&'static str]| [first, &rest[..]].concat();
    let and_rest_or =
        |first: &[&'static str]| [&and_rest(first)[..], &["AddCapabilities"]].concat();
    let bubblewrap = signatures("", &["bwrap"]);
    let chrome = signatures("", &["chromium"]);
    let mysql = signatures("mysql", &[]);
    let day = [stretch(30, 0), start(29)];
    let unshare = || call("unshare", NEWUSER, Success);
    let keyctl = || call("keyctl", 0, Success);
    let none: &[&Signature] = &[];
    for (name, facts, known, want) in [
        ("nothing is known", vec![], none, vec![]),
        ("nothing would be denied", day.to_vec(), none, vec![]),
        (
            "it fails today as well",
            [&day[..], &[call("mount", 0, EPERM)]].concat(),
            none,
            vec!["Tolerate"],
        ),
        ("it passes", vec![health(well(CONFINED))], none, vec![]),
        (
            "it passes in spite of a denial",
            vec![health(well(CONFINED)), denial("keyctl", Errno::EPERM)],
            none,
            vec!["Tolerate"],
        ),
        (
            "a small capability unlocks it",
            vec![call("mbind", 0, Success)],
            none,
            and_rest(&["AddCapabilities"]),
        ),
        (
            "one that is worth more than all calls does",
            vec![unshare()],
            none,
            and_rest_or(&[]),
        ),
        ("no capability does", vec![keyctl()], none, and_rest(&[])),
        (
            "not all of them",
            vec![unshare(), keyctl()],
            none,
            and_rest(&[]),
        ),
        (
            "denied, perhaps by itself",
            vec![ambiguous("unshare", NEWUSER)],
            none,
            and_rest_or(&[]),
        ),
        ("suspected", vec![], &bubblewrap, and_rest_or(&[])),
        (
            "software has a flag",
            vec![unshare()],
            &chrome,
            and_rest_or(&["ApplicationFlag"]),
        ),
        (
            "the flag is for another call",
            vec![keyctl()],
            &chrome,
            and_rest(&[]),
        ),
        (
            "software tolerates it",
            vec![call("mbind", 0, Success)],
            &mysql,
            and_rest(&["Tolerate", "AddCapabilities"]),
        ),
    ] {
        let judgement = ask(&facts, known);
        let got = fixes(&rules, &judgement, known, &FREE);
        assert_eq!(names(&got.offered), want, "{name}: {}", judgement.verdict);
        assert_eq!(got.blocking, [], "{name}");
    }
}

#[test]
fn what_fails_is_mended_by_calls_that_are_known_to_be_lost() {
    let rules = rules("containerd/2.3.7");
    let last = ["Unconfined", "NodesWithoutSeccompDefault"];
    let with_a_profile = [&["LocalhostProfile"], &last[..]].concat();
    let inferred = [health(CRASHING), health(well(UNCONFINED))];
    for (name, facts, want) in [
        ("nobody saw why", vec![], &last[..]),
        (
            "what may have nothing to do with it",
            vec![ambiguous("unshare", NEWUSER)],
            &last[..],
        ),
        (
            "one that is made today",
            vec![call("keyctl", 0, Success)],
            &with_a_profile,
        ),
        (
            "one that was denied",
            vec![denial("keyctl", Errno::EPERM)],
            &with_a_profile,
        ),
    ] {
        let judgement = ask(&[&inferred[..], &facts].concat(), &[]);
        assert_eq!(judgement.verdict, Verdict::Failing, "{name}");
        let got = fixes(&rules, &judgement, &[], &FREE);
        assert_eq!(names(&got.offered), want, "{name}");
    }
}

#[test]
fn what_the_level_forbids_is_not_offered_and_what_stands_in_the_way_is_said() {
    use Level::{Baseline, Privileged};
    let rules = rules("containerd/2.3.7");
    let judgement = ask(&[call("unshare", NEWUSER, Success)], &[]);
    let admitted = ["LocalhostProfile", "NodesWithoutSeccompDefault"];
    let other = ["Unconfined", "AddCapabilities"];
    for (levels, offered, blocking) in [
        (Levels(Baseline, Baseline), &admitted[..], &[][..]),
        (Levels(Privileged, Baseline), &admitted[..], &other[..]),
        // What a loosening will admit is not admitted yet.
        (Levels(Baseline, Privileged), &admitted[..], &[][..]),
    ] {
        let got = fixes(&rules, &judgement, &[], &levels);
        assert_eq!(names(&got.offered), offered);
        assert_eq!(names(&got.blocking), blocking);
    }
}

#[test]
fn the_least_powerful_capabilities_are_chosen_and_they_do_unlock() {
    let capabilities = CapabilityMask::of;
    for (profile, calls, want) in [
        (
            "containerd/2.3.7",
            &["perf_event_open"][..],
            Some(capabilities(&["PERFMON"])),
        ),
        (
            "containerd/2.3.7",
            &["syslog"],
            Some(capabilities(&["SYSLOG"])),
        ),
        (
            "containerd/2.3.7",
            &["unshare"],
            Some(capabilities(&["SYS_ADMIN"])),
        ),
        (
            "containerd/2.3.7",
            &["mbind", "perf_event_open"],
            Some(capabilities(&["SYS_NICE", "PERFMON"])),
        ),
        // Here it takes both, and none of them does it alone.
        ("cri-o/1.35.0", &["perf_event_open"], None),
        ("containerd/2.3.7", &["io_uring_setup"], None),
    ] {
        let rules = rules(profile);
        let filter = Filter::load(&rules, container(&[]), Loader::default()).expect("it loads");
        let facts: Vec<Fact> = calls.iter().map(|name| call(name, 0, Success)).collect();
        let judgement = Question::default().ask(&filter, &facts);
        assert_eq!(judgement.verdict, Verdict::AtRisk, "{profile} {calls:?}");
        let got = fixes(&rules, &judgement, &[], &FREE);
        let added = got.offered.iter().find_map(|fix| match fix {
            Fix::AddCapabilities(capabilities) => Some(*capabilities),
            _ => None,
        });
        assert_eq!(added, want, "{profile} {calls:?}");
    }
}

#[test]
fn a_profile_has_exactly_the_calls_that_are_needed() {
    let rules = rules("containerd/2.3.7");
    let facts = [
        call("clone3", NEWUSER, Success),
        call("keyctl", 0, Success),
        call("keyctl", 11, Success),
        call("socket", 38, Success),
    ];
    let judgement = ask(&facts, &[]);
    let got = fixes(&rules, &judgement, &[], &FREE);
    let needed: Vec<_> = got
        .offered
        .iter()
        .filter_map(|fix| match fix {
            Fix::LocalhostProfile(calls) => Some(calls),
            _ => None,
        })
        .flatten()
        .map(|call| (&*call.name, call.arguments.at(0)))
        .collect();
    let want = [
        ("clone", Some(NEWUSER)),
        ("keyctl", None),
        ("socket", Some(38)),
    ];
    assert_eq!(needed, want);
}

#[test]
fn a_finding_is_explained() {
    let rules = rules("containerd/2.3.7");
    let setting = Setting {
        profile: &rules,
        container: container(&[]),
        loader: Loader::default(),
    };
    for (fact, want) in [
        (call("clone3", NEWUSER, Success), vec!["SYS_ADMIN"]),
        (denial("clone", Errno::EPERM), vec!["SYS_ADMIN"]),
        (denial("socket", Errno::EPERM), vec![]),
        (call("keyctl", 0, Success), vec![]),
    ] {
        let judgement = ask(&[fact], &[]);
        let found = judgement.calls.first().expect("a call");
        let got = explain_finding(found, setting).expect("it is explained");
        assert_eq!(got.unlocked_by, want, "{}", found.name);
    }
}
