//! One rule of a profile, before it meets a container. Pure.

use podfence_workload::CapabilityMask;

use crate::{Action, Architecture, KernelVersion};

/// What to do with some calls, for the containers that it applies to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The names of the calls, sorted, each once.
    pub syscalls: Box<[&'static str]>,
    /// What happens to them.
    pub action: Action,
    /// What must hold of their arguments. All of these, unless one argument is named twice: then
    /// the runtimes make one rule of each, so that any of them suffices.
    pub conditions: Box<[Condition]>,
    /// For which containers the rule is there at all.
    pub applicability: Applicability,
}

/// What must hold of one argument, taken as an unsigned 64-bit number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Condition {
    /// Which argument, 0 to 5.
    pub index: u8,
    /// How it is compared.
    pub operator: Operator,
}

/// A comparison with what stands in the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    /// `!=`
    NotEqual(u64),
    /// `<`
    Less(u64),
    /// `<=`
    LessOrEqual(u64),
    /// `==`
    Equal(u64),
    /// `>=`
    GreaterOrEqual(u64),
    /// `>`
    Greater(u64),
    /// `argument & mask == value`
    MaskedEqual {
        /// The bits that count.
        mask: u64,
        /// What they must be.
        value: u64,
    },
}

/// For which containers a rule is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Applicability {
    /// Only with all of these in the bounding set.
    pub capabilities: CapabilityMask,
    /// Only with none of these in the bounding set.
    pub without_capabilities: CapabilityMask,
    /// Only on these; on all where empty.
    pub architectures: Box<[Architecture]>,
    /// Not on these.
    pub without_architectures: Box<[Architecture]>,
    /// Only on this kernel and newer ones.
    pub minimum_kernel: Option<KernelVersion>,
}
