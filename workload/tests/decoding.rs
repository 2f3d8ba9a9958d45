//! What each kind decodes to, from JSON and from YAML.

use podfence_workload::{
    ContainerKind, DecodeError, Defaulting, Kind, Object, PodPhase, ProfileType, Template,
    VolumeSource, decode,
};
use serde_json::{Value, json};

fn read(kind: Kind, value: &Value) -> Result<Object, DecodeError> {
    decode(kind, value.to_string().as_bytes(), Defaulting::AsServed)
}

/// A pod's template.
#[allow(clippy::unwrap_used, reason = "called by tests only")]
fn template(spec: &Value) -> Template {
    let object = read(Kind::Pod, &json!({"spec": spec})).unwrap();
    object.template.unwrap().as_ref().clone()
}

/// The object of a kind that has this template, and the path of the template's specification.
fn object(kind: Kind, template: &Value) -> (Value, &'static str) {
    match kind {
        Kind::Pod => (template.clone(), "spec"),
        Kind::PodTemplate => (json!({"template": template}), "template.spec"),
        Kind::CronJob => (
            json!({"spec": {"jobTemplate": {"spec": {"template": template}}}}),
            "spec.jobTemplate.spec.template.spec",
        ),
        _ => (
            json!({"spec": {"template": template}}),
            "spec.template.spec",
        ),
    }
}

#[test]
fn each_kind_has_its_template_where_kubernetes_has_it() {
    let pod = json!({
        "metadata": {"labels": {"app": "web"}, "annotations": {
            "container.apparmor.security.beta.kubernetes.io/c": "unconfined", "other": "x"}},
        "spec": {"hostPID": true, "nodeName": "n", "containers": [{"name": "c", "image": "i"}]},
    });
    for kind in Kind::ALL {
        let (object, path) = object(kind, &pod);
        let object = read(kind, &object).unwrap();
        let template = object.template.as_ref().unwrap();
        assert_eq!(object.kind, kind);
        assert!(template.host_pid, "{kind}");
        assert_eq!(object.pod_labels().get("app"), Some("web"), "{kind}");
        assert_eq!(object.node_name.as_deref(), Some("n"), "{kind}");
        assert_eq!(&*template.containers[0].name, "c", "{kind}");
        assert_eq!(template.annotations.len(), 1, "{kind}");

        let (wrong, _) = self::object(kind, &json!({"spec": {"hostPID": "yes"}}));
        let error = read(kind, &wrong).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{path}.hostPID: ")), "{error}");
        let (bare, _) = self::object(kind, &json!({"metadata": {}}));
        let error = read(kind, &bare).unwrap_err().to_string();
        assert_eq!(error, format!("{path}: missing"));
    }
}

#[test]
fn only_a_replication_controller_may_lack_a_template() {
    for kind in Kind::ALL {
        for value in [json!({}), json!({"spec": null}), json!({"metadata": {}})] {
            let read = read(kind, &value);
            match kind {
                Kind::ReplicationController => assert_eq!(read.unwrap().template, None),
                _ => assert!(
                    read.unwrap_err().to_string().ends_with(": missing"),
                    "{kind}"
                ),
            }
        }
    }
}

#[test]
fn metadata_is_kept_as_far_as_it_matters() {
    let pod = json!({
        "metadata": {"namespace": "shop", "name": "web-1", "generateName": "web-", "uid": "u",
            "labels": {"b": "2", "a": null}, "deletionTimestamp": "2026-11-20T10:00:00Z",
            "ownerReferences": [{"kind": "Other"}, {"controller": false, "kind": "Not"},
                {"controller": true, "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web",
                    "uid": "r"}, {"controller": true, "kind": "Late"}]},
        "spec": {},
    });
    let Object { meta, .. } = read(Kind::Pod, &pod).unwrap();
    assert_eq!(
        (&*meta.namespace, &*meta.name, meta.deleting),
        ("shop", "web-1", true)
    );
    assert_eq!(meta.uid.to_string(), "u");
    assert_eq!(
        meta.labels.iter().collect::<Vec<_>>(),
        [("a", ""), ("b", "2")]
    );
    let owner = meta.controller.unwrap();
    assert_eq!((&*owner.kind, &*owner.name), ("ReplicaSet", "web"));

    let meta = read(Kind::Pod, &json!({"spec": {}})).unwrap().meta;
    assert_eq!((&*meta.namespace, &*meta.name), ("", ""));
    assert!(meta.uid.is_empty() && meta.labels.is_empty() && meta.controller.is_none());
    let unnamed = json!({"metadata": {"generateName": "web-"}, "spec": {}});
    assert_eq!(&*read(Kind::Pod, &unnamed).unwrap().meta.name, "web-");
}

