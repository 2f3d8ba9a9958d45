//! The kind SyscallRecord: what the containers of a workload were seen to call. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::words::words;

/// `spec.entries` keeps this many: a dozen containers under a handful of images.
pub const MAX_RECORD_ENTRIES: usize = 64;

/// An entry's `calls` keep this many: every call of Linux once, with room for arguments.
pub const MAX_RECORDED_CALLS: usize = 768;

/// An entry's `denials` keep this many.
pub const MAX_RECORDED_DENIALS: usize = 256;

/// An entry's `watched`, `starts` and `losses` keep this many.
pub const MAX_RECORDED_SPANS: usize = 64;

/// The `result` of a call that did what was asked.
pub(crate) const SUCCESS: &str = "Success";

/// The `result` of a call where nobody recorded it.
pub(crate) const UNRECORDED: &str = "Unrecorded";

/// What the containers of a workload were seen to call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "podfence.dev",
    version = "v1alpha1",
    kind = "SyscallRecord",
    plural = "syscallrecords",
    namespaced,
    category = "podfence",
    derive = "PartialEq",
    doc = "A SyscallRecord is what the containers of a workload were seen to call, collected by \
           agents and importers. It only grows, until it expires, and goes with its workload.",
    printcolumn(
        name = "KIND",
        type_ = "string",
        description = "The kind of the workload.",
        json_path = ".spec.workload.kind"
    ),
    printcolumn(
        name = "WORKLOAD",
        type_ = "string",
        description = "The name of the workload.",
        json_path = ".spec.workload.name"
    ),
    printcolumn(
        name = "CONTAINERS",
        type_ = "string",
        description = "The containers that something is known of.",
        json_path = ".spec.entries[*].container"
    ),
    printcolumn(
        name = "AGE",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct SyscallRecordSpec {
    /// Whose containers.
    pub workload: RecordedWorkload,

    /// One for each container, image, set of capabilities and profile. Sorted by these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_RECORD_ENTRIES), extend("x-kubernetes-list-type" = "atomic"))]
    pub entries: Vec<RecordEntry>,
}

/// The workload of a record.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct RecordedWorkload {
    /// Its group and version, as in apps/v1.
    #[schemars(length(min = 1, max = 317))]
    pub api_version: String,
    /// The workload's kind.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Its name, in the record's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What was seen of one container. When its image, its capabilities or its profile change, what was
/// seen under the old ones no longer counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordEntry {
    /// The container's name.
    #[schemars(length(min = 1, max = 63))]
    pub container: String,

    /// The image by digest, as in sha256:….
    #[schemars(length(min = 1, max = 256))]
    pub image: String,

    /// The hash of the rules of RuntimeDefault.
    #[schemars(length(min = 1, max = 64))]
    pub profile: String,

    /// The container's bounding capabilities, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(max = 64)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub capabilities: Vec<String>,

    /// The node's architecture, as Go names it.
    #[schemars(length(min = 1, max = 32))]
    pub architecture: String,

    /// The newest kernel that some rule asks for and that the node's is at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub kernel: Option<String>,

    /// Calls that were made without a profile, or under one that only logs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_RECORDED_CALLS), extend("x-kubernetes-list-type" = "atomic"))]
    pub calls: Vec<RecordedCall>,

    /// Calls that RuntimeDefault denied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_RECORDED_DENIALS), extend("x-kubernetes-list-type" = "atomic"))]
    pub denials: Vec<RecordedDenial>,

    /// When the container was watched so that no call could escape.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_RECORDED_SPANS), extend("x-kubernetes-list-type" = "atomic"))]
    pub watched: Vec<RecordedSpan>,

    /// Starts of the container that were watched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_RECORDED_SPANS), extend("x-kubernetes-list-type" = "atomic"))]
    pub starts: Vec<RecordedStart>,

    /// When something was lost: until the end of it, "not seen" says nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_RECORDED_SPANS), extend("x-kubernetes-list-type" = "atomic"))]
    pub losses: Vec<RecordedSpan>,
}

words! {
    /// Who saw a call.
    #[derive(JsonSchema)]
    RecordSource {
        /// Podfence's own observer on the node: arguments and result are known.
        Observer,
        /// The kernel's audit log under a profile that logs: the arguments are ones to deny.
        AuditLog,
        /// The security-profiles-operator: names only.
        SPO,
        /// Inspektor Gadget: names; of its traceloop also arguments and results.
        InspektorGadget,
    }
}

words! {
    /// In which part of its run a program made a call.
    #[derive(JsonSchema)]
    RecordPhase {
        /// Before it was ready.
        Start,
        /// While it was ready.
        Steady,
        /// After it was told to end.
        Stop,
    }
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordedCall {
    /// The call's name.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,

    /// The arguments that count, by position from 0, as hexadecimal numbers: 0x10000000. Absent
    /// where nobody recorded them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "arguments")]
    pub arguments: Option<BTreeMap<String, String>>,

    /// How it was called, as in x86_64.
    #[schemars(length(min = 1, max = 32))]
    pub abi: String,

    /// What the kernel answered: Success, Unrecorded, or an error such as ENOENT.
    #[schemars(length(min = 1, max = 32))]
    pub result: String,

    /// Who saw the call.
    pub source: RecordSource,

    /// When, where and how often.
    #[serde(flatten)]
    pub seen: RecordedSighting,
}

/// A call that was denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordedDenial {
    /// The call's name.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,

    /// The arguments that count, by position from 0, as hexadecimal numbers: 0x10000000. Absent
    /// where nobody recorded them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "arguments")]
    pub arguments: Option<BTreeMap<String, String>>,

    /// How it was called, as in x86_64.
    #[schemars(length(min = 1, max = 32))]
    pub abi: String,

    /// What it returned.
    #[schemars(length(min = 1, max = 32))]
    pub errno: String,

    /// Whether something else than RuntimeDefault may have denied it: a filter of the program's own,
    /// a debugger, or nothing at all, if the call was under way when the observer came.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ambiguous: bool,

    /// When, where and how often.
    #[serde(flatten)]
    pub seen: RecordedSighting,
}

/// Arguments by position, as hexadecimal numbers.
fn arguments(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["object", "null"],
        "maxProperties": 6,
        "additionalProperties": {
            "type": "string", "maxLength": 18, "pattern": "^0x[0-9a-f]{1,16}$",
        },
    })
}

/// What is false is left out.
#[allow(clippy::trivially_copy_pass_by_ref)] // As serde calls it.
fn is_false(value: &bool) -> bool {
    !value
}

/// When, where and how often something was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordedSighting {
    /// When it was first seen.
    pub first: Time,

    /// When it was last seen.
    pub last: Time,

    /// How often, as a power of ten: 0 is one to nine times.
    #[schemars(range(min = 0, max = 19))]
    pub magnitude: u8,

    /// In which parts of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3), extend("x-kubernetes-list-type" = "set"))]
    pub phases: Vec<RecordPhase>,

    /// The programs that made it, as paths within the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        inner(length(max = 256)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub executables: Vec<String>,

    /// A pod to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod: Option<String>,

    /// The pod's node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
}

/// From when to when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordedSpan {
    /// The first moment.
    pub first: Time,
    /// The last moment.
    pub last: Time,
}

/// A start of the container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordedStart {
    /// When it was started.
    pub at: Time,
    /// The pod's name.
    #[schemars(length(max = 253))]
    pub pod: String,
}
