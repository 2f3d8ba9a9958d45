//! What a scan has found, and its forms. No I/O.

mod json;
pub(crate) mod table;
mod wide;
mod yaml;

use podfence_podsecurity::{Finding, LevelVersion};

use crate::args::Output;
use crate::document::Identity;

/// What a scan has found.
#[derive(Debug)]
pub(crate) struct Report {
    /// What was judged by.
    pub(crate) standard: LevelVersion,
    /// Everything that was looked at, in the order of the inputs.
    pub(crate) entries: Vec<Entry>,
}

/// One object, or a document or file that could not be taken apart.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The file, with `#` and the number of the document in it.
    pub(crate) source: String,
    /// The object; all of it empty where it is not known.
    pub(crate) identity: Identity,
    /// What came of it.
    pub(crate) outcome: Outcome,
}

/// What came of looking at an object.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was judged, and violates these checks; none if it is allowed.
    Judged(Vec<Finding>),
    /// It has nothing to judge, for this reason.
    Skipped(String),
    /// It could not be read, for this reason: it may violate anything.
    Unreadable(String),
}

/// How often each outcome came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) allowed: usize,
    pub(crate) forbidden: usize,
    pub(crate) skipped: usize,
    pub(crate) unreadable: usize,
}

impl Entry {
    /// A file or folder as a whole.
    pub(crate) fn whole(source: String, outcome: Outcome) -> Self {
        Self {
            source,
            identity: Identity::default(),
            outcome,
        }
    }
}

impl Report {
    /// The report in the form asked for.
    ///
    /// # Errors
    ///
    /// When the serializer fails.
    pub(crate) fn print(&self, output: Output) -> Result<String, PrintError> {
        match output {
            Output::Table => Ok(table::print(self)),
            Output::Wide => Ok(wide::print(self)),
            Output::Json => json::print(self).map_err(PrintError::Json),
            Output::Yaml => yaml::print(self).map_err(PrintError::Yaml),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for entry in &self.entries {
            match &entry.outcome {
                Outcome::Judged(findings) if findings.is_empty() => counts.allowed += 1,
                Outcome::Judged(_) => counts.forbidden += 1,
                Outcome::Skipped(_) => counts.skipped += 1,
                Outcome::Unreadable(_) => counts.unreadable += 1,
            }
        }
        counts
    }

    /// What could not be read, one line each, for whoever reads no report.
    pub(crate) fn complaints(&self) -> impl Iterator<Item = String> {
        self.entries
            .iter()
            .filter_map(|entry| match &entry.outcome {
                Outcome::Unreadable(reason) => {
                    Some(table::printable(&format!("{}: {reason}", entry.source)))
                }
                Outcome::Judged(_) | Outcome::Skipped(_) => None,
            })
    }
}

/// Why a report could not be printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrintError {
    #[error("failed to write JSON: {0}")]
    Json(#[source] serde_json::Error),
    #[error("failed to write YAML: {0}")]
    Yaml(#[source] serde_saphyr::SerializeError),
}
