//! What nodes and programs are compiled for. Pure.

use std::fmt;
use std::str::FromStr;

/// Defines an enum whose values have names.
macro_rules! named {
    ($(#[$outer:meta])* $type:ident: $(#[$variant_doc:meta] $variant:ident = $name:literal,)+) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $type {
            $(#[$variant_doc] $variant,)+
        }

        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(name: &str) -> Result<Self, UnknownName> {
                Self::ALL.iter().copied().find(|value| value.as_str() == name).ok_or_else(|| {
                    let known = Self::ALL.iter().map(|value| value.as_str()).collect();
                    UnknownName { name: name.to_owned(), known }
                })
            }
        }
    };
}

/// A name that is not one of those that are known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not known; one of {}", known.join(", "))]
pub struct UnknownName {
    name: String,
    known: Vec<&'static str>,
}

named! {
    /// An architecture of nodes, as Go and Kubernetes name it (`GOARCH`, `kubernetes.io/arch`).
    Architecture:
    /// x86, 64 bits
    Amd64 = "amd64",
    /// ARM, 64 bits
    Arm64 = "arm64",
    /// ARM, 32 bits
    Arm = "arm",
    /// x86, 32 bits
    I386 = "386",
    /// `LoongArch`, 64 bits
    Loong64 = "loong64",
    /// MIPS, 32 bits, big-endian
    Mips = "mips",
    /// MIPS, 64 bits, big-endian
    Mips64 = "mips64",
    /// MIPS, 64 bits, little-endian
    Mips64le = "mips64le",
    /// MIPS, 32 bits, little-endian
    Mipsle = "mipsle",
    /// POWER, 64 bits, big-endian
    Ppc64 = "ppc64",
    /// POWER, 64 bits, little-endian
    Ppc64le = "ppc64le",
    /// RISC-V, 64 bits
    Riscv64 = "riscv64",
    /// z/Architecture
    S390x = "s390x",
}

named! {
    /// A set of system call numbers, as libseccomp names it. A kernel serves more than one: a
    /// program for `x86` runs on an `amd64` node. Byte orders are not told apart, because they
    /// share their numbers.
    Abi:
    /// x86, 64 bits
    X86_64 = "x86_64",
    /// x86, 32 bits
    X86 = "x86",
    /// x86, 64 bits with short pointers
    X32 = "x32",
    /// ARM, 64 bits
    Aarch64 = "aarch64",
    /// ARM, 32 bits
    Arm = "arm",
    /// RISC-V, 64 bits
    Riscv64 = "riscv64",
    /// z/Architecture, 64 bits
    S390x = "s390x",
    /// z/Architecture, 31 bits
    S390 = "s390",
    /// POWER, 64 bits
    Ppc64 = "ppc64",
    /// POWER, 32 bits
    Ppc = "ppc",
    /// `LoongArch`, 64 bits
    Loongarch64 = "loongarch64",
    /// MIPS o32
    Mips = "mips",
    /// MIPS n64
    Mips64 = "mips64",
    /// MIPS n32
    Mips64n32 = "mips64n32",
}

impl Architecture {
    /// The ABI that programs for this architecture use.
    #[must_use]
    pub const fn native_abi(self) -> Abi {
        match self {
            Self::Amd64 => Abi::X86_64,
            Self::Arm64 => Abi::Aarch64,
            Self::Arm => Abi::Arm,
            Self::I386 => Abi::X86,
            Self::Loong64 => Abi::Loongarch64,
            Self::Mips | Self::Mipsle => Abi::Mips,
            Self::Mips64 | Self::Mips64le => Abi::Mips64,
            Self::Ppc64 | Self::Ppc64le => Abi::Ppc64,
            Self::Riscv64 => Abi::Riscv64,
            Self::S390x => Abi::S390x,
        }
    }
}

impl Architecture {
    /// Whether programs of this ABI can run on such nodes.
    #[must_use]
    pub const fn serves(self, abi: Abi) -> bool {
        match self {
            Self::Amd64 => matches!(abi, Abi::X86_64 | Abi::X86 | Abi::X32),
            Self::Arm64 => matches!(abi, Abi::Aarch64 | Abi::Arm),
            Self::Arm => matches!(abi, Abi::Arm),
            Self::I386 => matches!(abi, Abi::X86),
            Self::Loong64 => matches!(abi, Abi::Loongarch64),
            Self::Mips | Self::Mipsle => matches!(abi, Abi::Mips),
            Self::Mips64 | Self::Mips64le => {
                matches!(abi, Abi::Mips64 | Abi::Mips64n32 | Abi::Mips)
            }
            Self::Ppc64 | Self::Ppc64le => matches!(abi, Abi::Ppc64 | Abi::Ppc),
            Self::Riscv64 => matches!(abi, Abi::Riscv64),
            Self::S390x => matches!(abi, Abi::S390x | Abi::S390),
        }
    }
}

impl Abi {
    /// Whether filters compare arguments of 64 bits. libseccomp takes x32 and n32 for 32 bits.
    #[must_use]
    pub const fn has_wide_arguments(self) -> bool {
        match self {
            Self::X86_64
            | Self::Aarch64
            | Self::Riscv64
            | Self::S390x
            | Self::Ppc64
            | Self::Loongarch64
            | Self::Mips64 => true,
            Self::X86
            | Self::X32
            | Self::Arm
            | Self::S390
            | Self::Ppc
            | Self::Mips
            | Self::Mips64n32 => false,
        }
    }

    /// Whether sockets and System V IPC go through `socketcall` and `ipc` as well.
    #[must_use]
    pub const fn is_multiplexed(self) -> bool {
        matches!(
            self,
            Self::X86 | Self::S390x | Self::S390 | Self::Ppc64 | Self::Ppc | Self::Mips
        )
    }

    /// The ABI by the name that OCI profiles use, without `SCMP_ARCH_` and in lower case; none for
    /// one that is not known.
    #[must_use]
    pub fn of_profile(name: &str) -> Option<Self> {
        let name = match name {
            "ppc64le" => "ppc64",
            "mipsel" => "mips",
            "mipsel64" => "mips64",
            "mipsel64n32" => "mips64n32",
            other => other,
        };
        name.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Abi, Architecture};

    #[test]
    fn nodes_serve_their_own_programs_and_those_of_their_kind() {
        for architecture in Architecture::ALL {
            assert!(
                architecture.serves(architecture.native_abi()),
                "{architecture}"
            );
        }
        assert!(Architecture::Amd64.serves(Abi::X32) && !Architecture::I386.serves(Abi::X86_64));
        assert!(Architecture::Arm64.serves(Abi::Arm) && !Architecture::Arm.serves(Abi::Aarch64));
    }
}
