//! Whose calls are imported. Starts processes.

use std::fs;

use tempfile::TempDir;

use crate::command::{IMAGE, assert_refused, import, import_text, record};
use crate::run::run_in;

const ADVISED: &str = r#"{"defaultAction": "SCMP_ACT_ERRNO",
    "syscalls": [{"names": ["unshare"], "action": "SCMP_ACT_ALLOW"}]}"#;

/// Every word of a good command line, one replaced.
fn with(flag: &str, value: &str) -> Vec<String> {
    let mut words: Vec<String> = [&["import", "spo", "-"][..], &crate::command::target()]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect();
    words.extend(["--recorded", "2026-11-25T13:00:00Z", "-o", "json"].map(str::to_owned));
    let known = words.iter().position(|word| word == flag);
    match known {
        Some(at) => value.clone_into(&mut words[at + 1]),
        None => words.extend([flag.to_owned(), value.to_owned()]),
    }
    words
}

fn run(words: &[String]) -> crate::run::Run {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let folder = TempDir::new().unwrap();
    run_in(folder.path(), &words, ADVISED.as_bytes())
}

#[test]
fn a_wrong_flag_is_named() {
    for (flag, value, wanted) in [
        ("--workload", "web", "deployment/web"),
        ("--workload", "service/web", "no kind of workload: pod, "),
        ("--image", "nginx:1.27", "--image"),
        ("--profile", "containerd/0.1", "known of containerd: "),
        (
            "--capabilities",
            "SYS_ADMIN",
            "write +SYS_ADMIN or -SYS_ADMIN",
        ),
        ("--arch", "x86_64", "amd64"),
        ("--kernel", "new", "--kernel"),
        ("--recorded", "yesterday", "2026-11-25T13:00:00Z"),
    ] {
        let run = run(&with(flag, value));
        assert_refused(&run, &[flag, wanted]);
    }
    let without: Vec<String> = with("-n", "shop")
        .into_iter()
        .filter(|word| word != "--container" && word != "app")
        .collect();
    assert_refused(&run(&without), &["--container"]);
}

#[test]
fn the_key_is_what_the_flags_say() {
    let entry = |flag: &str, value: &str| {
        let run = run(&with(flag, value));
        assert_eq!(run.code, Some(0), "{run:?}");
        record(&run).entries.remove(0)
    };
    let usual = entry("--container", "app");
    assert_eq!(
        (usual.image.as_str(), usual.architecture.as_str()),
        (IMAGE, "amd64")
    );
    assert!(usual.capabilities.is_sorted() && usual.capabilities.len() == 14);
    let cut = entry("--image", &format!("docker.io/library/nginx@{IMAGE}"));
    assert_eq!(cut, usual);
    let dropped = entry("--capabilities", "-ALL,+BPF");
    assert_eq!(dropped.capabilities, ["BPF"]);
    let other = entry("--profile", "cri-o/1.36.0");
    assert_ne!(other.profile, usual.profile);
    assert_eq!(entry("--arch", "arm64").calls[0].abi, "aarch64");
}

#[test]
fn the_name_is_the_workloads() {
    let run = run(&with("--workload", "ds/logs"));
    let record: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(record["metadata"]["name"], "daemonset-logs");
    assert_eq!(record["spec"]["workload"]["apiVersion"], "apps/v1");
    assert_eq!(
        record["metadata"].get("ownerReferences"),
        None,
        "its uid is not known"
    );
}

#[test]
fn the_forms_say_the_same() {
    let [yaml, json] = ["yaml", "json"].map(|form| import("spo", "spo.yaml", &["-o", form]).stdout);
    let yaml: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(yaml, json);
    // Numbers that are texts stay texts.
    let traced = import(
        "inspektor-gadget",
        "traceloop.json",
        &["--recorded", "2026-11-25T13:00:00Z"],
    );
    assert!(
        traced.stdout.contains("\"0\": \"0x10000000\""),
        "{}",
        traced.stdout
    );
}

#[test]
fn without_flags_the_cluster_is_asked_and_its_absence_is_explained() {
    let folder = TempDir::new().unwrap();
    fs::write(
        folder.path().join("config"),
        "apiVersion: v1\nkind: Config\n",
    )
    .unwrap();
    let words: Vec<String> = with("-n", "shop")
        .into_iter()
        .filter(|word| word != "--image" && word != IMAGE)
        .chain(["--context".to_owned(), "nowhere".to_owned()])
        .collect();
    assert_refused(&run(&words), &["kubeconfig", "--image", "--profile"]);
    let run = import_text("spo", ADVISED, &["--apply", "-o", "json"]);
    assert_refused(&run, &["--apply"]);
}
