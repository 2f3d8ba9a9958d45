//! Baseline: no container is privileged. Pure.
//!
//! A privileged container keeps hardly any of what separates it from the node.
//!
//! | from | rule |
//! |---|---|
//! | v1.0 | `securityContext.privileged` of every container is absent or false |

use podfence_workload::{Container, Template};

use super::{Check, CheckId, Explanation, Revision, names_where};
use crate::message::containers;
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::Privileged,
    overrides: None,
    revisions: &[Revision {
        since: 0,
        violated,
        explain,
    }],
};

fn is_privileged(container: &Container) -> bool {
    container.security.privileged == Some(true)
}

fn violated(template: &Template, _: ServerVersion) -> bool {
    template.containers.iter().any(is_privileged)
}

fn explain(template: &Template, _: ServerVersion) -> Explanation {
    let names = names_where(template, is_privileged);
    let detail = containers(&names) + " must not set securityContext.privileged=true";
    Explanation::new("privileged", detail, &names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::assert_says;
    use crate::CheckId;

    #[test]
    fn table() {
        assert_says(
            CheckId::Privileged,
            &[
                ("no containers", json!({}), &[(0, None)]),
                (
                    "absent",
                    json!({"containers": [{"name": "a"}]}),
                    &[(0, None), (37, None)],
                ),
                (
                    "null and false",
                    json!({"containers": [
                        {"name": "a", "securityContext": {"privileged": null}},
                        {"name": "b", "securityContext": {"privileged": false}}]}),
                    &[(0, None), (37, None)],
                ),
                (
                    "every kind of container, in the order of the pod",
                    json!({"ephemeralContainers": [{"name": "c", "securityContext": {"privileged": true}}],
                        "containers": [{"name": "b", "securityContext": {"privileged": true}}, {"name": "d"}],
                        "initContainers": [{"name": "a", "securityContext": {"privileged": true}}]}),
                    &[(
                        0,
                        Some(
                            r#"privileged (containers "a", "b", "c" must not set securityContext.privileged=true)"#,
                        ),
                    )],
                ),
            ],
        );
    }
}
