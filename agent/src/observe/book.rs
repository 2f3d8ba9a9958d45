//! What is known of the containers of one workload on this node. Pure.
//!
//! All of it is sent with every write, for adding is union: what is there already changes nothing,
//! and a record that somebody has deleted is whole again. A book is bounded, and what does not fit
//! into it is a loss.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use podfence_seccomp::evidence::{
    Call, Denial, Fact, Key, Magnitude, Observation, Sighting, Start,
};
use podfence_seccomp::{Moment, Span};

use super::context::Seat;
use super::ledger::{Note, What};

/// Kinds of calls, and of denials, of one container under one key. What programs make of the calls
/// that count is a dozen; a record holds 768 and 256.
const MOST_KINDS: usize = 256;

/// Starts and stretches, as a record keeps them.
const MOST_SPANS: usize = 64;

/// How long a key stays in the book of which nothing comes any more, once it is written: an image
/// or a profile that was replaced.
const LINGER: Duration = Duration::from_secs(60 * 60);

/// How soon something is to be told. The order is from the least urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// More of what is known. It can wait.
    Growth,
    /// The first start under a key, or after a loss: what was watched begins to count.
    Start,
    /// A kind of call or denial that was not known, or a loss.
    News,
}

/// The book of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    pages: Vec<Page>,
}

/// What is known of a container under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    container: Box<str>,
    key: Key,
    calls: BTreeMap<Call, Tally>,
    denials: BTreeMap<Denial, Tally>,
    starts: BTreeSet<Start>,
    watched: BTreeSet<Span>,
    losses: BTreeSet<Span>,
    /// When the last note came.
    last: Moment,
}

/// How often, exactly, and what else was seen of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tally(u64, Sighting);

impl Book {
    /// Takes in a note, and says how soon that is to be told; none where it says nothing new.
    pub fn take(&mut self, note: Note, now: Moment) -> Option<Urgency> {
        let Note { seat, what } = note;
        let page = self.page(&seat, now);
        page.last = now;
        match what {
            What::Call(call, seen, count) => {
                let span = seen.span;
                add(&mut page.calls, call, seen, count).or_else(|| page.lose(span))
            }
            What::Denial(denial, seen, count) => {
                let span = seen.span;
                add(&mut page.denials, denial, seen, count).or_else(|| page.lose(span))
            }
            What::Start(start) => page.start(start),
            What::Watched(span) => {
                page.watch(span);
                Some(Urgency::Growth)
            }
            What::Loss(span) => page.lose(span),
            // That is so of everything on the node, and nothing that counted before.
            What::Older(at) => page.lose(Span::new(at, at)).map(|_| Urgency::Growth),
        }
    }

    /// Takes in all of another book.
    pub fn merge(&mut self, other: Self) {
        for page in other.pages {
            let known = self.pages.iter_mut();
            let known = known
                .into_iter()
                .find(|known| known.container == page.container && known.key == page.key);
            match known {
                Some(known) => known.merge(page),
                None => self.pages.push(page),
            }
        }
    }

    /// Forgets keys of which nothing comes any more. All of it has been written.
    pub fn tidy(&mut self, now: Moment) {
        self.pages.retain(|page| now.since(page.last) < LINGER);
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// All of it, by container.
    #[must_use]
    pub fn facts(&self) -> BTreeMap<String, Vec<Fact>> {
        let mut facts: BTreeMap<String, Vec<Fact>> = BTreeMap::new();
        for page in &self.pages {
            let of = facts.entry(page.container.to_string()).or_default();
            of.extend(page.observations().map(|observation| Fact {
                key: page.key.clone(),
                observation,
            }));
        }
        facts
    }

    fn page(&mut self, seat: &Arc<Seat>, now: Moment) -> &mut Page {
        let is_known = |page: &Page| page.container == seat.container && page.key == seat.key;
        let at = self.pages.iter().position(is_known);
        let at = at.unwrap_or(self.pages.len());
        if at == self.pages.len() {
            self.pages.push(Page {
                container: seat.container.clone(),
                key: seat.key.clone(),
                calls: BTreeMap::new(),
                denials: BTreeMap::new(),
                starts: BTreeSet::new(),
                watched: BTreeSet::new(),
                losses: BTreeSet::new(),
                last: now,
            });
        }
        #[allow(clippy::indexing_slicing)] // It was found there, or has just been put there.
        &mut self.pages[at]
    }
}

impl Page {
    fn start(&mut self, start: Start) -> Option<Urgency> {
        let counts = |start: &Start| self.losses.last().is_none_or(|loss| start.at > loss.last());
        let is_first = counts(&start) && !self.starts.iter().any(counts);
        let is_new = self.starts.insert(start);
        while self.starts.len() > MOST_SPANS {
            self.starts.pop_first();
        }
        let urgency = if is_first {
            Urgency::Start
        } else {
            Urgency::Growth
        };
        is_new.then_some(urgency)
    }

