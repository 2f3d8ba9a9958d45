//! Runs the built command as a user would. Starts a process.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a run has left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn run(arguments: &[&str]) -> Run {
    run_in(Path::new("."), arguments, b"")
}

pub(crate) fn run_in(folder: &Path, arguments: &[&str], stdin: &[u8]) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-podfence"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads no input may be gone before it is written.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
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
