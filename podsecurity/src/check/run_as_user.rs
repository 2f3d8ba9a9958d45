//! Restricted: no container asks for the user id 0. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.23 | `runAsUser` is not 0, neither for the pod nor for any container |
//! | v1.35 | the same, but for pods in a user namespace of their own |

use podfence_workload::{Container, Template};

use super::{Check, CheckId, Explanation, Revision, names_where};
use crate::message::setters;
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::RunAsUser,
    overrides: None,
    revisions: &[
        Revision {
            since: 23,
            violated,
            explain,
        },
        Revision {
            since: 35,
            violated: violated_unless_user_namespace,
            explain,
        },
    ],
};

fn pod_is_root(template: &Template) -> bool {
    template.security.run_as_user == Some(0)
}

fn is_root(container: &Container) -> bool {
    container.security.run_as_user == Some(0)
}

fn violated(template: &Template, _: ServerVersion) -> bool {
    pod_is_root(template) || template.containers.iter().any(is_root)
}

fn violated_unless_user_namespace(template: &Template, server: ServerVersion) -> bool {
    !template.has_user_namespace() && violated(template, server)
}

fn explain(template: &Template, _: ServerVersion) -> Explanation {
    let names = names_where(template, is_root);
    let who = setters(pod_is_root(template), &names);
    Explanation::new("runAsUser=0", who + " must not set runAsUser=0", &names)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixture::assert_says;
    use crate::CheckId;

    #[test]
    fn table() {
        const POD: &str = "runAsUser=0 (pod must not set runAsUser=0)";
        const BOTH: &str = r#"runAsUser=0 (pod and container "a" must not set runAsUser=0)"#;
        let pod = |pod: Value, container: Value| {
            json!({"securityContext": {"runAsUser": pod},
                "containers": [{"name": "a", "securityContext": {"runAsUser": container}}]})
        };
        let mut in_user_namespace = pod(json!(0), json!(0));
        in_user_namespace["hostUsers"] = json!(false);
        assert_says(
            CheckId::RunAsUser,
            &[
                (
                    "absent",
                    json!({"containers": [{"name": "a"}]}),
                    &[(23, None), (37, None)],
                ),
                ("null", pod(json!(null), json!(null)), &[(23, None)]),
                (
                    "others",
                    pod(json!(1000), json!(-1)),
                    &[(23, None), (35, None)],
                ),
                (
                    "a pod as root, though every container overrides it",
                    pod(json!(0), json!(1)),
                    &[
                        (22, None),
                        (23, Some(POD)),
                        (34, Some(POD)),
                        (35, Some(POD)),
                    ],
                ),
                (
                    "both",
                    pod(json!(0), json!(0)),
                    &[(22, None), (37, Some(BOTH))],
                ),
                (
                    "in a user namespace",
                    in_user_namespace,
                    &[(22, None), (34, Some(BOTH)), (35, None), (37, None)],
                ),
            ],
        );
    }
}