    fn watch(&mut self, span: Span) {
        span.add_to(&mut self.watched);
        while self.watched.len() > MOST_SPANS {
            self.watched.pop_first();
        }
    }

    /// Something was lost. What goes on being lost is no news.
    fn lose(&mut self, span: Span) -> Option<Urgency> {
        let is_known = |loss: &Span| loss.first() <= span.first() && loss.last() >= span.last();
        if self.losses.iter().any(is_known) {
            return None;
        }
        let goes_on = self.losses.iter().any(|loss| loss.overlaps(span));
        span.add_to(&mut self.losses);
        // Only until when something was lost counts.
        while self.losses.len() > MOST_SPANS
            && let (Some(one), Some(other)) = (self.losses.pop_first(), self.losses.pop_first())
        {
            self.losses.insert(one.join(other));
        }
        Some(if goes_on {
            Urgency::Growth
        } else {
            Urgency::News
        })
    }

    fn merge(&mut self, other: Self) {
        let Self {
            container: _,
            key: _,
            calls,
            denials,
            starts,
            watched,
            losses,
            last,
        } = other;
        for (call, Tally(count, seen)) in calls {
            let span = seen.span;
            if add(&mut self.calls, call, seen, count).is_none() {
                self.lose(span);
            }
        }
        for (denial, Tally(count, seen)) in denials {
            let span = seen.span;
            if add(&mut self.denials, denial, seen, count).is_none() {
                self.lose(span);
            }
        }
        for start in starts {
            self.start(start);
        }
        for span in watched {
            self.watch(span);
        }
        for span in losses {
            self.lose(span);
        }
        self.last = self.last.max(last);
    }

    fn observations(&self) -> impl Iterator<Item = Observation> {
        let calls = self.calls.iter();
        let calls = calls.map(|(call, tally)| Observation::Call(call.clone(), tally.sighting()));
        let denials = self.denials.iter();
        let denials =
            denials.map(|(denial, tally)| Observation::Denial(denial.clone(), tally.sighting()));
        let starts = self.starts.iter().cloned().map(Observation::Start);
        let watched = self.watched.iter().copied().map(Observation::Stretch);
        let losses = self.losses.iter().copied().map(Observation::Loss);
        calls
            .chain(denials)
            .chain(starts)
            .chain(watched)
            .chain(losses)
    }
}

impl Tally {
    fn sighting(&self) -> Sighting {
        let Self(count, seen) = self;
        let mut seen = seen.clone();
        seen.count = Magnitude::of(*count);
        seen
    }
}

/// Adds to a kind; none where there is no place for a new one.
fn add<K: Ord>(
    kinds: &mut BTreeMap<K, Tally>,
    kind: K,
    seen: Sighting,
    count: u64,
) -> Option<Urgency> {
    if let Some(Tally(known, before)) = kinds.get_mut(&kind) {
        *known = known.saturating_add(count);
        *before = before.clone().join(seen);
        return Some(Urgency::Growth);
    }
    if kinds.len() >= MOST_KINDS {
        return None;
    }
    kinds.insert(kind, Tally(count, seen));
    Some(Urgency::News)
}
