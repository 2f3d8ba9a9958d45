//! Pods that an API server takes: a compliant one, changed in a few places at random. Pure.
//!
//! The generator of the differential test makes pods of every kind of nonsense; an API server
//! refuses nearly all of them. Here each change by itself is valid, and most combinations are.

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// What every level allows.
fn compliant() -> Value {
    let container = |name: &str| {
        json!({ "name": name, "image": "app:1", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } }})
    };
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "pod" }, "spec": {
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
        "initContainers": [container("i")],
        "containers": [container("a"), container("b")],
    }})
}

/// Changes of the pod, one a line: fields and their values; null removes the field.
fn pod_changes() -> Vec<Vec<(&'static str, Value)>> {
    let security = |field: &'static str, value: Value| vec![(field, value)];
    vec![
        vec![("spec.hostNetwork", json!(true))],
        vec![("spec.hostPID", json!(true)), ("spec.hostIPC", json!(true))],
        vec![("spec.hostUsers", json!(false))],
        vec![
            ("spec.hostUsers", json!(false)),
            (
                "spec.containers.0.securityContext.procMount",
                json!("Unmasked"),
            ),
        ],
        security("spec.securityContext.runAsNonRoot", Value::Null),
        security("spec.securityContext.runAsNonRoot", json!(false)),
        security("spec.securityContext.runAsUser", json!(0)),
        security("spec.securityContext.runAsUser", json!(1000)),
        security("spec.securityContext.seccompProfile", Value::Null),
        security(
            "spec.securityContext.seccompProfile",
            json!({ "type": "Unconfined" }),
        ),
        security(
            "spec.securityContext.seccompProfile",
            json!({ "type": "Localhost", "localhostProfile": "p.json" }),
        ),
        security(
            "spec.securityContext.appArmorProfile",
            json!({ "type": "Unconfined" }),
        ),
        security(
            "spec.securityContext.appArmorProfile",
            json!({ "type": "RuntimeDefault" }),
        ),
        security(
            "spec.securityContext.seLinuxOptions",
            json!({ "type": "spc_t", "level": "s0" }),
        ),
        security(
            "spec.securityContext.seLinuxOptions",
            json!({ "type": "container_engine_t" }),
        ),
        security(
            "spec.securityContext.seLinuxOptions",
            json!({ "user": "u", "role": "r" }),
        ),
        security(
            "spec.securityContext.seLinuxOptions",
            json!({ "level": "s0:c1" }),
        ),
        security(
            "spec.securityContext.sysctls",
            sysctls(&["kernel.msgmax", "net.ipv4.tcp_rmem"]),
        ),
        security(
            "spec.securityContext.sysctls",
            sysctls(&["net.ipv4.tcp_keepalive_time"]),
        ),
        security(
            "spec.securityContext.sysctls",
            sysctls(&["net.ipv4.tcp_notsent_lowat"]),
        ),
        security(
            "spec.securityContext.sysctls",
            sysctls(&["net.ipv4.ip_local_reserved_ports"]),
        ),
        vec![
            ("spec.hostNetwork", json!(true)),
            (
                "spec.securityContext.windowsOptions",
                json!({ "hostProcess": true }),
            ),
        ],
        vec![
            ("spec.os", json!({ "name": "windows" })),
            ("spec.securityContext", json!({ "runAsNonRoot": true })),
            ("spec.initContainers.0.securityContext", Value::Null),
            ("spec.containers.0.securityContext", Value::Null),
            ("spec.containers.1.securityContext", Value::Null),
        ],
        vec![(
            "metadata.annotations",
            json!({ "container.apparmor.security.beta.kubernetes.io/a": "unconfined" }),
        )],
        vec![(
            "metadata.annotations",
            json!({ "seccomp.security.alpha.kubernetes.io/pod": "unconfined",
            "container.seccomp.security.alpha.kubernetes.io/b": "localhost/x" }),
        )],
    ]
}

fn sysctls(names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| json!({ "name": name, "value": "1" }))
        .collect()
}

