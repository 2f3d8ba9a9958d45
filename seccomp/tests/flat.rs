//! Flat profiles: written, read back, and with single calls allowed or denied beside the rules.
// A test that panics has failed, which is its job; tables are as long as they are.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines
)]

use std::collections::HashSet;

use podfence_seccomp::syscalls::Libseccomp;
use podfence_seccomp::{
    Abi, Action, Architecture, Container, Edit, EditError, Errno, Filter, FlatProfile, Loader,
    OciRuntime, Profile, Rule, RuleSet, Runtime, edited, syscalls,
};
use podfence_workload::CapabilityMask;

const EPERM: Action = Action::Errno(Errno::EPERM);
const ENOSYS: Action = Action::Errno(Errno::ENOSYS);
const EINVAL: Action = Action::Errno(Errno::EINVAL);
const ALLOW: Action = Action::Allow;

fn rules(text: &str) -> RuleSet {
    let profile: Profile = text
        .parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    profile.rules
}

fn container(architecture: Architecture, bounding: CapabilityMask) -> Container {
    Container {
        architecture,
        bounding,
        kernel: "6.18".parse().expect("a kernel"),
    }
}

fn usual() -> Container {
    container(
        Architecture::Amd64,
        Runtime::Containerd.default_capabilities(),
    )
}

