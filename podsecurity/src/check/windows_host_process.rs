//! Baseline: no container is a Windows process of the host. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.0 | `windowsOptions.hostProcess` of the pod and of every container is absent or false |

use podfence_workload::{Container, Template};

use super::{Check, CheckId, Explanation, Revision, names_where};
use crate::message::setters;
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::WindowsHostProcess,
    overrides: None,
    revisions: &[Revision {
        since: 0,
        violated,
        explain,
    }],
};

fn pod_is_host_process(template: &Template) -> bool {
    template.security.windows_host_process == Some(true)
}

fn is_host_process(container: &Container) -> bool {
    container.security.windows_host_process == Some(true)
}

fn violated(template: &Template, _: ServerVersion) -> bool {
    pod_is_host_process(template) || template.containers.iter().any(is_host_process)
}

fn explain(template: &Template, _: ServerVersion) -> Explanation {
    let names = names_where(template, is_host_process);
    let who = setters(pod_is_host_process(template), &names);
    let detail = who + " must not set securityContext.windowsOptions.hostProcess=true";
    Explanation::new("hostProcess", detail, &names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::assert_says;
    use crate::CheckId;

    #[test]
    fn table() {
        let options = |value: serde_json::Value| json!({"windowsOptions": {"hostProcess": value}});
        assert_says(
            CheckId::WindowsHostProcess,
            &[
                (
                    "absent",
                    json!({"containers": [{"name": "a"}]}),
                    &[(0, None)],
                ),
                (
                    "null, false and no options",
                    json!({"securityContext": options(json!(null)), "containers": [
                        {"name": "a", "securityContext": options(json!(false))},
                        {"name": "b", "securityContext": {"windowsOptions": {}}}]}),
                    &[(0, None), (37, None)],
                ),
                (
                    "pod and container, on Windows as well",
                    json!({"os": {"name": "windows"}, "securityContext": options(json!(true)),
                        "containers": [{"name": "a", "securityContext": options(json!(true))}]}),
                    &[(
                        37,
                        Some(
                            r#"hostProcess (pod and container "a" must not set securityContext.windowsOptions.hostProcess=true)"#,
                        ),
                    )],
                ),
                (
                    "pod alone",
                    json!({"securityContext": options(json!(true)), "containers": [
                        {"name": "a", "securityContext": options(json!(false))}]}),
                    &[(
                        0,
                        Some(
                            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
                        ),
                    )],
                ),
            ],
        );
    }
}
