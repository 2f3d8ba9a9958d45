//! What holds of every set of facts, on generated ones: it is a set, it only ever gets worse by harm,
//! and it expires.

use std::time::Duration;

use fastrand::Rng;
use podfence_seccomp::evidence::{
    Confinement, Evidence, Fact, Observation, Outcome, RunState, Source,
};
use podfence_seccomp::{Errno, Span, Terms, Verdict};

use super::facts::{
    CONFINED, ENOSYS, EPERM, NEWUSER, Question, Run, TEMPLATE, ago, ambiguous, call, denial,
    elsewhere, filter, health, loss, now, ready, seen_by, start, stretch,
};

const SETS: u64 = 600;
/// Facts are up to 50 days old, so that some have expired.
const OLDEST: u64 = 50 * 24;

/// Names for pods that no other run has: what is said twice of one run is one fact.
const PODS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

fn hours(rng: &mut Rng) -> u64 {
    // Most of it is young, or nothing would ever be known.
    if rng.u8(..4) == 0 {
        rng.u64(..OLDEST)
    } else {
        rng.u64(..48)
    }
}

fn span(rng: &mut Rng) -> (u64, u64) {
    let (one, other) = (hours(rng), hours(rng));
    (one.max(other), one.min(other))
}

fn run(rng: &mut Rng, pod: &'static str) -> Run {
    let seen = span(rng);
    Run {
        on: *rng
            .choice(&[Confinement::RuntimeDefault, Confinement::Unconfined])
            .expect("two"),
        template: rng.choice(&[TEMPLATE, TEMPLATE, "web-0"]).expect("three"),
        pod,
        state: match rng.u8(..4) {
            0 | 1 => ready(rng.u64(seen.1..=seen.0)),
            2 => RunState::NotReady,
            _ => RunState::Ended,
        },
        failures: rng.u32(..4),
        code: rng.i32(..2),
        seen,
    }
}

fn harmless(rng: &mut Rng) -> Fact {
    let (from, to) = span(rng);
    match rng.u8(..6) {
        0 | 1 => stretch(from, to),
        2 | 3 => start(from),
        4 => call("mount", 0, EPERM),
        _ => seen_by(Source::Spo, "clone", None, Outcome::Unrecorded),
    }
}

fn harm(rng: &mut Rng, pod: &'static str) -> Fact {
    match rng.u8(..8) {
        0 => call("unshare", NEWUSER, Outcome::Success),
        1 => call(
            "keyctl",
            0,
            *rng.choice(&[Outcome::Unrecorded, ENOSYS]).expect("two"),
        ),
        2 => denial("unshare", Errno::EPERM),
        3 => loss(hours(rng)),
        4 => elsewhere(rng.choice(&[&["unshare"][..], &[]]).expect("two")),
        5 => ambiguous("keyctl", 0),
        6 => seen_by(Source::AuditLog, "socket", None, Outcome::Unrecorded),
        _ => health(Run {
            state: RunState::Ended,
            code: 1,
            pod,
            seen: span(rng),
            ..CONFINED
        }),
    }
}

fn at_another_time(mut fact: Fact, rng: &mut Rng) -> Fact {
    if let Observation::Call(_, seen) | Observation::Denial(_, seen) = &mut fact.observation {
        let (from, to) = span(rng);
        seen.span = Span::new(ago(from), ago(to));
    }
    fact
}

fn facts(rng: &mut Rng) -> Vec<Fact> {
    let mut facts = Vec::new();
    for pod in PODS.iter().take(rng.usize(..PODS.len() - 1)) {
        let fact = match rng.u8(..6) {
            0 => harm(rng, pod),
            1 | 2 => health(run(rng, pod)),
            _ => harmless(rng),
        };
        facts.push(at_another_time(fact, rng));
    }
    facts
}

/// One fact as two, seen in two parts of the same time.
fn split(fact: &Fact, rng: &mut Rng) -> [Fact; 2] {
    let halves = |span: Span, rng: &mut Rng| {
        let length = span.last().since(span.first()).as_secs();
        let middle = span.first().after(Duration::from_secs(rng.u64(..=length)));
        [
            Span::new(span.first(), middle),
            Span::new(middle, span.last()),
        ]
    };
    let parts: [Observation; 2] = match &fact.observation {
        Observation::Call(call, seen) => halves(seen.span, rng).map(|span| {
            let mut seen = seen.clone();
            seen.span = span;
            Observation::Call(call.clone(), seen)
        }),
        Observation::Denial(denial, seen) => halves(seen.span, rng).map(|span| {
            let mut seen = seen.clone();
            seen.span = span;
            Observation::Denial(denial.clone(), seen)
        }),
        Observation::Stretch(span) => halves(*span, rng).map(Observation::Stretch),
        Observation::Loss(span) => halves(*span, rng).map(Observation::Loss),
        Observation::Health(health, span) => {
            halves(*span, rng).map(|span| Observation::Health(health.clone(), span))
        }
        Observation::FailedElsewhere(other, span) => {
            halves(*span, rng).map(|span| Observation::FailedElsewhere(other.clone(), span))
        }
        Observation::Start(start) => [0, 1].map(|_| Observation::Start(start.clone())),
    };
    parts.map(|observation| Fact {
        key: fact.key.clone(),
        observation,
    })
}

