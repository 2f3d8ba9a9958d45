//! What is said of one call. Starts processes.

use serde_json::{Value, json};

use crate::command::{assert_refused, json, run};

fn explain(words: &str) -> (String, Value) {
    let (run, answer) = json(&format!("seccomp explain {words} -o json"));
    assert_eq!(run.code, Some(0), "{words}");
    (run.stderr, answer)
}

#[test]
fn what_is_wrong_names_its_flag_and_the_fix() {
    let with = "seccomp explain --profile containerd/2.3.7";
    for (line, wanted) in [
        (
            "seccomp explain --syscall read".to_owned(),
            vec!["--profile"],
        ),
        (with.to_owned(), vec!["--syscall"]),
        (
            "seccomp explain --syscall read --profile rkt/1.0.0".to_owned(),
            vec![
                "--profile",
                "known of containerd: 1.4, 1.5",
                "known of cri-o: 1.22",
                "known of docker: 20.10",
            ],
        ),
        (
            "seccomp explain --syscall read --profile containerd/1.3.0".to_owned(),
            vec!["--profile", "the oldest that is known is 1.4.0"],
        ),
        (
            "seccomp explain --syscall read --profile containerd/latest".to_owned(),
            vec!["--profile", "write containerd/2.3.7"],
        ),
        (
            format!("{with} --syscall unshar"),
            vec!["--syscall", "\"unshar\"", "did you mean unshare?"],
        ),
        (
            format!("{with} --syscall Read"),
            vec!["--syscall", "did you mean", "read"],
        ),
        (
            format!("{with} --syscall no_such_call_at_all"),
            vec!["--syscall: no system call is named"],
        ),
        (
            format!("{with} --syscall socketcall"),
            vec!["--syscall", "x86_64 has no system call", "--abi x86"],
        ),
        (
            format!("{with} --syscall read --abi vax"),
            vec!["--abi", "x86_64, x86"],
        ),
        (
            format!("{with} --syscall read --arch x86_64"),
            vec!["--arch", "amd64, arm64"],
        ),
        (
            format!("{with} --syscall read --capabilities SYS_ADMIN"),
            vec!["--capabilities", "write +SYS_ADMIN or -SYS_ADMIN"],
        ),
        (
            format!("{with} --syscall read --capabilities +SYS_ADMN"),
            vec!["--capabilities", "did you mean SYS_ADMIN?"],
        ),
        (
            format!("{with} --syscall read --capabilities +CAP_SYS_ADMIN"),
            vec!["--capabilities", "write SYS_ADMIN"],
        ),
        (
            format!("{with} --syscall read --capabilities +"),
            vec!["--capabilities", "no capability \"\""],
        ),
        (
            format!("{with} --syscall read --capabilities +KILL,"),
            vec!["--capabilities", "neither added nor dropped"],
        ),
        (
            format!("{with} --syscall read --kernel six"),
            vec!["--kernel", "write it as 6.8"],
        ),
        (
            format!("{with} --syscall read --runtime gvisor"),
            vec!["--runtime", "runc, crun"],
        ),
        (
            format!("{with} --syscall read --libseccomp 2.4.0"),
            vec!["--libseccomp", "from 2.5.0 on"],
        ),
        (
            format!("{with} --syscall read --arg 0"),
            vec!["--arg 0", "N=VALUE"],
        ),
        (
            format!("{with} --syscall read --arg 6=1"),
            vec!["--arg 6=1", "0 to 5"],
        ),
        (
            format!("{with} --syscall read --arg 0=1 --arg 0=2"),
            vec!["--arg 0=2", "given twice"],
        ),
        (
            format!("{with} --syscall read --arg 0=AF_ALG"),
            vec!["--arg 0=AF_ALG", "write a number"],
        ),
        (
            format!("{with} --syscall socket --arg 0=AF_ALGO"),
            vec!["--arg 0=AF_ALGO", "AF_ALG"],
        ),
        (
            format!("{with} --syscall clone --arg 0=CLONE_NEWUSER|"),
            vec!["--arg", "CLONE_NEWUSER"],
        ),
        (
            format!("{with} --syscall read --arg 0=0x1ffffffffffffffff"),
            vec!["--arg", "no value"],
        ),
        (
            format!("{with} --syscall read -o yaml"),
            vec!["--output", "text, json"],
        ),
    ] {
        assert_refused(&line, &wanted);
    }
}

