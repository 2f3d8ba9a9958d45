//! What no API server would serve is an error that names the field: never a panic, never a pass.

use podfence_workload::{
    DecodeError, Defaulting, Kind, MAX_ITEMS, MAX_NESTING, MAX_OBJECT_BYTES, Object, decode,
};
use serde_json::{Value, json};

fn read(json: &[u8]) -> Result<Object, DecodeError> {
    decode(Kind::Pod, json, Defaulting::AsServed)
}

/// Why it is refused; empty where it is not.
fn error(json: impl AsRef<[u8]>) -> String {
    read(json.as_ref())
        .err()
        .map_or_else(String::new, |error| error.to_string())
}

/// A pod with every field that is read, and no other.
fn full_pod() -> Value {
    let profiles = json!({"type": "Localhost", "localhostProfile": "p"});
    let options = json!({"type": "t", "user": "u", "role": "r"});
    let handler = json!({"httpGet": {"host": "h"}, "tcpSocket": {"host": "h"}});
    let requirement = json!([{"key": "k", "operator": "In", "values": ["v"]}]);
    let container = |name: &str| {
        json!({
            "name": name, "image": "i", "ports": [{"hostPort": 1}],
            "livenessProbe": handler, "readinessProbe": handler, "startupProbe": handler,
            "lifecycle": {"postStart": handler, "preStop": handler},
            "securityContext": {
                "privileged": true, "allowPrivilegeEscalation": true, "runAsNonRoot": true,
                "runAsUser": 1, "procMount": "Default", "windowsOptions": {"hostProcess": true},
                "capabilities": {"add": ["A"], "drop": ["B"]}, "seccompProfile": profiles,
                "appArmorProfile": profiles, "seLinuxOptions": options,
            },
        })
    };
    json!({
        "metadata": {
            "namespace": "ns", "name": "n", "generateName": "g", "uid": "u",
            "labels": {"app": "web"}, "deletionTimestamp": "t",
            "annotations": {"container.apparmor.security.beta.kubernetes.io/a": "v",
                "seccomp.security.alpha.kubernetes.io/pod": "v"},
            "ownerReferences": [{"apiVersion": "v", "kind": "k", "name": "n", "uid": "u",
                "controller": true}],
        },
        "spec": {
            "hostNetwork": true, "hostPID": true, "hostIPC": true, "hostUsers": true,
            "os": {"name": "linux"}, "runtimeClassName": "r", "nodeName": "n",
            "nodeSelector": {"k": "v"},
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                {"nodeSelectorTerms": [{"matchExpressions": requirement, "matchFields": requirement}]}}},
            "tolerations": [{"key": "k", "operator": "o", "value": "v", "effect": "e"}],
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 1, "seccompProfile": profiles,
                "appArmorProfile": profiles, "seLinuxOptions": options,
                "windowsOptions": {"hostProcess": true}, "sysctls": [{"name": "s"}],
            },
            "initContainers": [container("a")], "containers": [container("b")],
            "ephemeralContainers": [container("c")],
            "volumes": [{"name": "v", "hostPath": {}}, {"name": "w", "emptyDir": {}}],
        },
        "status": {"phase": "Running"},
    })
}

/// Every place in a value, with the path that an error about it names.
fn places(value: &Value, pointer: &str, path: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (key, child) in members {
                let escaped = key.replace('/', "~1");
                let dot = if path.is_empty() { "" } else { "." };
                let (pointer, path) = (format!("{pointer}/{escaped}"), format!("{path}{dot}{key}"));
                found.push((pointer.clone(), path.clone()));
                places(child, &pointer, &path, found);
            }
        }
        Value::Array(entries) => {
            for (index, child) in entries.iter().enumerate() {
                let (pointer, path) = (format!("{pointer}/{index}"), format!("{path}[{index}]"));
                found.push((pointer.clone(), path.clone()));
                places(child, &pointer, &path, found);
            }
        }
        _ => {}
    }
}

#[test]
fn a_wrong_type_anywhere_is_an_error_that_names_the_field() {
    let pod = full_pod();
    read(pod.to_string().as_bytes()).unwrap();
    let mut found = Vec::new();
    places(&pod, "", "", &mut found);
    assert!(found.len() > 240, "{} places", found.len());
    for (pointer, path) in found {
        let right = pod.pointer(&pointer).unwrap();
        for wrong in [
            json!(true),
            json!(1),
            json!(1.5),
            json!("x"),
            json!([]),
            json!([true]),
            json!({}),
        ] {
            if std::mem::discriminant(right) == std::mem::discriminant(&wrong) && !wrong.is_f64() {
                continue;
            }
            let mut pod = pod.clone();
            *pod.pointer_mut(&pointer).unwrap() = wrong.clone();
            let error = error(pod.to_string());
            assert!(
                error.starts_with(&format!("{path}: ")),
                "{path} = {wrong}: {error}"
            );
        }
    }
}

