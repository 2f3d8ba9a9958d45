//! The rules of the rooms: pure crates stay pure, a crate uses only crates above it, and every file
//! says its one job. Reads the sources of the workspace.

// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// The pure crates, each with everything that it may depend on.
const PURE: [(&str, &[&str]); 5] = [
    (
        "workload",
        &[
            "jiff",
            "serde",
            "serde_json",
            "serde_path_to_error",
            "smallvec",
            "thiserror",
        ],
    ),
    (
        "seccomp",
        &[
            "podfence-workload",
            "schemars",
            "serde",
            "serde_json",
            "thiserror",
        ],
    ),
    (
        "podsecurity",
        &["podfence-workload", "schemars", "serde", "thiserror"],
    ),
    (
        "crd",
        &[
            "k8s-openapi",
            "kube",
            "podfence-podsecurity",
            "podfence-seccomp",
            "podfence-workload",
            "schemars",
            "serde",
            "serde_json",
            "thiserror",
        ],
    ),
    (
        "plan",
        &[
            "k8s-openapi",
            "podfence-crd",
            "podfence-podsecurity",
            "podfence-seccomp",
            "podfence-workload",
            "serde",
            "serde_json",
            "thiserror",
        ],
    ),
];

/// What a function of values has no use for: a clock, an environment, files, sockets, tasks.
const IMPURE: [&str; 16] = [
    "SystemTime",
    "Instant::",
    "::now()",
    "std::env",
    "env::var",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "tokio",
    "async ",
    ".await",
    "kube::Client",
    "kube::Api",
    "println!",
    "thread_local!",
];

/// Crates whose every source file begins with a line that says its job.
const CRATES: [&str; 10] = [
    "workload",
    "seccomp",
    "podsecurity",
    "crd",
    "plan",
    "daemon",
    "operator",
    "agent",
    "cli",
    "e2e",
];

/// A file with more lines than this, tests apart, has more than one job.
const MOST_LINES: usize = 520;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace")
        .to_owned()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The code of a file without its unit tests.
fn code(text: &str) -> &str {
    text.split_once("#[cfg(test)]\nmod ")
        .map_or(text, |(code, _)| code)
}

fn dependencies(manifest: &str) -> Vec<String> {
    manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn pure_crates_depend_on_nothing_that_acts() {
    for (name, allowed) in PURE {
        let manifest = read(&root().join(name).join("Cargo.toml"));
        let used = dependencies(&manifest);
        assert!(!used.is_empty(), "{name}: no dependencies were read");
        for dependency in used {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} may not use {dependency}"
            );
        }
        assert!(
            !manifest.contains("features = [\"client") && !manifest.contains("\"runtime\""),
            "{name} may have no Kubernetes client"
        );
    }
}

#[test]
fn pure_crates_have_no_clock_no_environment_and_no_tasks() {
    for (name, _) in PURE {
        for path in sources(&root().join(name).join("src")) {
            for (number, line) in code(&read(&path)).lines().enumerate() {
                let line = line.split("//").next().unwrap_or_default();
                for word in IMPURE {
                    assert!(
                        !line.contains(word),
                        "{}:{}: {word}",
                        path.display(),
                        number + 1
                    );
                }
            }
        }
    }
}

#[test]
fn every_file_says_its_one_job_and_has_only_one() {
    for name in CRATES {
        for path in sources(&root().join(name).join("src")) {
            let text = read(&path);
            assert!(
                text.starts_with("//! "),
                "{}: the first line says its job",
                path.display()
            );
            let lines = code(&text).lines().count();
            assert!(lines <= MOST_LINES, "{}: {lines} lines", path.display());
        }
    }
}
