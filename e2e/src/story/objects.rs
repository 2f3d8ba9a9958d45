//! Workloads as stories need them: passing a level and no stricter one. Pure.

use serde_json::{Value, json};

/// The strictest Pod Security level that a workload passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passes {
    /// Everything: it says all that restricted asks for.
    Restricted,
    /// As most images are run: it says nothing about its security.
    Baseline,
    /// It shares the node's network and processes.
    Privileged,
}

/// A pod's spec.
#[must_use]
pub fn pod_spec(passes: Passes) -> Value {
    let mut container = json!({ "name": "app", "image": "registry.example.com/app:1" });
    let mut spec = json!({});
    match passes {
        Passes::Restricted => {
            container["securityContext"] = json!({
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
            });
            spec["securityContext"] =
                json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
        }
        Passes::Baseline => {}
        Passes::Privileged => {
            spec["hostNetwork"] = json!(true);
            spec["hostPID"] = json!(true);
        }
    }
    spec["containers"] = json!([container]);
    spec
}

/// A bare pod with the label `app` as its name.
#[must_use]
pub fn pod(namespace: &str, name: &str, passes: Passes) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace, "labels": { "app": name } },
        "spec": pod_spec(passes),
    })
}

/// A Deployment whose pods have the label `app` as its name.
///
/// It is recreated rather than rolled: without nodes no new pod ever gets ready, and the old ones
/// would stay.
#[must_use]
pub fn deployment(namespace: &str, name: &str, passes: Passes, replicas: u32) -> Value {
    let labels = json!({ "app": name });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "namespace": namespace, "labels": labels },
        "spec": {
            "replicas": replicas,
            "strategy": { "type": "Recreate" },
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": pod_spec(passes) },
        },
    })
}
