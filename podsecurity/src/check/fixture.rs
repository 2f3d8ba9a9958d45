//! What the tests of the checks have in common. Pure.

use podfence_workload::{Defaulting, Kind, Template, decode};
use serde_json::{Value, json};

use super::{CheckId, CheckSet};
use crate::evaluate::Rules;
use crate::message::message;
use crate::version::{ServerVersion, Version};

/// What a check is expected to say: nothing, or `reason (detail)`.
pub(crate) type Expected = Option<&'static str>;

/// A name, a pod specification, and pairs of a minor version and what is expected there.
pub(crate) type Row<'a> = (&'a str, Value, &'a [(u16, Expected)]);

/// Compares what the check says of each pod at each minor version.
pub(crate) fn assert_says(check: CheckId, rows: &[Row<'_>]) {
    for (name, spec, expectations) in rows {
        for (minor, expected) in *expectations {
            let said = says(check, *minor, ServerVersion::NEWEST, &pod(&json!({}), spec));
            assert_eq!(said.as_deref(), *expected, "{check}: {name} at v1.{minor}");
        }
    }
}

/// A decoded pod with these annotations and this specification.
pub(crate) fn pod(annotations: &Value, spec: &Value) -> Template {
    let json = json!({"metadata": {"name": "pod", "annotations": annotations}, "spec": spec});
    let object = decode(Kind::Pod, json.to_string().as_bytes(), Defaulting::AsServed).unwrap();
    object.template.unwrap().as_ref().clone()
}

/// What one check of a server says of a pod.
pub(crate) fn says(
    check: CheckId,
    minor: u16,
    server: ServerVersion,
    template: &Template,
) -> Option<String> {
    let rules = Rules::new(Version::Minor(minor.into()), server);
    let only: CheckSet = [check].into_iter().collect();
    let violations = rules.violations(template).intersection(only);
    (!violations.is_empty()).then(|| message(&rules.explain(template, violations)))
}

/// A pod that violates every check of every version, each for a container of its own.
pub(crate) fn violates_everything() -> Template {
    let spec = json!({
        "hostNetwork": true,
        "securityContext": {"runAsUser": 0, "sysctls": [{"name": "kernel.msgmax"}]},
        "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
        "initContainers": [{"name": "init", "ports": [{"hostPort": 80}],
            "livenessProbe": {"httpGet": {"host": "h"}}}],
        "containers": [{"name": "main", "securityContext": {
            "privileged": true, "procMount": "Unmasked", "capabilities": {"add": ["ALL"]},
            "seLinuxOptions": {"user": "u"}, "seccompProfile": {"type": "Unconfined"},
            "windowsOptions": {"hostProcess": true}, "runAsNonRoot": false}}],
    });
    let annotations = json!({
        "container.apparmor.security.beta.kubernetes.io/a": "unconfined",
        "container.apparmor.security.beta.kubernetes.io/b": "unconfined",
        "seccomp.security.alpha.kubernetes.io/pod": "unconfined",
    });
    pod(&annotations, &spec)
}
