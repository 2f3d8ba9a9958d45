//! Arguments by the names that people know: `CLONE_NEWUSER`, `AF_ALG`. Pure.

use crate::Abi;
use crate::evidence::Arguments;

/// How an argument's value is put together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Of bits, each with a name.
    Flags,
    /// It is one of several.
    Choice,
}

/// The names of a call's argument.
struct Naming {
    calls: &'static [&'static str],
    shape: Shape,
    names: &'static [(&'static str, u64)],
}

/// Those that some profile compares, and those of calls that are denied whatever they are given, where
/// they tell what a program is after. The numbers are those of the kernel's headers `linux/sched.h`,
/// `linux/socket.h` and `linux/personality.h`, the same on all architectures.
const NAMINGS: [Naming; 3] = [
    Naming {
        calls: &["clone", "clone3", "unshare", "setns"],
        shape: Shape::Flags,
        names: &[
            ("CLONE_NEWTIME", 0x80),
            ("CLONE_NEWNS", 0x0002_0000),
            ("CLONE_NEWCGROUP", 0x0200_0000),
            ("CLONE_NEWUTS", 0x0400_0000),
            ("CLONE_NEWIPC", 0x0800_0000),
            ("CLONE_NEWUSER", 0x1000_0000),
            ("CLONE_NEWPID", 0x2000_0000),
            ("CLONE_NEWNET", 0x4000_0000),
        ],
    },
    Naming {
        calls: &["socket"],
        shape: Shape::Choice,
        names: &[("AF_NETLINK", 16), ("AF_ALG", 38), ("AF_VSOCK", 40)],
    },
    Naming {
        calls: &["personality"],
        shape: Shape::Flags,
        names: &[
            ("UNAME26", 0x0002_0000),
            ("ADDR_NO_RANDOMIZE", 0x0004_0000),
            ("READ_IMPLIES_EXEC", 0x0040_0000),
        ],
    },
];

/// What `personality` is given to be asked what it is: every bit, of which none is meant.
const PERSONALITY_QUERY: u64 = 0xffff_ffff;

/// At which position a call has the argument that counts.
#[must_use]
pub(crate) fn position(abi: Abi, call: &str) -> u8 {
    match (call, abi) {
        // z/Architecture's clone takes the stack first (`CONFIG_CLONE_BACKWARDS2`).
        ("setns", _) | ("clone", Abi::S390x | Abi::S390) => 1,
        _ => 0,
    }
}

/// The argument that tells what a call is for, and which of its bits do; none where none does.
#[must_use]
pub(crate) fn counted(abi: Abi, call: &str) -> Option<(u8, u64)> {
    let naming = naming(call)?;
    let bits = match naming.shape {
        Shape::Flags => naming.names.iter().fold(0, |bits, (_, flag)| bits | flag),
        Shape::Choice => u64::MAX,
    };
    Some((position(abi, call), bits))
}

/// What a call's arguments are for, as in `CLONE_NEWUSER`; none where that has no name or was not
/// recorded.
#[must_use]
pub fn describe(abi: Abi, call: &str, arguments: &Arguments) -> Option<String> {
    let naming = naming(call)?;
    let value = arguments.at(position(abi, call))?;
    let means = |bits: u64| match naming.shape {
        Shape::Flags => value & bits != 0 && value != PERSONALITY_QUERY,
        Shape::Choice => value == bits,
    };
    let named: Vec<_> = naming
        .names
        .iter()
        .filter(|(_, bits)| means(*bits))
        .map(|(name, _)| *name)
        .collect();
    (!named.is_empty()).then(|| named.join("|"))
}

/// The value of a call's argument by its names, joined by `|`.
pub(crate) fn value(call: &str, text: &str) -> Option<u64> {
    let names = naming(call)?.names;
    text.split('|').try_fold(0, |value, word| {
        let (_, bits) = names.iter().find(|(name, _)| *name == word)?;
        Some(value | bits)
    })
}

/// Whether a value of a call's argument has what another one asks for.
pub(crate) fn includes(call: &str, value: u64, asked: u64) -> bool {
    match naming(call).map(|naming| naming.shape) {
        Some(Shape::Flags) => value & asked == asked,
        Some(Shape::Choice) | None => value == asked,
    }
}

fn naming(call: &str) -> Option<&'static Naming> {
    NAMINGS.iter().find(|naming| naming.calls.contains(&call))
}

#[cfg(test)]
mod tests {
    use super::{describe, includes, value};
    use crate::Abi;
    use crate::evidence::Arguments;

    #[test]
    fn arguments_have_names() {
        let namespaces = "CLONE_NEWNS|CLONE_NEWUSER";
        for (abi, call, arguments, want) in [
            (Abi::X86_64, "unshare", vec![], None),
            (Abi::X86_64, "no_such_call", vec![(0, 38)], None),
            (Abi::X86_64, "socket", vec![(0, 2)], None),
            (Abi::X86_64, "socket", vec![(0, 38)], Some("AF_ALG")),
            (Abi::X86_64, "socket", vec![(1, 38)], None),
            (
                Abi::X86_64,
                "unshare",
                vec![(0, 0x1002_0000)],
                Some(namespaces),
            ),
            // The exit signal and the flags of a thread have no name.
            (
                Abi::X86_64,
                "clone",
                vec![(0, 0x1002_0011)],
                Some(namespaces),
            ),
            (Abi::X86_64, "clone", vec![(0, 0x3d_0f00)], None),
            (Abi::S390x, "clone", vec![(0, 0x1000_0000), (1, 0)], None),
            (
                Abi::S390x,
                "clone",
                vec![(1, 0x1000_0000)],
                Some("CLONE_NEWUSER"),
            ),
            (Abi::X86_64, "personality", vec![(0, 0xffff_ffff)], None),
            (
                Abi::X86_64,
                "personality",
                vec![(0, 0x4_0000)],
                Some("ADDR_NO_RANDOMIZE"),
            ),
        ] {
            let arguments = Arguments::recorded(arguments);
            let got = describe(abi, call, &arguments);
            assert_eq!(got.as_deref(), want, "{abi} {call} {arguments:?}");
        }
        let unrecorded = describe(Abi::X86_64, "unshare", &Arguments::UNRECORDED);
        assert_eq!(unrecorded, None);
    }

    #[test]
    fn names_have_values() {
        for (call, text, want) in [
            ("clone", "", None),
            ("clone", "CLONE_NEWUSER|", None),
            ("clone", "AF_ALG", None),
            ("keyctl", "CLONE_NEWUSER", None),
            ("clone", "CLONE_NEWUSER", Some(0x1000_0000)),
            ("clone", "CLONE_NEWUSER|CLONE_NEWNS", Some(0x1002_0000)),
            ("socket", "AF_VSOCK", Some(40)),
        ] {
            assert_eq!(value(call, text), want, "{call} {text:?}");
        }
        assert!(includes("clone", 0x1002_0000, 0x1000_0000));
        assert!(!includes("clone", 0x0002_0000, 0x1002_0000));
        assert!(includes("socket", 40, 40) && !includes("socket", 62, 40));
    }
}
