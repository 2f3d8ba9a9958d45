//! Under which profile containers run, and which of them a switch to SeccompDefault changes.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::panic)]

use podfence_seccomp::{EffectiveProfile, Node, Runtime, Switch, UnknownProfile};
use podfence_workload::{Defaulting, Kind, Template, decode};

use EffectiveProfile::{NotApplicable, RuntimeDefault, Unconfined, Unknown};

fn template(json: &str) -> Template {
    let object = decode(Kind::Pod, json.as_bytes(), Defaulting::AsServed)
        .unwrap_or_else(|error| panic!("{json}: {error}"));
    object
        .template
        .expect("a pod has a template")
        .as_ref()
        .clone()
}

/// A pod with one container of each kind, all alike.
fn pod(spec: &str, context: &str) -> Template {
    let separator = if spec.is_empty() { "" } else { "," };
    let list = |field: &str| {
        format!(r#""{field}":[{{"name":"{field}","securityContext":{{{context}}}}}]"#)
    };
    let lists = ["initContainers", "containers", "ephemeralContainers"].map(list);
    template(&format!(
        r#"{{"spec":{{{spec}{separator}{}}}}}"#,
        lists.join(",")
    ))
}

fn profile(kind: &str) -> String {
    format!(r#""seccompProfile":{{"type":"{kind}"}}"#)
}

fn in_pod(kind: &str) -> String {
    format!(r#""securityContext":{{{}}}"#, profile(kind))
}

const OFF: Node<'_> = Node {
    seccomp_default: Some(false),
    runtime: Some(Runtime::Containerd),
    handler: None,
};

/// Every kind of container fares alike.
fn switches(template: &Template, node: Node<'_>) -> Switch {
    let mut all: Vec<Switch> = template
        .containers
        .iter()
        .map(|container| Switch::of(template, container, node))
        .collect();
    all.dedup();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn assert_switch(
    template: &Template,
    node: Node<'_>,
    want: (EffectiveProfile, EffectiveProfile, Option<bool>),
) {
    let (before, after, affected) = want;
    let want = Switch {
        before,
        after,
        affected,
    };
    assert_eq!(switches(template, node), want, "{node:?}");
}

#[test]
fn the_container_decides_before_the_pod_and_the_pod_before_the_node() {
    let unset = (Unconfined, RuntimeDefault, Some(true));
    let confined = (RuntimeDefault, RuntimeDefault, Some(false));
    let open = (Unconfined, Unconfined, Some(false));
    for (spec, context, want) in [
        (String::new(), String::new(), unset.clone()),
        (in_pod("RuntimeDefault"), String::new(), confined.clone()),
        (in_pod("Unconfined"), String::new(), open.clone()),
        (String::new(), profile("RuntimeDefault"), confined.clone()),
        (in_pod("Unconfined"), profile("RuntimeDefault"), confined),
        (
            in_pod("RuntimeDefault"),
            profile("Unconfined"),
            open.clone(),
        ),
        (in_pod("RuntimeDefault"), profile("Other"), open),
    ] {
        assert_switch(&pod(&spec, &context), OFF, want);
    }
}

#[test]
fn a_file_is_a_file_and_none_is_unknown() {
    let file = EffectiveProfile::Localhost("apps/web.json".into());
    let chosen = r#""seccompProfile":{"type":"Localhost","localhostProfile":"apps/web.json"}"#;
    assert_switch(&pod("", chosen), OFF, (file.clone(), file, Some(false)));
    for missing in [
        profile("Localhost"),
        r#""seccompProfile":{"type":"Localhost","localhostProfile":""}"#.to_owned(),
    ] {
        let unknown = Unknown(UnknownProfile::LocalhostWithoutFile);
        let want = (unknown.clone(), unknown, Some(false));
        assert_switch(&pod("", &missing), OFF, want);
    }
}

#[test]
fn annotations_of_old_count_for_nothing() {
    let annotated = template(
        r#"{"metadata":{"annotations":{
            "seccomp.security.alpha.kubernetes.io/pod":"runtime/default",
            "container.seccomp.security.alpha.kubernetes.io/c":"unconfined"}},
            "spec":{"containers":[{"name":"c"}]}}"#,
    );
    assert_eq!(annotated.annotations.len(), 2);
    assert_switch(&annotated, OFF, (Unconfined, RuntimeDefault, Some(true)));
}

#[test]
fn a_privileged_container_is_confined_by_no_runtime() {
    let privileged = r#""privileged":true"#;
    let chosen = r#""privileged":true,
        "seccompProfile":{"type":"Localhost","localhostProfile":"a.json"}"#;
    let open = (Unconfined, Unconfined, Some(false));
    for runtime in Runtime::ALL {
        let node = Node {
            runtime: Some(runtime),
            ..OFF
        };
        assert_switch(&pod("", privileged), node, open.clone());
        let of_file = if runtime == Runtime::Docker {
            let unknown = Unknown(UnknownProfile::PrivilegedLocalhost);
            (unknown.clone(), unknown, Some(false))
        } else {
            open.clone()
        };
        assert_switch(&pod("", chosen), node, of_file);
    }
    let node = Node {
        runtime: None,
        ..OFF
    };
    let unknown = Unknown(UnknownProfile::Runtime);
    assert_switch(&pod("", privileged), node, (unknown.clone(), unknown, None));
}

#[test]
fn a_node_that_is_on_changes_nothing_and_one_that_is_unknown_is_said() {
    let unset = pod("", "");
    let with = |seccomp_default| Node {
        seccomp_default,
        ..OFF
    };
    let on = (RuntimeDefault, RuntimeDefault, Some(false));
    assert_switch(&unset, with(Some(true)), on.clone());
    let unknown = Unknown(UnknownProfile::SeccompDefault);
    assert_switch(&unset, with(None), (unknown, RuntimeDefault, None));
    // What is chosen does not hang on it.
    assert_switch(&pod(&in_pod("RuntimeDefault"), ""), with(None), on);
}

#[test]
fn a_runtime_class_is_unknown_unless_its_handler_is_plain() {
    let unset = pod(r#""runtimeClassName":"gvisor""#, "");
    let chosen = pod(
        &format!(r#""runtimeClassName":"x",{}"#, in_pod("RuntimeDefault")),
        "",
    );
    for handler in [None, Some("runsc"), Some("kata-qemu"), Some("runc-special")] {
        let node = Node { handler, ..OFF };
        let unknown = Unknown(UnknownProfile::SandboxedRuntime);
        assert_switch(&unset, node, (unknown.clone(), unknown.clone(), None));
        assert_switch(&chosen, node, (unknown.clone(), unknown, Some(false)));
    }
    for handler in [Some("runc"), Some("crun"), Some("")] {
        let node = Node { handler, ..OFF };
        assert_switch(&unset, node, (Unconfined, RuntimeDefault, Some(true)));
    }
}

#[test]
fn windows_has_no_seccomp() {
    let windows = pod(r#""os":{"name":"windows"}"#, "");
    let node = Node {
        seccomp_default: None,
        ..OFF
    };
    assert_switch(&windows, node, (NotApplicable, NotApplicable, Some(false)));
}
