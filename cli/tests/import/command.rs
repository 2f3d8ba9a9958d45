//! Words for what the built command does, and what its records come to. Starts a process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use podfence_crd::{SyscallRecord, SyscallRecordSpec};
use podfence_seccomp::evidence::{Evidence, Fact, Key, Observation};
use podfence_seccomp::{
    Abi, Affected, Architecture, Container, Filter, Judgement, Loader, Moment, Profile, Subject,
    Terms, judge,
};

use crate::run::{Run, run_in};

pub(crate) const IMAGE: &str =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A whole command line but for what is read, on which every test that needs no other relies.
pub(crate) fn target() -> Vec<&'static str> {
    vec![
        "--workload",
        "deployment/web",
        "-n",
        "shop",
        "--container",
        "app",
        "--profile",
        "containerd/2.3.7",
        "--image",
        IMAGE,
    ]
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import")
}

/// Imports a fixture.
pub(crate) fn import(kind: &str, file: &str, more: &[&str]) -> Run {
    let head = ["import", kind, file];
    let words = [&head[..], &target(), more].concat();
    run_in(&fixtures(), &words, b"")
}

/// Imports what is given on standard input.
pub(crate) fn import_text(kind: &str, text: &str, more: &[&str]) -> Run {
    let head = ["import", kind, "-"];
    let words = [&head[..], &target(), more].concat();
    run_in(&fixtures(), &words, text.as_bytes())
}

/// The record that was printed, as JSON.
pub(crate) fn record(run: &Run) -> SyscallRecordSpec {
    let record: SyscallRecord =
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    record.spec
}

/// What it says of the container.
pub(crate) fn evidence(record: &SyscallRecordSpec) -> Evidence {
    let (mut evidence, malformed) = record.evidence();
    assert_eq!(malformed, []);
    evidence.remove("app").expect("the container")
}

/// The calls of a record: name and ABI.
pub(crate) fn calls(record: &SyscallRecordSpec) -> BTreeSet<(String, Abi)> {
    let facts = evidence(record);
    let calls = facts
        .facts()
        .filter_map(|Fact { observation, .. }| match observation {
            Observation::Call(call, _) => Some((call.name.to_string(), call.abi)),
            _ => None,
        });
    calls.collect()
}

/// The verdict that a record leads to, on the day after the last thing in the fixtures.
pub(crate) fn judged(record: &SyscallRecordSpec) -> Judgement {
    let profile: Profile = "containerd/2.3.7".parse().expect("a profile");
    let container = Container {
        architecture: Architecture::Amd64,
        bounding: profile.runtime.default_capabilities(),
        kernel: "6.18".parse().expect("a kernel"),
    };
    let filter = Filter::load(&profile.rules, container, Loader::default()).expect("it loads");
    let subject = Subject {
        affected: Affected::Yes,
        key: &Key::of(IMAGE, container, &profile.rules),
        template: "web-1",
        filter: &filter,
        signatures: &[],
    };
    let now = Moment::from_unix_seconds(1_795_700_000);
    judge(&subject, &evidence(record), &Terms::default(), now)
}

/// The command fails with 2, prints nothing and names what is wrong.
pub(crate) fn assert_refused(run: &Run, wanted: &[&str]) {
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
    for want in wanted {
        assert!(
            run.stderr.contains(want),
            "{want:?} is not in {}",
            run.stderr
        );
    }
}