/// Changes of a container, of any of the three.
fn container_changes() -> Vec<Vec<(&'static str, Value)>> {
    let http = json!({ "host": "127.0.0.1", "port": 80, "path": "/" });
    let tcp = json!({ "host": "10.0.0.1", "port": 80 });
    vec![
        vec![("securityContext", Value::Null)],
        vec![("securityContext", json!({}))],
        vec![("securityContext.allowPrivilegeEscalation", Value::Null)],
        vec![
            ("securityContext.allowPrivilegeEscalation", json!(true)),
            ("securityContext.privileged", json!(true)),
        ],
        vec![("securityContext.privileged", json!(false))],
        vec![("securityContext.capabilities", json!({}))],
        vec![(
            "securityContext.capabilities.drop",
            json!(["NET_RAW", "all"]),
        )],
        vec![(
            "securityContext.capabilities.add",
            json!(["NET_BIND_SERVICE"]),
        )],
        vec![(
            "securityContext.capabilities.add",
            json!(["SYS_ADMIN", "CHOWN", "NET_ADMIN"]),
        )],
        vec![(
            "securityContext.capabilities.add",
            json!(["chown", "CAP_KILL"]),
        )],
        vec![("securityContext.runAsNonRoot", json!(false))],
        vec![("securityContext.runAsNonRoot", json!(true))],
        vec![("securityContext.runAsUser", json!(0))],
        vec![(
            "securityContext.seccompProfile",
            json!({ "type": "Unconfined" }),
        )],
        vec![(
            "securityContext.seccompProfile",
            json!({ "type": "RuntimeDefault" }),
        )],
        vec![(
            "securityContext.appArmorProfile",
            json!({ "type": "Unconfined" }),
        )],
        vec![(
            "securityContext.seLinuxOptions",
            json!({ "type": "spc_t", "user": "u" }),
        )],
        vec![("securityContext.procMount", json!("Default"))],
        vec![(
            "ports",
            json!([{ "containerPort": 80, "hostPort": 8080 }, { "containerPort": 81, "hostPort": 443 }]),
        )],
        vec![("ports", json!([{ "containerPort": 82 }]))],
        vec![
            ("livenessProbe", json!({ "httpGet": http })),
            ("readinessProbe", json!({ "tcpSocket": tcp })),
        ],
        vec![(
            "lifecycle",
            json!({ "preStop": { "tcpSocket": tcp }, "postStart": { "httpGet": http } }),
        )],
    ]
}

/// Sources of a volume that are valid, the first one by default.
fn volume_sources() -> Vec<(&'static str, Value)> {
    vec![
        ("", Value::Null),
        ("emptyDir", json!({})),
        ("secret", json!({ "secretName": "s" })),
        ("image", json!({ "reference": "data:1" })),
        ("csi", json!({ "driver": "d.example.com" })),
        ("hostPath", json!({ "path": "/var/log" })),
        ("nfs", json!({ "server": "s", "path": "/" })),
        (
            "iscsi",
            json!({ "targetPortal": "p", "iqn": "iqn.2026-01.com.example:x", "lun": 0 }),
        ),
        ("flexVolume", json!({ "driver": "v/d" })),
        ("gitRepo", json!({ "repository": "r" })),
    ]
}

/// As many pods, the same for the same seed.
pub(crate) fn pods(count: usize, seed: u64) -> Vec<Value> {
    let mut random = Rng::with_seed(seed);
    (0..count).map(|_| pod(&mut random)).collect()
}

fn pod(random: &mut Rng) -> Value {
    let mut pod = compliant();
    let (pods, containers, sources) = (pod_changes(), container_changes(), volume_sources());
    for _ in 0..random.usize(0..3) {
        for (path, value) in &pods[random.usize(0..pods.len())] {
            set(&mut pod, path, value.clone());
        }
    }
    for _ in 0..random.usize(0..3) {
        let container = ["initContainers.0", "containers.0", "containers.1"][random.usize(0..3)];
        for (path, value) in &containers[random.usize(0..containers.len())] {
            set(&mut pod, &format!("spec.{container}.{path}"), value.clone());
        }
    }
    let volumes: Vec<Value> = (0..random.usize(0..3))
        .map(|number| {
            let (source, value) = &sources[random.usize(0..sources.len())];
            let mut volume = json!({ "name": format!("v{number}") });
            set(&mut volume, source, value.clone());
            volume
        })
        .collect();
    set(&mut pod, "spec.volumes", volumes.into());
    pod
}

/// Sets the field at a path, or removes it by null.
fn set(object: &mut Value, path: &str, value: Value) {
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut parent = object;
    for step in parents.split('.').filter(|step| !step.is_empty()) {
        parent = match step.parse::<usize>() {
            Ok(index) => &mut parent[index],
            Err(_) => &mut parent[step],
        };
    }
    if parent.is_null() {
        *parent = Value::Object(Map::new());
    }
    let Value::Object(fields) = parent else {
        return;
    };
    if value.is_null() {
        fields.remove(last);
    } else {
        fields.insert(last.to_owned(), value);
    }
}
