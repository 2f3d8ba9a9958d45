//! A record keeps within its limits, and says so where "not seen" no longer says anything.

use podfence_crd::{
    MAX_RECORD_ENTRIES, MAX_RECORDED_CALLS, MAX_RECORDED_DENIALS, MAX_RECORDED_SPANS,
};
use podfence_seccomp::evidence::{
    Arguments, Call, Denial, Example, Fact, Observation, Outcome, Sighting, Source, Start,
};
use podfence_seccomp::{Abi, Errno, Span};

use super::facts::{at, bytes, empty, key, read};

fn fact(observation: Observation) -> Fact {
    Fact {
        key: key("sha256:00"),
        observation,
    }
}

fn call(name: &str, first: u64, second: u64) -> Fact {
    let call = Call {
        name: name.into(),
        arguments: Arguments::recorded([(0, first)]),
        abi: Abi::X86_64,
        outcome: Outcome::Success,
        source: Source::Observer,
    };
    fact(Observation::Call(call, Sighting::at(at(second))))
}

#[test]
fn of_many_calls_the_oldest_variants_go_and_are_a_loss() {
    let mut record = empty();
    // The oldest of all is a call of its own: that it is made at all must not be forgotten.
    let variants = (0..1_000).map(|number| call("ioctl", number, 10 + number));
    let facts: Vec<_> = variants.chain([call("unshare", 1, 0)]).collect();
    let dropped = record.add("app", facts.clone());
    assert_eq!(dropped.calls, 1_001 - MAX_RECORDED_CALLS);
    let [entry] = &record.entries[..] else {
        panic!("one entry: {record:?}");
    };
    assert_eq!(entry.calls.len(), MAX_RECORDED_CALLS);
    assert!(entry.calls.iter().any(|call| call.name == "unshare"));
    let last_dropped = at(10 + dropped.calls as u64 - 1);
    let lost: Vec<_> = read(&record)["app"]
        .facts()
        .filter_map(|fact| match fact.observation {
            Observation::Loss(span) => Some(span.last()),
            _ => None,
        })
        .collect();
    assert_eq!(lost.iter().max(), Some(&last_dropped));
    assert!(entry.losses.len() <= MAX_RECORDED_SPANS);
    // The same again changes nothing.
    let before = bytes(&record);
    record.add("app", facts);
    assert_eq!(bytes(&record), before);
}

#[test]
fn of_many_denials_the_oldest_go_and_are_a_loss() {
    let mut record = empty();
    let facts = (0..300).map(|number| {
        let denial = Denial {
            name: format!("call-{number:03}").as_str().into(),
            arguments: Arguments::UNRECORDED,
            abi: Abi::X86_64,
            errno: Errno::EPERM,
            ambiguous: false,
        };
        fact(Observation::Denial(denial, Sighting::at(at(number))))
    });
    let dropped = record.add("app", facts);
    let entry = &record.entries[0];
    assert_eq!(dropped.denials, 300 - MAX_RECORDED_DENIALS);
    assert_eq!(entry.denials.len(), MAX_RECORDED_DENIALS);
    assert!(
        entry
            .denials
            .iter()
            .all(|denial| *denial.name >= *"call-044")
    );
    let last = entry.losses.last().expect("a loss");
    assert_eq!(
        last.last.0.as_second().unsigned_abs(),
        at(43).unix_seconds()
    );
}

#[test]
fn of_many_starts_and_stretches_the_oldest_go_without_loss() {
    let mut record = empty();
    let facts = (0..100).flat_map(|number| {
        let start = Start {
            at: at(10 * number),
            pod: "web".into(),
        };
        let stretch = Span::new(at(10 * number), at(10 * number + 5));
        [
            fact(Observation::Start(start)),
            fact(Observation::Stretch(stretch)),
        ]
    });
    let dropped = record.add("app", facts);
    let entry = &record.entries[0];
    assert_eq!(dropped.observations, 2 * (100 - MAX_RECORDED_SPANS));
    assert_eq!(entry.starts.len(), MAX_RECORDED_SPANS);
    assert_eq!(entry.watched.len(), MAX_RECORDED_SPANS);
    let oldest = at(10 * 36).unix_seconds();
    assert_eq!(entry.starts[0].at.0.as_second().unsigned_abs(), oldest);
    assert_eq!(entry.watched[0].first.0.as_second().unsigned_abs(), oldest);
    assert!(entry.losses.is_empty());
}

#[test]
fn of_many_losses_the_oldest_become_one() {
    let mut record = empty();
    let losses = (0..100).map(|number| {
        let second = at(10 * number);
        fact(Observation::Loss(Span::new(second, second)))
    });
    assert!(record.add("app", losses).is_nothing());
    let losses = &record.entries[0].losses;
    assert_eq!(losses.len(), MAX_RECORDED_SPANS);
    let ends = [&losses[0].first, &losses[0].last, &losses[63].last];
    assert_eq!(
        ends.map(|time| time.0.as_second().unsigned_abs()),
        [0, 360, 990].map(|second| at(second).unix_seconds())
    );
}

#[test]
fn of_many_entries_those_seen_longest_ago_go() {
    let mut record = empty();
    let facts = (0..100).map(|number: u64| Fact {
        key: key(&format!("sha256:{:02}", 99 - number)),
        ..call("unshare", 0, number)
    });
    assert_eq!(record.add("app", facts).entries, 100 - MAX_RECORD_ENTRIES);
    assert_eq!(record.entries.len(), MAX_RECORD_ENTRIES);
    assert!(record.entries.is_sorted_by_key(|entry| entry.image.clone()));
    assert_eq!(record.entries[63].image, "sha256:63");
}

#[test]
fn texts_fit_the_schema() {
    let mut record = empty();
    let long = format!("/{}/é", "deep/".repeat(100));
    let mut called = call("unshare", u64::MAX, 0);
    if let Observation::Call(_, seen) = &mut called.observation {
        *seen = seen.clone().by(&long);
        seen.example = Some(Example {
            pod: "p".repeat(300).as_str().into(),
            node: "".into(),
        });
    }
    record.add("app", [called.clone()]);
    let seen = &record.entries[0].calls[0].seen;
    let executable = &seen.executables[0];
    assert_eq!(executable.chars().count(), 256);
    assert!(executable.starts_with('…') && executable.ends_with("deep//é"));
    assert_eq!(seen.pod.as_ref().map(String::len), Some(253));
    assert_eq!(seen.node, None);
    let before = bytes(&record);
    record.add("app", [called]);
    assert_eq!(bytes(&record), before);
}

#[test]
fn times_that_no_calendar_has() {
    let mut record = empty();
    let last = podfence_seccomp::Moment::from_unix_seconds(u64::MAX);
    record.add("app", [fact(Observation::Stretch(Span::new(at(0), last)))]);
    assert!(
        bytes(&record).contains(r#""last":"9999-12-30T"#),
        "{record:?}"
    );
    let written = bytes(&record).replace(r#""first":"2026"#, r#""first":"1926"#);
    let old = serde_json::from_str(&written).expect("a record");
    let facts: Vec<_> = read(&old)["app"].facts().collect();
    let [
        Fact {
            observation: Observation::Stretch(span),
            ..
        },
    ] = &facts[..]
    else {
        panic!("{facts:?}");
    };
    assert_eq!(span.first().unix_seconds(), 0);
}
