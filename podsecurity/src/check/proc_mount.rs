//! Baseline: `/proc` is mounted with its default masks. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.0 | `procMount` of every container is absent or `Default` |
//! | v1.35 | the same, but for pods in a user namespace of their own |
//!
//! At the restricted level [`super::proc_mount_restricted`] takes its place from v1.35 on, with
//! the rule of v1.0.

use podfence_workload::{Container, Template};

use super::{Check, CheckId, Explanation, Revision, names_where};
use crate::message::{Sorted, containers, quoted};
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::ProcMount,
    overrides: None,
    revisions: &[
        Revision {
            since: 0,
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

fn is_unmasked(container: &Container) -> bool {
    container
        .security
        .proc_mount
        .as_deref()
        .is_some_and(|mount| mount != "Default")
}

pub(super) fn violated(template: &Template, _: ServerVersion) -> bool {
    template.containers.iter().any(is_unmasked)
}

fn violated_unless_user_namespace(template: &Template, server: ServerVersion) -> bool {
    !template.has_user_namespace() && violated(template, server)
}

pub(super) fn explain(template: &Template, _: ServerVersion) -> Explanation {
    let names = names_where(template, is_unmasked);
    let mounts: Sorted = template
        .containers
        .iter()
        .filter(|container| is_unmasked(container))
        .filter_map(|container| container.security.proc_mount.as_deref())
        .collect();
    let who = containers(&names);
    let detail = format!(
        "{who} must not set securityContext.procMount to {}",
        quoted(mounts)
    );
    Explanation::new("procMount", detail, &names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::assert_says;
    use crate::CheckId;

    const UNMASKED: &str =
        r#"procMount (container "a" must not set securityContext.procMount to "Unmasked")"#;

    #[test]
    fn table() {
        let mounts = |name: &str, mount: &str| json!({"name": name, "securityContext": {"procMount": mount}});
        assert_says(
            CheckId::ProcMount,
            &[
                (
                    "absent",
                    json!({"containers": [{"name": "a"}]}),
                    &[(0, None)],
                ),
                (
                    "default",
                    json!({"containers": [mounts("a", "Default")]}),
                    &[(0, None)],
                ),
                (
                    "unmasked",
                    json!({"containers": [mounts("a", "Unmasked")]}),
                    &[
                        (0, Some(UNMASKED)),
                        (34, Some(UNMASKED)),
                        (35, Some(UNMASKED)),
                    ],
                ),
                (
                    "unmasked in a user namespace",
                    json!({"hostUsers": false, "containers": [mounts("a", "Unmasked")]}),
                    &[
                        (0, Some(UNMASKED)),
                        (34, Some(UNMASKED)),
                        (35, None),
                        (37, None),
                    ],
                ),
                (
                    "unmasked without one",
                    json!({"hostUsers": true, "containers": [mounts("a", "Unmasked")]}),
                    &[(35, Some(UNMASKED))],
                ),
                (
                    "empty and odd",
                    json!({"containers": [mounts("b", "x"), mounts("a", "")]}),
                    &[(
                        37,
                        Some(
                            r#"procMount (containers "b", "a" must not set securityContext.procMount to "", "x")"#,
                        ),
                    )],
                ),
            ],
        );
    }
}
