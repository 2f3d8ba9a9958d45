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
fn every_function_but_the_observer_is_on_and_probes_reach_it() {
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

/// The observer's patches, as operations on the DaemonSet.
fn observer() -> Vec<Value> {
    let patch = shipped("../agent-observer/kustomization.yaml")["patches"][0]["patch"].clone();
    let operations: Value = serde_saphyr::from_str(patch.as_str().expect("a patch")).expect("YAML");
    operations.as_array().expect("operations").clone()
}

#[test]
fn the_observer_adds_its_flag_its_capabilities_and_its_rights() {
    let operation = |path: &str| {
        let path = format!("/spec/template/spec/containers/0/{path}");
        let operations = observer();
        let mut found = operations.iter().filter(|it| it["path"] == *path);
        let (found, more) = (found.next().cloned(), found.next().is_some());
        assert!(!more, "{path} once");
        found.expect("an operation")["value"].clone()
    };
    let flag = operation("args/-");
    let flag = flag.as_str().expect("a flag");
    let args = ["podfence-agent", "--node-name=a", flag];
    let args = Args::try_parse_from(args).expect("a known flag");
    let functions = args.resolve().expect("enough alone").functions;
    assert!(functions.system_calls && functions.need_pods());
    // No more than it takes to load programs and to attach them; nothing else becomes wider.
    let added = operation("securityContext/capabilities/add");
    assert_eq!(added, json!(["BPF", "PERFMON"]));
    operation("resources/requests/memory");
    operation("resources/limits/memory");
    assert_eq!(observer().len(), 4);
    let resources = shipped("../agent-observer/kustomization.yaml")["resources"].clone();
    assert_eq!(
        resources,
        json!(["../agent", "role.yaml", "role_binding.yaml"])
    );

    let rules = shipped("../agent-observer/role.yaml")["rules"].clone();
    let rules = rules.as_array().expect("rules").iter();
    let rules = rules.map(|rule| (rule["resources"].clone(), rule["verbs"].clone()));
    let wanted = [
        (
            json!(["syscallrecords"]),
            json!(["get", "create", "update"]),
        ),
        (json!(["replicasets"]), json!(["get"])),
        (json!(["jobs"]), json!(["get"])),
    ];
    assert_eq!(rules.collect::<Vec<_>>(), wanted);
    let binding = shipped("../agent-observer/role_binding.yaml");
    let role = shipped("../agent-observer/role.yaml");
    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
    let own = shipped("role_binding.yaml");
    assert_eq!(binding["subjects"], own["subjects"]);
}

#[test]
fn what_it_writes_at_the_end_fits_into_its_grace() {
    // The observer takes three seconds at most.
    let grace = pod()["spec"]["terminationGracePeriodSeconds"].as_u64();
    assert!(grace.is_some_and(|seconds| seconds > 3), "{grace:?}");
    assert_eq!(pod()["spec"]["priorityClassName"], "system-node-critical");
}

#[test]
fn policies_confine_the_account_by_its_name() {
    let account = shipped("service_account.yaml")["metadata"]["name"].clone();
    let account = account.as_str().expect("a name");
    let listed = shipped("kustomization.yaml")["resources"].clone();
    for (file, resource) in [
        ("confine_agent.yaml", "nodereports"),
        ("confine_agent_records.yaml", "syscallrecords"),
    ] {
        assert!(listed.as_array().expect("a list").contains(&json!(file)));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/agent");
        let text = fs::read_to_string(path.join(file)).expect("a readable file");
        let policies: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
        let [policy, binding] = &policies[..] else {
            panic!("{file}: a policy and its binding");
        };
        assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
        assert_eq!(policy["spec"]["failurePolicy"], "Fail");
        let rule = &policy["spec"]["matchConstraints"]["resourceRules"][0];
        assert_eq!(rule["resources"][0], *resource);
        assert_eq!(rule["operations"], json!(["CREATE", "UPDATE", "DELETE"]));
        let condition = policy["spec"]["matchConditions"][0]["expression"].as_str();
        let condition = condition.expect("an expression");
        assert!(condition.contains(&format!("':{account}'")), "{file}");
    }
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
