//! What keeps a record small: what goes first when there is too much, and what has expired. No I/O.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use podfence_seccomp::Moment;

use super::read::moment;
use crate::syscall_record::{
    MAX_RECORD_ENTRIES, MAX_RECORDED_CALLS, MAX_RECORDED_DENIALS, MAX_RECORDED_SPANS, RecordEntry,
    RecordedCall, RecordedSighting, RecordedSpan, SUCCESS, UNRECORDED,
};

/// How much had to go because a record keeps no more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Whole entries, those that were seen longest ago. Nothing is known of their keys any more.
    pub entries: usize,
    /// Calls. What was not seen until the last of them says nothing any more.
    pub calls: usize,
    /// Denials, likewise.
    pub denials: usize,
    /// Watched stretches and starts, the oldest. Less was observed, and nothing is wrong.
    pub observations: usize,
}

impl Dropped {
    /// Whether nothing was dropped.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// Drops the entries that were seen longest ago, and says how many.
pub(super) fn keep_entries(entries: &mut Vec<RecordEntry>) -> usize {
    let dropped = entries.len().saturating_sub(MAX_RECORD_ENTRIES);
    for _ in 0..dropped {
        let oldest = entries
            .iter()
            .enumerate()
            .min_by_key(|(_, entry)| entry.last_seen())
            .map(|(at, _)| at);
        if let Some(at) = oldest {
            entries.remove(at);
        }
    }
    dropped
}

/// Brings an entry within its limits.
///
/// A dropped call or denial is a loss until it was last seen. Dropping a stretch or a start is none:
/// what is left shows less, but nothing wrong, and a program that starts every minute would
/// otherwise never be observed for long enough.
pub(super) fn keep_within(entry: &mut RecordEntry, dropped: &mut Dropped) {
    let mut lost: Vec<RecordedSighting> = Vec::new();
    lost.extend(drop_calls(&mut entry.calls));
    dropped.calls += lost.len();
    while entry.denials.len() > MAX_RECORDED_DENIALS {
        let oldest = entry.denials.iter().enumerate().min_by_key(|(_, denial)| {
            let name = (&denial.name, &denial.arguments, &denial.abi, &denial.errno);
            (denial.seen.last.clone(), name, denial.ambiguous)
        });
        let Some(at) = oldest.map(|(at, _)| at) else {
            break;
        };
        lost.push(entry.denials.remove(at).seen);
        dropped.denials += 1;
    }
    for RecordedSighting { first, last, .. } in lost {
        entry.losses.push(RecordedSpan { first, last });
    }
    keep_losses(&mut entry.losses);
    entry
        .watched
        .sort_by(|one, other| other.last.cmp(&one.last));
    entry.starts.sort_by(|one, other| other.cmp(one));
    let (watched, starts) = (entry.watched.len(), entry.starts.len());
    entry.watched.truncate(MAX_RECORDED_SPANS);
    entry.starts.truncate(MAX_RECORDED_SPANS);
    dropped.observations += watched - entry.watched.len() + starts - entry.starts.len();
}

/// Drops calls, each time from the call that has most variants: the last variant of a call tells that
/// it is made at all, one of a hundred tells little. Of the variants first one that fails, which is
/// the least to lose, then the oldest.
fn drop_calls(calls: &mut Vec<RecordedCall>) -> Vec<RecordedSighting> {
    let mut dropped = Vec::new();
    if calls.len() <= MAX_RECORDED_CALLS {
        return dropped;
    }
    let mut variants = BTreeMap::<_, Vec<RecordedCall>>::new();
    for call in calls.drain(..) {
        let group = variants.entry((call.name.clone(), call.abi.clone(), call.source));
        group.or_default().push(call);
    }
    for group in variants.values_mut() {
        // The first to go comes last.
        group.sort_by_cached_key(|call| Reverse(rank(call)));
    }
    let mut count: usize = variants.values().map(Vec::len).sum();
    while count > MAX_RECORDED_CALLS {
        let most = variants
            .values_mut()
            .max_by_key(|group| group.len())
            .and_then(Vec::pop);
        dropped.extend(most.map(|call| call.seen));
        count -= 1;
    }
    calls.extend(variants.into_values().flatten());
    dropped
}

/// What goes first is least.
fn rank(call: &RecordedCall) -> impl Ord + use<> {
    let loss = match call.result.as_str() {
        SUCCESS => 2,
        UNRECORDED => 1,
        _ => 0,
    };
    let identity = (call.arguments.clone(), call.result.clone());
    (loss, call.seen.last.clone(), identity)
}

/// One loss for those that overlap, and where there are still too many, one for the oldest two: only
/// until when something was lost counts.
fn keep_losses(losses: &mut Vec<RecordedSpan>) {
    losses.sort_by(|one, other| (&one.first, &one.last).cmp(&(&other.first, &other.last)));
    losses.dedup_by(|later, kept| {
        let overlaps = later.first <= kept.last;
        if overlaps {
            kept.last = kept.last.clone().max(later.last.clone());
        }
        overlaps
    });
    let excess = losses.len().saturating_sub(MAX_RECORDED_SPANS);
    if let (Some(first), Some(last)) = (
        losses.first().map(|loss| loss.first.clone()),
        losses.get(excess).map(|loss| loss.last.clone()),
    ) {
        losses.splice(..=excess, [RecordedSpan { first, last }]);
    }
}

impl RecordEntry {
    /// Takes out what was last seen before this moment.
    pub(super) fn expire(&mut self, oldest: Moment) {
        let counts = |time: &Time| moment(time) >= oldest;
        self.calls.retain(|call| counts(&call.seen.last));
        self.denials.retain(|denial| counts(&denial.seen.last));
        self.watched.retain(|span| counts(&span.last));
        self.starts.retain(|start| counts(&start.at));
        self.losses.retain(|span| counts(&span.last));
    }

    /// When anything in it was last seen.
    fn last_seen(&self) -> Moment {
        let calls = self.calls.iter().map(|call| &call.seen.last);
        let denials = self.denials.iter().map(|denial| &denial.seen.last);
        let spans = self.watched.iter().chain(&self.losses);
        let spans = spans.map(|span| &span.last);
        let starts = self.starts.iter().map(|start| &start.at);
        let all = calls.chain(denials).chain(spans).chain(starts);
        all.map(moment)
            .max()
            .unwrap_or(Moment::from_unix_seconds(0))
    }
}
