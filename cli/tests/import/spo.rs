//! `import spo`. Starts processes and reads files.

use podfence_seccomp::{Abi, Verdict};

use crate::command::{assert_refused, calls, import, import_text, judged, record};

/// A recorded profile with a field replaced.
fn recorded(replaced: &str, by: &str) -> String {
    let whole = r#"{"apiVersion": "security-profiles-operator.x-k8s.io/v1",
        "kind": "SeccompProfile",
        "metadata": {"name": "web-app", "creationTimestamp": "2026-11-20T08:00:00Z"},
        "spec": {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"action": "SCMP_ACT_ALLOW", "names": ["unshare", "socket"]}]}}"#;
    assert!(whole.contains(replaced), "{replaced}");
    whole.replacen(replaced, by, 1)
}

#[test]
fn what_cannot_be_imported_is_named() {
    for (replaced, by, wanted) in [
        (
            "\"unshare\"",
            "\"\"",
            vec!["document 1", "web-app", "no name of a call"],
        ),
        (
            "\"unshare\"",
            "7",
            vec!["web-app", "spec.syscalls[0].names[0]"],
        ),
        (
            "\"unshare\"",
            "\"unknown_syscall_9999\"",
            vec!["unknown_syscall_9999 is no call"],
        ),
        (
            "SCMP_ARCH_X86_64",
            "SCMP_ARCH_AARCH64",
            vec!["SCMP_ARCH_AARCH64", "amd64", "--arch"],
        ),
        (
            "SCMP_ACT_ERRNO",
            "SCMP_ACT_ALLOW",
            vec!["SCMP_ACT_ALLOW", "what to deny"],
        ),
        ("2026-11-20T08:00:00Z", "then", vec!["--recorded"]),
        (
            "SeccompProfile",
            "SelinuxProfile",
            vec!["skipped", "nothing in it"],
        ),
        ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", vec!["nothing in it"]),
        ("\"spec\"", "\"status\"", vec!["spec"]),
        ("{", "", vec!["document 1"]),
    ] {
        assert_refused(&import_text("spo", &recorded(replaced, by), &[]), &wanted);
    }
}

#[test]
fn a_recording_has_the_names_of_one_container() {
    let run = import("spo", "spo.yaml", &["-o", "json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stderr.contains("of other containers: 1"),
        "{}",
        run.stderr
    );
    let record = record(&run);
    let want = ["clone", "execve", "unshare"].map(|name| (name.to_owned(), Abi::X86_64));
    assert_eq!(calls(&record), want.into());
    // By its name alone unshare is denied whatever its arguments, and clone is not.
    let judgement = judged(&record);
    let names: Vec<&str> = judgement.calls.iter().map(|call| &*call.name).collect();
    assert_eq!(
        (judgement.verdict, names),
        (Verdict::AtRisk, vec!["unshare"])
    );
}

#[test]
fn a_recording_without_denials_says_nothing() {
    let text = recorded("\"unshare\"", "\"read\"");
    let run = import_text("spo", &text, &["-o", "json"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(judged(&record(&run)).verdict, Verdict::Unknown);
}

#[test]
fn plain_profiles_have_no_time() {
    let plain = r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["unshare"], "action": "SCMP_ACT_ALLOW"}]}"#;
    assert_refused(&import_text("spo", plain, &[]), &["--recorded"]);
    let run = import_text(
        "spo",
        plain,
        &["--recorded", "2026-11-25T13:00:00Z", "-o", "json"],
    );
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let first = &record(&run).entries[0].calls[0].seen.first;
    assert_eq!(first.0.to_string(), "2026-11-25T13:00:00Z");
}

#[test]
fn names_that_are_not_known_yet_are_kept() {
    let text = recorded("\"unshare\"", "\"unshare\", \"brand_new\"");
    let run = import_text("spo", &text, &["-o", "json"]);
    assert_eq!(run.code, Some(0));
    assert!(
        run.stderr
            .contains("no calls of x86_64 as far as is known here: brand_new")
    );
    assert!(calls(&record(&run)).contains(&("brand_new".to_owned(), Abi::X86_64)));
}
