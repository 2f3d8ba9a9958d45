//! What changes between runtimes. Starts processes.

use serde_json::{Value, json};

use crate::command::{assert_refused, json, run};

#[test]
fn what_is_wrong_names_its_flag() {
    for (line, wanted) in [
        ("seccomp compare containerd/2.3.7", vec!["<AFTER>"]),
        (
            "seccomp compare containerd/2.3.7 containerd",
            vec!["<AFTER>", "write containerd/2.3.7", "known of docker"],
        ),
        (
            "seccomp compare nerdctl/2.3.7 containerd/2.3.7",
            vec!["<BEFORE>"],
        ),
        (
            "seccomp compare containerd/2.3.6 containerd/2.3.7 --abi arm",
            vec!["--abi", "x86_64, x32, x86"],
        ),
        (
            "seccomp compare containerd/2.3.6 containerd/2.3.7 --capabilities KILL",
            vec!["--capabilities", "+KILL"],
        ),
    ] {
        assert_refused(line, &wanted);
    }
}

fn brief(line: &str) -> (Option<i32>, Vec<Value>) {
    let (run, answer) = json(&format!("seccomp compare {line} -o json"));
    let differences = answer["differences"].as_array().unwrap();
    let fate = |fate: &Value| json!([fate["action"], fate["errno"], fate["unlockedBy"]]);
    let of = |one: &Value| {
        json!([
            one["syscall"],
            one["abis"],
            one["when"],
            fate(&one["before"]),
            fate(&one["after"])
        ])
    };
    (run.code, differences.iter().map(of).collect())
}

#[test]
fn changes_are_said_by_call_and_by_arguments() {
    let (allow, eperm) = (json!(["allow", null, []]), json!(["errno", "EPERM", []]));
    let all = json!(["x86_64", "x32", "x86"]);
    for (line, want) in [
        ("containerd/2.3.7 containerd/2.3.7", vec![]),
        ("containerd/2.3.7 containerd/2.4.2", vec![]),
        (
            "containerd/2.3.6 containerd/2.3.7",
            vec![json!(["socket", all, ["arg0>=46"], allow, eperm])],
        ),
        (
            "containerd/2.3.7 containerd/2.3.6",
            vec![json!(["socket", all, ["arg0>=46"], eperm, allow])],
        ),
        (
            "containerd/2.3.0 containerd/2.3.1",
            vec![json!(["socket", all, ["arg0==38"], allow, eperm])],
        ),
        (
            "containerd/2.3.0 containerd/2.3.1 --abi x86",
            vec![json!(["socket", ["x86"], ["arg0==38"], allow, eperm])],
        ),
        (
            "docker/29.4.1 docker/29.4.2 --abi x86",
            vec![json!([
                "socketcall",
                ["x86"],
                [],
                allow,
                ["errno", "ENOSYS", []]
            ])],
        ),
    ] {
        let (code, got) = brief(line);
        assert_eq!(
            got.iter()
                .filter(|one| line.starts_with("containerd") || one[0] == "socketcall")
                .collect::<Vec<_>>(),
            want.iter().collect::<Vec<_>>(),
            "{line}"
        );
        assert_eq!(code, Some(i32::from(!want.is_empty())), "{line}");
    }
}

#[test]
fn what_unlocks_a_call_is_said_on_both_sides() {
    let (_, got) = brief("containerd/2.3.7 cri-o/1.36.0");
    let row = |call: &str| got.iter().find(|one| one[0] == call).unwrap().clone();
    assert_eq!(row("mount")[3], json!(["errno", "EPERM", ["SYS_ADMIN"]]));
    assert_eq!(row("mount")[4], json!(["allow", null, []]));
    // CRI-O gives less by default, and a container may ask for more of both.
    assert_eq!(row("chroot")[4], json!(["errno", "EPERM", ["SYS_CHROOT"]]));
    let (_, got) = brief("containerd/2.3.7 cri-o/1.36.0 --capabilities +SYS_CHROOT");
    assert!(!got.iter().any(|one| one[0] == "chroot"));
    let names: Vec<&str> = got.iter().filter_map(|one| one[0].as_str()).collect();
    assert!(names.is_sorted() && names.len() > 50, "{names:?}");
}

#[test]
fn calls_to_come_are_compared_too() {
    let line = "containerd/2.3.7 cri-o/1.36.0 --runtime crun";
    let (_, got) = brief(line);
    let last = got.last().unwrap();
    assert_eq!(
        (&last[0], &last[3][1], &last[4][1]),
        (&Value::Null, &json!("EPERM"), &json!("ENOSYS"))
    );
    let words: Vec<&str> = "seccomp compare"
        .split(' ')
        .chain(line.split(' '))
        .collect();
    let table = run(&words).stdout;
    assert!(table.contains("<calls to come>"), "{table}");
}