#[test]
fn a_pod_or_job_that_is_over_says_so() {
    let phases = [
        (json!(null), None, false),
        (json!({}), None, false),
        (json!({"phase": "Pending"}), Some(PodPhase::Pending), false),
        (json!({"phase": "Running"}), Some(PodPhase::Running), false),
        (
            json!({"phase": "Succeeded"}),
            Some(PodPhase::Succeeded),
            true,
        ),
        (json!({"phase": "Failed"}), Some(PodPhase::Failed), true),
        (json!({"phase": "Unknown"}), Some(PodPhase::Unknown), false),
        (json!({"phase": "Melted"}), Some(PodPhase::Unknown), false),
    ];
    for (status, phase, finished) in phases {
        let pod = read(Kind::Pod, &json!({"spec": {}, "status": status})).unwrap();
        assert_eq!((pod.phase, pod.finished), (phase, finished), "{status}");
    }
    let conditions = [
        (json!([]), false),
        (json!([{"type": "Complete", "status": "False"}]), false),
        (json!([{"type": "Suspended", "status": "True"}]), false),
        (json!([{"type": "FailureTarget", "status": "True"}]), false),
        (json!([{"type": "Complete", "status": "True"}]), true),
        (
            json!([{"type": "x"}, {"type": "Failed", "status": "True"}]),
            true,
        ),
    ];
    for (conditions, finished) in conditions {
        let job = json!({"spec": {"template": {"spec": {}}}, "status": {"conditions": conditions}});
        assert_eq!(
            read(Kind::Job, &job).unwrap().finished,
            finished,
            "{conditions}"
        );
    }
}

#[test]
fn replicas_are_kept_where_there_are_any() {
    for (kind, replicas) in [
        (Kind::Deployment, Some(0)),
        (Kind::Job, None),
        (Kind::DaemonSet, None),
    ] {
        let mut value = json!({"spec": {"template": {"spec": {}}}});
        if replicas.is_some() {
            value["spec"]["replicas"] = json!(0);
        }
        assert_eq!(read(kind, &value).unwrap().replicas, replicas, "{kind}");
    }
}

#[test]
fn absent_and_empty_are_kept_apart() {
    let container = |security: Value| {
        let template =
            template(&json!({"containers": [{"name": "c", "securityContext": security}]}));
        template.containers[0].security.clone()
    };
    let absent = container(json!(null));
    assert_eq!(container(json!({})), absent);
    assert_eq!(absent.seccomp, None);
    assert_eq!(container(json!({"seccompProfile": null})), absent);
    let empty = container(json!({"seccompProfile": {}})).seccomp.unwrap();
    assert_eq!(empty.profile_type, ProfileType::Other("".into()));
    assert_eq!(absent.capabilities, None);
    assert!(
        container(json!({"capabilities": {}}))
            .capabilities
            .unwrap()
            .add
            .is_empty()
    );
    assert_eq!(absent.proc_mount, None);
    assert_eq!(
        container(json!({"procMount": ""})).proc_mount.as_deref(),
        Some("")
    );
    assert_eq!(absent.run_as_user, None);
    assert_eq!(container(json!({"runAsUser": 0})).run_as_user, Some(0));
    assert_eq!(
        container(json!({"privileged": false})).privileged,
        Some(false)
    );
    assert_eq!(template(&json!({})).host_users, None);
    assert_eq!(
        template(&json!({"hostUsers": false})).host_users,
        Some(false)
    );
}

#[test]
fn containers_are_in_the_order_of_messages() {
    let template = template(&json!({
        "ephemeralContainers": [{"name": "e"}],
        "containers": [{"name": "b"}, {"name": "a"}],
        "initContainers": [{"name": "i"}],
    }));
    let found: Vec<_> = template
        .containers
        .iter()
        .map(|one| (&*one.name, one.kind))
        .collect();
    assert_eq!(
        found,
        [
            ("i", ContainerKind::Init),
            ("b", ContainerKind::Regular),
            ("a", ContainerKind::Regular),
            ("e", ContainerKind::Ephemeral),
        ]
    );
}

#[test]
fn a_volume_without_a_source_is_an_empty_dir_only_in_a_manifest() {
    let spec = json!({"volumes": [{"name": "none"}, {"name": "null", "emptyDir": null},
        {"name": "future", "hologram": {}}, {"name": "text", "hologram": "x"},
        {"name": "host", "hostPath": {}}, {"name": "token", "projected": {}}]});
    let kept = |defaulting| {
        let json = json!({"spec": spec}).to_string();
        let template = decode(Kind::Pod, json.as_bytes(), defaulting)
            .unwrap()
            .template
            .unwrap();
        let volumes = template.volumes.iter();
        volumes
            .map(|one| (one.name.to_string(), one.sources.first()))
            .collect::<Vec<_>>()
    };
    let host = Some(VolumeSource::HostPath);
    let named = |list: &[(&str, Option<VolumeSource>)]| -> Vec<_> {
        list.iter()
            .map(|(name, source)| ((*name).to_owned(), *source))
            .collect()
    };
    let unknown = [("future", None), ("text", None), ("host", host)];
    assert_eq!(kept(Defaulting::EmptyDir), named(&unknown));
    let served = [&[("none", None), ("null", None)][..], &unknown].concat();
    assert_eq!(kept(Defaulting::AsServed), named(&served));
}

