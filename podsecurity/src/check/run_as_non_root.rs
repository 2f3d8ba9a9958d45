//! Restricted: no container runs as root. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.0 | `runAsNonRoot` is false neither for the pod nor for any container, and true for the pod or for every container |
//! | v1.35 | the same, but for pods in a user namespace of their own |
//!
//! What is set to false is reported first, and then alone.

use podfence_workload::{Container, Template};

use super::{Check, CheckId, Explanation, Revision, names_where};
use crate::message::{containers, setters};
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::RunAsNonRoot,
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

fn may_be_root(container: &Container) -> bool {
    container.security.run_as_non_root == Some(false)
}

fn says_nothing(container: &Container) -> bool {
    container.security.run_as_non_root.is_none()
}

fn violated(template: &Template, _: ServerVersion) -> bool {
    let mut containers = template.containers.iter();
    match template.security.run_as_non_root {
        Some(false) => true,
        Some(true) => containers.any(may_be_root),
        None => containers.any(|container| may_be_root(container) || says_nothing(container)),
    }
}

fn violated_unless_user_namespace(template: &Template, server: ServerVersion) -> bool {
    !template.has_user_namespace() && violated(template, server)
}

fn explain(template: &Template, _: ServerVersion) -> Explanation {
    const REASON: &str = "runAsNonRoot != true";
    let pod = template.security.run_as_non_root == Some(false);
    let explicit = names_where(template, may_be_root);
    if pod || !explicit.is_empty() {
        let detail = setters(pod, &explicit) + " must not set securityContext.runAsNonRoot=false";
        return Explanation::new(REASON, detail, &explicit);
    }
    let silent = names_where(template, says_nothing);
    let who = containers(&silent);
    let detail = format!("pod or {who} must set securityContext.runAsNonRoot=true");
    Explanation::new(REASON, detail, &silent)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixture::assert_says;
    use crate::CheckId;

    #[test]
    fn table() {
        const SILENT: &str = r#"runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)"#;
        const POD: &str =
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)";
        const BOTH: &str = r#"runAsNonRoot != true (pod and container "a" must not set securityContext.runAsNonRoot=false)"#;
        const EXPLICIT: &str = r#"runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)"#;
        let pod = |pod: Value, containers: &[Value]| {
            let containers: Vec<_> = containers
                .iter()
                .zip(["a", "b"])
                .map(|(value, name)| json!({"name": name, "securityContext": {"runAsNonRoot": value}}))
                .collect();
            json!({"securityContext": {"runAsNonRoot": pod}, "containers": containers})
        };
        let in_user_namespace = |mut spec: Value| {
            spec["hostUsers"] = json!(false);
            spec
        };
        let (yes, no, absent) = (json!(true), json!(false), json!(null));
        assert_says(
            CheckId::RunAsNonRoot,
            &[
                ("no containers", json!({}), &[(0, None), (35, None)]),
                (
                    "absent",
                    json!({"containers": [{"name": "a"}]}),
                    &[(0, Some(SILENT)), (34, Some(SILENT)), (35, Some(SILENT))],
                ),
                (
                    "one of two",
                    pod(absent.clone(), &[absent.clone(), yes.clone()]),
                    &[(37, Some(SILENT))],
                ),
                (
                    "inherited",
                    pod(yes.clone(), &[absent.clone(), yes.clone()]),
                    &[(0, None)],
                ),
                (
                    "every container",
                    pod(absent.clone(), &[yes.clone(), yes.clone()]),
                    &[(37, None)],
                ),
                (
                    "a false pod, though every container says true",
                    pod(no.clone(), std::slice::from_ref(&yes)),
                    &[(0, Some(POD)), (37, Some(POD))],
                ),
                (
                    "both",
                    pod(no.clone(), &[no.clone(), absent.clone()]),
                    &[(37, Some(BOTH))],
                ),
                (
                    "explicit goes before silent",
                    pod(absent.clone(), &[no.clone(), absent.clone()]),
                    &[(37, Some(EXPLICIT))],
                ),
                (
                    "in a user namespace",
                    in_user_namespace(pod(no, &[yes])),
                    &[(34, Some(POD)), (35, None), (37, None)],
                ),
            ],
        );
    }
}
