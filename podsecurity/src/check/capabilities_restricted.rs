//! Restricted: every container drops all capabilities and adds at most one. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.22 | `capabilities.drop` of every container holds the literal `ALL`, and `capabilities.add` nothing but `NET_BIND_SERVICE` |
//! | v1.25 | the same, but for pods that say that they run on Windows, which has no capabilities |

use podfence_workload::{CapabilityMask, Container, Template};

use super::{Check, CheckId, Explanation, Revision, names_where};
use crate::message::{Sorted, containers, quoted};
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::CapabilitiesRestricted,
    overrides: Some(CheckId::CapabilitiesBaseline),
    revisions: &[
        Revision {
            since: 22,
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

const ALLOWED: CapabilityMask = CapabilityMask::of(&["NET_BIND_SERVICE"]);

fn keeps_some(container: &Container) -> bool {
    !container
        .security
        .capabilities
        .as_ref()
        .is_some_and(|caps| caps.drop.has_all())
}

fn adds_forbidden(container: &Container) -> bool {
    container
        .security
        .capabilities
        .as_ref()
        .is_some_and(|caps| !caps.add.is_within(ALLOWED))
}

fn violated(template: &Template, _: ServerVersion) -> bool {
    template
        .containers
        .iter()
        .any(|container| keeps_some(container) || adds_forbidden(container))
}

fn violated_unless_windows(template: &Template, server: ServerVersion) -> bool {
    !template.is_windows() && violated(template, server)
}

fn explain(template: &Template, _: ServerVersion) -> Explanation {
    let keeping = names_where(template, keeps_some);
    let adding = names_where(template, adds_forbidden);
    let mut parts = Vec::new();
    if !keeping.is_empty() {
        parts.push(containers(&keeping) + r#" must set securityContext.capabilities.drop=["ALL"]"#);
    }
    if !adding.is_empty() {
        let forbidden: Sorted = template
            .containers
            .iter()
            .filter_map(|container| container.security.capabilities.as_ref())
            .flat_map(|capabilities| capabilities.add.names_outside(ALLOWED))
            .collect();
        parts.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            containers(&adding),
            quoted(forbidden)
        ));
    }
    let either = names_where(template, |container| {
        keeps_some(container) || adds_forbidden(container)
    });
    Explanation::new("unrestricted capabilities", parts.join("; "), &either)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::assert_says;
    use crate::CheckId;

    const MISSING: &str = r#"unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"])"#;

    #[test]
    fn table() {
        let container = |name: &str, add: &[&str], drop: &[&str]| {
            json!({"name": name,
                "securityContext": {"capabilities": {"add": add, "drop": drop}}})
        };
        assert_says(
            CheckId::CapabilitiesRestricted,
            &[
                (
                    "absent",
                    json!({"containers": [{"name": "a"}]}),
                    &[
                        (21, None),
                        (22, Some(MISSING)),
                        (25, Some(MISSING)),
                        (37, Some(MISSING)),
                    ],
                ),
                (
                    "absent on Windows",
                    json!({"os": {"name": "windows"}, "containers": [{"name": "a"}]}),
                    &[(21, None), (24, Some(MISSING)), (25, None), (37, None)],
                ),
                (
                    "an operating system that is not quite Windows",
                    json!({"os": {"name": "Windows"}, "containers": [{"name": "a"}]}),
                    &[(25, Some(MISSING))],
                ),
                (
                    "all dropped and the one allowed added",
                    json!({"containers": [container("a", &["NET_BIND_SERVICE"], &["x", "ALL"])]}),
                    &[(22, None), (25, None)],
                ),
                (
                    "all misspelt",
                    json!({"containers": [container("a", &[], &["all"])]}),
                    &[(22, Some(MISSING))],
                ),
                (
                    "both",
                    json!({"containers": [container("a", &["CHOWN"], &["ALL"]), {"name": "b"},
                        container("c", &["y", "CHOWN"], &[])]}),
                    &[(
                        37,
                        Some(
                            r#"unrestricted capabilities (containers "b", "c" must set securityContext.capabilities.drop=["ALL"]; containers "a", "c" must not include "CHOWN", "y" in securityContext.capabilities.add)"#,
                        ),
                    )],
                ),
            ],
        );
    }
}