#[test]
fn pods_of_one_controller_have_equal_templates() {
    let pod = |number: usize, owner: &str| {
        let node = format!("node-{number}");
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In",
                "values": [node]}]}]}}});
        json!({
            "metadata": {"name": format!("{owner}-{number}"), "uid": format!("u{number}"),
                "labels": {"pod": format!("{number}")}, "annotations": {"note": format!("{number}")}},
            "spec": {"nodeName": node, "affinity": affinity, "hostname": format!("h{number}"),
                "containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": format!("t-{number}")}]}],
                "volumes": [{"name": format!("t-{number}"), "projected": {}}]},
            "status": {"podIP": format!("10.0.0.{number}")},
        })
    };
    let (first, second) = (
        read(Kind::Pod, &pod(1, "a")).unwrap(),
        read(Kind::Pod, &pod(2, "a")).unwrap(),
    );
    assert_eq!(first.template, second.template);
    let template = first.template.unwrap();
    let terms = template.placement.required_affinity.as_ref().unwrap();
    assert!(terms[0].own_node && terms[0].fields.is_empty());

    // A pod that is not bound yet, or that asks for another node, says so.
    let mut elsewhere = pod(1, "a");
    elsewhere["spec"]["nodeName"] = json!("node-9");
    let template = read(Kind::Pod, &elsewhere).unwrap().template.unwrap();
    let terms = template.placement.required_affinity.as_ref().unwrap();
    assert!(!terms[0].own_node && &*terms[0].fields[0].values[0] == "node-1");
}

#[test]
fn placement_is_kept() {
    let template = template(&json!({
        "runtimeClassName": "gvisor", "os": {"name": "windows"}, "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoSchedule"}, {}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "NotIn",
                "values": ["a", "b"]}]}]}}},
    }));
    let placement = &template.placement;
    assert_eq!(template.runtime_class.as_deref(), Some("gvisor"));
    assert!(template.is_windows());
    assert_eq!(placement.node_selector.get("disk"), Some("ssd"));
    assert_eq!(&*placement.tolerations[0].effect, "NoSchedule");
    assert_eq!(&*placement.tolerations[1].key, "");
    let expression = &placement.required_affinity.as_ref().unwrap()[0].expressions[0];
    assert_eq!((&*expression.key, expression.values.len()), ("zone", 2));
}

#[test]
fn yaml_reads_as_json_does() {
    let yaml = "
metadata:
  name: web
  labels: {app: web}
spec:
  hostPID: yes
  hostIPC: off
  containers:
    - name: c
      image: nginx
      securityContext: {runAsUser: 0, seccompProfile: {type: RuntimeDefault}}
      ports: [{hostPort: 80}]
  volumes:
    - name: empty
    - name: nothing
      emptyDir:
";
    let read_yaml = |text: &str| {
        // An error leaves the rest of the document unread, which would be an error of its own.
        let mut result = None;
        let _ = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
            let object = Object::deserialize_kind(Kind::Pod, deserializer, Defaulting::EmptyDir);
            result = Some(object);
            Ok(())
        });
        result.unwrap()
    };
    let json = json!({
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"hostPID": true, "hostIPC": false, "containers": [{"name": "c", "image": "nginx",
            "securityContext": {"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}},
            "ports": [{"hostPort": 80}]}],
            "volumes": [{"name": "empty"}, {"name": "nothing", "emptyDir": null}]},
    });
    let from_json = decode(Kind::Pod, json.to_string().as_bytes(), Defaulting::EmptyDir).unwrap();
    assert_eq!(read_yaml(yaml).unwrap(), from_json);
    assert!(from_json.template.unwrap().volumes.is_empty());

    // What YAML could convert is refused, as it is by an API server.
    let wrong = [
        ("spec: {hostPID: \"true\"}", "spec.hostPID: "),
        (
            "spec: {containers: [{name: 1}]}",
            "spec.containers[0].name: ",
        ),
        (
            "spec: {containers: [{name: c, ports: [{hostPort: \"80\"}]}]}",
            "spec.containers[0].ports[0].hostPort: ",
        ),
        ("spec: {containers: {name: c}}", "spec.containers: "),
        (
            "metadata: {labels: {version: 1.10}}\nspec: {}",
            "metadata.labels.version: ",
        ),
    ];
    for (text, path) in wrong {
        let error = read_yaml(text).unwrap_err().to_string();
        assert!(error.starts_with(path), "{text}: {error}");
    }
}
