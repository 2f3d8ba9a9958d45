//! What containers get of the capabilities that they add and drop, runtime by runtime.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::panic)]

use podfence_seccomp::{Capabilities, Runtime};
use podfence_workload::{CapabilityMask, Defaulting, Kind, Template, decode};

fn template(pod: &str, container: &str) -> Template {
    let separator = if pod.is_empty() { "" } else { "," };
    let json = format!(
        r#"{{"spec":{{{pod}{separator}"containers":[{{"name":"c","securityContext":{container}}}]}}}}"#
    );
    let object = decode(Kind::Pod, json.as_bytes(), Defaulting::AsServed)
        .unwrap_or_else(|error| panic!("{json}: {error}"));
    object
        .template
        .expect("a pod has a template")
        .as_ref()
        .clone()
}

fn capabilities(runtime: Runtime, pod: &str, container: &str) -> Option<Capabilities> {
    let template = template(pod, container);
    let container = template.containers.first().expect("one container");
    Capabilities::of(runtime, &template, container).expect("the runtime takes it")
}

fn bounding(runtime: Runtime, asked: &str) -> CapabilityMask {
    let context = format!(r#"{{"capabilities":{asked}}}"#);
    let capabilities = capabilities(runtime, "", &context);
    capabilities
        .unwrap_or_else(|| panic!("{asked} is not for Windows"))
        .bounding
}

#[test]
fn what_is_added_and_dropped_comes_to_what_each_runtime_makes_of_it() {
    let none = CapabilityMask::default();
    let of = CapabilityMask::of;
    let all_but = |names: &[&str]| CapabilityMask::ALL.difference(of(names));
    let [containerd, cri_o, docker] = [Runtime::Containerd, Runtime::CriO, Runtime::Docker];
    let usual = Runtime::default_capabilities;
    assert_eq!(
        Runtime::ALL.map(|runtime| usual(runtime).len()),
        [14, 9, 14]
    );
    for (asked, want) in [
        ("{}", Runtime::ALL.map(usual)),
        (r#"{"add":[],"drop":[]}"#, Runtime::ALL.map(usual)),
        (r#"{"drop":["ALL"]}"#, [none; 3]),
        (r#"{"drop":["all"]}"#, [none; 3]),
        (r#"{"add":["ALL"]}"#, [CapabilityMask::ALL; 3]),
        (r#"{"add":["All"]}"#, [CapabilityMask::ALL; 3]),
        (
            r#"{"add":["ALL"],"drop":["ALL"]}"#,
            [none, none, CapabilityMask::ALL],
        ),
        (
            r#"{"add":["ALL"],"drop":["CHOWN"]}"#,
            [all_but(&["CHOWN"]); 3],
        ),
        (
            r#"{"add":["CHOWN","bpf"],"drop":["ALL"]}"#,
            [of(&["CHOWN", "BPF"]); 3],
        ),
        (
            r#"{"add":["ALL","CHOWN"],"drop":["ALL"]}"#,
            [of(&["CHOWN"]), of(&["CHOWN"]), CapabilityMask::ALL],
        ),
        (
            r#"{"add":["SYS_TIME"],"drop":["SYS_TIME"]}"#,
            [
                usual(containerd),
                usual(cri_o),
                usual(docker).union(of(&["SYS_TIME"])),
            ],
        ),
        (
            r#"{"add":["SYS_TIME"],"drop":["KILL"]}"#,
            Runtime::ALL.map(|runtime| {
                usual(runtime)
                    .union(of(&["SYS_TIME"]))
                    .difference(of(&["KILL"]))
            }),
        ),
        (
            r#"{"add":["CAP_BPF"],"drop":["cap_kill"]}"#,
            [
                usual(containerd),
                usual(cri_o).union(of(&["BPF"])).difference(of(&["KILL"])),
                usual(docker).union(of(&["BPF"])).difference(of(&["KILL"])),
            ],
        ),
    ] {
        for (runtime, want) in Runtime::ALL.into_iter().zip(want) {
            let got = bounding(runtime, asked);
            let names = |mask: CapabilityMask| mask.names().collect::<Vec<_>>();
            assert_eq!(names(got), names(want), "{runtime}: {asked}");
        }
    }
}

#[test]
fn a_name_that_linux_does_not_know_is_ignored_or_refused() {
    for asked in [
        r#"{"add":["NET_RAWX"]}"#,
        r#"{"drop":["NET_RAWX"]}"#,
        r#"{"add":[""]}"#,
        r#"{"add":["CAP_CAP_CHOWN"]}"#,
    ] {
        let usual = Runtime::Containerd.default_capabilities();
        assert_eq!(bounding(Runtime::Containerd, asked), usual, "{asked}");
        for runtime in [Runtime::CriO, Runtime::Docker] {
            let template = template("", &format!(r#"{{"capabilities":{asked}}}"#));
            let container = template.containers.first().expect("one container");
            let refused = Capabilities::of(runtime, &template, container);
            assert!(refused.is_err(), "{runtime}: {asked}: {refused:?}");
        }
    }
}

#[test]
fn privileged_is_everything_whatever_is_dropped() {
    let context = r#"{"privileged":true,"capabilities":{"drop":["ALL"],"add":["NO_SUCH"]}}"#;
    for runtime in Runtime::ALL {
        let capabilities = capabilities(runtime, "", context).expect("Linux");
        assert_eq!(capabilities.bounding, CapabilityMask::ALL, "{runtime}");
    }
}

#[test]
fn only_root_has_what_is_in_the_bounding_set() {
    let usual = Runtime::Containerd.default_capabilities();
    let pod = r#""securityContext":{"runAsUser":1000}"#;
    for (pod, context, effective) in [
        ("", "{}", None),
        ("", r#"{"runAsUser":0}"#, Some(usual)),
        (pod, "{}", Some(CapabilityMask::default())),
        (pod, r#"{"runAsUser":0}"#, Some(usual)),
        ("", r#"{"runAsUser":7}"#, Some(CapabilityMask::default())),
    ] {
        let capabilities = capabilities(Runtime::Containerd, pod, context).expect("Linux");
        assert_eq!(capabilities.effective, effective, "{pod} {context}");
        assert_eq!(capabilities.bounding, usual, "{pod} {context}");
        assert_eq!(capabilities.of_root, usual, "{pod} {context}");
    }
}

#[test]
fn a_user_namespace_changes_where_they_count_and_windows_has_none() {
    let of = |pod: &str| capabilities(Runtime::Containerd, pod, "{}");
    let usual = of("").expect("Linux");
    let within = of(r#""hostUsers":false"#).expect("Linux");
    assert!(!usual.within_user_namespace && within.within_user_namespace);
    assert_eq!(usual.bounding, within.bounding);
    assert!(
        !of(r#""hostUsers":true"#)
            .expect("Linux")
            .within_user_namespace
    );
    assert_eq!(of(r#""os":{"name":"windows"}"#), None);
}
