//! What a rule does with a call that it matches. Pure.

use std::fmt;

/// What the kernel does with a call. `RuntimeDefault` profiles use these two and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// The call goes on to the kernel, which may refuse it for reasons of its own.
    Allow,
    /// The call fails at once with this error.
    Errno(Errno),
}

/// An error number, as the same on all architectures that Kubernetes runs on but MIPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(u16);

impl Errno {
    /// Operation not permitted.
    pub const EPERM: Self = Self(1);
    /// Invalid argument.
    pub const EINVAL: Self = Self(22);
    /// Function not implemented. Programs take it as "this kernel is too old" and fall back.
    pub const ENOSYS: Self = Self(38);

    /// The error of this number; the kernel's filter cuts numbers to 16 bits.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Its number on Linux.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::EPERM => formatter.write_str("EPERM"),
            Self::EINVAL => formatter.write_str("EINVAL"),
            Self::ENOSYS => formatter.write_str("ENOSYS"),
            Self(number) => write!(formatter, "errno {number}"),
        }
    }
}
