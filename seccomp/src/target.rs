//! What a program is compiled for, and the numbers that its calls have. Pure.

/// An architecture of nodes, as Go and Kubernetes name it (`GOARCH`, `kubernetes.io/arch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Architecture {
    /// `amd64`
    Amd64,
    /// `arm64`
    Arm64,
}

/// A set of system call numbers, as libseccomp names it. A kernel serves more than one: a program
/// for `x86` runs on an `amd64` node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Abi {
    /// `x86_64`
    X86_64,
    /// `x86`
    X86,
    /// `x32`
    X32,
    /// `aarch64`
    Aarch64,
    /// `arm`
    Arm,
}
