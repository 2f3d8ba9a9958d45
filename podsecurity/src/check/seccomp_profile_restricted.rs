//! Restricted: every container has a seccomp profile. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.19 | `seccompProfile` is of the type `RuntimeDefault` or `Localhost` wherever it is set, and it is set for the pod or for every container |
//! | v1.25 | the same, but for pods that say that they run on Windows |
//!
//! A forbidden type is reported first, and then alone.

use podfence_workload::{Container, Template};

use super::{Check, CheckId, Explanation, Revision, names_where, seccomp_profile_baseline};
use crate::message::containers;
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::SeccompProfileRestricted,
    overrides: Some(CheckId::SeccompProfileBaseline),
    revisions: &[
        Revision {
            since: 19,
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

fn has_none(container: &Container) -> bool {
    container.security.seccomp.is_none()
}

fn violated(template: &Template, server: ServerVersion) -> bool {
    seccomp_profile_baseline::violated_1_19(template, server)
        || (template.security.seccomp.is_none() && template.containers.iter().any(has_none))
}

fn violated_unless_windows(template: &Template, server: ServerVersion) -> bool {
    !template.is_windows() && violated(template, server)
}

fn explain(template: &Template, server: ServerVersion) -> Explanation {
    if seccomp_profile_baseline::violated_1_19(template, server) {
        return seccomp_profile_baseline::explain_1_19(template, server);
    }
    let names = names_where(template, has_none);
    let detail = format!(
        r#"pod or {} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost""#,
        containers(&names)
    );
    Explanation::new("seccompProfile", detail, &names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::assert_says;
    use crate::CheckId;

    #[test]
    fn table() {
        const ABSENT: &str = r#"seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#;
        const EXPLICIT: &str = r#"seccompProfile (container "b" must not set securityContext.seccompProfile.type to "Unconfined")"#;
        let profile = |kind: &str| json!({"seccompProfile": {"type": kind}});
        assert_says(
            CheckId::SeccompProfileRestricted,
            &[
                ("no containers", json!({}), &[(19, None), (37, None)]),
                (
                    "absent",
                    json!({"containers": [{"name": "a"}]}),
                    &[
                        (18, None),
                        (19, Some(ABSENT)),
                        (24, Some(ABSENT)),
                        (25, Some(ABSENT)),
                    ],
                ),
                (
                    "absent on Windows",
                    json!({"os": {"name": "windows"}, "containers": [{"name": "a"}]}),
                    &[
                        (18, None),
                        (19, Some(ABSENT)),
                        (24, Some(ABSENT)),
                        (25, None),
                        (37, None),
                    ],
                ),
                (
                    "set for the pod",
                    json!({"securityContext": profile("RuntimeDefault"), "containers": [{"name": "a"}]}),
                    &[(19, None), (25, None), (37, None)],
                ),
                (
                    "set for one of two",
                    json!({"containers": [{"name": "a"},
                        {"name": "b", "securityContext": profile("Localhost")}]}),
                    &[(19, Some(ABSENT)), (25, Some(ABSENT))],
                ),
                (
                    "explicit goes before absent",
                    json!({"containers": [{"name": "a"},
                        {"name": "b", "securityContext": profile("Unconfined")}]}),
                    &[(18, None), (19, Some(EXPLICIT)), (37, Some(EXPLICIT))],
                ),
            ],
        );
    }
}
