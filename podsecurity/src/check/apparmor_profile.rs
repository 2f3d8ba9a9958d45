//! Baseline: `AppArmor` is not switched off. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.0 | `appArmorProfile` of the pod and of every container is absent or of the type `RuntimeDefault` or `Localhost`; annotations `container.apparmor.security.beta.kubernetes.io/*` are empty, `runtime/default` or begin with `localhost/` |
//!
//! An annotation counts whether or not the pod has a container of its name. API servers look at
//! the fields since 1.30, at every version of the policy.

use podfence_workload::{APPARMOR_ANNOTATION_PREFIX, Container, SecurityContext, Template};

use super::{Check, CheckId, Explanation, Revision, names_where};
use crate::go_quote::go_quote;
use crate::message::{Sorted, containers, plural, quoted};
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::AppArmorProfile,
    overrides: None,
    revisions: &[Revision {
        since: 0,
        violated,
        explain,
    }],
};

/// Whether a profile is set that does not confine. One without a type does not.
fn is_forbidden(security: &SecurityContext) -> bool {
    security
        .apparmor
        .as_ref()
        .is_some_and(|profile| !profile.profile_type.is_confined())
}

fn forbidden_annotations(template: &Template) -> impl Iterator<Item = (&str, &str)> {
    template
        .annotations
        .iter()
        .map(|(key, value)| (&**key, &**value))
        .filter(|(key, value)| {
            key.starts_with(APPARMOR_ANNOTATION_PREFIX)
                && !value.is_empty()
                && *value != "runtime/default"
                && !value.starts_with("localhost/")
        })
}

fn violated(template: &Template, _: ServerVersion) -> bool {
    is_forbidden(&template.security)
        || template
            .containers
            .iter()
            .any(|container| is_forbidden(&container.security))
        || forbidden_annotations(template).next().is_some()
}

fn explain(template: &Template, _: ServerVersion) -> Explanation {
    let names = names_where(template, |container: &Container| {
        is_forbidden(&container.security)
    });
    let mut annotations: Vec<String> = forbidden_annotations(template)
        .map(|(key, value)| format!("{key}={}", go_quote(value)))
        .collect();
    annotations.sort_unstable();
    let mut who = Vec::new();
    if is_forbidden(&template.security) {
        who.push("pod".to_owned());
    }
    if !names.is_empty() {
        who.push(containers(&names));
    }
    if !annotations.is_empty() {
        who.push(plural(annotations.len(), "annotation", "annotations").to_owned());
    }
    let securities = template
        .containers
        .iter()
        .map(|container| &container.security);
    let types: Sorted = std::iter::once(&template.security)
        .chain(securities)
        .filter(|security| is_forbidden(security))
        .filter_map(|security| security.apparmor.as_ref())
        .map(|profile| profile.profile_type.as_str())
        .collect();
    let values: Vec<&str> = types
        .into_iter()
        .chain(annotations.iter().map(String::as_str))
        .collect();
    let reason = plural(
        values.len(),
        "forbidden AppArmor profile",
        "forbidden AppArmor profiles",
    );
    let detail = format!(
        "{} must not set AppArmor profile type to {}",
        who.join(" and "),
        quoted(values)
    );
    Explanation::new(reason, detail, &names)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixture::{assert_says, pod, says};
    use crate::{CheckId, ServerVersion};

    #[test]
    fn fields() {
        let profile = |kind: &str| json!({"appArmorProfile": {"type": kind}});
        assert_says(
            CheckId::AppArmorProfile,
            &[
                (
                    "absent",
                    json!({"containers": [{"name": "a"}]}),
                    &[(0, None), (37, None)],
                ),
                (
                    "allowed",
                    json!({"securityContext": profile("RuntimeDefault"), "containers": [
                        {"name": "a", "securityContext": profile("Localhost")}]}),
                    &[(0, None), (37, None)],
                ),
                (
                    "one forbidden type, twice",
                    json!({"securityContext": profile("Unconfined"), "containers": [
                        {"name": "a", "securityContext": profile("Unconfined")}]}),
                    &[(
                        0,
                        Some(
                            r#"forbidden AppArmor profile (pod and container "a" must not set AppArmor profile type to "Unconfined")"#,
                        ),
                    )],
                ),
                (
                    "without a type",
                    json!({"containers": [{"name": "a", "securityContext": {"appArmorProfile": {}}}]}),
                    &[(
                        37,
                        Some(
                            r#"forbidden AppArmor profile (container "a" must not set AppArmor profile type to "")"#,
                        ),
                    )],
                ),
            ],
        );
    }

    #[test]
    fn annotations() {
        let key = |name: &str| format!("container.apparmor.security.beta.kubernetes.io/{name}");
        let spec = json!({"securityContext": {"appArmorProfile": {"type": "x"}}});
        let said = |annotations: Value, spec: &Value| {
            let template = pod(&annotations, spec);
            says(
                CheckId::AppArmorProfile,
                37,
                ServerVersion::NEWEST,
                &template,
            )
        };
        let allowed = json!({key("a"): "", key("b"): "runtime/default", key("c"): "localhost/",
            "other": "unconfined"});
        assert_eq!(said(allowed, &json!({})), None);
        assert_eq!(
            said(json!({key(""): "a\"b"}), &json!({})).as_deref(),
            Some(
                r#"forbidden AppArmor profile (annotation must not set AppArmor profile type to "container.apparmor.security.beta.kubernetes.io/="a\"b"")"#
            )
        );
        assert_eq!(
            said(json!({key("b"): "y", key("a"): "unconfined"}), &spec).as_deref(),
            Some(
                r#"forbidden AppArmor profiles (pod and annotations must not set AppArmor profile type to "x", "container.apparmor.security.beta.kubernetes.io/a="unconfined"", "container.apparmor.security.beta.kubernetes.io/b="y"")"#
            )
        );
    }
}
