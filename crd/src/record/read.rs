//! From an entry of a record to facts. No I/O.

use std::collections::BTreeMap;
use std::fmt::Display;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use podfence_seccomp::evidence::{
    Arguments, Call, Denial, Example, Fact, Key, Magnitude, Observation, Outcome, Phase, Sighting,
    Source, Start,
};
use podfence_seccomp::{Errno, Moment, Span};
use podfence_workload::CapabilityMask;

use crate::syscall_record::{
    RecordEntry, RecordPhase, RecordSource, RecordedCall, RecordedDenial, RecordedSighting,
    RecordedSpan, SUCCESS, UNRECORDED,
};

/// Something in a record that cannot be read. It says nothing, and the rest counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} of container {container:?}: {reason}")]
pub struct Malformed {
    /// Which field, as in `spec.entries[0].calls[3].abi`.
    pub field: String,
    /// The container that the entry is about.
    pub container: String,
    /// What is wrong, with what was read.
    pub reason: String,
}

/// An entry as facts.
pub(super) struct Read {
    pub(super) key: Key,
    pub(super) facts: Vec<Fact>,
    pub(super) malformed: Vec<Malformed>,
    /// Those calls and denials that are malformed.
    pub(super) unread: (Vec<RecordedCall>, Vec<RecordedDenial>),
}

/// What is wrong with a field: its name and why.
type Wrong = (String, String);

fn wrong(field: impl Into<String>) -> impl FnOnce(String) -> Wrong {
    let field = field.into();
    move |reason| (field, reason)
}

impl RecordEntry {
    /// The facts of the entry at this place of a record.
    pub(super) fn read(&self, at: usize) -> Result<Read, Malformed> {
        let malformed = |within: &str, (field, reason): Wrong| Malformed {
            field: format!("spec.entries[{at}].{within}{field}"),
            container: self.container.clone(),
            reason,
        };
        let key = self.read_key().map_err(|reason| malformed("", reason))?;
        let mut read = Read {
            key: key.clone(),
            facts: Vec::new(),
            malformed: Vec::new(),
            unread: Default::default(),
        };
        let fact = |observation| Fact {
            key: key.clone(),
            observation,
        };
        for (number, call) in self.calls.iter().enumerate() {
            match call.read() {
                Ok(called) => {
                    let seen = call.seen.read();
                    read.facts.push(fact(Observation::Call(called, seen)));
                }
                Err(error) => {
                    let within = format!("calls[{number}].");
                    read.malformed.push(malformed(&within, error));
                    read.unread.0.push(call.clone());
                }
            }
        }
        for (number, denial) in self.denials.iter().enumerate() {
            match denial.read() {
                Ok(denied) => {
                    let seen = denial.seen.read();
                    read.facts.push(fact(Observation::Denial(denied, seen)));
                }
                Err(error) => {
                    let within = format!("denials[{number}].");
                    read.malformed.push(malformed(&within, error));
                    read.unread.1.push(denial.clone());
                }
            }
        }
        let stretches = self.watched.iter().map(RecordedSpan::read);
        let losses = self.losses.iter().map(RecordedSpan::read);
        let starts = self.starts.iter().map(|start| Start {
            at: moment(&start.at),
            pod: start.pod.as_str().into(),
        });
        let observations = stretches
            .map(Observation::Stretch)
            .chain(losses.map(Observation::Loss))
            .chain(starts.map(Observation::Start));
        read.facts.extend(observations.map(fact));
        Ok(read)
    }

    fn read_key(&self) -> Result<Key, Wrong> {
        let mut bounding = CapabilityMask::default();
        for (at, name) in self.capabilities.iter().enumerate() {
            let capability = CapabilityMask::named(name).ok_or_else(|| {
                let reason = format!("{name:?} is no capability that Linux knows");
                (format!("capabilities[{at}]"), reason)
            })?;
            bounding = bounding.union(capability);
        }
        let kernel = match &self.kernel {
            Some(kernel) => Some(parsed("kernel", kernel)?),
            None => None,
        };
        Ok(Key {
            image: self.image.as_str().into(),
            profile: self.profile.as_str().into(),
            bounding,
            architecture: parsed("architecture", &self.architecture)?,
            kernel,
        })
    }
}

