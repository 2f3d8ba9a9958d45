//! Which containers a switch to SeccompDefault affects.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::panic)]

use podfence_seccomp::{Affected, Exempt, Node, Runtime, UnknownProfile};
use podfence_workload::{Container, Defaulting, Kind, Template, decode};

fn pod(of_pod: &str, of_container: &str) -> Template {
    let text = format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p"}},
            "spec":{{{of_pod}"containers":[{{"name":"c"{of_container}}}]}}}}"#
    );
    let object = decode(Kind::Pod, text.as_bytes(), Defaulting::AsServed).expect("a pod");
    let template = object.template.expect("a template");
    (*template).clone()
}

fn first(template: &Template) -> &Container {
    template.containers.first().expect("a container")
}

#[test]
fn a_switch_affects_what_chooses_nothing() {
    let privileged = r#","securityContext":{"privileged":true}"#;
    let chosen = r#","securityContext":{"seccompProfile":{"type":"Unconfined"}}"#;
    let of_pod = r#""securityContext":{"seccompProfile":{"type":"RuntimeDefault"}},"#;
    let class = r#""runtimeClassName":"kata","#;
    let windows = r#""os":{"name":"windows"},"#;
    let sandboxed = Affected::Unknown(UnknownProfile::SandboxedRuntime);
    for (name, template, want) in [
        ("unset", pod("", ""), Affected::Yes),
        (
            "privileged",
            pod("", privileged),
            Affected::No(Exempt::Privileged),
        ),
        (
            "chosen",
            pod("", chosen),
            Affected::No(Exempt::ExplicitProfile),
        ),
        (
            "chosen by the pod",
            pod(of_pod, ""),
            Affected::No(Exempt::ExplicitProfile),
        ),
        ("sandboxed", pod(class, ""), sandboxed),
        ("windows", pod(windows, ""), Affected::No(Exempt::Windows)),
    ] {
        // Whether the node has been switched, or anybody knows, makes no difference.
        for seccomp_default in [None, Some(false), Some(true)] {
            let node = Node {
                seccomp_default,
                runtime: Some(Runtime::Containerd),
                handler: None,
            };
            let got = Affected::of(&template, first(&template), node);
            assert_eq!(got, want, "{name} {seccomp_default:?}");
        }
    }
    let unknown = Affected::of(
        &pod("", privileged),
        first(&pod("", privileged)),
        Node::default(),
    );
    assert_eq!(unknown, Affected::Unknown(UnknownProfile::Runtime));
}