/// Edits by what is typed: `+CALL` allows, `-CALL` denies.
fn edits(texts: &[&str]) -> Vec<Edit> {
    let edit = |text: &&str| {
        let (sign, rest) = text.split_at(1);
        Edit::read(sign == "+", rest).unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    texts.iter().map(edit).collect()
}

fn profile(text: &str, texts: &[&str]) -> FlatProfile {
    edited(&rules(text), usual(), Loader::default(), &edits(texts))
        .unwrap_or_else(|error| panic!("{text} {texts:?}: {error}"))
}

fn read_back(profile: &FlatProfile) -> FlatProfile {
    let text = profile.write().expect("it is written");
    let read = FlatProfile::read(&text, profile.architecture).expect("it reads");
    assert!(
        read.ignored.is_empty() && read.unknown_calls.is_empty(),
        "{read:?}"
    );
    read.profile
}

/// Whether two filters do the same with every call, at the arguments that either tells apart.
fn assert_same(one: &Filter, two: &Filter, context: &str) {
    for abi in one.abis() {
        for number in 0..600 {
            let classes = one.classes(abi, number).expect("few classes");
            assert_eq!(
                classes,
                two.classes(abi, number).expect("few classes"),
                "{context}: {abi} {number}"
            );
        }
    }
}

#[test]
fn every_rule_set_is_the_same_after_it_was_written_and_read() {
    let mut seen = HashSet::new();
    for runtime in Runtime::ALL {
        for release in Profile::releases(runtime).expect("the data read") {
            let rules = Profile::of(runtime, release).expect("a release").rules;
            if !seen.insert(rules.hash) {
                continue;
            }
            let bounding = if seen.len() % 2 == 0 {
                runtime.default_capabilities()
            } else {
                CapabilityMask::ALL
            };
            for architecture in [
                Architecture::Amd64,
                Architecture::S390x,
                Architecture::Ppc64le,
            ] {
                let container = container(architecture, bounding);
                let flat = edited(&rules, container, Loader::default(), &[])
                    .unwrap_or_else(|error| panic!("{runtime}/{release}: {error}"));
                let again = read_back(&flat);
                assert_eq!(
                    again.write().expect("it is written"),
                    flat.write().expect("so is it")
                );
                let before = Filter::load(&rules, container, Loader::default()).expect("it loads");
                let after = again.load(Loader::default()).expect("it loads");
                let after = after.on_kernel(container.kernel);
                assert_same(
                    &before,
                    &after,
                    &format!("{runtime}/{release} {architecture}"),
                );
            }
        }
    }
    assert!(seen.len() > 40, "{}", seen.len());
}

#[test]
fn an_edit_does_what_it_says_whatever_stands_in_the_rules() {
    let new_user = 0x1000_0000;
    let new_net = 0x4000_0000;
    for (text, texts, call, first, want) in [
        // A rule with capabilities that the container does not have.
        (
            "containerd/2.3.7",
            vec!["+unshare"],
            "unshare",
            new_user,
            ALLOW,
        ),
        // Only one flag more.
        (
            "containerd/2.3.7",
            vec!["+unshare:arg0==CLONE_NEWUSER"],
            "unshare",
            new_user,
            ALLOW,
        ),
        (
            "containerd/2.3.7",
            vec!["+unshare:arg0==CLONE_NEWUSER"],
            "unshare",
            new_net,
            EPERM,
        ),
        // A rule with a condition.
        ("containerd/2.3.7", vec!["+clone"], "clone", new_net, ALLOW),
        (
            "containerd/2.3.7",
            vec!["+clone:arg0&CLONE_NEWUSER==CLONE_NEWUSER"],
            "clone",
            new_user | new_net,
            ALLOW,
        ),
        (
            "containerd/2.3.7",
            vec!["+clone:arg0&CLONE_NEWUSER==CLONE_NEWUSER"],
            "clone",
            new_net,
            EPERM,
        ),
        (
            "containerd/2.3.7",
            vec!["+clone:arg0&CLONE_NEWUSER==CLONE_NEWUSER"],
            "clone",
            17,
            ALLOW,
        ),
        // Conditional rules that refuse, and one that allows.
        (
            "cri-o/1.36.0",
            vec!["+clone:arg0&CLONE_NEWUSER==CLONE_NEWUSER"],
            "clone",
            new_user | new_net,
            ALLOW,
        ),
        (
            "cri-o/1.36.0",
            vec!["+clone:arg0&CLONE_NEWUSER==CLONE_NEWUSER"],
            "clone",
            new_net,
            EPERM,
        ),
        ("cri-o/1.36.0", vec!["+clone"], "clone", new_net, ALLOW),
        // A rule that answers ENOSYS.
        ("containerd/2.3.7", vec!["+clone3"], "clone3", 0, ALLOW),
        (
            "containerd/2.3.7",
            vec!["+clone3:arg1==88"],
            "clone3",
            0,
            ENOSYS,
        ),
        // A list of values.
        (
            "containerd/2.3.7",
            vec!["+socket:arg0==AF_VSOCK"],
            "socket",
            40,
            ALLOW,
        ),
        (
            "containerd/2.3.7",
            vec!["+socket:arg0==AF_VSOCK"],
            "socket",
            38,
            EPERM,
        ),
        (
            "containerd/2.3.7",
            vec!["-socket:arg0==AF_PACKET"],
            "socket",
            17,
            EPERM,
        ),
        (
            "containerd/2.3.7",
            vec!["-socket:arg0==AF_PACKET"],
            "socket",
            16,
            ALLOW,
        ),
        (
            "containerd/2.2.4",
            vec!["-socket:arg0==AF_PACKET"],
            "socket",
            17,
            EPERM,
        ),
        (
            "containerd/2.2.4",
            vec!["-socket:arg0==AF_PACKET"],
            "socket",
            46,
            ALLOW,
        ),
        // An inequality, and two arguments at once.
        (
            "containerd/2.1.0",
            vec!["-socket:arg0==AF_ALG"],
            "socket",
            38,
            EPERM,
        ),
        (
            "containerd/2.1.0",
            vec!["+socket:arg0==AF_VSOCK"],
            "socket",
            40,
            ALLOW,
        ),
        (
            "cri-o/1.36.0",
            vec!["-socket:arg0==AF_ALG"],
            "socket",
            38,
            ENOSYS,
        ),
        (
            "cri-o/1.36.0",
            vec!["-socket:arg0==AF_ALG"],
            "socket",
            2,
            ALLOW,
        ),
        // An unconditional rule, narrowed.
        ("containerd/2.3.7", vec!["-read"], "read", 0, EPERM),
        ("containerd/2.3.7", vec!["-kill:arg0==1"], "kill", 1, EPERM),
        ("containerd/2.3.7", vec!["-kill:arg0==1"], "kill", 2, ALLOW),
        (
            "containerd/2.3.7",
            vec!["-prctl:arg0==16,arg1==1"],
            "prctl",
            16,
            ALLOW,
        ),
        (
            "containerd/2.3.7",
            vec!["-ioctl:arg0&6==2"],
            "ioctl",
            3,
            EPERM,
        ),
        (
            "containerd/2.3.7",
            vec!["-ioctl:arg0&6==2"],
            "ioctl",
            4,
            ALLOW,
        ),
        // Denying wins.
        (
            "containerd/2.3.7",
            vec!["+clone", "-clone:arg0&CLONE_NEWNET==CLONE_NEWNET"],
            "clone",
            new_user,
            ALLOW,
        ),
        (
            "containerd/2.3.7",
            vec!["+clone", "-clone:arg0&CLONE_NEWNET==CLONE_NEWNET"],
            "clone",
            new_net,
            EPERM,
        ),
        // What is so already.
        ("containerd/2.3.7", vec!["+read"], "read", 0, ALLOW),
        ("containerd/2.3.7", vec!["-keyctl"], "keyctl", 0, EPERM),
        ("containerd/2.3.7", vec!["-clone3"], "clone3", 0, ENOSYS),
        // Above the highest number that the profile names.
        ("containerd/1.7.0", vec!["+mseal"], "mseal", 0, ALLOW),
        ("containerd/1.7.0", vec!["+mseal"], "statmount", 0, ENOSYS),
        ("containerd/1.7.0", vec!["-mseal"], "mseal", 0, ENOSYS),
    ] {
        let filter = read_back(&profile(text, &texts))
            .load(Loader::default())
            .expect("it loads");
        let decision = filter
            .decide(Abi::X86_64, call, [first, 0, 0, 0, 0, 0])
            .expect("a call");
        assert_eq!(decision.action, want, "{text} {texts:?}: {call} {first:#x}");
    }
}

#[test]
fn no_other_call_changes() {
    for (text, texts) in [
        (
            "containerd/2.3.7",
            vec!["+unshare", "+mount", "-ptrace", "+socket:arg0==AF_ALG"],
        ),
        ("containerd/1.7.0", vec!["+mseal"]),
        (
            "cri-o/1.36.0",
            vec![
                "+clone:arg0&CLONE_NEWUSER==CLONE_NEWUSER",
                "-socket:arg0==AF_ALG",
            ],
        ),
        ("docker/28.5.2", vec!["+io_uring_setup", "-read:arg0==0"]),
    ] {
        let changed: Vec<&str> = edits(&texts).iter().map(|edit| edit.syscall).collect();
        let filter = profile(text, &texts)
            .load(Loader::default())
            .expect("it loads")
            .on_kernel(usual().kernel);
        let before = Filter::load(&rules(text), usual(), Loader::default()).expect("it loads");
        for abi in before.abis() {
            for number in (0..600).chain([u32::MAX >> 2]) {
                let name = syscalls::name(abi, number).unwrap_or("?");
                // Rules that are there for x86_64, above whose highest number these are, hold for
                // x32 too.
                let is_stubbed = abi == Abi::X32
                    && filter.action(abi, number, [0; 6]) == ENOSYS
                    && before.action(abi, number, [0; 6]) == EPERM
                    && texts == ["+mseal"];
                if !changed.contains(&name) && !is_stubbed {
                    assert_eq!(
                        before.classes(abi, number),
                        filter.classes(abi, number),
                        "{text} {abi} {name}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_done_is_refused() {
    let old = Loader {
        libseccomp: Libseccomp::new(2, 5, 4),
        ..Loader::default()
    };
    let newest = Loader::default();
    for (texts, loader, want) in [
        (
            vec!["+unshare", "-unshare"],
            newest,
            "everything that is allowed of unshare",
        ),
        (
            vec!["+socket:arg0==3", "-socket:arg0<10"],
            newest,
            "everything that is allowed of socket",
        ),
        (vec!["+mseal"], old, "libseccomp 2.5.4 does not know mseal"),
        (
            vec!["+s390_runtime_instr"],
            newest,
            "no ABI of a filter on amd64 has s390_runtime_instr",
        ),
        // Half of a value that x86 has no half for.
        (
            vec!["-read:arg0&0xf00000000==0x100000000"],
            newest,
            "no rules of a seccomp profile do this to read",
        ),
    ] {
        let error = edited(&rules("containerd/2.3.7"), usual(), loader, &edits(&texts))
            .expect_err(&format!("{texts:?}"));
        assert!(error.to_string().contains(want), "{texts:?}: {error}");
    }
}

#[test]
fn what_is_typed_wrongly_is_said() {
    for (text, want) in [
        ("", "no system call is named \"\""),
        ("unshar", "no system call is named \"unshar\""),
        ("Unshare", "no system call is named"),
        ("clone:", "is no condition"),
        ("clone:arg0", "is no condition"),
        ("clone:arg6==1", "is no condition"),
        ("clone:0==1", "is no condition"),
        ("clone:arg0=1", "is no condition"),
        ("clone:arg0==CLONE_NEWUSR", "CLONE_NEWUSER"),
        (
            "clone:arg0==0xg",
            "\"0xg\" is no value of clone's argument 0",
        ),
        ("clone:arg0==-1", "\"-1\" is no value"),
        ("clone:arg0==18446744073709551616", "is no value"),
        ("read:arg0==AF_ALG", "write a number"),
        ("clone:arg0&1==2", "never holds"),
        ("clone:arg0==1,arg0==2", "arg0 is named twice"),
        ("clone:arg0==1,,arg1==2", "\"\" is no condition"),
    ] {
        let error = Edit::read(true, text).expect_err(text);
        assert!(error.to_string().contains(want), "{text:?}: {error}");
    }
}

#[test]
fn a_file_is_grouped_and_keeps_the_order_that_counts() {
    let text = profile("cri-o/1.36.0", &[]).write().expect("it is written");
    let file: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(file["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(file["defaultErrnoRet"], 38);
    assert_eq!(
        file["architectures"],
        serde_json::json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_X86"])
    );
    let entries = file["syscalls"].as_array().expect("a list");
    assert_eq!(
        entries[0]["names"],
        serde_json::json!(["ipc", "socketcall"])
    );
    assert_eq!(entries[1]["action"], "SCMP_ACT_ALLOW");
    let names = entries[1]["names"].as_array().expect("a list");
    assert!(names.len() > 250, "{}", names.len());
    assert!(names.is_sorted_by_key(|name| name.as_str()));
    assert!(entries.len() < 40, "{}", entries.len());
}

#[test]
fn a_file_that_is_no_profile_is_refused_with_its_field() {
    let entry = |entry: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["read"],"action":"SCMP_ACT_ALLOW"}},{entry}]}}"#
        )
    };
    for (text, want) in [
        (String::new(), "not JSON"),
        ("[]".to_owned(), "the file: [] is not an object"),
        ("{}".to_owned(), "defaultAction is missing"),
        (
            r#"{"DefaultAction":"SCMP_ACT_ERRNO"}"#.to_owned(),
            "DefaultAction: write it as defaultAction",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_LOG"}"#.to_owned(),
            "defaultAction: SCMP_ACT_LOG is not judged",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#.to_owned(),
            "defaultAction: SCMP_ACT_ALLOW is not judged",
        ),
        (
            r#"{"defaultAction":7}"#.to_owned(),
            "defaultAction: 7 is not a text",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":-1}"#.to_owned(),
            "defaultErrnoRet: -1 is not an errno",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["amd64"]}"#.to_owned(),
            "architectures[0]: \"amd64\" is not an architecture",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":{}}"#.to_owned(),
            "syscalls: {} is not a list",
        ),
        (entry("7"), "syscalls[1]: 7 is not an object"),
        (
            entry(r#"{"names":["read"]}"#),
            "syscalls[1].action is missing",
        ),
        (
            entry(r#"{"names":[7],"action":"SCMP_ACT_ALLOW"}"#),
            "syscalls[1].names[0]: 7 is not the name of a call",
        ),
        (
            entry(r#"{"names":["read"],"action":"SCMP_ACT_TRAP"}"#),
            "syscalls[1].action: SCMP_ACT_TRAP is not judged",
        ),
        (
            entry(
                r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}"#,
            ),
            "syscalls[1].args[0].index: 6 is not the number of an argument",
        ),
        (
            entry(r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"op":"EQ"}]}"#),
            "syscalls[1].args[0].op: \"EQ\" is not an operator",
        ),
        (
            entry(
                r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1.5,"op":"SCMP_CMP_EQ"}]}"#,
            ),
            "syscalls[1].args[0].value: 1.5 is not an unsigned number",
        ),
    ] {
        let error = FlatProfile::read(&text, Architecture::Amd64).expect_err(&text);
        assert!(error.to_string().contains(want), "{text}: {error}");
    }
}

