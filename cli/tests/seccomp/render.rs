//! Profiles that are written. Starts processes.

use serde_json::Value;

use crate::command::{assert_refused, json, run};

const WITH: &str = "render seccomp-profile --profile containerd/2.3.7";

#[test]
fn what_is_wrong_names_its_flag() {
    for (more, wanted) in [
        (
            "--allow no_such_call",
            vec!["--allow", "no system call is named"],
        ),
        ("--allow unshar", vec!["--allow", "did you mean unshare?"]),
        ("--deny", vec!["--deny"]),
        ("--deny socket:arg0=2", vec!["--deny", "write argN==VALUE"]),
        ("--deny socket:arg0==AF_INTE", vec!["--deny", "AF_INET"]),
        (
            "--allow clone:arg0==1,arg0==2",
            vec!["--allow", "named twice"],
        ),
        (
            "--allow s390_runtime_instr",
            vec!["--allow", "no ABI of a filter on amd64"],
        ),
        (
            "--allow unshare --deny unshare",
            vec!["--allow and --deny", "denied by another edit"],
        ),
        (
            "--deny read:arg0&0xf00000000==0x100000000",
            vec!["--deny", "no rules of a seccomp profile"],
        ),
        (
            "--allow file_getattr",
            vec!["--libseccomp", "does not know file_getattr"],
        ),
        ("--capabilities +NOPE", vec!["--capabilities"]),
    ] {
        assert_refused(&format!("{WITH} {more}"), &wanted);
    }
}

fn entries(profile: &Value, call: &str) -> Vec<String> {
    let all = profile["syscalls"].as_array().unwrap().iter();
    let named = all.filter(|entry| {
        entry["names"]
            .as_array()
            .unwrap()
            .iter()
            .any(|name| name == call)
    });
    named
        .map(|entry| {
            let arguments = entry["args"].as_array().into_iter().flatten();
            let arguments: Vec<String> = arguments
                .map(|one| {
                    format!(
                        " {} {} {} {}",
                        one["index"],
                        one["op"].as_str().unwrap(),
                        one["value"],
                        one["valueTwo"]
                    )
                })
                .collect();
            format!(
                "{} {}{}",
                entry["action"].as_str().unwrap(),
                entry["errnoRet"],
                arguments.concat()
            )
        })
        .collect()
}

#[test]
fn single_calls_are_allowed_and_denied_beside_the_rest() {
    for (more, call, want) in [
        ("", "read", vec!["SCMP_ACT_ALLOW null"]),
        ("", "unshare", vec![]),
        (
            "--capabilities +SYS_ADMIN",
            "unshare",
            vec!["SCMP_ACT_ALLOW null"],
        ),
        ("--allow unshare", "unshare", vec!["SCMP_ACT_ALLOW null"]),
        (
            "--allow unshare:arg0==CLONE_NEWUSER",
            "unshare",
            vec!["SCMP_ACT_ALLOW null 0 SCMP_CMP_EQ 268435456 null"],
        ),
        (
            "--allow clone:arg0&CLONE_NEWUSER==CLONE_NEWUSER",
            "clone",
            vec![
                "SCMP_ACT_ALLOW null 0 SCMP_CMP_MASKED_EQ 2114060288 null",
                "SCMP_ACT_ALLOW null 0 SCMP_CMP_MASKED_EQ 268435456 268435456",
            ],
        ),
        ("--allow clone3", "clone3", vec!["SCMP_ACT_ALLOW null"]),
        ("--deny read", "read", vec!["SCMP_ACT_ERRNO 1"]),
        (
            "--deny kill:arg0==1",
            "kill",
            vec!["SCMP_ACT_ALLOW null 0 SCMP_CMP_NE 1 null"],
        ),
    ] {
        let line = format!("{WITH} {more}");
        let (run, profile) = json(line.trim_end());
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{more}");
        assert_eq!(entries(&profile, call), want, "{more}");
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    }
}

#[test]
fn equal_questions_get_equal_bytes_whatever_their_order() {
    let ordered = [
        "--allow unshare --allow mount --deny ptrace --capabilities +NET_ADMIN,-KILL",
        "--capabilities -KILL,+NET_ADMIN --deny ptrace --allow mount --allow unshare",
    ];
    let [one, two] = ordered.map(|more| {
        let line = format!("{WITH} {more}");
        run(&line.split(' ').collect::<Vec<_>>()).stdout
    });
    assert_eq!(one, two);
    assert!(one.ends_with("}\n") && one.len() > 5_000, "{}", one.len());
}
