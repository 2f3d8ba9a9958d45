//! `import inspektor-gadget`. Starts processes and reads files.

use podfence_seccomp::{Abi, Verdict};

use crate::command::{assert_refused, calls, import, import_text, judged, record};

const WHEN: [&str; 4] = ["--recorded", "2026-11-25T13:00:00Z", "-o", "json"];

fn native(names: &[&str]) -> std::collections::BTreeSet<(String, Abi)> {
    let calls = names.iter().map(|name| ((*name).to_owned(), Abi::X86_64));
    calls.collect()
}

#[test]
fn what_cannot_be_imported_is_named() {
    let table = "K8S.NAMESPACE   K8S.PODNAME   SYSCALL\ndefault   mypod   SYS_MKDIR\n";
    let event = |rest: &str| format!(r#"{{"syscall": "unshare", {rest}}}"#);
    for (text, wanted) in [
        ("", vec!["nothing in it"]),
        ("// app", vec!["nothing in it"]),
        (table, vec!["line 1", "-o json"]),
        ("{}", vec!["line 1", "neither syscall nor syscalls"]),
        ("\n\n7", vec!["line 3"]),
        ("{\"syscalls\": [", vec!["line 1"]),
        ("{\"syscalls\": []}", vec!["line 1", "defaultAction"]),
        (
            &event(r#""ret": "0""#),
            vec!["line 1", "without a timestamp", "--recorded"],
        ),
        (&event(r#""timestamp": "now""#), vec!["\"now\" is no time"]),
    ] {
        assert_refused(&import_text("inspektor-gadget", text, &[]), &wanted);
    }
    let run = import("inspektor-gadget", "advised.txt", &[]);
    assert_refused(&run, &["line 19", "--recorded"]);
}

#[test]
fn the_advised_profile_of_the_container_counts() {
    let run = import("inspektor-gadget", "advised.txt", &WHEN);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stderr.contains("of other containers: 1"),
        "{}",
        run.stderr
    );
    let record = record(&run);
    // A number has become its name, and the mark that is none has gone.
    assert_eq!(
        calls(&record),
        native(&["clone", "execve", "io_uring_setup", "unshare"])
    );
    assert_eq!(judged(&record).verdict, Verdict::AtRisk);
}

#[test]
fn audited_events_are_records_of_the_audit_log() {
    let run = import("inspektor-gadget", "audit_seccomp.json", &["-o", "json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let record = record(&run);
    assert_eq!(calls(&record), native(&["clone", "unshare"]));
    let seen = &record.entries[0].calls[0].seen;
    assert_eq!(
        (seen.pod.as_deref(), seen.node.as_deref()),
        (Some("web-1"), Some("node-1"))
    );
    let judgement = judged(&record);
    let names: Vec<&str> = judgement.calls.iter().map(|call| &*call.name).collect();
    assert_eq!(
        (judgement.verdict, names),
        (Verdict::AtRisk, vec!["clone", "unshare"])
    );
}

#[test]
fn traced_events_have_arguments_and_results() {
    let run = import("inspektor-gadget", "traceloop.json", &WHEN);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let record = record(&run);
    let told: Vec<(&str, Option<&str>, &str)> = record.entries[0]
        .calls
        .iter()
        .map(|call| {
            let first = call.arguments.as_ref().and_then(|all| all.get("0"));
            (
                call.name.as_str(),
                first.map(String::as_str),
                call.result.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("clone", Some("0x1200011"), "Success"),
            // It was seen to return only, so what was called is not certain.
            ("keyctl", None, "Unrecorded"),
            ("mount", None, "EPERM"),
            ("unshare", Some("0x10000000"), "Success"),
        ]
    );
    // This clone makes no namespace, and mount fails already.
    let judgement = judged(&record);
    let names: Vec<&str> = judgement.calls.iter().map(|call| &*call.name).collect();
    assert_eq!(
        (judgement.verdict, names),
        (Verdict::AtRisk, vec!["keyctl", "unshare"])
    );
}
