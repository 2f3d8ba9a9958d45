//! Baseline: seccomp is not switched off. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.0 | the annotations `seccomp.security.alpha.kubernetes.io/pod` and `container.seccomp.security.alpha.kubernetes.io/<container>` are absent, `runtime/default`, `docker/default` or begin with `localhost/` |
//! | v1.19 | `seccompProfile` of the pod and of every container is absent or of the type `RuntimeDefault` or `Localhost`; annotations no longer count |
//!
//! At the restricted level [`super::seccomp_profile_restricted`] takes its place from v1.19 on.

use std::collections::BTreeSet;

use podfence_workload::{
    Container, SECCOMP_CONTAINER_ANNOTATION_PREFIX, SECCOMP_POD_ANNOTATION, SecurityContext,
    Template,
};

use super::{Check, CheckId, Explanation, Revision, names_where};
use crate::go_quote::go_quote;
use crate::message::{Sorted, plural, quoted, setters};
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::SeccompProfileBaseline,
    overrides: None,
    revisions: &[
        Revision {
            since: 0,
            violated: violated_1_0,
            explain: explain_1_0,
        },
        Revision {
            since: 19,
            violated: violated_1_19,
            explain: explain_1_19,
        },
    ],
};

/// The annotations of the pod and of those containers that it has, with a forbidden value.
fn forbidden_annotations(template: &Template) -> impl Iterator<Item = (&str, &str)> {
    template
        .annotations
        .iter()
        .map(|(key, value)| (&**key, &**value))
        .filter(|(key, value)| {
            let counts = match key.strip_prefix(SECCOMP_CONTAINER_ANNOTATION_PREFIX) {
                Some(name) => template
                    .containers
                    .iter()
                    .any(|container| *container.name == *name),
                None => *key == SECCOMP_POD_ANNOTATION,
            };
            counts
                && !matches!(*value, "runtime/default" | "docker/default")
                && !value.starts_with("localhost/")
        })
}

fn violated_1_0(template: &Template, _: ServerVersion) -> bool {
    forbidden_annotations(template).next().is_some()
}

fn explain_1_0(template: &Template, _: ServerVersion) -> Explanation {
    let annotations: BTreeSet<String> = forbidden_annotations(template)
        .map(|(key, value)| format!("{key}={}", go_quote(value)))
        .collect();
    let names = names_where(template, |container| {
        forbidden_annotations(template).any(|(key, _)| {
            key.strip_prefix(SECCOMP_CONTAINER_ANNOTATION_PREFIX) == Some(&container.name)
        })
    });
    let word = plural(annotations.len(), "annotation", "annotations");
    let list: Vec<_> = annotations.into_iter().collect();
    Explanation::new(
        "seccompProfile",
        format!("forbidden {word} {}", list.join(", ")),
        &names,
    )
}

/// Whether a profile is set that does not confine. One without a type does not.
fn is_forbidden(security: &SecurityContext) -> bool {
    security
        .seccomp
        .as_ref()
        .is_some_and(|profile| !profile.profile_type.is_confined())
}

pub(super) fn violated_1_19(template: &Template, _: ServerVersion) -> bool {
    is_forbidden(&template.security)
        || template
            .containers
            .iter()
            .any(|container| is_forbidden(&container.security))
}

pub(super) fn explain_1_19(template: &Template, _: ServerVersion) -> Explanation {
    let names = names_where(template, |container: &Container| {
        is_forbidden(&container.security)
    });
    let containers = template
        .containers
        .iter()
        .map(|container| &container.security);
    let types: Sorted = std::iter::once(&template.security)
        .chain(containers)
        .filter_map(|security| security.seccomp.as_ref())
        .filter(|profile| !profile.profile_type.is_confined())
        .map(|profile| profile.profile_type.as_str())
        .collect();
    let detail = format!(
        "{} must not set securityContext.seccompProfile.type to {}",
        setters(is_forbidden(&template.security), &names),
        quoted(types)
    );
    Explanation::new("seccompProfile", detail, &names)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixture::{assert_says, pod, says};
    use crate::{CheckId, ServerVersion};

    #[test]
    fn fields() {
        const UNCONFINED: &str = r#"seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")"#;
        assert_says(
            CheckId::SeccompProfileBaseline,
            &[
                (
                    "absent",
                    json!({"containers": [{"name": "a"}]}),
                    &[(18, None), (19, None)],
                ),
                (
                    "allowed",
                    json!({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                        "containers": [{"name": "a", "securityContext":
                            {"seccompProfile": {"type": "Localhost", "localhostProfile": "p"}}}]}),
                    &[(18, None), (19, None), (37, None)],
                ),
                (
                    "unconfined",
                    json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
                    &[(18, None), (19, Some(UNCONFINED)), (37, Some(UNCONFINED))],
                ),
                (
                    "without a type, and odd",
                    json!({"securityContext": {"seccompProfile": {}}, "containers": [
                        {"name": "a", "securityContext": {"seccompProfile": {"type": null}}},
                        {"name": "b", "securityContext": {"seccompProfile": {"type": "runtimedefault"}}}]}),
                    &[(
                        19,
                        Some(
                            r#"seccompProfile (pod and containers "a", "b" must not set securityContext.seccompProfile.type to "", "runtimedefault")"#,
                        ),
                    )],
                ),
            ],
        );
    }

    #[test]
    fn annotations() {
        let spec = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "b"}]});
        let container =
            |name: &str| format!("container.seccomp.security.alpha.kubernetes.io/{name}");
        let annotations = |pod: &str, a: &str, b: &str, other: &str| {
            json!({"seccomp.security.alpha.kubernetes.io/pod": pod, container("a"): a,
                container("b"): b, container("other"): other})
        };
        let said = |minor, annotations: Value| {
            let template = pod(&annotations, &spec);
            says(
                CheckId::SeccompProfileBaseline,
                minor,
                ServerVersion::NEWEST,
                &template,
            )
        };
        let allowed = annotations(
            "runtime/default",
            "docker/default",
            "localhost/",
            "unconfined",
        );
        assert_eq!(said(0, allowed), None);
        let forbidden = annotations("runtime/default", "", "localhost/x", "");
        assert_eq!(
            said(18, forbidden.clone()).as_deref(),
            Some(
                r#"seccompProfile (forbidden annotation container.seccomp.security.alpha.kubernetes.io/a="")"#
            )
        );
        assert_eq!(said(19, forbidden), None);
        assert_eq!(
            said(0, annotations("a\n", "unconfined", "docker/default ", "")).as_deref(),
            Some(
                r#"seccompProfile (forbidden annotations container.seccomp.security.alpha.kubernetes.io/a="unconfined", container.seccomp.security.alpha.kubernetes.io/b="docker/default ", seccomp.security.alpha.kubernetes.io/pod="a\n")"#
            )
        );
    }
}
