//! Baseline: `SELinux` confines as it does by default. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.0 | `seLinuxOptions` of the pod and of every container have no `user`, no `role`, and a `type` that is empty, `container_t`, `container_init_t` or `container_kvm_t`; the `level` is free |
//! | v1.31 | `container_engine_t` is allowed as well |

use podfence_workload::{Container, SeLinuxOptions, Template};

use super::{Check, CheckId, Explanation, Revision, names_where};
use crate::message::{Sorted, plural, quoted, setters};
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::SeLinuxOptions,
    overrides: None,
    revisions: &[
        Revision {
            since: 0,
            violated: violated_1_0,
            explain: explain_1_0,
        },
        Revision {
            since: 31,
            violated: violated_1_31,
            explain: explain_1_31,
        },
    ],
};

/// The types that v1.0 allows.
const TYPES_1_0: &[&str] = &["", "container_t", "container_init_t", "container_kvm_t"];
/// The types that v1.31 allows.
const TYPES_1_31: &[&str] = &[
    "",
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
];

fn violated_1_0(template: &Template, _: ServerVersion) -> bool {
    violated(template, TYPES_1_0)
}

fn violated_1_31(template: &Template, _: ServerVersion) -> bool {
    violated(template, TYPES_1_31)
}

fn explain_1_0(template: &Template, _: ServerVersion) -> Explanation {
    explain(template, TYPES_1_0)
}

fn explain_1_31(template: &Template, _: ServerVersion) -> Explanation {
    explain(template, TYPES_1_31)
}

fn is_forbidden(options: Option<&SeLinuxOptions>, allowed: &[&str]) -> bool {
    options.is_some_and(
        |SeLinuxOptions {
             selinux_type,
             user,
             role,
         }| { !user.is_empty() || !role.is_empty() || !allowed.contains(&&**selinux_type) },
    )
}

fn violated(template: &Template, allowed: &[&str]) -> bool {
    let containers = template
        .containers
        .iter()
        .map(|container| &container.security);
    std::iter::once(&template.security)
        .chain(containers)
        .any(|security| is_forbidden(security.selinux.as_deref(), allowed))
}

fn explain(template: &Template, allowed: &[&str]) -> Explanation {
    let pod = is_forbidden(template.security.selinux.as_deref(), allowed);
    let of_container =
        |container: &Container| is_forbidden(container.security.selinux.as_deref(), allowed);
    let names = names_where(template, of_container);
    let all = || {
        let containers = template
            .containers
            .iter()
            .map(|container| &container.security);
        std::iter::once(&template.security)
            .chain(containers)
            .filter_map(|security| security.selinux.as_deref())
    };
    let types: Sorted = all()
        .map(|options| &*options.selinux_type)
        .filter(|selinux_type| !allowed.contains(selinux_type))
        .collect();
    let mut parts = Vec::new();
    if !types.is_empty() {
        parts.push(format!(
            "{} {}",
            plural(types.len(), "type", "types"),
            quoted(types)
        ));
    }
    if all().any(|options| !options.user.is_empty()) {
        parts.push("user may not be set".to_owned());
    }
    if all().any(|options| !options.role.is_empty()) {
        parts.push("role may not be set".to_owned());
    }
    let who = setters(pod, &names);
    let detail = format!(
        "{who} set forbidden securityContext.seLinuxOptions: {}",
        parts.join("; ")
    );
    Explanation::new("seLinuxOptions", detail, &names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::assert_says;
    use crate::CheckId;

    #[test]
    fn table() {
        const ENGINE: &str = r#"seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "container_engine_t")"#;
        assert_says(
            CheckId::SeLinuxOptions,
            &[
                (
                    "absent",
                    json!({"containers": [{"name": "a"}]}),
                    &[(0, None), (31, None)],
                ),
                (
                    "empty, and a level",
                    json!({"securityContext": {"seLinuxOptions": {}},
                        "containers": [{"name": "a", "securityContext": {"seLinuxOptions":
                            {"type": "", "user": "", "role": null, "level": "s0:c1"}}}]}),
                    &[(0, None), (31, None)],
                ),
                (
                    "allowed types",
                    json!({"securityContext": {"seLinuxOptions": {"type": "container_t"}},
                        "containers": [
                            {"name": "a", "securityContext": {"seLinuxOptions": {"type": "container_init_t"}}},
                            {"name": "b", "securityContext": {"seLinuxOptions": {"type": "container_kvm_t"}}}]}),
                    &[(0, None), (30, None), (31, None), (37, None)],
                ),
                (
                    "the type of container engines",
                    json!({"securityContext": {"seLinuxOptions": {"type": "container_engine_t"}}}),
                    &[
                        (0, Some(ENGINE)),
                        (30, Some(ENGINE)),
                        (31, None),
                        (37, None),
                    ],
                ),
                (
                    "types, user and role",
                    json!({"securityContext": {"seLinuxOptions": {"type": "foo"}},
                        "containers": [
                            {"name": "a", "securityContext": {"seLinuxOptions": {"type": "bar", "user": "u"}}},
                            {"name": "b", "securityContext": {"seLinuxOptions": {"role": "r"}}}]}),
                    &[(
                        37,
                        Some(
                            r#"seLinuxOptions (pod and containers "a", "b" set forbidden securityContext.seLinuxOptions: types "bar", "foo"; user may not be set; role may not be set)"#,
                        ),
                    )],
                ),
                (
                    "a user alone",
                    json!({"containers": [{"name": "a", "securityContext": {"seLinuxOptions": {"user": "u"}}}]}),
                    &[(
                        31,
                        Some(
                            r#"seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: user may not be set)"#,
                        ),
                    )],
                ),
            ],
        );
    }
}
