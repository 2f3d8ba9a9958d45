//! Baseline: no container takes a port of the host. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.0 | `ports[].hostPort` of every container is absent or 0 |

use std::collections::BTreeSet;

use podfence_workload::{Container, Template};

use super::{Check, CheckId, Explanation, Revision, names_where};
use crate::message::{containers, plural};
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::HostPorts,
    overrides: None,
    revisions: &[Revision {
        since: 0,
        violated,
        explain,
    }],
};

fn takes_host_port(container: &Container) -> bool {
    !container.host_ports.is_empty()
}

fn violated(template: &Template, _: ServerVersion) -> bool {
    template.containers.iter().any(takes_host_port)
}

fn explain(template: &Template, _: ServerVersion) -> Explanation {
    let names = names_where(template, takes_host_port);
    let all = template
        .containers
        .iter()
        .flat_map(|container| &container.host_ports);
    // Sorted as text, so that 100 comes before 20.
    let ports: Vec<String> = all
        .map(ToString::to_string)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let detail = format!(
        "{} {} {} {}",
        containers(&names),
        plural(names.len(), "uses", "use"),
        plural(ports.len(), "hostPort", "hostPorts"),
        ports.join(", ")
    );
    Explanation::new("hostPort", detail, &names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::assert_says;
    use crate::CheckId;

    #[test]
    fn table() {
        let port = |port: i32| json!({"hostPort": port});
        assert_says(
            CheckId::HostPorts,
            &[
                (
                    "absent",
                    json!({"containers": [{"name": "a"}]}),
                    &[(0, None)],
                ),
                (
                    "null, 0 and a port of its own",
                    json!({"containers": [{"name": "a", "ports": [{"hostPort": null}, port(0),
                        {"containerPort": 80}]}]}),
                    &[(0, None), (37, None)],
                ),
                (
                    "one",
                    json!({"containers": [{"name": "a", "ports": [port(20), port(20)]}]}),
                    &[(0, Some(r#"hostPort (container "a" uses hostPort 20)"#))],
                ),
                (
                    "sorted as text",
                    json!({"containers": [{"name": "b", "ports": [port(20)]}],
                        "initContainers": [{"name": "c", "ports": [port(100), port(-1)]}]}),
                    &[(
                        37,
                        Some(r#"hostPort (containers "c", "b" use hostPorts -1, 100, 20)"#),
                    )],
                ),
            ],
        );
    }
}
