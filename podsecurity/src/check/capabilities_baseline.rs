//! Baseline: no container adds capabilities beyond the usual default set. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.0 | `capabilities.add` of every container holds only names of the set below |
//!
//! Names are compared as written: neither `chown` nor `CAP_CHOWN` is `CHOWN`. At the restricted
//! level [`super::capabilities_restricted`] takes its place from v1.22 on.

use podfence_workload::{CapabilityMask, Container, Template};

use super::{Check, CheckId, Explanation, Revision, names_where};
use crate::message::{Sorted, containers, quoted};
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::CapabilitiesBaseline,
    overrides: None,
    revisions: &[Revision {
        since: 0,
        violated,
        explain,
    }],
};

const ALLOWED: CapabilityMask = CapabilityMask::of(&[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
]);

fn adds_beyond_default(container: &Container) -> bool {
    container
        .security
        .capabilities
        .as_ref()
        .is_some_and(|caps| !caps.add.is_within(ALLOWED))
}

fn violated(template: &Template, _: ServerVersion) -> bool {
    template.containers.iter().any(adds_beyond_default)
}

fn explain(template: &Template, _: ServerVersion) -> Explanation {
    let names = names_where(template, adds_beyond_default);
    let capabilities: Sorted = template
        .containers
        .iter()
        .filter_map(|container| container.security.capabilities.as_ref())
        .flat_map(|capabilities| capabilities.add.names_outside(ALLOWED))
        .collect();
    let detail = format!(
        "{} must not include {} in securityContext.capabilities.add",
        containers(&names),
        quoted(capabilities)
    );
    Explanation::new("non-default capabilities", detail, &names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::assert_says;
    use super::ALLOWED;
    use crate::CheckId;

    #[test]
    fn table() {
        let adds = |name: &str, capabilities: &[&str]| json!({"name": name, "securityContext": {"capabilities": {"add": capabilities}}});
        assert_says(
            CheckId::CapabilitiesBaseline,
            &[
                (
                    "absent",
                    json!({"containers": [{"name": "a"}]}),
                    &[(0, None)],
                ),
                (
                    "empty, and dropped",
                    json!({"containers": [adds("a", &[]),
                        {"name": "b", "securityContext": {"capabilities": {"drop": ["NET_RAW"]}}}]}),
                    &[(0, None), (37, None)],
                ),
                (
                    "all allowed",
                    json!({"containers": [adds("a", &["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE",
                        "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
                        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"])]}),
                    &[(0, None), (37, None)],
                ),
                (
                    "forbidden, unknown and odd spellings",
                    json!({"containers": [adds("a", &["NET_RAW", "CHOWN", "chown"]),
                        adds("b", &["ALL", "CAP_CHOWN", "", "NET_RAW"]), adds("c", &["KILL"])]}),
                    &[(
                        37,
                        Some(
                            r#"non-default capabilities (containers "a", "b" must not include "", "ALL", "CAP_CHOWN", "NET_RAW", "chown" in securityContext.capabilities.add)"#,
                        ),
                    )],
                ),
            ],
        );
    }

    #[test]
    fn the_set_has_no_misspelt_name() {
        assert_eq!(ALLOWED.len(), 13);
    }
}