fn last_seen(fact: &Fact) -> podfence_seccomp::Moment {
    match &fact.observation {
        Observation::Call(_, seen) | Observation::Denial(_, seen) => seen.span.last(),
        Observation::Stretch(span)
        | Observation::Loss(span)
        | Observation::Health(_, span)
        | Observation::FailedElsewhere(_, span) => span.last(),
        Observation::Start(start) => start.at,
    }
}

/// Failing with a contradiction is no better than without.
fn rank(verdict: Verdict) -> Verdict {
    if verdict == Verdict::Conflicting {
        Verdict::Failing
    } else {
        verdict
    }
}

#[test]
fn the_sets_have_every_verdict() {
    let filter = filter();
    let mut seen = [0; Verdict::ALL.len()];
    for seed in 0..SETS {
        let facts = facts(&mut Rng::with_seed(seed));
        seen[Question::default().ask(&filter, &facts).verdict as usize] += 1;
    }
    for verdict in Verdict::ALL {
        // These two need a signature and a specification, which are no facts.
        let expected = !matches!(verdict, Verdict::Suspected | Verdict::NotAffected);
        assert_eq!(seen[verdict as usize] > 0, expected, "{verdict}: {seen:?}");
    }
}

#[test]
fn order_repetition_and_splitting_make_no_difference() {
    let filter = filter();
    let question = Question::default();
    for seed in 0..SETS {
        let rng = &mut Rng::with_seed(seed);
        let facts = facts(rng);
        let want = question.ask(&filter, &facts);
        let mut shuffled: Vec<Fact> = facts.iter().chain(&facts).cloned().collect();
        rng.shuffle(&mut shuffled);
        assert_eq!(question.ask(&filter, &shuffled), want, "{seed}: order");
        let mut parts: Vec<Fact> = facts.iter().flat_map(|fact| split(fact, rng)).collect();
        rng.shuffle(&mut parts);
        assert_eq!(question.ask(&filter, &parts), want, "{seed}: splitting");
        let (one, other) = shuffled.split_at(rng.usize(..=shuffled.len()));
        let mut union: Evidence = one.iter().cloned().collect();
        union.extend(other.iter().cloned());
        assert_eq!(question.ask_of(&filter, &union), want, "{seed}: union");
        let again: Evidence = union.facts().collect();
        assert_eq!(again, union, "{seed}: there and back");
        let whole: Evidence = facts.iter().cloned().collect();
        assert_eq!(
            parts.into_iter().collect::<Evidence>(),
            whole,
            "{seed}: parts"
        );
    }
}

#[test]
fn what_has_expired_is_as_if_it_had_never_been() {
    let filter = filter();
    let question = Question::default();
    let oldest = now().before(Terms::default().retention);
    let mut expired = 0;
    for seed in 0..SETS {
        let facts = facts(&mut Rng::with_seed(seed));
        let young: Vec<Fact> = facts
            .iter()
            .filter(|fact| last_seen(fact) >= oldest)
            .cloned()
            .collect();
        expired += facts.len() - young.len();
        let (all, only_young) = (question.ask(&filter, &facts), question.ask(&filter, &young));
        assert_eq!(all.verdict, only_young.verdict, "{seed}");
        assert_eq!(all.coverage, only_young.coverage, "{seed}");
        let much_later = Question {
            now: now().after(Terms::default().retention + Duration::from_secs(1)),
            ..Question::default()
        };
        assert_eq!(
            much_later.ask(&filter, &facts).verdict,
            Verdict::Unknown,
            "{seed}"
        );
    }
    assert!(
        expired > 50,
        "{expired}: the facts are too young to say anything"
    );
}

#[test]
fn harm_never_makes_a_verdict_better() {
    let filter = filter();
    let question = Question::default();
    let mut worse = 0;
    for seed in 0..SETS {
        let rng = &mut Rng::with_seed(seed);
        let mut facts = facts(rng);
        let before = question.ask(&filter, &facts);
        let pod = *PODS.last().expect("some");
        let fact = harm(rng, pod);
        facts.push(at_another_time(fact, rng));
        let after = question.ask(&filter, &facts);
        let added = facts.last();
        assert!(
            rank(after.verdict) <= rank(before.verdict),
            "{seed}: {} became {} by {added:?}",
            before.verdict,
            after.verdict
        );
        worse += u64::from(after.verdict < before.verdict);
    }
    assert!(worse > SETS / 10, "{worse}");
}

#[test]
fn only_a_run_under_the_profile_that_is_well_lowers_what_is_at_risk() {
    let filter = filter();
    let question = Question::default();
    let mut asked = 0;
    for seed in 0..SETS {
        let rng = &mut Rng::with_seed(seed);
        let mut facts = facts(rng);
        let before = question.ask(&filter, &facts).verdict;
        if before > Verdict::AtRisk {
            continue;
        }
        let pod = *PODS.last().expect("some");
        let added = match rng.u8(..3) {
            0 => harmless(rng),
            1 => harm(rng, pod),
            // An unconfined run that fails too is left out: with it there was no failure of seccomp.
            _ => health(Run {
                on: Confinement::Unconfined,
                state: ready(40),
                seen: (40, 0),
                ..run(rng, pod)
            }),
        };
        facts.push(added);
        let after = question.ask(&filter, &facts).verdict;
        assert!(
            rank(after) <= rank(before),
            "{seed}: {before} became {after}"
        );
        asked += 1;
    }
    assert!(asked > SETS / 10, "{asked}");
}
