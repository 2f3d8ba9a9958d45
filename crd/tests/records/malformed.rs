//! What cannot be read is named and kept; the rest counts.

use podfence_crd::SyscallRecordSpec;
use serde_json::{Value, json};

use super::facts::{bytes, empty, facts};

/// A record with one entry in which everything can be read.
fn good() -> Value {
    let seen = |name: &str| {
        json!({
            "name": name, "abi": "x86_64", "first": "2026-11-01T00:00:00Z",
            "last": "2026-11-02T00:00:00Z", "magnitude": 3,
        })
    };
    let (mut call, mut denial) = (seen("unshare"), seen("keyctl"));
    call["arguments"] = json!({ "0": "0x10000000" });
    call["result"] = json!("Success");
    call["source"] = json!("Observer");
    denial["errno"] = json!("EPERM");
    denial["arguments"] = json!({ "0": "0x5" });
    json!({
        "workload": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
        "entries": [{
            "container": "app", "image": "sha256:00", "profile": "5f3a", "capabilities": ["CHOWN"],
            "architecture": "amd64", "kernel": "4.8", "calls": [call], "denials": [denial],
            "watched": [{ "first": "2026-11-01T00:00:00Z", "last": "2026-11-02T00:00:00Z" }],
        }],
    })
}

fn with(pointer: &str, value: Value) -> SyscallRecordSpec {
    let mut record = good();
    *record.pointer_mut(pointer).expect("a field") = value;
    serde_json::from_value(record).expect("a record")
}

/// How many facts there are in a good record.
const FACTS: usize = 3;

/// The field, what is written there, what is said of it, and how many facts are left.
const TABLE: [(&str, &str, &str, usize); 19] = [
    (
        "architecture",
        r#""""#,
        r#".architecture of container "app": "" is"#,
        0,
    ),
    (
        "architecture",
        r#""x86_64""#,
        r#".architecture of container "app": "x86"#,
        0,
    ),
    (
        "kernel",
        r#""new""#,
        r#".kernel of container "app": "new""#,
        0,
    ),
    (
        "capabilities/0",
        r#""CAP_BPF""#,
        r#".capabilities[0] of container "app": "CAP_BPF""#,
        0,
    ),
    (
        "capabilities/0",
        r#""ALL""#,
        r#".capabilities[0] of container "app": "ALL""#,
        0,
    ),
    (
        "calls/0/abi",
        r#""vax""#,
        r#".calls[0].abi of container "app": "vax""#,
        2,
    ),
    (
        "calls/0/result",
        r#""success""#,
        r#".calls[0].result of container "app": "succ"#,
        2,
    ),
    (
        "calls/0/result",
        r#""EWRONG""#,
        r#".calls[0].result of container "app": "EWRONG""#,
        2,
    ),
    (
        "calls/0/result",
        r#""65536""#,
        r#".calls[0].result of container "app": "65536""#,
        2,
    ),
    (
        "calls/0/arguments",
        r#"{"6": "0x0"}"#,
        r#".calls[0].arguments["6"] of"#,
        2,
    ),
    (
        "calls/0/arguments",
        r#"{"00": "0x0"}"#,
        r#".calls[0].arguments["00"] of"#,
        2,
    ),
    (
        "calls/0/arguments",
        r#"{"+1": "0x0"}"#,
        r#".calls[0].arguments["+1"] of"#,
        2,
    ),
    (
        "calls/0/arguments",
        r#"{"0": "16"}"#,
        r#".calls[0].arguments["0"] of"#,
        2,
    ),
    (
        "calls/0/arguments",
        r#"{"0": "0x"}"#,
        r#".calls[0].arguments["0"] of"#,
        2,
    ),
    (
        "calls/0/arguments",
        r#"{"0": "0x+1"}"#,
        r#".calls[0].arguments["0"] of"#,
        2,
    ),
    (
        "calls/0/arguments",
        r#"{"0": "0x1ffffffffffffffff"}"#,
        r#".arguments["0"] of"#,
        2,
    ),
    (
        "denials/0/abi",
        r#""""#,
        r#".denials[0].abi of container "app": """#,
        2,
    ),
    (
        "denials/0/arguments",
        r#"{"0": "0x0", "7": "0x0"}"#,
        r#".denials[0].arguments["7"] of"#,
        2,
    ),
    (
        "denials/0/errno",
        r#""Success""#,
        r#".denials[0].errno of container "app": "Succ"#,
        2,
    ),
];

#[test]
fn what_cannot_be_read_is_named_and_the_rest_counts() {
    for (field, written, want, left) in TABLE {
        let value = serde_json::from_str(written).expect("JSON");
        let record = with(&format!("/entries/0/{field}"), value);
        let (evidence, malformed) = record.evidence();
        let [said] = &malformed[..] else {
            panic!("{field} {written}: {malformed:?}");
        };
        let said = said.to_string();
        assert!(
            said.starts_with("spec.entries[0].") && said.contains(want),
            "{said}, not {want}"
        );
        let facts: usize = evidence.values().map(|known| known.facts().count()).sum();
        assert_eq!(facts, left, "{field} {written}");
        // Adding takes nothing of it away.
        let mut added = record.clone();
        assert!(added.add("app", []).is_nothing());
        assert_eq!(bytes(&added), bytes(&record), "{field} {written}");
        added.merge(record.clone());
        assert_eq!(bytes(&added), bytes(&record), "{field} {written}");
    }
    let good: SyscallRecordSpec = serde_json::from_value(good()).expect("a record");
    let (evidence, malformed) = good.evidence();
    assert_eq!(
        (evidence["app"].facts().count(), &malformed[..]),
        (FACTS, &[][..])
    );
}

#[test]
fn what_means_the_same_is_written_in_one_way() {
    let want: SyscallRecordSpec = serde_json::from_value(good()).expect("a record");
    for (pointer, value) in [
        ("/entries/0/kernel", json!("4.8.0-45-generic")),
        ("/entries/0/capabilities", json!(["CHOWN", "CHOWN"])),
        ("/entries/0/calls/0/arguments", json!({"0": "0x0010000000"})),
        ("/entries/0/denials/0/errno", json!("1")),
        ("/entries/0/denials/0/arguments", json!({"0": "0x05"})),
    ] {
        let mut record = with(pointer, value);
        record.merge(want.clone());
        assert_eq!(bytes(&record), bytes(&want), "{pointer}");
    }
}

#[test]
fn the_malformed_expires_too() {
    let mut record = with("/entries/0/architecture", json!("x86_64"));
    let more = facts(&mut fastrand::Rng::with_seed(0));
    for (container, fact) in more {
        record.add(container, [fact]);
    }
    assert_eq!(record.evidence().1.len(), 1);
    let at = |text: &str| {
        let time: k8s_openapi::jiff::Timestamp = text.parse().expect("a time");
        podfence_seccomp::Moment::from_unix_seconds(time.as_second().unsigned_abs())
    };
    record.expire(at("2026-11-02T00:00:00Z"));
    assert_eq!(record.evidence().1.len(), 1);
    record.expire(at("2026-11-02T00:00:01Z"));
    assert_eq!(record, empty());
}
