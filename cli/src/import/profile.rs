//! Profiles that recorders made of the calls they saw: names, and nothing else. Pure.
//!
//! The security-profiles-operator (v0.4.0 to v1.0, `api/seccompprofile`) makes a `SeccompProfile` of each
//! container; its command line and the advisor of Inspektor Gadget write the profile that an OCI
//! runtime takes. In all of them the calls that were seen are those to allow, and everything else is
//! to be denied.

use k8s_openapi::jiff::Timestamp;
use podfence_seccomp::evidence::Source;
use podfence_seccomp::{Abi, Moment, syscalls};
use serde::Deserialize;

use super::{Asked, Found, named};
use crate::document::{self, Content, Node};

/// The group of the operator's objects, of whatever version.
const GROUP: &str = "security-profiles-operator.x-k8s.io/";

/// The label by which the operator says whose calls a recording has.
const CONTAINER_LABEL: &str = "spo.x-k8s.io/container-id";

/// The action of the calls that were seen.
const ALLOW: &str = "SCMP_ACT_ALLOW";

/// The number by which the advisor of Inspektor Gadget marks that it has begun; no call has it.
const BEGUN: &str = "syscall_1f4";

/// Longer than every name of a call, and as long as a record takes.
const LONGEST_NAME: usize = 64;

/// A profile as OCI runtimes take it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    default_action: String,
    #[serde(default)]
    architectures: Vec<String>,
    #[serde(default)]
    syscalls: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    #[serde(default)]
    names: Vec<String>,
    action: String,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Metadata,
    spec: Written,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
    creation_timestamp: Option<String>,
}

/// What the operator's profiles say of the container.
pub(super) fn read_recorded(bytes: &[u8], recorded: Option<Moment>, asked: &Asked<'_>) -> Found {
    let mut found = Found::default();
    let mut others = 0;
    for document in document::documents(bytes) {
        let number = document.number;
        let node = match document.content {
            Ok(node) => node,
            Err(error) => {
                found.errors.push(format!("document {number}: {error}"));
                continue;
            }
        };
        let read = match node.read::<Written>() {
            Ok(plain) => plain_profile(&plain, recorded, asked, &mut found),
            Err(_) => objects(node, recorded, asked, &mut found).map(|skipped| others += skipped),
        };
        if let Err(error) = read {
            found.errors.push(format!("document {number}: {error}"));
        }
    }
    if others > 0 {
        found.warnings.push(format!(
            "skipped objects that are no SeccompProfile, or of other containers: {others}"
        ));
    }
    found
}

fn plain_profile(
    written: &Written,
    recorded: Option<Moment>,
    asked: &Asked<'_>,
    found: &mut Found,
) -> Result<(), String> {
    let recorded = recorded.ok_or("it does not say when it was recorded: do so with --recorded")?;
    checked_architectures(written, asked)?;
    calls(written, Source::Spo, recorded, asked, found)
}

/// The objects in a document, and how many of them are not about the container.
fn objects(
    node: Node<'_>,
    recorded: Option<Moment>,
    asked: &Asked<'_>,
    found: &mut Found,
) -> Result<usize, String> {
    let mut others = 0;
    for object in document::objects(node) {
        let content = object.content.map_err(|error| error.to_string())?;
        let identity = object.identity;
        let Content::Other(node) = content else {
            others += 1;
            continue;
        };
        if identity.kind != "SeccompProfile" || !identity.api_version.starts_with(GROUP) {
            others += 1;
            continue;
        }
        let name = &identity.name;
        let of = |error: String| format!("SeccompProfile {name:?}: {error}");
        let Object { metadata, spec } = node.read().map_err(|error| of(error.to_string()))?;
        let container = metadata.labels.get(CONTAINER_LABEL);
        if container.is_some_and(|container| *container != asked.subject.container_name) {
            others += 1;
            continue;
        }
        let created = metadata.creation_timestamp.as_deref().and_then(moment);
        let recorded = recorded.or(created).ok_or_else(|| {
            of("it does not say when it was created: say when with --recorded".to_owned())
        })?;
        checked_architectures(&spec, asked).map_err(of)?;
        calls(&spec, Source::Spo, recorded, asked, found).map_err(of)?;
    }
    Ok(others)
}

/// The moment of a time in RFC 3339; none where it is none.
pub(super) fn moment(text: &str) -> Option<Moment> {
    let time: Timestamp = text.parse().ok()?;
    let seconds = u64::try_from(time.as_second()).ok()?;
    Some(Moment::from_unix_seconds(seconds))
}

/// Whether the profile was recorded on such a node. (The advisor of Inspektor Gadget always writes
/// those of amd64.)
fn checked_architectures(written: &Written, asked: &Asked<'_>) -> Result<(), String> {
    let native = asked.subject.architecture().native_abi();
    let is_native = |name: &String| {
        name == "SCMP_ARCH_NATIVE" || {
            let plain = name.trim_start_matches("SCMP_ARCH_").to_ascii_lowercase();
            Abi::of_profile(&plain) == Some(native)
        }
    };
    if written.architectures.is_empty() || written.architectures.iter().any(is_native) {
        return Ok(());
    }
    Err(format!(
        "it was recorded on {}, and not on {}: is --arch right?",
        written.architectures.join(", "),
        asked.subject.architecture()
    ))
}

/// Adds the calls of a profile.
pub(super) fn calls(
    written: &Written,
    source: Source,
    recorded: Moment,
    asked: &Asked<'_>,
    found: &mut Found,
) -> Result<(), String> {
    if written.default_action == ALLOW {
        return Err(format!(
            "its default is {ALLOW}: it says what to deny, and nothing was recorded in it"
        ));
    }
    let abi = asked.subject.architecture().native_abi();
    let mut unknown = Vec::new();
    let allowed = written
        .syscalls
        .iter()
        .filter(|group| group.action == ALLOW);
    for name in allowed.flat_map(|group| &group.names) {
        if name == BEGUN {
            continue;
        }
        let call = match numbered(name, abi) {
            Some(call) => call?,
            None => name.as_str(),
        };
        if call.is_empty() || call.len() > LONGEST_NAME {
            return Err(format!("{call:?} is no name of a call"));
        }
        if syscalls::number(abi, call).is_none() {
            unknown.push(call);
        }
        found.observations.push(named(source, call, abi, recorded));
    }
    if !unknown.is_empty() {
        found.warnings.push(format!(
            "no calls of {abi} as far as is known here: {}. They are kept, and say nothing until they \
             are known",
            unknown.join(", ")
        ));
    }
    Ok(())
}

/// The call of what a recorder writes for a number that it has no name for; none where it is a name.
fn numbered(name: &str, abi: Abi) -> Option<Result<&'static str, String>> {
    let number = if let Some(digits) = name.strip_prefix("syscall_") {
        u32::from_str_radix(digits, 16).ok()?
    } else {
        name.strip_prefix("unknown_syscall_")?.parse().ok()?
    };
    let known = syscalls::name(abi, number);
    Some(known.ok_or_else(|| format!("{name} is no call of {abi} that is known")))
}
