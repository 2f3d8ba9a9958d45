//! Baseline: the pod shares none of the host's namespaces. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.0 | `hostNetwork`, `hostPID` and `hostIPC` are absent or false |

use podfence_workload::Template;

use super::{Check, CheckId, Explanation, Revision};
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::HostNamespaces,
    overrides: None,
    revisions: &[Revision {
        since: 0,
        violated,
        explain,
    }],
};

fn violated(template: &Template, _: ServerVersion) -> bool {
    template.host_network || template.host_pid || template.host_ipc
}

fn explain(template: &Template, _: ServerVersion) -> Explanation {
    let shared: Vec<_> = [
        (template.host_network, "hostNetwork=true"),
        (template.host_pid, "hostPID=true"),
        (template.host_ipc, "hostIPC=true"),
    ]
    .into_iter()
    .filter_map(|(is_shared, text)| is_shared.then_some(text))
    .collect();
    Explanation::new("host namespaces", shared.join(", "), &[])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::assert_says;
    use crate::CheckId;

    #[test]
    fn table() {
        assert_says(
            CheckId::HostNamespaces,
            &[
                ("absent", json!({}), &[(0, None), (37, None)]),
                (
                    "null and false",
                    json!({"hostNetwork": null, "hostPID": false, "hostIPC": false}),
                    &[(0, None)],
                ),
                (
                    "one",
                    json!({"hostPID": true}),
                    &[(0, Some("host namespaces (hostPID=true)"))],
                ),
                (
                    "all",
                    json!({"hostIPC": true, "hostPID": true, "hostNetwork": true}),
                    &[(
                        37,
                        Some("host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)"),
                    )],
                ),
            ],
        );
    }
}
