//! One rule of a profile, before it meets a container. Pure.

use std::fmt;

use podfence_workload::CapabilityMask;

use crate::{Action, Architecture, KernelVersion};

/// What to do with one call, for the containers that the rule applies to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The name of the call.
    pub syscall: &'static str,
    /// What happens to it.
    pub action: Action,
    /// What must hold of its arguments. All of these, unless one argument is named twice: then
    /// the runtimes make one rule of each, so that any of them suffices.
    pub conditions: Box<[Condition]>,
    /// For which containers the rule is there at all.
    pub applicability: Applicability,
}

/// What must hold of one argument, taken as an unsigned number of 64 bits, or of 32 where the ABI
/// has no more.
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

impl Operator {
    /// Whether it holds of a value.
    #[must_use]
    pub const fn holds(self, argument: u64) -> bool {
        match self {
            Self::NotEqual(value) => argument != value,
            Self::Less(value) => argument < value,
            Self::LessOrEqual(value) => argument <= value,
            Self::Equal(value) => argument == value,
            Self::GreaterOrEqual(value) => argument >= value,
            Self::Greater(value) => argument > value,
            Self::MaskedEqual { mask, value } => argument & mask == value,
        }
    }
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

impl Applicability {
    /// Whether the rule is there for a container with these capabilities in its bounding set, on a
    /// node with this architecture and kernel.
    #[must_use]
    pub fn holds(
        &self,
        architecture: Architecture,
        bounding: CapabilityMask,
        kernel: KernelVersion,
    ) -> bool {
        let Self {
            capabilities,
            without_capabilities,
            architectures,
            without_architectures,
            minimum_kernel,
        } = self;
        bounding.contains_all(*capabilities)
            && !bounding.intersects(*without_capabilities)
            && (architectures.is_empty() || architectures.contains(&architecture))
            && !without_architectures.contains(&architecture)
            && minimum_kernel.is_none_or(|minimum| kernel >= minimum)
    }
}

impl fmt::Display for Rule {
    /// As the data writes it, without its applicability: `allow socket arg0==1`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.action {
            Action::Allow => formatter.write_str("allow")?,
            Action::Errno(errno) => write!(formatter, "{errno}")?,
            Action::KillThread => formatter.write_str("kill")?,
        }
        write!(formatter, " {}", self.syscall)?;
        for condition in &self.conditions {
            write!(formatter, " {condition}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, operator } = self;
        let (sign, value) = match *operator {
            Operator::NotEqual(value) => ("!=", value),
            Operator::Less(value) => ("<", value),
            Operator::LessOrEqual(value) => ("<=", value),
            Operator::Equal(value) => ("==", value),
            Operator::GreaterOrEqual(value) => (">=", value),
            Operator::Greater(value) => (">", value),
            Operator::MaskedEqual { mask, value } => {
                let (mask, value) = (Number(mask), Number(value));
                return write!(formatter, "arg{index}&{mask}=={value}");
            }
        };
        write!(formatter, "arg{index}{sign}{}", Number(value))
    }
}

/// Small numbers as people say them, flags as bits.
pub(crate) struct Number(pub(crate) u64);

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1000 {
            write!(formatter, "{}", self.0)
        } else {
            write!(formatter, "{:#x}", self.0)
        }
    }
}
