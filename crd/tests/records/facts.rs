//! Facts, made at random, and what a record makes of them.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use podfence_crd::{RecordedWorkload, SyscallRecord, SyscallRecordSpec};
use podfence_seccomp::evidence::{
    Arguments, Call, Denial, Evidence, Example, Fact, Key, Magnitude, Observation, Outcome, Phase,
    Sighting, Source, Start,
};
use podfence_seccomp::{Abi, Architecture, Errno, Moment, Span};
use podfence_workload::CapabilityMask;

/// Seconds within which everything is seen: few, so that much overlaps.
const WINDOW: u64 = 400;
const BEGIN: u64 = 1_790_000_000;

/// A fact of a container.
pub(crate) type Of = (&'static str, Fact);

fn one<T: Clone>(rng: &mut Rng, of: &[T]) -> T {
    rng.choice(of).cloned().expect("there are some")
}

pub(crate) fn at(second: u64) -> Moment {
    Moment::from_unix_seconds(BEGIN + second)
}

pub(crate) fn key(image: &str) -> Key {
    Key {
        image: image.into(),
        profile: "5f3a".into(),
        bounding: CapabilityMask::of(&["CHOWN", "SYS_ADMIN", "BPF"]),
        architecture: Architecture::Amd64,
        kernel: None,
    }
}

fn random_key(rng: &mut Rng) -> Key {
    let mut key = key(one(rng, &["sha256:00", "sha256:01"]));
    match rng.u8(..8) {
        0 => key.bounding = CapabilityMask::default(),
        1 => key.architecture = Architecture::Arm64,
        2 => key.kernel = Some("4.8".parse().expect("a kernel")),
        3 => key.profile = "0000".into(),
        _ => {}
    }
    key
}

fn span(rng: &mut Rng) -> Span {
    let first = rng.u64(..WINDOW);
    Span::new(at(first), at(first + rng.u64(..WINDOW / 8)))
}

fn sighting(rng: &mut Rng) -> Sighting {
    let mut seen = Sighting::at(at(0));
    seen.span = span(rng);
    seen.count = Magnitude::of_exponent(rng.u8(..20));
    seen.phases = [Phase::Start, Phase::Steady, Phase::Stop]
        .into_iter()
        .filter(|_| rng.bool())
        .collect::<BTreeSet<_>>();
    seen.example = rng.bool().then(|| Example {
        pod: one(rng, &["web-1", "web-2"]).into(),
        node: one(rng, &["on", "off"]).into(),
    });
    (0..rng.u8(..12)).fold(seen, |seen, _| seen.by(&format!("/bin/{}", rng.u8(..20))))
}

fn arguments(rng: &mut Rng) -> Arguments {
    match rng.u8(..3) {
        0 => Arguments::UNRECORDED,
        1 => Arguments::recorded([]),
        _ => Arguments::recorded([(rng.u8(..6), rng.u64(..)), (0, rng.u64(..3))]),
    }
}

fn call(rng: &mut Rng) -> Call {
    Call {
        name: one(rng, &["unshare", "socket", "clone"]).into(),
        arguments: arguments(rng),
        abi: one(rng, Abi::ALL),
        outcome: match rng.u8(..3) {
            0 => Outcome::Success,
            1 => Outcome::Unrecorded,
            _ => Outcome::Errno(Errno::new(rng.u16(1..4096))),
        },
        source: one(
            rng,
            &[
                Source::Observer,
                Source::AuditLog,
                Source::Spo,
                Source::InspektorGadget,
            ],
        ),
    }
}

fn fact(rng: &mut Rng) -> Of {
    let observation = match rng.u8(..8) {
        0 | 1 => Observation::Call(call(rng), sighting(rng)),
        2 => Observation::Denial(
            Denial {
                name: one(rng, &["unshare", "keyctl"]).into(),
                arguments: arguments(rng),
                abi: Abi::X86_64,
                errno: one(rng, &[Errno::EPERM, Errno::ENOSYS]),
                ambiguous: rng.bool(),
            },
            sighting(rng),
        ),
        3 | 4 => Observation::Stretch(span(rng)),
        5 | 6 => Observation::Start(Start {
            at: at(rng.u64(..WINDOW)),
            pod: one(rng, &["web-1", "web-2"]).into(),
        }),
        _ => Observation::Loss(span(rng)),
    };
    let key = random_key(rng);
    (one(rng, &["app", "sidecar"]), Fact { key, observation })
}

/// A set that fits into a record.
pub(crate) fn facts(rng: &mut Rng) -> Vec<Of> {
    (0..rng.usize(..60)).map(|_| fact(rng)).collect()
}

pub(crate) fn empty() -> SyscallRecordSpec {
    let workload = RecordedWorkload {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: "web".to_owned(),
    };
    SyscallRecord::of(workload, "shop", None).spec
}

/// A record that these were added to one by one.
pub(crate) fn record(facts: &[Of]) -> SyscallRecordSpec {
    let mut record = empty();
    add(&mut record, facts);
    record
}

/// Adds one by one, as agents do.
pub(crate) fn add(record: &mut SyscallRecordSpec, facts: &[Of]) {
    for (container, fact) in facts {
        let dropped = record.add(container, [fact.clone()]);
        assert!(dropped.is_nothing(), "{dropped:?}");
    }
}

/// The same set without a record.
pub(crate) fn evidence(facts: &[Of]) -> BTreeMap<String, Evidence> {
    let mut evidence = BTreeMap::<String, Evidence>::new();
    for (container, fact) in facts {
        let known = evidence.entry((*container).to_owned()).or_default();
        known.extend([fact.clone()]);
    }
    evidence
}

/// What a record says, all of which can be read.
pub(crate) fn read(record: &SyscallRecordSpec) -> BTreeMap<String, Evidence> {
    let (evidence, malformed) = record.evidence();
    assert_eq!(malformed, []);
    evidence
}

pub(crate) fn bytes(record: &SyscallRecordSpec) -> String {
    serde_json::to_string(record).expect("JSON")
}
