//! Runs `scan` of the built command as a user would. Starts a process, reads files.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::run::{Run, run_in};

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Runs `kubectl-podfence scan` among the fixtures.
pub(crate) fn scan(arguments: &[&str], stdin: &[u8]) -> Run {
    scan_in(&fixtures(), arguments, stdin)
}

pub(crate) fn scan_in(folder: &Path, arguments: &[&str], stdin: &[u8]) -> Run {
    run_in(folder, &[&["scan"], arguments].concat(), stdin)
}

/// Scans standard input, and reads the report.
pub(crate) fn report(stdin: impl AsRef<[u8]>) -> (Run, Value) {
    let run = scan(&["-o", "json", "-f", "-"], stdin.as_ref());
    let report = serde_json::from_str(&run.stdout).unwrap();
    (run, report)
}

/// Of each result or skipped object: the number of its document, its name, and one field more.
pub(crate) fn brief(objects: &Value, field: &str) -> Vec<String> {
    let describe = |object: &Value| {
        let (_, number) = object["source"].as_str().unwrap().split_once('#').unwrap();
        let name = object["name"].as_str().unwrap();
        match &object[field] {
            Value::String(text) => format!("{number} {name} {text}"),
            value => format!("{number} {name} {value}"),
        }
    };
    objects.as_array().unwrap().iter().map(describe).collect()
}
