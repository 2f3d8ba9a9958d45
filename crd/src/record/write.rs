//! From facts to an entry of a record, the same bytes for the same set. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use podfence_seccomp::evidence::{
    Arguments, Call, Denial, Key, Observation, Outcome, Phase, Sighting, Source, Start,
};
use podfence_seccomp::{KernelVersion, Moment, Span};

use super::Pool;
use super::limits::{self, Dropped};
use crate::syscall_record::{
    RecordEntry, RecordPhase, RecordSource, RecordedCall, RecordedDenial, RecordedSighting,
    RecordedSpan, RecordedStart, SUCCESS, UNRECORDED,
};

/// The schema's bounds, in characters.
const LONGEST_EXECUTABLE: usize = 256;
const LONGEST_NAME: usize = 253;

impl Pool {
    /// The pool as an entry that is within its limits.
    pub(super) fn write(self, container: &str, dropped: &mut Dropped) -> RecordEntry {
        let Self {
            key,
            facts,
            unread: (calls, denials),
        } = self;
        let mut entry = RecordEntry {
            calls,
            denials,
            ..RecordEntry::empty(container, &key)
        };
        for fact in facts.facts() {
            match fact.observation {
                Observation::Call(call, seen) => entry.calls.push(write_call(&call, &seen)),
                Observation::Denial(denial, seen) => {
                    entry.denials.push(write_denial(&denial, &seen));
                }
                Observation::Stretch(span) => entry.watched.push(write_span(span)),
                Observation::Start(start) => entry.starts.push(write_start(&start)),
                Observation::Loss(span) => entry.losses.push(write_span(span)),
                Observation::Health(..) | Observation::FailedElsewhere(..) => {}
            }
        }
        limits::keep_within(&mut entry, dropped);
        entry.sort();
        entry
    }
}

impl RecordEntry {
    /// An entry for a key that nothing is known of yet.
    pub(super) fn empty(container: &str, key: &Key) -> Self {
        let Key {
            image,
            profile,
            bounding,
            architecture,
            kernel,
        } = key;
        let mut capabilities: Vec<String> = bounding.names().map(str::to_owned).collect();
        capabilities.sort_unstable();
        Self {
            container: container.to_owned(),
            image: image.to_string(),
            profile: profile.to_string(),
            capabilities,
            architecture: architecture.to_string(),
            kernel: kernel.map(|KernelVersion { major, minor }| format!("{major}.{minor}")),
            calls: Vec::new(),
            denials: Vec::new(),
            watched: Vec::new(),
            starts: Vec::new(),
            losses: Vec::new(),
        }
    }

    /// Sorts every list, by what its items say first and by when it was seen last.
    fn sort(&mut self) {
        self.calls.sort_by(|one, other| {
            let identity = |call: &RecordedCall| {
                (
                    call.name.clone(),
                    call.arguments.clone(),
                    call.abi.clone(),
                    call.result.clone(),
                    call.source,
                    call.seen.first.clone(),
                )
            };
            identity(one).cmp(&identity(other))
        });
        self.denials.sort_by(|one, other| {
            let identity = |denial: &RecordedDenial| {
                (
                    denial.name.clone(),
                    denial.arguments.clone(),
                    denial.abi.clone(),
                    denial.errno.clone(),
                    denial.ambiguous,
                    denial.seen.first.clone(),
                )
            };
            identity(one).cmp(&identity(other))
        });
        for spans in [&mut self.watched, &mut self.losses] {
            spans.sort_by(|one, other| (&one.first, &one.last).cmp(&(&other.first, &other.last)));
        }
        self.starts
            .sort_by(|one, other| (&one.at, &one.pod).cmp(&(&other.at, &other.pod)));
    }
}

fn write_call(call: &Call, seen: &Sighting) -> RecordedCall {
    let Call {
        name,
        arguments,
        abi,
        outcome,
        source,
    } = call;
    RecordedCall {
        name: name.to_string(),
        arguments: write_arguments(arguments),
        abi: abi.to_string(),
        result: match outcome {
            Outcome::Success => SUCCESS.to_owned(),
            Outcome::Unrecorded => UNRECORDED.to_owned(),
            Outcome::Errno(errno) => errno.to_string(),
        },
        source: (*source).into(),
        seen: write_sighting(seen),
    }
}

fn write_arguments(arguments: &Arguments) -> Option<BTreeMap<String, String>> {
    let written = arguments
        .iter()
        .map(|(position, value)| (position.to_string(), format!("{value:#x}")));
    arguments.are_recorded().then(|| written.collect())
}

fn write_denial(denial: &Denial, seen: &Sighting) -> RecordedDenial {
    let Denial {
        name,
        arguments,
        abi,
        errno,
        ambiguous,
    } = denial;
    RecordedDenial {
        name: name.to_string(),
        arguments: write_arguments(arguments),
        abi: abi.to_string(),
        errno: errno.to_string(),
        ambiguous: *ambiguous,
        seen: write_sighting(seen),
    }
}

fn write_sighting(seen: &Sighting) -> RecordedSighting {
    let named = |name: &str| (!name.is_empty()).then(|| start_of(name, LONGEST_NAME));
    let mut executables: Vec<String> = seen
        .executables()
        .map(|path| end_of(path, LONGEST_EXECUTABLE))
        .collect();
    // Two that differ only in what was cut off are one now, and the list is a set.
    executables.sort_unstable();
    executables.dedup();
    RecordedSighting {
        first: time(seen.span.first()),
        last: time(seen.span.last()),
        magnitude: seen.count.exponent(),
        phases: seen.phases.iter().map(|phase| (*phase).into()).collect(),
        executables,
        pod: seen.example.as_ref().and_then(|seen| named(&seen.pod)),
        node: seen.example.as_ref().and_then(|seen| named(&seen.node)),
    }
}

fn write_start(start: &Start) -> RecordedStart {
    RecordedStart {
        at: time(start.at),
        pod: start_of(&start.pod, LONGEST_NAME),
    }
}

pub(super) fn write_span(span: Span) -> RecordedSpan {
    RecordedSpan {
        first: time(span.first()),
        last: time(span.last()),
    }
}

/// The time of a moment. What is after the year 9999 is taken for its end, which is as far as the
/// notation goes.
fn time(moment: Moment) -> Time {
    let second = i64::try_from(moment.unix_seconds()).unwrap_or(i64::MAX);
    let latest = Timestamp::MAX.as_second();
    Time(Timestamp::from_second(second.min(latest)).unwrap_or(Timestamp::MAX))
}

/// The beginning of a text, as many characters as the schema takes.
fn start_of(text: &str, longest: usize) -> String {
    text.chars().take(longest).collect()
}

/// The end of a path, which tells more than its beginning.
fn end_of(path: &str, longest: usize) -> String {
    let length = path.chars().count();
    if length <= longest {
        return path.to_owned();
    }
    let end = path.chars().skip(length - longest + 1);
    std::iter::once('…').chain(end).collect()
}

impl From<Source> for RecordSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Observer => Self::Observer,
            Source::AuditLog => Self::AuditLog,
            Source::Spo => Self::SPO,
            Source::InspektorGadget => Self::InspektorGadget,
        }
    }
}

impl From<Phase> for RecordPhase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Start => Self::Start,
            Phase::Steady => Self::Steady,
            Phase::Stop => Self::Stop,
        }
    }
}
