//! What is known of a container's calls and of how it fares: facts, and sets of facts. Pure.
//!
//! A set grows by union. In which order facts come, how often, and over how many records they are
//! spread makes no difference, so that agents and importers can add to a record again and again.
//! Every fact is bound to a [`Key`] and says when it was seen; it counts for no other key, and for no
//! longer than [`Terms::retention`](crate::Terms::retention).

mod call;
mod coverage;
mod health;
mod key;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::Span;

pub use call::{Arguments, Call, Denial, Example, Magnitude, Outcome, Phase, Sighting, Source};
pub use coverage::{Coverage, Gap, Start};
pub(crate) use health::{CRASH_LOOP, Fared};
pub use health::{Confinement, FailedElsewhere, Health, RunState};
pub use key::{Key, image_digest};

/// One fact, and what it is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is bound to.
    pub key: Key,
    /// What was seen.
    pub observation: Observation,
}

/// What can be seen of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// An unconfined program made a call.
    Call(Call, Sighting),
    /// A filter really denied a call.
    Denial(Denial, Sighting),
    /// Nothing that the container did during this time could have escaped the observer. That goes
    /// on after a container has ended, as long as its pod is watched: it does nothing then.
    Stretch(Span),
    /// The observer saw the container start.
    Start(Start),
    /// The observer, or what carries its findings, lost something during this time.
    Loss(Span),
    /// How it fared in a pod, and from when to when it was seen so.
    Health(Health, Span),
    /// The same key failed in another workload, and from when to when that was seen.
    FailedElsewhere(FailedElsewhere, Span),
}

/// A set of facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence(HashMap<Key, Known>);

/// The facts of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) calls: BTreeMap<Call, Sighting>,
    pub(crate) denials: BTreeMap<Denial, Sighting>,
    pub(crate) stretches: BTreeSet<Span>,
    pub(crate) starts: BTreeSet<Start>,
    pub(crate) losses: BTreeSet<Span>,
    pub(crate) health: BTreeMap<Health, Span>,
    pub(crate) elsewhere: BTreeMap<FailedElsewhere, Span>,
}

impl Evidence {
    /// What is known of a key; none where nothing is.
    pub(crate) fn of(&self, key: &Key) -> Option<&Known> {
        self.0.get(key)
    }

    /// Every fact, in no particular order. Stretches and losses that overlap are one.
    pub fn facts(&self) -> impl Iterator<Item = Fact> {
        self.0.iter().flat_map(|(key, known)| {
            known.observations().map(|observation| Fact {
                key: key.clone(),
                observation,
            })
        })
    }

    /// The keys of which something is known, in no particular order.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.keys()
    }
}

impl Extend<Fact> for Evidence {
    fn extend<I: IntoIterator<Item = Fact>>(&mut self, facts: I) {
        for Fact { key, observation } in facts {
            self.0.entry(key).or_default().add(observation);
        }
    }
}

impl FromIterator<Fact> for Evidence {
    fn from_iter<I: IntoIterator<Item = Fact>>(facts: I) -> Self {
        let mut evidence = Self::default();
        evidence.extend(facts);
        evidence
    }
}

impl Known {
    fn observations(&self) -> impl Iterator<Item = Observation> {
        let Self {
            calls,
            denials,
            stretches,
            starts,
            losses,
            health,
            elsewhere,
        } = self;
        let calls = calls.iter();
        let denials = denials.iter();
        let health = health.iter();
        let elsewhere = elsewhere.iter();
        calls
            .map(|(call, seen)| Observation::Call(call.clone(), seen.clone()))
            .chain(denials.map(|(denial, seen)| Observation::Denial(denial.clone(), seen.clone())))
            .chain(stretches.iter().copied().map(Observation::Stretch))
            .chain(starts.iter().cloned().map(Observation::Start))
            .chain(losses.iter().copied().map(Observation::Loss))
            .chain(health.map(|(health, span)| Observation::Health(health.clone(), *span)))
            .chain(
                elsewhere.map(|(other, span)| Observation::FailedElsewhere(other.clone(), *span)),
            )
    }

    fn add(&mut self, observation: Observation) {
        match observation {
            Observation::Call(call, sighting) => {
                join(&mut self.calls, call, sighting, Sighting::join);
            }
            Observation::Denial(denial, sighting) => {
                join(&mut self.denials, denial, sighting, Sighting::join);
            }
            Observation::Stretch(span) => {
                span.add_to(&mut self.stretches);
            }
            Observation::Start(start) => {
                self.starts.insert(start);
            }
            Observation::Loss(span) => {
                span.add_to(&mut self.losses);
            }
            Observation::Health(health, span) => {
                join(&mut self.health, health, span, Span::join);
            }
            Observation::FailedElsewhere(elsewhere, span) => {
                join(&mut self.elsewhere, elsewhere, span, Span::join);
            }
        }
    }
}

/// Adds a value under a name, to the one that is there.
fn join<K: Ord, V: Clone>(map: &mut BTreeMap<K, V>, key: K, value: V, both: fn(V, V) -> V) {
    let joined = match map.get(&key) {
        Some(known) => both(known.clone(), value),
        None => value,
    };
    map.insert(key, joined);
}
