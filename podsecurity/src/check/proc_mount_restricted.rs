//! Restricted: `/proc` is mounted with its default masks, in user namespaces as well. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.35 | `procMount` of every container is absent or `Default` |
//!
//! Until v1.34 the baseline check had this rule; from v1.35 on that one makes an exception for
//! user namespaces, and this one keeps the rule for the restricted level.

use super::{Check, CheckId, Revision, proc_mount};

pub(super) static CHECK: Check = Check {
    id: CheckId::ProcMountRestricted,
    overrides: Some(CheckId::ProcMount),
    revisions: &[Revision {
        since: 35,
        violated: proc_mount::violated,
        explain: proc_mount::explain,
    }],
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::assert_says;
    use crate::CheckId;

    #[test]
    fn table() {
        const UNMASKED: &str =
            r#"procMount (container "a" must not set securityContext.procMount to "Unmasked")"#;
        let unmasked = json!([{"name": "a", "securityContext": {"procMount": "Unmasked"}}]);
        assert_says(
            CheckId::ProcMountRestricted,
            &[
                (
                    "absent",
                    json!({"containers": [{"name": "a"}]}),
                    &[(35, None)],
                ),
                (
                    "default",
                    json!({"containers": [{"name": "a", "securityContext": {"procMount": "Default"}}]}),
                    &[(35, None)],
                ),
                (
                    "unmasked",
                    json!({"containers": unmasked}),
                    &[(34, None), (35, Some(UNMASKED)), (37, Some(UNMASKED))],
                ),
                (
                    "unmasked in a user namespace",
                    json!({"hostUsers": false, "containers": unmasked}),
                    &[(34, None), (35, Some(UNMASKED))],
                ),
            ],
        );
    }
}
