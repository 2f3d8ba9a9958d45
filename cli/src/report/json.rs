//! The report as JSON, and the shape that it has in every form for machines. Pure.

use podfence_podsecurity::{CheckId, Finding, Level, Version, message, reasons};
use serde::Serialize;

use super::{Counts, Entry, Outcome, Report};
use crate::document::Identity;

/// One JSON object and a line break.
pub(super) fn print(report: &Report) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(&Whole::from(report))?;
    text.push('\n');
    Ok(text)
}

/// The report as a whole.
#[derive(Serialize)]
pub(super) struct Whole<'a> {
    results: Vec<Verdict<'a>>,
    skipped: Vec<Unjudged<'a>>,
    summary: Summary,
}

/// The verdict of one object.
#[derive(Serialize)]
struct Verdict<'a> {
    source: &'a str,
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    level: Level,
    version: Version,
    allowed: bool,
    /// The admission controller's short words, empty where the object is allowed.
    reason: String,
    /// The admission controller's words for a single pod.
    detail: String,
    checks: Vec<Check<'a>>,
}

/// A check that forbids the object.
#[derive(Serialize)]
struct Check<'a> {
    id: CheckId,
    reason: &'a str,
    detail: &'a str,
    containers: &'a [Box<str>],
}

/// What has no verdict.
#[derive(Serialize)]
struct Unjudged<'a> {
    source: &'a str,
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    reason: &'a str,
    /// Whether it could not be read, so that it may violate anything.
    unreadable: bool,
}

#[derive(Serialize)]
struct Summary {
    allowed: usize,
    forbidden: usize,
    skipped: usize,
    unreadable: usize,
}

impl<'a> From<&'a Report> for Whole<'a> {
    fn from(report: &'a Report) -> Self {
        let Report { standard, entries } = report;
        let (mut results, mut skipped) = (Vec::new(), Vec::new());
        for Entry {
            source,
            identity,
            outcome,
        } in entries
        {
            let Identity {
                api_version: _,
                kind,
                namespace,
                name,
            } = identity;
            let unjudged = |reason, unreadable| Unjudged {
                source,
                kind,
                namespace,
                name,
                reason,
                unreadable,
            };
            match outcome {
                Outcome::Judged(findings) => results.push(Verdict {
                    source,
                    kind,
                    namespace,
                    name,
                    level: standard.level,
                    version: standard.version,
                    allowed: findings.is_empty(),
                    reason: reasons(findings),
                    detail: message(findings),
                    checks: findings.iter().map(Check::from).collect(),
                }),
                Outcome::Skipped(reason) => skipped.push(unjudged(reason, false)),
                Outcome::Unreadable(reason) => skipped.push(unjudged(reason, true)),
            }
        }
        let Counts {
            allowed,
            forbidden,
            skipped: skipped_count,
            unreadable,
        } = report.counts();
        let summary = Summary {
            allowed,
            forbidden,
            skipped: skipped_count,
            unreadable,
        };
        Self {
            results,
            skipped,
            summary,
        }
    }
}

impl<'a> From<&'a Finding> for Check<'a> {
    fn from(finding: &'a Finding) -> Self {
        let Finding {
            check,
            reason,
            detail,
            containers,
        } = finding;
        Self {
            id: *check,
            reason,
            detail,
            containers,
        }
    }
}
