//! Completions. Starts processes, bash among them.

use std::path::Path;
use std::process::Command;

use crate::command::{assert_refused, run};

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    assert_refused("completions tcsh", &["<SHELL>", "bash, zsh, fish"]);
    assert_refused("completions", &["<SHELL>"]);
    for shell in ["bash", "zsh", "fish"] {
        let run = run(&["completions", shell]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{shell}");
        for word in [
            "kubectl-podfence",
            "scan",
            "seccomp",
            "explain",
            "compare",
            "libseccomp",
        ] {
            assert!(run.stdout.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn kubectl_is_told_what_may_follow() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("completion/kubectl_complete-podfence");
    let built = Path::new(env!("CARGO_BIN_EXE_kubectl-podfence"))
        .parent()
        .unwrap();
    let path = format!("{}:{}", built.display(), std::env::var("PATH").unwrap());
    for (words, want) in [
        (
            vec![""],
            vec![
                "scan",
                "seccomp",
                "render",
                "import",
                "status",
                "completions",
                ":4",
            ],
        ),
        (vec!["seccomp", "ex"], vec!["explain", ":4"]),
        (
            vec!["seccomp", "explain", "--runtime", ""],
            vec!["runc", "crun", ":4"],
        ),
        (
            vec!["seccomp", "explain", "--ar"],
            vec!["--arg", "--arch", ":4"],
        ),
        (vec!["import", "sp"], vec!["spo", ":4"]),
        (vec!["xyzzy"], vec![":0"]),
    ] {
        let output = Command::new(&script)
            .args(&words)
            .env("PATH", &path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for want in &want {
            assert!(
                lines.contains(want),
                "{words:?}: {want} is not in {lines:?}"
            );
        }
        assert_eq!(lines.last(), want.last(), "{words:?}");
    }
}
