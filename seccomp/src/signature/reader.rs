//! Reads the data about known breakages. Pure.

use podfence_workload::CapabilityMask;

use super::{Recognition, Severity, Signature, SignatureCall};
use crate::{argument, syscalls};

/// Data that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the signatures: {problem}")]
pub struct MalformedSignatures {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: SignatureProblem,
}

/// What can be wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureProblem {
    /// It is not a word and what belongs to it.
    #[error("{0:?} is no line of a signature")]
    Stray(String),
    /// It stands before the first `software`.
    #[error("{0:?} stands before the software that it is about")]
    WithoutSoftware(String),
    /// No ABI has the call.
    #[error("no system call is named {0:?}")]
    UnknownCall(String),
    /// The call's argument has no such name.
    #[error("no argument of {call} is named {argument:?}")]
    UnknownArgument {
        /// The call.
        call: String,
        /// What stands there.
        argument: String,
    },
    /// Linux does not know the capability.
    #[error("no capability is named {0:?}")]
    UnknownCapability(String),
    /// It is none of the three.
    #[error("{0:?} is not fatal, degraded or tolerated")]
    UnknownSeverity(String),
    /// A line that may be there once is there twice.
    #[error("{0} is said twice")]
    Repeated(&'static str),
    /// The signature that begins here lacks something.
    #[error("the signature of {software:?} has no {lacks}")]
    Incomplete {
        /// The software.
        software: String,
        /// What it lacks.
        lacks: &'static str,
    },
}

/// Reads signatures; they go from one `software` to the next.
///
/// # Errors
///
/// Names the first line that is wrong.
pub fn parse(text: &'static str) -> Result<Vec<Signature>, MalformedSignatures> {
    let mut signatures = Vec::new();
    let mut draft: Option<Draft> = None;
    for (at, text) in text.lines().enumerate() {
        let line = at + 1;
        let wrong = |problem| MalformedSignatures { line, problem };
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (word, rest) = text
            .split_once(' ')
            .filter(|(_, rest)| !rest.trim().is_empty())
            .ok_or_else(|| wrong(SignatureProblem::Stray(text.to_owned())))?;
        if word == "software" {
            let next = Draft::new(line, rest);
            if let Some(finished) = draft.replace(next) {
                signatures.push(finished.finish()?);
            }
            continue;
        }
        draft
            .as_mut()
            .ok_or_else(|| SignatureProblem::WithoutSoftware(text.to_owned()))
            .and_then(|draft| draft.take(word, rest))
            .map_err(wrong)?;
    }
    if let Some(finished) = draft {
        signatures.push(finished.finish()?);
    }
    Ok(signatures)
}

/// A signature while it is read.
struct Draft {
    line: usize,
    software: &'static str,
    recognition: Recognition,
    calls: Vec<SignatureCall>,
    unlocked_by: Option<CapabilityMask>,
    severity: Option<Severity>,
    symptom: Option<&'static str>,
    fix: Option<&'static str>,
    sources: Vec<&'static str>,
}

impl Draft {
    fn new(line: usize, software: &'static str) -> Self {
        Self {
            line,
            software,
            recognition: Recognition::default(),
            calls: Vec::new(),
            unlocked_by: None,
            severity: None,
            symptom: None,
            fix: None,
            sources: Vec::new(),
        }
    }

    fn take(&mut self, word: &str, rest: &'static str) -> Result<(), SignatureProblem> {
        match word {
            "image" => self.recognition.images.push(rest),
            "command" => self.recognition.commands.push(rest),
            "argument" => self.recognition.arguments.push(rest),
            "without" => self.recognition.without.push(rest),
            "adds" => {
                capability(rest)?;
                self.recognition.adds.push(rest);
            }
            "call" => self.calls.push(read_call(rest)?),
            "unlocked-by" => once(&mut self.unlocked_by, "unlocked-by", read_unlocked(rest)?)?,
            "severity" => once(&mut self.severity, "severity", read_severity(rest)?)?,
            "symptom" => once(&mut self.symptom, "symptom", rest)?,
            "fix" => once(&mut self.fix, "fix", rest)?,
            "source" => self.sources.push(rest),
            _ => return Err(SignatureProblem::Stray(format!("{word} {rest}"))),
        }
        Ok(())
    }

    fn finish(self) -> Result<Signature, MalformedSignatures> {
        let lacks = |lacks| MalformedSignatures {
            line: self.line,
            problem: SignatureProblem::Incomplete {
                software: self.software.to_owned(),
                lacks,
            },
        };
        if self.recognition.is_empty() {
            return Err(lacks("image, command, argument or adds"));
        }
        if self.calls.is_empty() {
            return Err(lacks("call"));
        }
        if self.sources.is_empty() {
            return Err(lacks("source"));
        }
        Ok(Signature {
            software: self.software,
            unlocked_by: self.unlocked_by.ok_or_else(|| lacks("unlocked-by"))?,
            severity: self.severity.ok_or_else(|| lacks("severity"))?,
            symptom: self.symptom.ok_or_else(|| lacks("symptom"))?,
            recognition: self.recognition,
            calls: self.calls,
            fix: self.fix,
            sources: self.sources,
        })
    }
}

impl Recognition {
    /// Whether it asks for nothing and would recognise everything.
    fn is_empty(&self) -> bool {
        let Self {
            images,
            commands,
            arguments,
            without: _,
            adds,
        } = self;
        [images, commands, arguments, adds]
            .iter()
            .all(|list| list.is_empty())
    }
}

fn once<T>(place: &mut Option<T>, word: &'static str, value: T) -> Result<(), SignatureProblem> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(SignatureProblem::Repeated(word)),
    }
}

fn read_call(text: &'static str) -> Result<SignatureCall, SignatureProblem> {
    let (name, argument) = match text.split_once(' ') {
        Some((name, argument)) => (name, Some(argument)),
        None => (text, None),
    };
    if !syscalls::names().contains(&name) {
        return Err(SignatureProblem::UnknownCall(name.to_owned()));
    }
    let argument = argument.map(|argument| {
        argument::value(name, argument).ok_or_else(|| SignatureProblem::UnknownArgument {
            call: name.to_owned(),
            argument: argument.to_owned(),
        })
    });
    Ok(SignatureCall {
        name,
        argument: argument.transpose()?,
    })
}

fn read_unlocked(text: &str) -> Result<CapabilityMask, SignatureProblem> {
    if text == "nothing" {
        return Ok(CapabilityMask::default());
    }
    text.split(' ')
        .try_fold(CapabilityMask::default(), |all, name| {
            Ok(all.union(capability(name)?))
        })
}

fn capability(name: &str) -> Result<CapabilityMask, SignatureProblem> {
    CapabilityMask::named(name).ok_or_else(|| SignatureProblem::UnknownCapability(name.to_owned()))
}

fn read_severity(text: &str) -> Result<Severity, SignatureProblem> {
    [Severity::Fatal, Severity::Degraded, Severity::Tolerated]
        .into_iter()
        .find(|severity| severity.as_str() == text)
        .ok_or_else(|| SignatureProblem::UnknownSeverity(text.to_owned()))
}
