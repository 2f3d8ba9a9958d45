//! Restricted: no process can gain more privileges than its parent. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.8 | `allowPrivilegeEscalation` of every container is false, explicitly |
//! | v1.25 | the same, but for pods that say that they run on Windows |

use podfence_workload::{Container, Template};

use super::{Check, CheckId, Explanation, Revision, names_where};
use crate::message::containers;
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::AllowPrivilegeEscalation,
    overrides: None,
    revisions: &[
        Revision {
            since: 8,
            violated,
            explain,
        },
        Revision {
            since: 25,
            violated: violated_unless_windows,
            explain,
        },
    ],
};

fn may_escalate(container: &Container) -> bool {
    container.security.allow_privilege_escalation != Some(false)
}

fn violated(template: &Template, _: ServerVersion) -> bool {
    template.containers.iter().any(may_escalate)
}

fn violated_unless_windows(template: &Template, server: ServerVersion) -> bool {
    !template.is_windows() && violated(template, server)
}

fn explain(template: &Template, _: ServerVersion) -> Explanation {
    let names = names_where(template, may_escalate);
    let detail = containers(&names) + " must set securityContext.allowPrivilegeEscalation=false";
    Explanation::new("allowPrivilegeEscalation != false", detail, &names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::assert_says;
    use crate::CheckId;

    #[test]
    fn table() {
        const ONE: &str = r#"allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)"#;
        const ALL: &str = r#"allowPrivilegeEscalation != false (containers "a", "b" must set securityContext.allowPrivilegeEscalation=false)"#;
        let sets = |name: &str, value: serde_json::Value| json!({"name": name, "securityContext": {"allowPrivilegeEscalation": value}});
        assert_says(
            CheckId::AllowPrivilegeEscalation,
            &[
                (
                    "absent",
                    json!({"containers": [{"name": "a"}]}),
                    &[
                        (7, None),
                        (8, Some(ONE)),
                        (24, Some(ONE)),
                        (25, Some(ONE)),
                        (37, Some(ONE)),
                    ],
                ),
                (
                    "absent on Windows",
                    json!({"os": {"name": "windows"}, "containers": [{"name": "a"}]}),
                    &[
                        (7, None),
                        (8, Some(ONE)),
                        (24, Some(ONE)),
                        (25, None),
                        (37, None),
                    ],
                ),
                (
                    "true and null",
                    json!({"containers": [sets("a", json!(true)), sets("b", json!(null)),
                        sets("c", json!(false))]}),
                    &[(8, Some(ALL)), (25, Some(ALL))],
                ),
                (
                    "false",
                    json!({"containers": [sets("a", json!(false))]}),
                    &[(8, None), (25, None), (37, None)],
                ),
            ],
        );
    }
}
