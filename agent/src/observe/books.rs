//! The books of all workloads, and of pods of which the workload is not known yet. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use podfence_daemon::backoff::Backoff;
use podfence_seccomp::Moment;
use podfence_seccomp::evidence::Fact;
use tokio::time::Instant;

use super::book::{Book, Urgency};
use super::context::Holder;
use super::ledger::Note;
use super::owner::Workload;
use super::schedule::Schedule;
use crate::backoff::backoff;

/// Holders of which the workload is not known. The API server does not say it, or a node starts jobs
/// faster than they can be looked up; what comes then is lost.
const MOST_UNKNOWN: usize = 512;

/// Holders of which the workload is known. A node has a few hundred pods; those of jobs that are long
/// over are forgotten with the others, and looked up again.
const MOST_KNOWN: usize = 4096;

/// Namespace and name of a record.
pub type RecordId = (Arc<str>, String);

/// All books.
#[derive(Debug)]
pub struct Books {
    schedule: Schedule<RecordId>,
    known: HashMap<Holder, RecordId>,
    unknown: BTreeMap<Holder, Unknown>,
    records: BTreeMap<RecordId, (Workload, Book)>,
}

/// What waits for its workload to be known.
#[derive(Debug)]
struct Unknown {
    book: Book,
    urgency: Urgency,
    is_asked: bool,
    backoff: Backoff,
    not_before: Instant,
}

impl Books {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(now: Instant, pace: Duration) -> Self {
        Self {
            schedule: Schedule::new(now, pace),
            known: HashMap::new(),
            unknown: BTreeMap::new(),
            records: BTreeMap::new(),
        }
    }

    /// Takes in a note; says whether there was a place for it.
    #[must_use]
    pub fn take(&mut self, note: Note, at: Moment, now: Instant) -> bool {
        let holder = &note.seat.holder;
        if let Some(id) = self.known.get(holder)
            && let Some((_, book)) = self.records.get_mut(id)
        {
            if let Some(urgency) = book.take(note, at) {
                self.schedule.note(id, urgency, now);
            }
            return true;
        }
        if self.unknown.len() >= MOST_UNKNOWN && !self.unknown.contains_key(holder) {
            return false;
        }
        let waiting = self
            .unknown
            .entry(holder.clone())
            .or_insert_with(|| Unknown {
                book: Book::default(),
                urgency: Urgency::Growth,
                is_asked: false,
                backoff: backoff(),
                not_before: now,
            });
        if let Some(urgency) = waiting.book.take(note, at) {
            waiting.urgency = waiting.urgency.max(urgency);
        }
        true
    }

    /// The next holder whose workload is to be asked for.
    pub fn to_ask(&mut self, now: Instant) -> Option<Holder> {
        let mut waiting = self.unknown.iter_mut();
        let (holder, unknown) =
            waiting.find(|(_, unknown)| !unknown.is_asked && unknown.not_before <= now)?;
        unknown.is_asked = true;
        Some(holder.clone())
    }

    /// Every holder whose workload is not known.
    #[must_use]
    pub fn unknown(&self) -> Vec<Holder> {
        self.unknown.keys().cloned().collect()
    }

    /// The workload of a holder is known.
    pub fn settle(&mut self, holder: &Holder, workload: Workload, now: Instant) {
        let Some(unknown) = self.unknown.remove(holder) else {
            return;
        };
        let id = (
            Arc::clone(&workload.namespace),
            workload.named.record_name(),
        );
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(holder.clone(), id.clone());
        let record = self.records.entry(id.clone());
        let (of, book) = record.or_insert_with(|| (workload.clone(), Book::default()));
        // One of this name that was made anew.
        *of = workload;
        book.merge(unknown.book);
        self.schedule.note(&id, unknown.urgency, now);
    }

    /// The workload of a holder could not be asked for, and is asked for again.
    pub fn unsettled(&mut self, holder: &Holder, now: Instant) {
        if let Some(unknown) = self.unknown.get_mut(holder) {
            unknown.is_asked = false;
            unknown.not_before = now + unknown.backoff.pause();
        }
    }

    /// The record that is to be written now, if one is.
    pub fn to_write(&mut self, now: Instant) -> Option<RecordId> {
        self.schedule.next(now)
    }

    /// Every record that is not written, the most urgent first.
    #[must_use]
    pub fn rest(&self) -> Vec<RecordId> {
        self.schedule.rest()
    }

    /// What is to be written of a record.
    #[must_use]
    pub fn facts(&self, id: &RecordId) -> Option<(Workload, BTreeMap<String, Vec<Fact>>)> {
        let (workload, book) = self.records.get(id)?;
        Some((workload.clone(), book.facts()))
    }

    /// A record was written.
    pub fn wrote(&mut self, id: &RecordId, at: Moment, now: Instant) {
        self.schedule.wrote(id, now);
        if let Some((_, book)) = self.records.get_mut(id) {
            book.tidy(at);
            if book.is_empty() {
                self.drop(id);
            }
        }
    }

    /// A record could not be written, and is tried again.
    pub fn failed(&mut self, id: &RecordId, now: Instant) {
        self.schedule.failed(id, now);
    }

    /// A record cannot be written any more, for its namespace goes.
    pub fn drop(&mut self, id: &RecordId) {
        self.records.remove(id);
        self.known.retain(|_, known| known != id);
        self.schedule.forget(id);
    }
}