#[test]
fn what_a_runtime_leaves_out_is_said() {
    let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","archMap":[],"syscalls":[
        {"names":["read","no_such_call"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["SYS_ADMIN"]},
         "args":null,"comment":""}]}"#;
    let read = FlatProfile::read(text, Architecture::Arm64).expect("it reads");
    assert_eq!(
        read.ignored,
        ["archMap", "syscalls[0].comment", "syscalls[0].includes"]
    );
    assert_eq!(read.unknown_calls, ["no_such_call"]);
    assert_eq!(read.profile.abis, [Abi::Aarch64]);
    assert_eq!(read.profile.default, Errno::EPERM);
    assert_eq!(
        read.profile
            .rules
            .iter()
            .map(Rule::to_string)
            .collect::<Vec<_>>(),
        ["allow read"]
    );
}

#[test]
fn crun_has_no_stub_to_keep() {
    let crun = Loader {
        runtime: OciRuntime::Crun,
        ..Loader::default()
    };
    let flat = edited(
        &rules("containerd/1.7.0"),
        usual(),
        crun,
        &edits(&["+mseal"]),
    )
    .expect("it is edited");
    assert!(!flat.rules.iter().any(|rule| rule.syscall == "statmount"));
    let filter = flat.load(crun).expect("it loads");
    let decision = filter
        .decide(Abi::X86_64, "statmount", [0; 6])
        .expect("a call");
    assert_eq!(decision.action, EPERM);
}

#[test]
fn errnos_that_are_not_the_default_stay() {
    let crio = container(Architecture::Amd64, Runtime::CriO.default_capabilities());
    let narrow = |texts: &[&str]| {
        edited(
            &rules("cri-o/1.36.0"),
            crio,
            Loader::default(),
            &edits(texts),
        )
    };
    let flat = narrow(&["-bind"]).expect("it is edited");
    let filter = flat.load(Loader::default()).expect("it loads");
    for (arguments, want) in [
        ([40, 0, 0, 0, 0, 0], EPERM),
        ([16, 0, 9, 0, 0, 0], EINVAL),
        ([16, 0, 8, 0, 0, 0], ALLOW),
    ] {
        let decision = filter
            .decide(Abi::X86_64, "socket", arguments)
            .expect("a call");
        assert_eq!(decision.action, want, "{arguments:?}");
    }
    // Ranges beside rules on two arguments: what libseccomp makes of them cannot be told.
    let error = narrow(&["-socket:arg0==AF_ALG"]).expect_err("it cannot be written");
    assert_eq!(error, EditError::Unwritable { call: "socket" });
}
