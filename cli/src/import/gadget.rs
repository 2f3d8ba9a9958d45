//! What gadgets of Inspektor Gadget print: profiles of `advise_seccomp`, events of `traceloop` and
//! `audit_seccomp` as JSON. Pure.
//!
//! The forms are those of its gadgets from v0.31 to v0.51 (`gadgets/*/README.mdx`, their programs and
//! their integration tests).

use std::collections::BTreeMap;

use podfence_seccomp::evidence::{
    Arguments, Call, Example, Magnitude, Observation, Outcome, Sighting, Source,
};
use podfence_seccomp::{Errno, Moment};
use serde::Deserialize;
use serde_json::Value;

use super::profile::{self, Written};
use super::{Asked, Found, audited};

/// The calls whose arguments tell what they are for, and how many of them from the first on.
const TELLING: [(&str, usize); 6] = [
    ("clone", 1),
    ("unshare", 1),
    ("setns", 2),
    ("socket", 3),
    ("socketpair", 3),
    ("personality", 1),
];

/// What traceloop says of errors, without regard to case. What is not here counts as unrecorded, which
/// is the worse of the two.
const ERRORS: [(&str, &str); 9] = [
    ("operation not permitted", "EPERM"),
    ("no such file or directory", "ENOENT"),
    ("interrupted system call", "EINTR"),
    ("resource temporarily unavailable", "EAGAIN"),
    ("permission denied", "EACCES"),
    ("device or resource busy", "EBUSY"),
    ("invalid argument", "EINVAL"),
    ("function not implemented", "ENOSYS"),
    ("address family not supported by protocol", "EAFNOSUPPORT"),
];

/// An event of either gadget; a field that is not there is empty.
#[derive(Deserialize)]
#[serde(default)]
struct Event {
    syscall: String,
    code: Option<String>,
    timestamp: Option<String>,
    parameters: String,
    ret: Value,
    k8s: Place,
}

