//! `import audit-log`. Starts processes and reads files.

use std::fs;

use podfence_seccomp::evidence::Observation;
use podfence_seccomp::{Abi, Certainty, Verdict};

use crate::command::{
    assert_refused, calls, evidence, fixtures, import, import_text, judged, record,
};

/// A record as dmesg prints it, of a call that was logged.
fn logged(serial: u64, second: u64, call: u32) -> String {
    let at = 1_795_475_000 + second;
    format!(
        "[   12.0] audit: type=1326 audit({at}.1:{serial}): auid=4294967295 pid=7 comm=\"app\" \
         exe=\"/app\" sig=0 arch=c000003e syscall={call} compat=0 ip=0x1 code=0x7ffc0000\n"
    )
}

const UNSHARE: u32 = 272;
const READ: u32 = 0;
const CLONE: u32 = 56;

#[test]
fn a_log_of_many_forms_becomes_a_record() {
    let run = import("audit-log", "node.log", &[]);
    let golden = fs::read_to_string(fixtures().join("node.yaml")).unwrap();
    assert_eq!(run.stdout, golden);
    assert_eq!(run.code, Some(2), "some lines are broken");
    let complaints: Vec<&str> = run.stderr.lines().collect();
    let golden = fs::read_to_string(fixtures().join("node.stderr")).unwrap();
    assert_eq!(complaints, golden.lines().collect::<Vec<_>>());
}

#[test]
fn auditd_writes_another_form_and_adds_to_it() {
    let run = import(
        "audit-log",
        "audit.log",
        &["--arch", "arm64", "--exe", "/usr/sbin/nginx", "-o", "json"],
    );
    assert_eq!(run.code, Some(0), "{run:?}");
    let record = record(&run);
    assert_eq!(
        calls(&record),
        [("io_uring_setup".to_owned(), Abi::Aarch64)].into()
    );
    let seen = &record.entries[0].calls[0].seen;
    assert_eq!(seen.executables, ["/usr/sbin/nginx"]);
    assert_eq!(seen.last.0.as_second() - seen.first.0.as_second(), 2);
    let want = "skipped records: 1 of other types, 1 of other programs";
    assert!(run.stderr.contains(want), "{}", run.stderr);
}

