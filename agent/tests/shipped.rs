//! What `config/agent` ships around the program fits the program: flags, ports, mounts, names. Reads
//! files.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::path::Path;

use clap::Parser;
use podfence_agent::args::{Args, Config, Functions};
use serde_json::{Value, json};

fn shipped(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../config/agent")
        .join(path);
    let text = fs::read_to_string(&path).expect("a readable file");
    serde_saphyr::from_str(&text).expect("YAML")
}

fn pod() -> Value {
    shipped("daemonset.yaml")["spec"]["template"].clone()
}

fn container() -> Value {
    pod()["spec"]["containers"][0].clone()
}

/// As the program understands what it is started with on a node.
fn config() -> Config {
    let arguments = container()["args"].clone();
    let arguments: Vec<String> = serde_json::from_value(arguments).expect("arguments");
    let name = container()["env"][0].clone();
    assert_eq!(name["name"], "NODE_NAME", "what args.rs reads");
    assert_eq!(name["valueFrom"]["fieldRef"]["fieldPath"], "spec.nodeName");
    let fixed = ["podfence-agent".to_owned(), "--node-name=a".to_owned()];
    let args = Args::try_parse_from(fixed.iter().chain(&arguments)).expect("known flags");
    args.resolve().expect("they fit together")
}

#[test]
fn every_function_is_on_and_probes_reach_it() {
    let config = config();
    let all = Functions {
        kubelet: true,
        runtime: true,
        containers: true,
        kernel: true,
        apparmor: true,
        seccomp_profiles: true,
        system_calls: false,
    };
    assert_eq!(config.functions, all);
    assert!(config.health_address.ip().is_unspecified());
    let port = &container()["ports"][0];
    assert_eq!(port["containerPort"], config.health_address.port());
    for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        let asked = container()[probe]["httpGet"].clone();
        assert_eq!(asked, json!({ "path": path, "port": port["name"] }));
    }
}

#[test]
fn it_sees_what_it_reads_and_changes_nothing() {
    let places = config().places;
    let mounts = container()["volumeMounts"].clone();
    let mounts = mounts.as_array().expect("mounts");
    let volumes = pod()["spec"]["volumes"].clone();
    let read: Vec<_> = mounts
        .iter()
        .map(|mount| mount["mountPath"].clone())
        .collect();
    let wanted = [places.containerd_bundles, places.seccomp_folder];
    assert_eq!(read, wanted.map(|path| json!(path)));
    for (mount, volume) in mounts.iter().zip(volumes.as_array().expect("volumes")) {
        assert_eq!(mount["name"], volume["name"]);
        assert_eq!(mount["readOnly"], true, "{mount}");
        // At the path that it has on the node, so that links lead where they lead there.
        assert_eq!(volume["hostPath"]["path"], mount["mountPath"]);
    }
    let cri_o = shipped("../agent-cri-o/kustomization.yaml")["patches"][0]["patch"].clone();
    let operations: Value = serde_saphyr::from_str(cri_o.as_str().expect("a patch")).expect("YAML");
    for operation in operations.as_array().expect("operations") {
        assert_eq!(
            operation["value"],
            json!(places.cri_o_bundles),
            "{operation}"
        );
    }
}

#[test]
fn it_is_as_restricted_as_what_it_reads_allows() {
    let security = container()["securityContext"].clone();
    let wanted = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
    });
    assert_eq!(security, wanted);
    let spec = pod()["spec"].clone();
    assert_eq!(
        spec["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    for field in ["hostNetwork", "hostPID", "hostIPC", "hostUsers"] {
        assert!(spec[field].is_null(), "{field}");
    }
    assert_eq!(
        spec["tolerations"],
        json!([{ "operator": "Exists" }]),
        "every node"
    );
}

#[test]
fn everything_is_about_one_account_in_one_namespace() {
    let namespace = shipped("namespace.yaml")["metadata"]["name"].clone();
    let account = shipped("service_account.yaml")["metadata"].clone();
    assert_eq!(account["namespace"], namespace);
    let subject = shipped("role_binding.yaml")["subjects"][0].clone();
    assert_eq!(
        (&subject["name"], &subject["namespace"]),
        (&account["name"], &namespace)
    );
    let daemon_set = shipped("daemonset.yaml");
    assert_eq!(daemon_set["metadata"]["namespace"], namespace);
    assert_eq!(pod()["spec"]["serviceAccountName"], account["name"]);
    let labels = &pod()["metadata"]["labels"];
    let network = shipped("network_policy.yaml")["spec"].clone();
    for selector in [&daemon_set["spec"]["selector"], &network["podSelector"]] {
        for (key, value) in selector["matchLabels"].as_object().expect("labels") {
            assert_eq!(&labels[key], value, "{key}");
        }
    }
    assert_eq!(
        network["ingress"][0]["ports"][0]["port"],
        container()["ports"][0]["name"]
    );
}
