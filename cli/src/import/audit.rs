//! The kernel's audit log of a profile that logs instead of denying. Pure.

mod line;
mod serials;

use std::collections::BTreeMap;

use podfence_seccomp::evidence::{Arguments, Call, Magnitude, Outcome, Sighting, Source};
use podfence_seccomp::{Moment, Span};

use self::line::{Line, Record};
use self::serials::Serials;
use super::{Asked, Found, audited};

/// `SECCOMP_RET_LOG`: the call was logged and went on.
const LOGGED: u32 = 0x7ffc_0000;
/// `SECCOMP_RET_ERRNO`: the call was denied, with an error that the record does not have.
const DENIED: u32 = 0x0005_0000;

/// More wrong lines than this are not named one by one: they are of another kind of file.
const MOST_ERRORS: usize = 20;

/// Whose records count; everybody's where nothing is said.
pub(crate) struct Wanted<'a> {
    pub(crate) exe: &'a [String],
    pub(crate) comm: &'a [String],
}

impl Wanted<'_> {
    fn has(&self, record: &Record) -> bool {
        let is_one = |wanted: &[String], name: &Option<String>| {
            wanted.is_empty() || name.as_ref().is_some_and(|name| wanted.contains(name))
        };
        is_one(self.exe, &record.exe) && is_one(self.comm, &record.comm)
    }
}

/// What was counted on the way.
#[derive(Default)]
struct Counts {
    other_types: usize,
    other_programs: usize,
    other_actions: usize,
    denied: usize,
    errors: usize,
}

/// What a log says of the container.
pub(crate) fn read(bytes: &[u8], wanted: &Wanted<'_>, asked: &Asked<'_>) -> Found {
    let (mut found, mut counts) = (Found::default(), Counts::default());
    let mut serials = Serials::default();
    let mut calls = BTreeMap::<Call, (Sighting, u64)>::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = String::from_utf8_lossy(line);
        let record = match line::read(&line) {
            Ok(Line::Other) => continue,
            Ok(Line::Lost) => {
                serials.lost();
                continue;
            }
            Ok(Line::Record(stamp)) => {
                counts.other_types += 1;
                serials.add(stamp);
                continue;
            }
            Ok(Line::Seccomp(record)) => record,
            Err(error) => {
                counts.errors += 1;
                if counts.errors <= MOST_ERRORS {
                    found.errors.push(format!("line {}: {error}", number + 1));
                }
                continue;
            }
        };
        serials.add(record.stamp.clone());
        match record.code {
            LOGGED | DENIED if !wanted.has(&record) => counts.other_programs += 1,
            code @ (LOGGED | DENIED) => {
                counts.denied += usize::from(code == DENIED);
                match called(&record, asked) {
                    Ok((call, seen)) => add(&mut calls, call, seen),
                    Err(error) => {
                        counts.errors += 1;
                        if counts.errors <= MOST_ERRORS {
                            found.errors.push(format!("line {}: {error}", number + 1));
                        }
                    }
                }
            }
            _ => counts.other_actions += 1,
        }
    }
    let (losses, said) = serials.losses();
    found.warnings.extend(said);
    counts.say(&mut found);
    let calls = calls.into_iter().map(|(call, (mut seen, count))| {
        seen.count = Magnitude::of(count);
        (call, seen)
    });
    let calls: Vec<(Call, Sighting)> = calls.collect();
    audited(&calls, losses, asked, &mut found);
    found
}

fn add(calls: &mut BTreeMap<Call, (Sighting, u64)>, call: Call, seen: Sighting) {
    let known = calls.remove(&call);
    let joined = match known {
        Some((known, count)) => (known.join(seen), count + 1),
        None => (seen, 1),
    };
    calls.insert(call, joined);
}

/// The call of a record.
fn called(record: &Record, asked: &Asked<'_>) -> Result<(Call, Sighting), String> {
    let Record {
        stamp,
        abi,
        call,
        code: _,
        comm: _,
        exe,
    } = record;
    let architecture = asked.subject.architecture();
    if !architecture.serves(*abi) {
        return Err(format!(
            "a program of {abi} does not run on {architecture}: is --arch right?"
        ));
    }
    let seen = Sighting::at(Moment::from_unix_seconds(stamp.seconds));
    let seen = match exe {
        Some(exe) => seen.by(exe),
        None => seen,
    };
    let call = Call {
        name: (*call).into(),
        arguments: Arguments::UNRECORDED,
        abi: *abi,
        outcome: Outcome::Unrecorded,
        source: Source::AuditLog,
    };
    Ok((call, seen))
}

impl Counts {
    fn say(&self, found: &mut Found) {
        let Self {
            other_types,
            other_programs,
            other_actions,
            denied,
            errors,
        } = self;
        let mut skipped = Vec::new();
        for (count, what) in [
            (other_types, "of other types"),
            (other_programs, "of other programs"),
            (
                other_actions,
                "of calls that were neither logged nor denied",
            ),
        ] {
            if *count > 0 {
                skipped.push(format!("{count} {what}"));
            }
        }
        if !skipped.is_empty() {
            let skipped = skipped.join(", ");
            found.warnings.push(format!("skipped records: {skipped}"));
        }
        if *denied > 0 {
            found.warnings.push(format!(
                "records of calls that a filter denied: {denied}. Which error it answered is not in \
                 them, so they count as calls that would be denied, not as denials of RuntimeDefault"
            ));
        }
        if *errors > MOST_ERRORS {
            let more = errors - MOST_ERRORS;
            found.errors.push(format!("and {more} lines more"));
        }
    }
}

/// From when to when, in seconds.
fn span(one: u64, other: u64) -> Span {
    let [one, other] = [one, other].map(Moment::from_unix_seconds);
    Span::new(one, other)
}