#[test]
fn a_program_that_makes_user_namespaces_is_at_risk() {
    let run = import_text("audit-log", &logged(1, 0, UNSHARE), &["-o", "json"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let judgement = judged(&record(&run));
    assert_eq!(judgement.verdict, Verdict::AtRisk);
    let [call] = &judgement.calls[..] else {
        panic!("{judgement:?}");
    };
    assert_eq!(
        (&*call.name, call.certainty),
        ("unshare", Certainty::Observed)
    );
}

#[test]
fn a_call_that_is_denied_for_some_arguments_was_made_with_such() {
    let run = import_text("audit-log", &logged(1, 0, CLONE), &["-o", "json"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(judged(&record(&run)).verdict, Verdict::AtRisk);
}

#[test]
fn under_a_profile_that_logs_everything_a_record_proves_less() {
    let log: String = [(1, READ), (2, CLONE), (3, UNSHARE)]
        .map(|(serial, call)| logged(serial, serial, call))
        .concat();
    let run = import_text("audit-log", &log, &["-o", "json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(
        calls(&record(&run)),
        [("unshare".to_owned(), Abi::X86_64)].into()
    );
    for want in [
        "containerd/2.3.7 always allows read: ",
        "nothing is known of clone",
    ] {
        assert!(run.stderr.contains(want), "{}", run.stderr);
    }
}

#[test]
fn what_the_log_has_lost_is_recorded() {
    let losses = |log: &str| {
        let run = import_text("audit-log", log, &["-o", "json"]);
        let known = evidence(&record(&run));
        let losses = known
            .facts()
            .filter(|fact| matches!(fact.observation, Observation::Loss(_)));
        (losses.count(), run.stderr)
    };
    let (one, two) = (logged(1, 0, UNSHARE), logged(2, 60, UNSHARE));
    let (count, said) = losses(&format!("{one}{two}"));
    assert_eq!((count, said.as_str()), (0, ""));
    let four = logged(4, 60, UNSHARE);
    let (count, said) = losses(&format!("{one}{four}"));
    assert_eq!(count, 1);
    assert!(
        said.contains("missing by their numbers: 2, gaps: 1"),
        "{said}"
    );
    // Numbers go across all types: a record of another one fills its place.
    let other = "audit: type=1400 audit(1795475001.1:2): apparmor=\"DENIED\"\n";
    let third = "audit: type=1300 audit(1795475001.1:3): arch=c000003e syscall=1\n";
    assert_eq!(losses(&format!("{one}{other}{third}{four}")).0, 0);
    for said in [
        "kauditd_printk_skb: 7 callbacks suppressed",
        "audit: audit_lost=3 audit_rate_limit=0 audit_backlog_limit=64",
        "audit: backlog limit exceeded",
    ] {
        assert_eq!(losses(&format!("{one}[ 1.0] {said}\n{two}")).0, 1, "{said}");
    }
}

#[test]
fn again_and_twice_is_once() {
    let log: String = (1..=30)
        .map(|serial| logged(serial, serial, UNSHARE))
        .collect();
    let twice = format!("{log}{log}");
    let [once, twice] = [log, twice].map(|log| import_text("audit-log", &log, &["-o", "json"]));
    assert_eq!(once.code, Some(0), "{once:?}");
    let once = record(&once);
    let call = &once.entries[0].calls[0];
    assert_eq!(call.seen.magnitude, 1);
    let mut both = once.clone();
    both.merge(record(&twice));
    assert_eq!(both, once);
}

#[test]
fn a_log_with_nothing_in_it_is_an_error() {
    for log in [
        "",
        "\n\n",
        "no log at all\n",
        "audit: type=1400 audit(1.1:1): x=1\n",
    ] {
        let run = import_text("audit-log", log, &[]);
        assert_refused(&run, &["error: -: nothing in it can be imported"]);
    }
    let run = import_text("audit-log", &logged(1, 0, UNSHARE), &["--exe", "/other"]);
    assert_refused(&run, &["1 of other programs", "nothing in it"]);
    let run = import("audit-log", "missing.log", &[]);
    assert_refused(&run, &["missing.log: failed to read"]);
}

#[test]
fn what_people_made_of_a_log_is_no_log() {
    let interpreted = "type=SECCOMP msg=audit(11/25/2026 13:00:00.123:8) : arch=x86_64 \
                       syscall=unshare code=log\n";
    assert_refused(
        &import_text("audit-log", interpreted, &[]),
        &["line 1: ", "ausearch --raw"],
    );
}

#[test]
fn many_broken_lines_are_counted() {
    let log = "audit: type=1326 audit(1.1:1): sig=0\n".repeat(500);
    let run = import_text("audit-log", &log, &[]);
    assert_eq!(run.code, Some(2));
    assert_eq!(run.stderr.lines().count(), 21, "{}", run.stderr);
    assert!(
        run.stderr.ends_with("and 480 lines more\n"),
        "{}",
        run.stderr
    );
}

#[test]
fn no_bytes_make_it_panic() {
    let whole = fs::read(fixtures().join("node.log")).unwrap();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut broken = Vec::new();
    for _ in 0..40 {
        let mut copy = whole.clone();
        for _ in 0..200 {
            let at = rng.usize(..copy.len());
            copy[at] = rng.u8(..);
        }
        broken.extend(copy);
    }
    let text = String::from_utf8_lossy(&broken);
    let run = import_text("audit-log", &text, &["-o", "json"]);
    assert!(matches!(run.code, Some(0 | 2)), "{run:?}");
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
}
