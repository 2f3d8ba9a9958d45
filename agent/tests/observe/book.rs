//! What a book keeps, how soon it is told, and that it stays small.

use std::sync::Arc;

use podfence_agent::observe::book::{Book, Urgency};
use podfence_agent::observe::ledger::{Ledger, Note, What};
use podfence_agent::observe::sight::Sight;
use podfence_seccomp::evidence::{
    Arguments, Call, Magnitude, Observation, Outcome, Sighting, Source, Start,
};
use podfence_seccomp::{Abi, Span};

use super::world::{at, context, pod, read, running};

fn note(what: What) -> Note {
    let context = context(&[]);
    let mut ledger = Ledger::new(context.clone(), at(0));
    let pods = read(&[pod("a", &running('1', -3))]);
    let taken = ledger.take(Sight::default(), &pods, &context, at(1));
    let seat = &taken.notes.first().expect("it is older").seat;
    Note {
        seat: Arc::clone(seat),
        what,
    }
}

fn call(first: u64, second: i64, count: u64) -> What {
    let call = Call {
        name: "keyctl".into(),
        arguments: Arguments::recorded([(0, first)]),
        abi: Abi::X86_64,
        outcome: Outcome::Success,
        source: Source::Observer,
    };
    What::Call(call, Sighting::at(at(second)), count)
}

fn start(second: i64) -> What {
    What::Start(Start {
        at: at(second),
        pod: "a".into(),
    })
}

fn loss(first: i64, last: i64) -> What {
    What::Loss(Span::new(at(first), at(last)))
}

#[test]
fn what_is_new_is_told_soon_and_what_grows_later() {
    let (growth, news) = (Some(Urgency::Growth), Some(Urgency::News));
    let mut book = Book::default();
    for (name, what, want) in [
        ("older", What::Older(at(0)), growth),
        ("the same again", What::Older(at(0)), None),
        ("a call", call(1, 5, 4), news),
        ("again", call(1, 6, 4), growth),
        ("with another argument", call(2, 6, 1), news),
        ("a start", start(7), Some(Urgency::Start)),
        ("a second one", start(8), growth),
        ("the same", start(8), None),
        ("a loss", loss(20, 21), news),
        ("that goes on", loss(21, 22), growth),
        ("within it", loss(20, 22), None),
        ("another", loss(30, 31), news),
        ("a start after it", start(32), Some(Urgency::Start)),
        ("and one before", start(25), growth),
        ("watched", What::Watched(Span::new(at(0), at(40))), growth),
    ] {
        assert_eq!(book.take(note(what), at(50)), want, "{name}");
    }
    let facts = book.facts();
    let observations: Vec<_> = facts["main"].iter().map(|fact| &fact.observation).collect();
    // How often is counted over all looks.
    let counted = observations.iter().any(|observation| {
        matches!(observation, Observation::Call(call, seen)
            if call.arguments.at(0) == Some(1) && seen.count == Magnitude::of(8)
                && seen.span == Span::new(at(5), at(6)))
    });
    assert!(counted, "{observations:?}");
    let losses = observations
        .iter()
        .filter_map(|observation| match observation {
            Observation::Loss(span) => Some(*span),
            _ => None,
        });
    let want = [(0, 0), (20, 22), (30, 31)].map(|(first, last)| Span::new(at(first), at(last)));
    assert_eq!(losses.collect::<Vec<_>>(), want);
}

#[test]
fn a_book_is_bounded_and_what_does_not_fit_is_a_loss() {
    let mut book = Book::default();
    let last = (0..300)
        .map(|kind| book.take(note(call(kind, 1000, 1)), at(1000)))
        .last();
    assert_eq!(last, Some(None), "the loss is known by then");
    for number in 0..300 {
        let span = Span::new(at(number * 10), at(number * 10 + 1));
        book.take(note(What::Watched(span)), at(1));
        book.take(note(What::Loss(span)), at(1));
        book.take(note(start(number)), at(1));
    }
    let facts = book.facts();
    let count = |is: fn(&Observation) -> bool| {
        let facts = facts["main"].iter();
        facts.filter(|fact| is(&fact.observation)).count()
    };
    assert_eq!(count(|it| matches!(it, Observation::Call(..))), 256);
    assert_eq!(count(|it| matches!(it, Observation::Stretch(_))), 64);
    assert_eq!(count(|it| matches!(it, Observation::Start(_))), 64);
    assert_eq!(count(|it| matches!(it, Observation::Loss(_))), 64);
    let until = facts["main"]
        .iter()
        .filter_map(|fact| match fact.observation {
            Observation::Loss(span) => Some(span.last()),
            _ => None,
        });
    assert_eq!(until.max(), Some(at(2991)));
}

#[test]
fn books_unite_and_forget() {
    let (mut one, mut other) = (Book::default(), Book::default());
    one.take(note(call(1, 5, 4)), at(9));
    other.take(note(call(1, 6, 6)), at(9));
    other.take(note(call(2, 6, 1)), at(10));
    one.merge(other);
    let facts = one.facts();
    let counts = facts["main"].iter().map(|fact| match &fact.observation {
        Observation::Call(call, seen) => (call.arguments.at(0), seen.count.exponent()),
        other => panic!("{other:?}"),
    });
    assert_eq!(counts.collect::<Vec<_>>(), [(Some(1), 1), (Some(2), 0)]);
    one.tidy(at(3609));
    assert!(!one.is_empty());
    one.tidy(at(3610));
    assert!(one.is_empty());
}
