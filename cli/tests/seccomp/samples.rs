//! Every sample in the documentation and in `--help` runs, and where the documentation shows what is
//! printed, that is what is printed. Starts processes, reads and writes files.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::command::run;
use crate::run::{Run, run_in};

/// A container that every level allows.
fn allowed() -> serde_json::Value {
    json!({ "name": "c", "securityContext": {
        "allowPrivilegeEscalation": false, "runAsNonRoot": true,
        "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" },
    }})
}

/// The files that the samples name.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let template = |spec: serde_json::Value| json!({ "template": { "spec": spec } });
    let object = |kind: &str, group: &str, name: &str, spec: serde_json::Value| {
        json!({ "apiVersion": group, "kind": kind,
            "metadata": { "name": name, "namespace": "shop" }, "spec": spec })
    };
    let mut by_root = allowed();
    by_root["securityContext"]["runAsNonRoot"] = json!(false);
    let logs = json!({ "hostNetwork": true, "containers": [by_root] });
    let web = json!({ "containers": [allowed()] });
    fs::create_dir(folder.path().join("deploy")).unwrap();
    let write = |name: &str, documents: &[serde_json::Value]| {
        let texts: Vec<String> = documents.iter().map(ToString::to_string).collect();
        fs::write(folder.path().join(name), texts.join("\n---\n")).unwrap();
    };
    write(
        "deploy/logs.yaml",
        &[object("DaemonSet", "apps/v1", "logs", template(logs))],
    );
    write(
        "deploy/web.yaml",
        &[
            object("Service", "v1", "web", json!({})),
            object("Deployment", "apps/v1", "web", template(web.clone())),
            object("ConfigMap", "v1", "web", json!({})),
            object("Secret", "v1", "web", json!({})),
        ],
    );
    write(
        "job.yaml",
        &[object("Job", "batch/v1", "job", template(web))],
    );
    let profile = json!({ "apiVersion": "podfence.dev/v1alpha1", "kind": "PolicyProfile",
        "metadata": { "name": "restricted" },
        "spec": { "podSecurity": { "enforce": { "level": "restricted", "version": "v1.34" } } } });
    write("restricted-profile.yaml", &[profile]);
    let logged = |serial: u64, call: u32| {
        format!(
            "2026-11-25T13:09:47+00:00 node-1 kernel: audit: type=1326 audit(1795612187.0:{serial}): \
             auid=4294967295 uid=0 gid=0 ses=4294967295 pid=9858 comm=\"run\" exe=\"/bin/run\" sig=0 \
             arch=c000003e syscall={call} compat=0 ip=0x43a399 code=0x7ffc0000\n"
        )
    };
    let log = logged(8, 272) + &logged(9, 425);
    fs::write(folder.path().join("node.log"), log).unwrap();
    let seen = json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{ "names": ["execve", "unshare"], "action": "SCMP_ACT_ALLOW" }] });
    let advised = format!("// app\n{seen}\n");
    fs::write(folder.path().join("advised.txt"), advised).unwrap();
    let recorded = json!({ "apiVersion": "security-profiles-operator.x-k8s.io/v1beta1",
        "kind": "SeccompProfile", "metadata": { "name": "web-app", "namespace": "shop",
            "creationTimestamp": "2026-11-25T13:00:00Z" }, "spec": seen });
    write("recorded.yaml", &[recorded]);
    folder
}

/// The words of the part of a shell's line that calls this command, without its name; none where there
/// is no such part.
fn words(line: &str) -> Option<Vec<String>> {
    let (_, rest) = line.split_once("kubectl podfence ")?;
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for character in rest.chars() {
        match character {
            '\'' => quoted = !quoted,
            '|' | '>' | ')' if !quoted => break,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    Some(words)
}

fn run_sample(folder: &Path, line: &str) -> Option<Run> {
    let words = words(line)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let pods = r#"{"apiVersion":"v1","kind":"PodList","items":[]}"#;
    let run = run_in(folder, &words, pods.as_bytes());
    let allowed = [Some(0), Some(1)];
    assert!(allowed.contains(&run.code), "{line}: {run:?}");
    assert_eq!(run.stderr, "", "{line}");
    Some(run)
}

#[test]
fn every_example_in_help_runs() {
    let folder = folder();
    for (command, fewest) in [
        (vec!["scan"], 5),
        (vec!["seccomp", "explain"], 4),
        (vec!["seccomp", "compare"], 2),
        (vec!["render", "seccomp-profile"], 2),
        (vec!["import", "audit-log"], 1),
        (vec!["import", "spo"], 1),
        (vec!["import", "inspektor-gadget"], 1),
        (vec!["completions"], 2),
    ] {
        let help = run(&[command.as_slice(), &["--help"]].concat()).stdout;
        let (_, examples) = help.split_once("Examples:\n").unwrap();
        let examples = examples.replace("\\\n", "");
        let lines = examples
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        let ran = lines
            // There is no cluster here to add to.
            .filter(|line| !line.ends_with("--apply"))
            .filter_map(|line| run_sample(folder.path(), line))
            .count();
        assert!(ran >= fewest, "{command:?}: {ran} examples");
    }
}

#[test]
fn every_sample_in_the_documentation_prints_what_it_says() {
    let folder = folder();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/command-line.md");
    let text = fs::read_to_string(path).unwrap();
    let mut ran = 0;
    for block in text.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap().replace("\\\n", "");
        for sample in block.split("$ ").skip(1) {
            let (line, shown) = sample.split_once('\n').unwrap();
            let Some(run) = run_sample(folder.path(), line) else {
                continue;
            };
            ran += 1;
            // A sample that writes a file or feeds a shell shows nothing.
            if !shown.is_empty() {
                assert_eq!(run.stdout, shown, "{line}");
            }
        }
    }
    assert!(ran >= 6, "{ran} samples");
}
