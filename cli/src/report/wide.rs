//! The table with the admission controller's message, and with what was not judged. Pure.

use podfence_podsecurity::message;

use super::table::{COLUMNS, aligned, cells, checks, printable, result, summary};
use super::{Outcome, Report};

/// The table.
pub(super) fn print(report: &Report) -> String {
    let mut rows = vec![with(COLUMNS.map(str::to_owned), "MESSAGE".to_owned())];
    for entry in &report.entries {
        rows.push(match &entry.outcome {
            Outcome::Judged(findings) => {
                let text = printable(&message(findings));
                with(cells(entry, result(findings), &checks(findings)), text)
            }
            Outcome::Skipped(reason) => with(cells(entry, "Skipped", ""), printable(reason)),
            Outcome::Unreadable(reason) => with(cells(entry, "Unreadable", ""), printable(reason)),
        });
    }
    aligned(&rows) + &summary(report)
}

fn with(cells: [String; 6], last: String) -> [String; 7] {
    let [source, kind, namespace, name, result, checks] = cells;
    [source, kind, namespace, name, result, checks, last]
}