#[test]
fn null_is_absent_everywhere_but_in_lists() {
    let pod = full_pod();
    let mut found = Vec::new();
    places(&pod, "", "", &mut found);
    for (pointer, path) in found {
        let mut pod = pod.clone();
        *pod.pointer_mut(&pointer).unwrap() = Value::Null;
        let result = read(pod.to_string().as_bytes());
        match (&*path, path.ends_with(']')) {
            ("spec", _) => assert_eq!(result.unwrap_err().to_string(), "spec: missing"),
            (_, true) => assert!(result.unwrap_err().to_string().starts_with(&path), "{path}"),
            (_, false) => drop(result.unwrap_or_else(|error| panic!("{path}: {error}"))),
        }
    }
}

#[test]
fn what_is_there_twice_is_an_error() {
    let cases = [
        (r#"{"spec": {}, "spec": {"hostPID": true}}"#, "spec"),
        (
            r#"{"spec": {"hostPID": true, "hostPID": null}}"#,
            "spec.hostPID",
        ),
        (
            r#"{"spec": {"hostPID": true, "hostP\u0049D": false}}"#,
            "spec.hostPID",
        ),
        (
            r#"{"spec": {"containers": [{"name": "c", "securityContext": {"privileged": true}, "securityContext": {}}]}}"#,
            "spec.containers[0].securityContext",
        ),
        (
            r#"{"metadata": {"labels": {"a": "1", "a": "2"}}, "spec": {}}"#,
            "metadata.labels",
        ),
        (
            r#"{"metadata": {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "", "seccomp.security.alpha.kubernetes.io/pod": ""}}, "spec": {}}"#,
            "metadata.annotations",
        ),
        (
            r#"{"spec": {"volumes": [{"name": "v", "hostPath": {}, "hostPath": null}]}}"#,
            "spec.volumes[0].hostPath",
        ),
        (
            r#"{"spec": {"volumes": [{"name": "v", "name": "w"}]}}"#,
            "spec.volumes[0].name",
        ),
        (
            r#"{"spec": {"volumes": [{"name": "v"}, {"name": "w"}, {"name": "v"}]}}"#,
            "spec.volumes[2].name",
        ),
        (
            r#"{"spec": {"containers": [{"name": "c"}, {"name": "c"}]}}"#,
            "spec.containers[1].name",
        ),
        (
            r#"{"spec": {"containers": [{}, {}]}}"#,
            "spec.containers[1].name",
        ),
        (
            r#"{"spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "a"}, {"name": "c"}]}}"#,
            "spec.containers[0].name",
        ),
        (
            r#"{"spec": {"containers": [{"name": "c"}], "ephemeralContainers": [{"name": "e"}, {"name": "c"}]}}"#,
            "spec.ephemeralContainers[1].name",
        ),
    ];
    for (json, path) in cases {
        let error = error(json);
        // A repeated member is noticed at its object or at the member itself.
        let parent = path.rsplit_once('.').map_or(".", |(parent, _)| parent);
        let named = [path, parent]
            .iter()
            .any(|path| error.starts_with(&format!("{path}: ")));
        assert!(named, "{json}: {error}");
    }
    // What is not read may be there as often as it likes.
    read(br#"{"spec": {"x": 1, "x": 2}, "status": {"y": 1, "y": 2}}"#).unwrap();
}

#[test]
fn nesting_is_bounded_even_where_nothing_is_read() {
    let nested = |depth: usize| {
        // The object, metadata and annotations are three levels.
        let (open, close) = ("[".repeat(depth - 3), "]".repeat(depth - 3));
        format!(r#"{{"metadata": {{"annotations": {{"x": {open}{close}}}}}, "spec": {{}}}}"#)
    };
    read(nested(MAX_NESTING).as_bytes()).unwrap();
    assert_eq!(
        read(nested(MAX_NESTING + 1).as_bytes()),
        Err(DecodeError::TooDeep)
    );
    assert_eq!(
        read("[".repeat(1_000_000).as_bytes()),
        Err(DecodeError::TooDeep)
    );
    let members = r#"{"a":"#.repeat(500_000);
    assert_eq!(read(members.as_bytes()), Err(DecodeError::TooDeep));
    // Where something is read, the type is wrong long before it is too deep.
    let deep = format!(r#"{{"spec": {}{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    assert!(error(deep).starts_with("spec: "));
}

#[test]
fn size_is_bounded() {
    let padded = |bytes: usize| {
        let mut json = br#"{"spec": {}}"#.to_vec();
        json.resize(bytes, b' ');
        json
    };
    read(&padded(MAX_OBJECT_BYTES)).unwrap();
    let bytes = MAX_OBJECT_BYTES + 1;
    assert_eq!(read(&padded(bytes)), Err(DecodeError::TooLarge { bytes }));
}

#[test]
fn lists_are_bounded() {
    let list = |entry: &dyn Fn(usize) -> String, count: usize| {
        (0..count).map(entry).collect::<Vec<_>>().join(",")
    };
    let containers = |count| {
        let names = list(&|index| format!(r#"{{"name":"{index}"}}"#), count);
        format!(r#"{{"spec":{{"containers":[{names}]}}}}"#)
    };
    let labels = |count| {
        let labels = list(&|index| format!(r#""{index}":"""#), count);
        format!(r#"{{"metadata":{{"labels":{{{labels}}}}},"spec":{{}}}}"#)
    };
    let capabilities = |count| {
        let names = list(&|index| format!(r#""{index}""#), count);
        format!(
            r#"{{"spec":{{"containers":[{{"name":"c","securityContext":{{"capabilities":{{"add":[{names}]}}}}}}]}}}}"#
        )
    };
    let makers: [&dyn Fn(usize) -> String; 3] = [&containers, &labels, &capabilities];
    for make in makers {
        read(make(MAX_ITEMS).as_bytes()).unwrap();
        let error = error(make(MAX_ITEMS + 1));
        assert!(error.contains("more than 10000 entries"), "{error}");
    }
}

#[test]
fn text_must_be_unicode() {
    let mut json = br#"{"spec": {"x": "abc"}}"#.to_vec();
    json[16] = 0xff;
    assert_eq!(read(&json), Err(DecodeError::InvalidUtf8 { offset: 16 }));
    assert!(error(r#"{"spec": {"nodeName": "\ud800"}}"#).starts_with("spec.nodeName: "));
}

#[test]
fn numbers_must_fit() {
    let user =
        |number: &str| format!(r#"{{"spec": {{"securityContext": {{"runAsUser": {number}}}}}}}"#);
    let port = |number: &str| {
        format!(
            r#"{{"spec": {{"containers": [{{"name": "c", "ports": [{{"hostPort": {number}}}]}}]}}}}"#
        )
    };
    for number in [
        "9223372036854775808",
        "-9223372036854775809",
        "1e3",
        "0.0",
        "1e999",
        "-0.0",
    ] {
        assert!(
            error(user(number)).starts_with("spec.securityContext.runAsUser: "),
            "{number}"
        );
    }
    for number in ["2147483648", "-2147483649", "80.0"] {
        assert!(
            error(port(number)).starts_with("spec.containers[0].ports[0].hostPort: "),
            "{number}"
        );
    }
    read(user("9223372036854775807").as_bytes()).unwrap();
    read(port("2147483647").as_bytes()).unwrap();
}

#[test]
fn a_document_is_one_object() {
    let cases = [
        "",
        " ",
        "null",
        "[]",
        "\"pod\"",
        "{",
        r#"{"spec": {}} x"#,
        r#"{"spec": {}}{}"#,
        "{'spec': {}}",
    ];
    for json in cases {
        assert!(read(json.as_bytes()).is_err(), "{json:?}");
    }
}

#[test]
fn damaged_bytes_never_panic() {
    let whole = full_pod().to_string().into_bytes();
    for end in (0..whole.len()).step_by(13) {
        assert!(read(&whole[..end]).is_err(), "cut at {end}");
    }
    // A xorshift; the same damage in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for _ in 0..3_000 {
        let mut damaged = whole.clone();
        for _ in 0..=random(3) {
            let at = random(damaged.len());
            match random(4) {
                0 => damaged[at] = b"{}[]\",:\\n0t\0\xff"[random(13)],
                1 => drop(damaged.remove(at)),
                2 => damaged.insert(at, b"{}[]\",:\\"[random(8)]),
                _ => damaged.truncate(at.max(1)),
            }
        }
        // Whatever it says, it says it.
        let _ = read(&damaged);
    }
}