#[test]
fn one_call_has_one_answer() {
    for (words, action, errno, rule, unlocked_by) in [
        (
            "containerd/2.3.7 --syscall read",
            "allow",
            json!(null),
            json!("allow read"),
            json!([]),
        ),
        (
            "containerd/2.3.7 --syscall unshare",
            "errno",
            json!("EPERM"),
            json!(null),
            json!(["SYS_ADMIN"]),
        ),
        (
            "containerd/2.3.7 --syscall clone3",
            "errno",
            json!("ENOSYS"),
            json!("ENOSYS clone3"),
            json!(["SYS_ADMIN"]),
        ),
        (
            "containerd/2.3.7 --syscall unshare --capabilities +SYS_ADMIN",
            "allow",
            json!(null),
            json!("allow unshare"),
            json!([]),
        ),
        (
            "containerd/2.3.7 --syscall chroot --capabilities -ALL",
            "errno",
            json!("EPERM"),
            json!(null),
            json!(["SYS_CHROOT"]),
        ),
        (
            "containerd/2.3.7 --syscall chroot --capabilities -all,+sys_chroot",
            "allow",
            json!(null),
            json!("allow chroot"),
            json!([]),
        ),
        (
            "containerd/2.3.7 --syscall clone --arg 0=CLONE_NEWUSER|CLONE_NEWNS",
            "errno",
            json!("EPERM"),
            json!(null),
            json!(["SYS_ADMIN"]),
        ),
        (
            "containerd/2.3.7 --syscall clone --arg 0=17",
            "allow",
            json!(null),
            json!("allow clone arg0&0x7e020000==0"),
            json!([]),
        ),
        (
            "containerd/2.3.7 --syscall socket --arg 0=AF_ALG",
            "errno",
            json!("EPERM"),
            json!(null),
            json!([]),
        ),
        (
            "containerd/2.3.7 --syscall socket --arg 0=0x29",
            "allow",
            json!(null),
            json!("allow socket arg0==41"),
            json!([]),
        ),
        // An argument that counts is missing, but not for this one.
        (
            "cri-o/1.36.0 --syscall socket --arg 0=2",
            "allow",
            json!(null),
            json!("allow socket arg0!=16"),
            json!([]),
        ),
        (
            "cri-o/1.36.0 --syscall socket --arg 0=AF_NETLINK --arg 2=NETLINK_AUDIT",
            "errno",
            json!("EINVAL"),
            json!("EINVAL socket arg0==16 arg2==9"),
            json!(["AUDIT_WRITE"]),
        ),
        (
            "containerd/2.3.7 --syscall mseal --libseccomp 2.5.5",
            "errno",
            json!("ENOSYS"),
            json!(null),
            json!([]),
        ),
        (
            "containerd/2.3.7 --syscall mseal --libseccomp 2.5.5 --runtime crun",
            "errno",
            json!("EPERM"),
            json!(null),
            json!([]),
        ),
        (
            "containerd/2.3.7 --syscall ptrace --kernel 4.7",
            "errno",
            json!("EPERM"),
            json!(null),
            json!(["SYS_PTRACE"]),
        ),
        (
            "containerd/2.3.7 --syscall socketcall --abi x86",
            "allow",
            json!(null),
            json!("allow socketcall"),
            json!([]),
        ),
        (
            "containerd/2.3.7 --syscall read --abi s390",
            "kill",
            json!(null),
            json!(null),
            json!([]),
        ),
    ] {
        let (_, answer) = explain(&format!("--profile {words}"));
        let got = [
            &answer["action"],
            &answer["errno"],
            &answer["rule"],
            &answer["unlockedBy"],
        ];
        let want = [&json!(action), &errno, &rule, &unlocked_by];
        assert_eq!(got, want, "{words}");
        assert_eq!(answer["byArguments"], json!([]), "{words}");
        assert_eq!(answer["cause"].is_null(), !rule.is_null(), "{words}");
    }
}

