//! The report as a table for people: one line an object that was judged, and a summary. Pure.

use std::fmt::Write as _;

use podfence_podsecurity::Finding;

use super::{Counts, Entry, Outcome, Report};

/// The columns that every table begins with.
pub(super) const COLUMNS: [&str; 6] = ["SOURCE", "KIND", "NAMESPACE", "NAME", "RESULT", "CHECKS"];

/// The spaces between two columns, as kubectl has them.
const GAP: usize = 3;

/// The table.
pub(super) fn print(report: &Report) -> String {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    for entry in &report.entries {
        if let Outcome::Judged(findings) = &entry.outcome {
            rows.push(cells(entry, result(findings), &checks(findings)));
        }
    }
    let mut text = if rows.len() > 1 {
        aligned(&rows)
    } else {
        String::new()
    };
    text.push_str(&summary(report));
    text
}

/// The cells of the common columns.
pub(super) fn cells(entry: &Entry, result: &str, checks: &str) -> [String; 6] {
    let identity = &entry.identity;
    let cells = [
        &entry.source,
        &identity.kind,
        &identity.namespace,
        &identity.name,
    ];
    let [source, kind, namespace, name] = cells.map(|text| printable(text));
    [
        source,
        kind,
        namespace,
        name,
        result.to_owned(),
        printable(checks),
    ]
}

pub(super) fn result(findings: &[Finding]) -> &'static str {
    if findings.is_empty() {
        "Allowed"
    } else {
        "Forbidden"
    }
}

pub(super) fn checks(findings: &[Finding]) -> String {
    let names: Vec<_> = findings
        .iter()
        .map(|finding| finding.check.as_str())
        .collect();
    names.join(",")
}

/// The text in one line, and without what a terminal would obey. Names come from files that
/// anybody may have written. What is empty is said to be.
pub(crate) fn printable(text: &str) -> String {
    if text.is_empty() {
        return "<none>".to_owned();
    }
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

/// Rows in columns as wide as their widest cell; the last column is as long as it is.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut padding = 0;
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(text, "{:padding$}{cell}", "");
            padding = width + GAP - cell.chars().count();
        }
        text.push('\n');
    }
    text
}

/// The last line: how many of each.
pub(super) fn summary(report: &Report) -> String {
    let Counts {
        allowed,
        forbidden,
        skipped,
        unreadable,
    } = report.counts();
    format!(
        "{}: {allowed} allowed, {forbidden} forbidden, {skipped} skipped, {unreadable} unreadable\n",
        report.standard
    )
}

#[cfg(test)]
mod tests {
    use super::{aligned, printable};

    #[test]
    fn a_name_cannot_write_to_the_terminal() {
        let cases = [
            ("", "<none>"),
            ("web", "web"),
            ("a\nb\tc", r"a\nb\tc"),
            ("\u{1b}[2Jgone", r"\u{1b}[2Jgone"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("gr\u{fc}n \"x\"", "gr\u{fc}n \"x\""),
        ];
        for (text, want) in cases {
            assert_eq!(printable(text), want);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let rows = [["A", "B"], ["gr\u{fc}n", "x"], ["", "y"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "A      B\ngr\u{fc}n   x\n       y\n");
    }
}