fn parsed<T>(field: &str, text: &str) -> Result<T, Wrong>
where
    T: std::str::FromStr,
    T::Err: Display,
{
    let read: Result<T, _> = text.parse();
    read.map_err(|error| wrong(field)(error.to_string()))
}

impl RecordedCall {
    fn read(&self) -> Result<Call, Wrong> {
        let outcome = match self.result.as_str() {
            SUCCESS => Outcome::Success,
            UNRECORDED => Outcome::Unrecorded,
            errno => Outcome::Errno(read_errno("result", errno)?),
        };
        Ok(Call {
            name: self.name.as_str().into(),
            arguments: read_arguments(self.arguments.as_ref())?,
            abi: parsed("abi", &self.abi)?,
            outcome,
            source: self.source.into(),
        })
    }
}

impl RecordedDenial {
    fn read(&self) -> Result<Denial, Wrong> {
        Ok(Denial {
            name: self.name.as_str().into(),
            arguments: read_arguments(self.arguments.as_ref())?,
            abi: parsed("abi", &self.abi)?,
            errno: read_errno("errno", &self.errno)?,
            ambiguous: self.ambiguous,
        })
    }
}

fn read_errno(field: &str, text: &str) -> Result<Errno, Wrong> {
    Errno::named(text)
        .ok_or_else(|| wrong(field)(format!("{text:?} is no error of Linux, such as ENOENT")))
}

fn read_arguments(written: Option<&BTreeMap<String, String>>) -> Result<Arguments, Wrong> {
    let Some(written) = written else {
        return Ok(Arguments::UNRECORDED);
    };
    let mut arguments = Vec::new();
    for (position, value) in written {
        let field = || format!("arguments[{position:?}]");
        let at: u8 = position
            .parse()
            .ok()
            .filter(|at| *at < 6 && position.len() == 1)
            .ok_or_else(|| wrong(field())("a call has arguments 0 to 5".to_owned()))?;
        let digits = value.strip_prefix("0x").filter(|digits| {
            // The standard library would take a sign as well.
            digits.chars().all(|digit| digit.is_ascii_hexdigit())
        });
        let number = digits
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or_else(|| {
                wrong(field())(format!(
                    "{value:?} is not hexadecimal in 64 bits, such as 0x10000000"
                ))
            })?;
        arguments.push((at, number));
    }
    Ok(Arguments::recorded(arguments))
}

impl RecordedSighting {
    fn read(&self) -> Sighting {
        let Self {
            first,
            last,
            magnitude,
            phases,
            executables,
            pod,
            node,
        } = self;
        let mut seen = Sighting::at(moment(first));
        seen.span = Span::new(moment(first), moment(last));
        seen.count = Magnitude::of_exponent(*magnitude);
        seen.phases = phases.iter().map(|phase| Phase::from(*phase)).collect();
        seen.example = (pod.is_some() || node.is_some()).then(|| Example {
            pod: pod.as_deref().unwrap_or_default().into(),
            node: node.as_deref().unwrap_or_default().into(),
        });
        executables
            .iter()
            .fold(seen, |seen, executable| seen.by(executable))
    }
}

impl RecordedSpan {
    fn read(&self) -> Span {
        Span::new(moment(&self.first), moment(&self.last))
    }
}

/// The moment of a time. What is before 1970 is taken for 1970: it expired long ago.
pub(super) fn moment(time: &Time) -> Moment {
    Moment::from_unix_seconds(u64::try_from(time.0.as_second()).unwrap_or_default())
}

impl From<RecordSource> for Source {
    fn from(source: RecordSource) -> Self {
        match source {
            RecordSource::Observer => Self::Observer,
            RecordSource::AuditLog => Self::AuditLog,
            RecordSource::SPO => Self::Spo,
            RecordSource::InspektorGadget => Self::InspektorGadget,
        }
    }
}

impl From<RecordPhase> for Phase {
    fn from(phase: RecordPhase) -> Self {
        match phase {
            RecordPhase::Start => Self::Start,
            RecordPhase::Steady => Self::Steady,
            RecordPhase::Stop => Self::Stop,
        }
    }
}
