//! The security view of pods and pod templates: decoding, sharing and ownership. Pure, no I/O.
//!
//! [`decode`] reads one of nine kinds from JSON into an [`Object`]; [`Object::deserialize_kind`]
//! does the same from any serde format. An object holds what Pod Security and seccomp decide on
//! and nothing else, so that tens of thousands of them fit in memory; an [`Interner`] lets equal
//! parts be one value.

mod capability;
mod decode;
mod interner;
mod kind;
mod labels;
mod limits;
mod meta;
mod object;
mod owner;
mod placement;
mod run;
mod security;
mod template;
mod volume;

pub use capability::{CapabilityMask, CapabilitySet, KNOWN_CAPABILITIES};
pub use decode::{DecodeError, Defaulting, TypeMeta, decode};
pub use interner::Interner;
pub use kind::Kind;
pub use labels::Labels;
pub use limits::{MAX_ITEMS, MAX_NESTING, MAX_OBJECT_BYTES};
pub use meta::{Meta, OwnerReference, Uid};
pub use object::{Object, PodPhase};
pub use owner::{OwnerKind, WorkloadRef, top_controller};
pub use placement::{NodeSelectorTerm, Operator, Placement, Requirement, Toleration};
pub use run::{End, PodStatus, Run, RunState};
pub use security::{Capabilities, Profile, ProfileType, SeLinuxOptions, SecurityContext};
pub use template::{
    APPARMOR_ANNOTATION_PREFIX, Container, ContainerKind, RestartPolicy,
    SECCOMP_CONTAINER_ANNOTATION_PREFIX, SECCOMP_POD_ANNOTATION, Template,
};
pub use volume::{Volume, VolumeSource, VolumeSources};
