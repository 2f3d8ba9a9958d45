//! Words for what the built command does. Starts a process.

use std::path::Path;

use serde_json::Value;

use crate::run::{Run, run_in};

pub(crate) fn run(arguments: &[&str]) -> Run {
    run_in(Path::new("."), arguments, b"")
}

/// Runs a command that answers in JSON, given as one text with spaces between its words.
pub(crate) fn json(line: &str) -> (Run, Value) {
    let words: Vec<&str> = line.split(' ').collect();
    let run = run(&words);
    let value = serde_json::from_str(&run.stdout)
        .unwrap_or_else(|error| panic!("{line}: {error}: {run:?}"));
    (run, value)
}

/// The command fails with 2, prints nothing and names what is wrong.
pub(crate) fn assert_refused(line: &str, wanted: &[&str]) {
    let words: Vec<&str> = line.split(' ').collect();
    let run = run(&words);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{line}");
    assert!(run.stderr.starts_with("error: "), "{line}: {}", run.stderr);
    for want in wanted {
        assert!(
            run.stderr.contains(want),
            "{line}: {want:?} is not in {}",
            run.stderr
        );
    }
}
