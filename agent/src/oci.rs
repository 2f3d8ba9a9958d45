//! What a runtime was told about a container: the parts of its OCI configuration that count here.
//! Pure.
//!
//! The format: <https://github.com/opencontainers/runtime-spec/blob/main/config.md>. The annotations
//! are those of containerd's CRI plugin and of CRI-O.

use std::collections::HashMap;
use std::time::SystemTime;

use podfence_workload::CapabilityMask;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// Names the rules of a filter by their text.
pub type RulesDigest = [u8; 32];

/// What a runtime was told, in little space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The uid of the pod whose sandbox it is, as the runtime knows the pod; none for a container of
    /// a pod.
    pub sandbox_of: Option<Box<str>>,
    /// The bounding set.
    pub bounding: CapabilityMask,
    /// The rules of its filter; none where it runs without one.
    pub rules: Option<RulesDigest>,
}

/// A container that the runtime was told about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// When.
    pub created: SystemTime,
    /// What.
    pub configuration: Configuration,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default)]
    annotations: HashMap<String, String>,
    process: Option<Process>,
    #[serde(borrow)]
    linux: Option<Linux<'a>>,
}

#[derive(Deserialize)]
struct Process {
    capabilities: Option<Capabilities>,
}

#[derive(Deserialize)]
struct Capabilities {
    #[serde(default)]
    bounding: Vec<String>,
}

#[derive(Deserialize)]
struct Linux<'a> {
    #[serde(borrow)]
    seccomp: Option<&'a RawValue>,
}

/// Where runtimes say that a container is a pod's sandbox, and of which pod.
const SANDBOX_ANNOTATIONS: [(&str, &str); 2] = [
    (
        "io.kubernetes.cri.container-type",
        "io.kubernetes.cri.sandbox-uid",
    ),
    ("io.kubernetes.cri-o.ContainerType", "io.kubernetes.pod.uid"),
];

impl Configuration {
    /// Reads a configuration.
    ///
    /// # Errors
    /// When it is not one.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        let Wire {
            annotations,
            process,
            linux,
        } = serde_json::from_str(text)?;
        let sandbox_of = SANDBOX_ANNOTATIONS.into_iter().find_map(|(kind, uid)| {
            let is_sandbox = annotations.get(kind)? == "sandbox";
            annotations.get(uid).filter(|_| is_sandbox)
        });
        let bounding = process.and_then(|process| process.capabilities);
        let names = bounding.map(|sets| sets.bounding).unwrap_or_default();
        let capability = |name: &String| CapabilityMask::named(name.strip_prefix("CAP_")?);
        let rules = linux.and_then(|linux| linux.seccomp);
        Ok(Self {
            sandbox_of: sandbox_of.map(|uid| uid.as_str().into()),
            // What Linux does not know has no effect.
            bounding: names
                .iter()
                .filter_map(capability)
                .fold(CapabilityMask::default(), CapabilityMask::union),
            rules: rules.map(|rules| Sha256::digest(rules.get()).into()),
        })
    }
}

/// The rules of the filter in a configuration; none where there is none.
///
/// # Errors
/// When it is not a configuration.
pub fn rules(text: &str) -> Result<Option<&str>, serde_json::Error> {
    let wire: Wire<'_> = serde_json::from_str(text)?;
    Ok(wire
        .linux
        .and_then(|linux| linux.seccomp)
        .map(RawValue::get))
}

#[cfg(test)]
mod tests {
    use podfence_workload::CapabilityMask;
    use serde_json::json;

    use super::{Configuration, rules};

    #[test]
    fn what_is_no_configuration_is_said() {
        for text in [
            "",
            "nonsense",
            "[]",
            r#"{"linux":7}"#,
            r#"{"annotations":{"io.kubernetes.cri.container-type":1}}"#,
            r#"{"linux":{"seccomp":{}}"#,
        ] {
            assert!(Configuration::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_counts_is_found() {
        let containerd = "io.kubernetes.cri.container-type";
        let cri_o = "io.kubernetes.cri-o.ContainerType";
        let uid = ["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"];
        for (name, configuration, sandbox_of, confined) in [
            ("nothing", json!({}), None, false),
            ("null", json!({ "linux": { "seccomp": null } }), None, false),
            (
                "no kernel's",
                json!({ "linux": null, "process": null }),
                None,
                false,
            ),
            ("rules", json!({ "linux": { "seccomp": {} } }), None, true),
            (
                "a container of containerd",
                json!({ "annotations": { containerd: "container", uid[0]: "u" } }),
                None,
                false,
            ),
            (
                "a sandbox of containerd",
                json!({ "annotations": { containerd: "sandbox", uid[0]: "u" } }),
                Some("u"),
                false,
            ),
            (
                "a sandbox without a pod",
                json!({ "annotations": { containerd: "sandbox" } }),
                None,
                false,
            ),
            (
                "a sandbox of CRI-O",
                json!({ "annotations": { cri_o: "sandbox", uid[1]: "v" } }),
                Some("v"),
                false,
            ),
        ] {
            let text = configuration.to_string();
            let read = Configuration::read(&text).expect(name);
            assert_eq!(read.sandbox_of.as_deref(), sandbox_of, "{name}");
            assert_eq!(read.rules.is_some(), confined, "{name}");
            assert_eq!(rules(&text).expect(name).is_some(), confined, "{name}");
        }
    }

    #[test]
    fn capabilities_that_linux_does_not_know_are_left_out() {
        let given = json!(["CAP_CHOWN", "CHOWN", "CAP_NONSENSE", "CAP_KILL", ""]);
        let text = json!({ "process": { "capabilities": { "bounding": given } } }).to_string();
        let read = Configuration::read(&text).expect("reads");
        assert_eq!(read.bounding, CapabilityMask::of(&["CHOWN", "KILL"]));
    }
}
