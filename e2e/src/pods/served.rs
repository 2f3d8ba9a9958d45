//! What an API server adds to a pod before it is read again: defaults, ownership, status. Pure.

use serde_json::{Value, json};

/// The pod as a controller created it, a scheduler bound it, a kubelet runs it and an API server
/// returns it: about five kilobytes, most of which no check looks at.
#[must_use]
pub fn as_served(pod: &Value, number: usize) -> Value {
    let mut served = pod.clone();
    let name = format!("web-5d8f7c9b6d-{number:05x}");
    let uid = format!("7f3c{number:04x}-1b2c-4d3e-8f90-123456789abc");
    let annotations = pod["metadata"]["annotations"].clone();
    served["apiVersion"] = json!("v1");
    served["kind"] = json!("Pod");
    served["metadata"] = json!({
        "name": name, "generateName": "web-5d8f7c9b6d-", "namespace": "shop", "uid": uid,
        "resourceVersion": "1234567", "generation": 1, "creationTimestamp": "2026-11-20T10:00:00Z",
        "labels": {"app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop",
            "pod-template-hash": "5d8f7c9b6d"},
        "annotations": annotations,
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d8f7c9b6d",
            "uid": "4a1b2c3d-1b2c-4d3e-8f90-123456789abc", "controller": true, "blockOwnerDeletion": true}],
        "managedFields": [controller_fields(), kubelet_fields()],
    });
    let spec = &mut served["spec"];
    for (field, value) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("serviceAccountName", json!("default")),
        ("serviceAccount", json!("default")),
        ("nodeName", json!("node-7")),
        ("schedulerName", json!("default-scheduler")),
        ("priority", json!(0)),
        ("enableServiceLinks", json!(true)),
        ("preemptionPolicy", json!("PreemptLowerPriority")),
        (
            "tolerations",
            json!([
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": 300}]),
        ),
    ] {
        spec[field] = value;
    }
    let token = format!("kube-api-access-{number:05x}");
    let projected = json!({"name": token, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace",
            "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}]}});
    match &mut spec["volumes"] {
        Value::Array(volumes) => volumes.push(projected),
        volumes => *volumes = json!([projected]),
    }
    let mut statuses = Vec::new();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            container["resources"] = json!({"limits": {"memory": "256Mi"},
                "requests": {"cpu": "100m", "memory": "256Mi"}});
            container["terminationMessagePath"] = json!("/dev/termination-log");
            container["terminationMessagePolicy"] = json!("File");
            container["imagePullPolicy"] = json!("IfNotPresent");
            container["env"] = json!([{"name": "LOG_LEVEL", "value": "info"}, {"name": "POD_IP",
                "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}]);
            container["volumeMounts"] = json!([{"name": token, "readOnly": true,
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]);
            statuses.push(container_status(&container["name"]));
        }
    }
    served["status"] = status(&statuses);
    served
}

fn controller_fields() -> Value {
    json!({"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
        "time": "2026-11-20T10:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {
            "f:metadata": {"f:generateName": {}, "f:labels": {".": {}, "f:app.kubernetes.io/name": {},
                "f:app.kubernetes.io/part-of": {}, "f:pod-template-hash": {}}, "f:ownerReferences": {".": {},
                "k:{\"uid\":\"4a1b2c3d-1b2c-4d3e-8f90-123456789abc\"}": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {".": {}, "f:env": {".": {},
                "k:{\"name\":\"LOG_LEVEL\"}": {".": {}, "f:name": {}, "f:value": {}}}, "f:image": {},
                "f:imagePullPolicy": {}, "f:name": {}, "f:resources": {".": {}, "f:limits": {".": {},
                "f:memory": {}}, "f:requests": {".": {}, "f:cpu": {}, "f:memory": {}}},
                "f:securityContext": {".": {}, "f:allowPrivilegeEscalation": {}, "f:capabilities": {".": {},
                "f:drop": {}}}, "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {}}},
                "f:dnsPolicy": {}, "f:enableServiceLinks": {}, "f:restartPolicy": {}, "f:schedulerName": {},
                "f:securityContext": {}, "f:terminationGracePeriodSeconds": {}}}})
}

fn kubelet_fields() -> Value {
    let conditions = [
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodReadyToStartContainers",
    ];
    let conditions: serde_json::Map<String, Value> = conditions
        .iter()
        .map(|condition| {
            let fields = json!({".": {}, "f:lastProbeTime": {}, "f:lastTransitionTime": {}, "f:status": {},
                "f:type": {}});
            (format!("k:{{\"type\":\"{condition}\"}}"), fields)
        })
        .collect();
    json!({"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "subresource": "status",
        "time": "2026-11-20T10:00:05Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {
            "f:conditions": conditions, "f:containerStatuses": {}, "f:hostIP": {}, "f:phase": {},
            "f:podIP": {}, "f:podIPs": {".": {}, "k:{\"ip\":\"10.1.2.3\"}": {".": {}, "f:ip": {}}},
            "f:startTime": {}}}})
}

fn container_status(name: &Value) -> Value {
    json!({"name": name, "image": "registry.example/app:1", "ready": true, "started": true,
        "restartCount": 0, "lastState": {}, "state": {"running": {"startedAt": "2026-11-20T10:00:04Z"}},
        "imageID": "registry.example/app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "containerID": "containerd://e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"})
}

fn status(container_statuses: &[Value]) -> Value {
    let condition = |name: &str| {
        json!({"type": name, "status": "True", "lastProbeTime": null,
            "lastTransitionTime": "2026-11-20T10:00:05Z"})
    };
    json!({"phase": "Running", "qosClass": "Burstable", "hostIP": "10.0.0.7", "podIP": "10.1.2.3",
        "hostIPs": [{"ip": "10.0.0.7"}], "podIPs": [{"ip": "10.1.2.3"}],
        "startTime": "2026-11-20T10:00:00Z", "containerStatuses": container_statuses,
        "conditions": [condition("PodReadyToStartContainers"), condition("Initialized"),
            condition("Ready"), condition("ContainersReady"), condition("PodScheduled")]})
}
