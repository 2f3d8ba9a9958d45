//! `kubectl podfence import`: what other tools recorded, as a `SyscallRecord`. Reads files; what asks
//! the cluster is in `cluster`.

mod audit;
mod cluster;
mod gadget;
mod profile;
mod subject;

use std::ffi::OsStr;
use std::path::PathBuf;

use podfence_crd::{Dropped, SyscallRecord};
use podfence_seccomp::evidence::{Arguments, Call, Fact, Observation, Outcome, Sighting, Source};
use podfence_seccomp::{Abi, Action, Class, Filter, LoadError, Loader, Moment, Span, syscalls};

use crate::args::{
    AuditLogArguments, GadgetArguments, ImportCommand, ManifestForm, SpoArguments, TargetArguments,
};
use crate::read::{self, ReadError};

pub(crate) use subject::Subject;

/// An import that comes to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error("{file}: {source}")]
    Read {
        file: String,
        #[source]
        source: ReadError,
    },
    #[error("--profile: {0}")]
    Rules(#[from] LoadError),
    #[error(transparent)]
    Subject(#[from] subject::SubjectError),
    #[error(transparent)]
    Cluster(#[from] cluster::AskError),
    #[error("failed to write JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("failed to write YAML: {0}")]
    Yaml(#[from] serde_saphyr::SerializeError),
}

/// What is to be printed, and what is to be said of it.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) text: String,
    /// What should be known and keeps nothing from being true.
    pub(crate) warnings: Vec<String>,
    /// What could not be read, with where it is.
    pub(crate) errors: Vec<String>,
}

/// What a file says of one container.
#[derive(Debug, Default)]
pub(crate) struct Found {
    observations: Vec<Observation>,
    warnings: Vec<String>,
    errors: Vec<String>,
}

/// What a reader has to know of the container.
pub(crate) struct Asked<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) filter: &'a Filter,
}

/// Runs one import.
///
/// # Errors
///
/// When there is nothing to print or to add, or the cluster refuses.
pub(crate) fn import(command: &ImportCommand) -> Result<Answer, ImportError> {
    match command {
        ImportCommand::AuditLog(arguments) => {
            let AuditLogArguments {
                file,
                exe,
                comm,
                target,
            } = arguments;
            let wanted = audit::Wanted { exe, comm };
            import_file(file, target, |asked, bytes| {
                audit::read(bytes, &wanted, asked)
            })
        }
        ImportCommand::Spo(arguments) => {
            let SpoArguments {
                file,
                recorded,
                target,
            } = arguments;
            import_file(file, target, |asked, bytes| {
                profile::read_recorded(bytes, *recorded, asked)
            })
        }
        ImportCommand::InspektorGadget(arguments) => {
            let GadgetArguments {
                file,
                recorded,
                target,
            } = arguments;
            import_file(file, target, |asked, bytes| {
                gadget::read(bytes, *recorded, asked)
            })
        }
    }
}