#[test]
fn what_depends_on_arguments_that_are_not_given_is_listed() {
    for (words, classes) in [
        (
            "containerd/2.3.7 --syscall socket",
            json!([
                [["arg0 in 0-37,39,41-45"], "allow", null, []],
                [[], "errno", "EPERM", []]
            ]),
        ),
        (
            "containerd/2.3.7 --syscall clone",
            json!([
                [["arg0&0x7e020000==0"], "allow", null, []],
                [[], "errno", "EPERM", ["SYS_ADMIN"]]
            ]),
        ),
        (
            "cri-o/1.36.0 --syscall socket --arg 0=AF_NETLINK",
            json!([
                [["arg2==9"], "errno", "EINVAL", ["AUDIT_WRITE"]],
                [[], "allow", null, []]
            ]),
        ),
        (
            "containerd/2.3.7 --syscall personality",
            json!([
                [
                    ["arg0 in 0,8,0x20000,0x20008,0xffffffff"],
                    "allow",
                    null,
                    []
                ],
                [[], "errno", "EPERM", []]
            ]),
        ),
    ] {
        let (_, answer) = explain(&format!("--profile {words}"));
        assert_eq!(answer["action"], "depends", "{words}");
        assert!(
            answer["errno"].is_null() && answer["rule"].is_null(),
            "{words}"
        );
        let listed = answer["byArguments"].as_array().unwrap();
        let brief: Vec<Value> = listed
            .iter()
            .map(|class| {
                json!([
                    class["when"],
                    class["action"],
                    class["errno"],
                    class["unlockedBy"]
                ])
            })
            .collect();
        assert_eq!(Value::from(brief), classes, "{words}");
        // The example of each class gets what the class gets.
        for class in listed {
            let example = class["example"].as_array().unwrap();
            let given: Vec<String> = example
                .iter()
                .map(|argument| format!(" --arg {}", argument.as_str().unwrap()))
                .collect();
            let bare = words.split(" --arg").next().unwrap();
            let (_, single) = explain(&format!("--profile {bare}{}", given.concat()));
            assert_eq!(single["action"], class["action"], "{words}: {class}");
            assert_eq!(single["errno"], class["errno"], "{words}: {class}");
        }
    }
}

#[test]
fn what_is_assumed_is_said_twice() {
    let (warning, answer) = explain("--profile containerd/2.9.0 --syscall read");
    assert!(
        warning.starts_with("warning: containerd/2.9.0: newer than every release"),
        "{warning}"
    );
    assert_eq!(answer["profile"]["release"], "2.4.2");
    assert!(
        answer["profile"]["assumed"]
            .as_str()
            .unwrap()
            .contains("2.4.2 are assumed")
    );
    let (warning, answer) = explain("--profile cri-o://1.22.0 --syscall read");
    assert_eq!(
        (warning.as_str(), &answer["profile"]["assumed"]),
        ("", &Value::Null)
    );
    assert_eq!(answer["profile"]["provenance"], "imported");
    assert_eq!(answer["profile"]["hash"].as_str().unwrap().len(), 64);
    let (warning, _) = explain("--profile containerd/2.3.7 --syscall read --libseccomp 2.5.9");
    assert!(warning.starts_with("warning: --libseccomp: "), "{warning}");
}

#[test]
fn a_name_cannot_write_to_the_terminal() {
    let bad = "\u{1b}[2Jread";
    let run = run(&[
        "seccomp",
        "explain",
        "--profile",
        "containerd/2.3.7",
        "--syscall",
        bad,
    ]);
    assert_eq!(run.code, Some(2));
    assert!(!run.stderr.contains('\u{1b}'), "{}", run.stderr);
}
