//! Baseline: probes and lifecycle handlers go to the pod itself. Pure.
//!
//! With a `host` the kubelet can be made to call any address that the node reaches. The
//! loopback address is no exception: for the kubelet it is the node.
//!
//! | from | rule |
//! |---|---|
//! | v1.34 | `host` of every HTTP and TCP probe and lifecycle handler is absent or empty |

use podfence_workload::{Container, Template};

use super::{Check, CheckId, Explanation, Revision};
use crate::message::{Sorted, containers, plural, quoted};
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::HostProbesAndHostLifecycle,
    overrides: None,
    revisions: &[Revision {
        since: 34,
        violated,
        explain,
    }],
};

fn names_a_host(container: &Container) -> bool {
    !container.probe_hosts.is_empty()
}

fn violated(template: &Template, _: ServerVersion) -> bool {
    template.containers.iter().any(names_a_host)
}

fn explain(template: &Template, _: ServerVersion) -> Explanation {
    let bad = || {
        template
            .containers
            .iter()
            .filter(|container| names_a_host(container))
    };
    // This check alone has the containers as a sorted set.
    let names: Sorted = bad().map(|container| &*container.name).collect();
    let names: Vec<_> = names.into_iter().collect();
    let hosts: Sorted = bad()
        .flat_map(|container| &container.probe_hosts)
        .map(|host| &**host)
        .collect();
    let detail = format!(
        "{} {} {} {}",
        containers(&names),
        plural(names.len(), "uses", "use"),
        plural(
            hosts.len(),
            "probe or lifecycle host",
            "probe or lifecycle hosts"
        ),
        quoted(hosts)
    );
    Explanation::new("probe or lifecycle host", detail, &names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::{assert_says, pod, says};
    use crate::{CheckId, ServerVersion};

    const CHECK: CheckId = CheckId::HostProbesAndHostLifecycle;

    #[test]
    fn table() {
        assert_says(
            CHECK,
            &[
                (
                    "absent, null, empty, and handlers without a host",
                    json!({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": ""}},
                        "readinessProbe": {"tcpSocket": {"host": null}},
                        "startupProbe": {"grpc": {"host": "x"}},
                        "lifecycle": {"preStop": {"exec": {"host": "x"}}, "postStart": null}}]}),
                    &[(34, None), (37, None)],
                ),
                (
                    "the loopback address",
                    json!({"containers": [{"name": "a",
                        "livenessProbe": {"httpGet": {"host": "127.0.0.1"}}}]}),
                    &[
                        (33, None),
                        (
                            34,
                            Some(
                                r#"probe or lifecycle host (container "a" uses probe or lifecycle host "127.0.0.1")"#,
                            ),
                        ),
                    ],
                ),
                (
                    "every handler, sorted",
                    json!({"containers": [
                        {"name": "b", "readinessProbe": {"tcpSocket": {"host": "e"}},
                            "startupProbe": {"httpGet": {"host": "d"}, "tcpSocket": {"host": "c"}}},
                        {"name": "a", "lifecycle": {"preStop": {"httpGet": {"host": "b"}},
                            "postStart": {"tcpSocket": {"host": "a"}}}}]}),
                    &[(
                        37,
                        Some(
                            r#"probe or lifecycle host (containers "a", "b" use probe or lifecycle hosts "a", "b", "c", "d", "e")"#,
                        ),
                    )],
                ),
            ],
        );
    }

    #[test]
    fn a_server_that_emulates_an_older_one_leaves_it_out() {
        let spec =
            json!({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h"}}}]});
        let template = pod(&json!({}), &spec);
        let cases = [
            (ServerVersion::new(33), false),
            (ServerVersion::new(34), true),
            (ServerVersion::emulating(34, 33), false),
            (ServerVersion::emulating(35, 33), false),
            (ServerVersion::emulating(35, 34), true),
        ];
        for (server, violated) in cases {
            assert_eq!(
                says(CHECK, 34, server, &template).is_some(),
                violated,
                "{server}"
            );
        }
    }
}
