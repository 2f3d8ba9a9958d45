//! A record is a set of facts: nothing is lost on the way there and back, and adding is union.

use std::time::Duration;

use fastrand::Rng;
use podfence_crd::SyscallRecordSpec;
use podfence_seccomp::evidence::{Evidence, Fact, Observation};
use podfence_seccomp::{Moment, Span};

use super::facts::{Of, add, at, bytes, empty, evidence, facts, key, read, record};

const SETS: u64 = 150;

#[test]
fn a_record_says_what_was_added() {
    for seed in 0..SETS {
        let facts = facts(&mut Rng::with_seed(seed));
        let record = record(&facts);
        assert_eq!(read(&record), evidence(&facts), "{seed}");
        let stored: SyscallRecordSpec =
            serde_json::from_str(&bytes(&record)).expect("it reads what it wrote");
        assert_eq!(stored, record, "{seed}");
        assert_eq!(read(&stored), evidence(&facts), "{seed}");
    }
}

#[test]
fn order_repetition_and_grouping_make_no_difference_to_the_byte() {
    for seed in 0..SETS {
        let rng = &mut Rng::with_seed(seed);
        let facts = facts(rng);
        let want = bytes(&record(&facts));
        let mut shuffled: Vec<Of> = facts.iter().chain(&facts).cloned().collect();
        rng.shuffle(&mut shuffled);
        assert_eq!(bytes(&record(&shuffled)), want, "{seed}: order");
        let (one, other) = shuffled.split_at(rng.usize(..=shuffled.len()));
        let (one, other) = (record(one), record(other));
        for (mut into, from) in [(one.clone(), other.clone()), (other, one)] {
            into.merge(from.clone());
            assert_eq!(bytes(&into), want, "{seed}: union");
            into.merge(from);
            assert_eq!(bytes(&into), want, "{seed}: twice");
        }
        let mut at_once = empty();
        for container in ["app", "sidecar"] {
            let of = facts.iter().filter(|(name, _)| *name == container);
            at_once.add(container, of.map(|(_, fact)| fact.clone()));
        }
        assert_eq!(bytes(&at_once), want, "{seed}: at once");
    }
}

#[test]
fn stretches_that_follow_each_other_are_one() {
    let minute = |number: u64| {
        let fact = Fact {
            key: key("sha256:00"),
            observation: Observation::Stretch(Span::new(at(60 * number), at(60 * number + 60))),
        };
        ("app", fact)
    };
    let record = record(&(0..500).map(minute).collect::<Vec<_>>());
    let watched = &record.entries[0].watched;
    assert_eq!(watched.len(), 1, "{watched:?}");
    assert_eq!(
        read(&record)["app"]
            .facts()
            .next()
            .map(|fact| fact.observation),
        Some(Observation::Stretch(Span::new(at(0), at(60 * 500))))
    );
}

fn last_seen(fact: &Fact) -> Moment {
    match &fact.observation {
        Observation::Call(_, seen) | Observation::Denial(_, seen) => seen.span.last(),
        Observation::Stretch(span) | Observation::Loss(span) => span.last(),
        Observation::Start(start) => start.at,
        other => panic!("{other:?} is in no record"),
    }
}

#[test]
fn what_has_expired_goes_and_nothing_else() {
    let mut gone = 0;
    for seed in 0..SETS {
        let rng = &mut Rng::with_seed(seed);
        let facts = facts(rng);
        let oldest = at(rng.u64(..500));
        let mut record = record(&facts);
        let before = bytes(&record);
        record.expire(Moment::from_unix_seconds(0));
        assert_eq!(bytes(&record), before, "{seed}");
        record.expire(oldest);
        let mut want = evidence(&facts);
        for known in want.values_mut() {
            let young = known.facts().filter(|fact| last_seen(fact) >= oldest);
            *known = young.collect::<Evidence>();
        }
        want.retain(|_, known| known.facts().next().is_some());
        assert_eq!(read(&record), want, "{seed}");
        gone += usize::from(bytes(&record) != before);
        record.expire(at(0).after(Duration::from_secs(1000)));
        assert!(record.entries.is_empty(), "{seed}: an entry says something");
    }
    assert!(gone > 50, "{gone}");
}

#[test]
fn a_record_can_be_added_to_after_it_has_expired() {
    let mut known = record(&facts(&mut Rng::with_seed(1)));
    known.expire(at(10_000));
    let more = facts(&mut Rng::with_seed(2));
    add(&mut known, &more);
    assert_eq!(bytes(&known), bytes(&record(&more)));
}
