//! What a rule does with a call that it matches. Pure.

use std::fmt;

use crate::errno;

/// What the kernel does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// The call goes on to the kernel, which may refuse it for reasons of its own.
    Allow,
    /// The call fails at once with this error.
    Errno(Errno),
    /// The thread that calls is killed. No profile says so; it is what libseccomp does with calls
    /// of an ABI that the filter was not made for.
    KillThread,
}

/// An error number of Linux. Those that profiles use are the same on all architectures but `ENOSYS`
/// on MIPS, where the profiles use the number of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(u16);

impl Errno {
    /// Operation not permitted.
    pub const EPERM: Self = Self(1);
    /// Invalid argument.
    pub const EINVAL: Self = Self(22);
    /// Function not implemented. Programs take it as "this kernel is too old" and fall back.
    pub const ENOSYS: Self = Self(38);

    /// The error of this number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The error of this name, or of this number.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        errno::number(text).or_else(|| text.parse().ok()).map(Self)
    }

    /// Its number on Linux.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match errno::name(self.0) {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "{}", self.0),
        }
    }
}