impl Default for Event {
    fn default() -> Self {
        Self {
            syscall: String::new(),
            code: None,
            timestamp: None,
            parameters: String::new(),
            ret: Value::Null,
            k8s: Place::default(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Place {
    node: String,
    namespace: String,
    pod_name: String,
    container_name: String,
}

/// What was read, and how often.
#[derive(Default)]
struct Events {
    made: BTreeMap<Call, (Sighting, u64)>,
    audited: BTreeMap<Call, (Sighting, u64)>,
    others: usize,
    other_actions: usize,
}

/// What the output of a gadget says of the container.
pub(super) fn read(bytes: &[u8], recorded: Option<Moment>, asked: &Asked<'_>) -> Found {
    let (mut found, mut events) = (Found::default(), Events::default());
    let text = String::from_utf8_lossy(bytes);
    let (mut rest, mut container) = (text.as_ref(), None);
    let line_of = |rest: &str| {
        let read = text.len() - rest.len();
        1 + text
            .bytes()
            .take(read)
            .filter(|byte| *byte == b'\n')
            .count()
    };
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            break;
        }
        // The advisor writes the container's name in front of each profile.
        if let Some(comment) = rest.strip_prefix("//") {
            let (name, after) = comment.split_once('\n').unwrap_or((comment, ""));
            container = Some(name.trim());
            rest = after;
            continue;
        }
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let value = match values.next() {
            Some(Ok(value)) => value,
            None => break,
            Some(Err(error)) => {
                let line = line_of(rest);
                found.errors.push(format!(
                    "line {line}: {error}: neither a profile of advise_seccomp nor events as JSON, \
                     which -o json prints"
                ));
                break;
            }
        };
        let line = line_of(rest);
        let after = values.byte_offset();
        let name = container.take();
        if let Err(error) = events.add(value, name, recorded, asked, &mut found) {
            found.errors.push(format!("line {line}: {error}"));
        }
        rest = rest.get(after..).unwrap_or_default();
    }
    events.finish(asked, &mut found);
    found
}

impl Events {
    fn add(
        &mut self,
        value: Value,
        container: Option<&str>,
        recorded: Option<Moment>,
        asked: &Asked<'_>,
        found: &mut Found,
    ) -> Result<(), String> {
        if let Value::Array(values) = value {
            return values
                .into_iter()
                .try_for_each(|value| self.add(value, container, recorded, asked, found));
        }
        if value.get("syscalls").is_some() {
            if container.is_some_and(|name| name != asked.subject.container_name) {
                self.others += 1;
                return Ok(());
            }
            let written = Written::deserialize(value).map_err(|error| error.to_string())?;
            let recorded = recorded
                .ok_or("a profile has no time: say when it was recorded with --recorded")?;
            return profile::calls(&written, Source::InspektorGadget, recorded, asked, found);
        }
        let event = Event::deserialize(value).map_err(|error| error.to_string())?;
        self.add_event(&event, recorded, asked)
    }

    fn add_event(
        &mut self,
        event: &Event,
        recorded: Option<Moment>,
        asked: &Asked<'_>,
    ) -> Result<(), String> {
        let Event {
            syscall,
            code,
            timestamp,
            parameters,
            ret,
            k8s,
        } = event;
        if syscall.is_empty() {
            return Err("it has neither syscall nor syscalls".to_owned());
        }
        let subject = asked.subject;
        let differs = |is: &str, wanted: &str| !is.is_empty() && is != wanted;
        if differs(&k8s.container_name, &subject.container_name)
            || differs(&k8s.namespace, &subject.namespace)
        {
            self.others += 1;
            return Ok(());
        }
        let seconds = match timestamp {
            Some(text) => Some(
                profile::moment(text).ok_or_else(|| format!("timestamp {text:?} is no time"))?,
            ),
            None => recorded,
        };
        let at = seconds.ok_or("an event without a timestamp: say when with --recorded")?;
        let mut seen = Sighting::at(at);
        seen.example = (!k8s.pod_name.is_empty()).then(|| Example {
            pod: k8s.pod_name.as_str().into(),
            node: k8s.node.as_str().into(),
        });
        let name = match syscall.strip_prefix("SYS_") {
            Some(name) => name.to_ascii_lowercase(),
            None => syscall.clone(),
        };
        let call = |arguments, outcome, source| Call {
            name: name.as_str().into(),
            arguments,
            abi: subject.architecture().native_abi(),
            outcome,
            source,
        };
        let (events, call) = match code.as_deref() {
            None => {
                let (arguments, outcome) = traced(&name, parameters, ret);
                let call = call(arguments, outcome, Source::InspektorGadget);
                (&mut self.made, call)
            }
            Some("SECCOMP_RET_LOG" | "SECCOMP_RET_ERRNO") => {
                let call = call(Arguments::UNRECORDED, Outcome::Unrecorded, Source::AuditLog);
                (&mut self.audited, call)
            }
            Some(_) => {
                self.other_actions += 1;
                return Ok(());
            }
        };
        let joined = match events.remove(&call) {
            Some((known, count)) => (known.join(seen), count + 1),
            None => (seen, 1),
        };
        events.insert(call, joined);
        Ok(())
    }

    fn finish(self, asked: &Asked<'_>, found: &mut Found) {
        let Self {
            made,
            audited: logged,
            others,
            other_actions,
        } = self;
        let counted = |calls: BTreeMap<Call, (Sighting, u64)>| {
            calls.into_iter().map(|(call, (mut seen, count))| {
                seen.count = Magnitude::of(count);
                (call, seen)
            })
        };
        for (count, what) in [
            (others, "what is of other containers"),
            (other_actions, "calls that were neither logged nor denied"),
        ] {
            if count > 0 {
                found.warnings.push(format!("skipped {what}: {count}"));
            }
        }
        let made = counted(made);
        let made = made.map(|(call, seen)| Observation::Call(call, seen));
        found.observations.extend(made);
        let logged: Vec<(Call, Sighting)> = counted(logged).collect();
        audited(&logged, Vec::new(), asked, found);
    }
}

/// What traceloop knows of a call: `domain=2, type=1, protocol=0` and `3`, or
/// `-1 (permission denied)`.
///
/// Without parameters it saw only one end of the call, and which call returned then is not certain.
fn traced(name: &str, parameters: &str, ret: &Value) -> (Arguments, Outcome) {
    if parameters.is_empty() {
        return (Arguments::UNRECORDED, Outcome::Unrecorded);
    }
    let arguments = TELLING
        .iter()
        .find(|(telling, _)| *telling == name)
        .and_then(|(_, count)| telling(parameters, *count));
    let ret = match ret {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let outcome = match ret.split_once('(') {
        Some((_, said)) => {
            let said = said.trim_end_matches(')').to_ascii_lowercase();
            let known = ERRORS.iter().find(|(text, _)| *text == said);
            let errno = known.and_then(|(_, errno)| Errno::named(errno));
            errno.map_or(Outcome::Unrecorded, Outcome::Errno)
        }
        None if ret.parse::<u64>().is_ok() => Outcome::Success,
        None => Outcome::Unrecorded,
    };
    (arguments.unwrap_or(Arguments::UNRECORDED), outcome)
}

/// The first so many arguments; none where they are not numbers.
fn telling(parameters: &str, count: usize) -> Option<Arguments> {
    let mut arguments = Vec::new();
    for (position, word) in (0_u8..).zip(parameters.split(", ").take(count)) {
        let (_, value) = word.split_once('=')?;
        let number = match value.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok()?,
            None => value.parse().ok()?,
        };
        arguments.push((position, number));
    }
    (arguments.len() == count).then(|| Arguments::recorded(arguments))
}