fn import_file(
    file: &OsStr,
    target: &TargetArguments,
    read: impl FnOnce(&Asked<'_>, &[u8]) -> Found,
) -> Result<Answer, ImportError> {
    let source = if file == "-" {
        read::Source::Stdin
    } else {
        read::Source::Named(PathBuf::from(file))
    };
    let name = source.name();
    let bytes = source.read().map_err(|source| ImportError::Read {
        file: name.clone(),
        source,
    })?;
    let subject = Subject::of(target)?;
    let filter = Filter::load(&subject.profile.rules, subject.container, Loader::default())?;
    let asked = Asked {
        subject: &subject,
        filter: &filter,
    };
    let Found {
        observations,
        warnings,
        errors,
    } = read(&asked, &bytes);
    let mut answer = Answer {
        text: String::new(),
        warnings: subject.told.iter().cloned().chain(warnings).collect(),
        errors: errors
            .into_iter()
            .map(|error| format!("{name}: {error}"))
            .collect(),
    };
    let facts: Vec<Fact> = observations
        .into_iter()
        .map(|observation| Fact {
            key: subject.key.clone(),
            observation,
        })
        .collect();
    if facts.is_empty() {
        if answer.errors.is_empty() {
            let error = format!("{name}: nothing in it can be imported");
            answer.errors.push(error);
        }
        return Ok(answer);
    }
    if target.apply {
        let (said, dropped) = cluster::add(target, &subject, &facts)?;
        answer.text = said;
        answer.warnings.extend(warning_of(dropped));
    } else {
        let workload = subject.workload();
        let mut record = SyscallRecord::of(workload, &target.namespace, None);
        let dropped = record.spec.add(&target.container, facts);
        answer.warnings.extend(warning_of(dropped));
        answer.text = manifest(&record, target.output)?;
    }
    Ok(answer)
}

fn manifest(record: &SyscallRecord, form: ManifestForm) -> Result<String, ImportError> {
    Ok(match form {
        ManifestForm::Json => serde_json::to_string_pretty(record)? + "\n",
        ManifestForm::Yaml => {
            let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
            serde_saphyr::to_string_with_options(record, options)?
        }
    })
}

fn warning_of(dropped: Dropped) -> Option<String> {
    let Dropped {
        entries,
        calls,
        denials,
        observations,
    } = dropped;
    (!dropped.is_nothing()).then(|| {
        format!(
            "a record keeps no more: {entries} entries, {calls} calls, {denials} denials and \
             {observations} observations were dropped, those seen longest ago"
        )
    })
}

/// A call of which only the name is known.
fn named(source: Source, name: &str, abi: Abi, recorded: Moment) -> Observation {
    let call = Call {
        name: name.into(),
        arguments: Arguments::UNRECORDED,
        abi,
        outcome: Outcome::Unrecorded,
        source,
    };
    Observation::Call(call, Sighting::at(recorded))
}

/// What `RuntimeDefault` does with a call whose arguments are unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ruling {
    /// It lets it through, whatever the arguments.
    Allows,
    /// It denies it, whatever the arguments.
    Denies,
    /// That depends.
    ByArguments,
}

impl Asked<'_> {
    fn ruling(&self, abi: Abi, name: &str) -> Ruling {
        let Some(number) = syscalls::number(abi, name) else {
            return Ruling::ByArguments;
        };
        match self.filter.class(abi, number) {
            Class::Always(decision) if decision.action == Action::Allow => Ruling::Allows,
            Class::Always(_) => Ruling::Denies,
            Class::ByArguments(_) => Ruling::ByArguments,
        }
    }
}

/// The calls of an audit log that count.
///
/// If the log has calls that `RuntimeDefault` always allows, the profile that logged them was another,
/// and a record does not show that the arguments were ones to deny.
fn audited(calls: &[(Call, Sighting)], losses: Vec<Span>, asked: &Asked<'_>, found: &mut Found) {
    let names = |ruling: Ruling| {
        let mut names: Vec<&str> = calls
            .iter()
            .filter(|(call, _)| asked.ruling(call.abi, &call.name) == ruling)
            .map(|(call, _)| &*call.name)
            .collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    };
    let (allowed, undecided) = (names(Ruling::Allows), names(Ruling::ByArguments));
    let is_complain_mode = allowed.is_empty();
    if !is_complain_mode {
        let profile = &asked.subject.profile;
        let mut warning = format!(
            "{profile} always allows {allowed}: what was logged here was another profile than \
             RuntimeDefault with its denials turned into logging"
        );
        if !undecided.is_empty() {
            warning.push_str(". So nothing is known of ");
            warning.push_str(&undecided);
            warning.push_str(", which it denies for some arguments only");
        }
        found.warnings.push(warning);
    }
    let counts = |call: &Call| match asked.ruling(call.abi, &call.name) {
        Ruling::Denies => true,
        Ruling::ByArguments => is_complain_mode,
        Ruling::Allows => false,
    };
    let counted = calls.iter().filter(|(call, _)| counts(call)).cloned();
    let calls = counted.map(|(call, seen)| Observation::Call(call, seen));
    let losses = losses.into_iter().map(Observation::Loss);
    found.observations.extend(calls.chain(losses));
}
