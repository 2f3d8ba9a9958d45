//! Names of values that profiles tell apart: flags of `clone`, domains of `socket`, personalities.
//! Pure; the values are those of Linux' `include/uapi` on all architectures.

/// A name and its value.
type Named = (&'static str, u64);

const CLONE: [Named; 8] = [
    ("CLONE_NEWTIME", 0x80),
    ("CLONE_NEWNS", 0x0002_0000),
    ("CLONE_NEWCGROUP", 0x0200_0000),
    ("CLONE_NEWUTS", 0x0400_0000),
    ("CLONE_NEWIPC", 0x0800_0000),
    ("CLONE_NEWUSER", 0x1000_0000),
    ("CLONE_NEWPID", 0x2000_0000),
    ("CLONE_NEWNET", 0x4000_0000),
];

const DOMAINS: [Named; 46] = [
    ("AF_UNSPEC", 0),
    ("AF_UNIX", 1),
    ("AF_INET", 2),
    ("AF_AX25", 3),
    ("AF_IPX", 4),
    ("AF_APPLETALK", 5),
    ("AF_NETROM", 6),
    ("AF_BRIDGE", 7),
    ("AF_ATMPVC", 8),
    ("AF_X25", 9),
    ("AF_INET6", 10),
    ("AF_ROSE", 11),
    ("AF_DECnet", 12),
    ("AF_NETBEUI", 13),
    ("AF_SECURITY", 14),
    ("AF_KEY", 15),
    ("AF_NETLINK", 16),
    ("AF_PACKET", 17),
    ("AF_ASH", 18),
    ("AF_ECONET", 19),
    ("AF_ATMSVC", 20),
    ("AF_RDS", 21),
    ("AF_SNA", 22),
    ("AF_IRDA", 23),
    ("AF_PPPOX", 24),
    ("AF_WANPIPE", 25),
    ("AF_LLC", 26),
    ("AF_IB", 27),
    ("AF_MPLS", 28),
    ("AF_CAN", 29),
    ("AF_TIPC", 30),
    ("AF_BLUETOOTH", 31),
    ("AF_IUCV", 32),
    ("AF_RXRPC", 33),
    ("AF_ISDN", 34),
    ("AF_PHONET", 35),
    ("AF_IEEE802154", 36),
    ("AF_CAIF", 37),
    ("AF_ALG", 38),
    ("AF_NFC", 39),
    ("AF_VSOCK", 40),
    ("AF_KCM", 41),
    ("AF_QIPCRTR", 42),
    ("AF_SMC", 43),
    ("AF_XDP", 44),
    ("AF_MCTP", 45),
];

const PROTOCOLS: [Named; 1] = [("NETLINK_AUDIT", 9)];

const PERSONALITIES: [Named; 5] = [
    ("PER_LINUX", 0),
    ("PER_LINUX32", 8),
    ("UNAME26", 0x0002_0000),
    ("ADDR_NO_RANDOMIZE", 0x0004_0000),
    ("READ_IMPLIES_EXEC", 0x0040_0000),
];

/// A value that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is no value of {call}'s argument {index}: {}", hint(known))]
pub struct UnknownValue {
    word: String,
    call: String,
    index: u8,
    known: Vec<&'static str>,
}

fn hint(known: &[&'static str]) -> String {
    let numbers = "write a number such as 16 or 0x10";
    if known.is_empty() {
        return numbers.to_owned();
    }
    format!("{numbers}, or of {}, joined by |", known.join(", "))
}

/// The names for an argument of a call.
fn names(call: &str, index: u8) -> &'static [Named] {
    match (call, index) {
        // The flags are the second argument on z/Architecture.
        ("clone", 0 | 1) | ("unshare", 0) | ("setns", 1) => &CLONE,
        ("socket" | "socketpair", 0) => &DOMAINS,
        ("socket" | "socketpair", 2) => &PROTOCOLS,
        ("personality", 0) => &PERSONALITIES,
        _ => &[],
    }
}

/// Reads a value of an argument: a decimal or hexadecimal number, a name that the argument has, or
/// several of them with `|` between.
///
/// # Errors
///
/// When a word is none of these; the error says which names there are.
pub fn value(call: &str, index: u8, text: &str) -> Result<u64, UnknownValue> {
    let known = names(call, index);
    text.split('|').try_fold(0, |all, word| {
        let number = match word.strip_prefix("0x") {
            // Rust would take a sign here.
            Some(digits) if digits.starts_with('+') => None,
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None if word.starts_with('+') => None,
            None => word.parse().ok(),
        };
        let named = || known.iter().find(|(name, _)| *name == word);
        let value = number.or_else(|| named().map(|(_, value)| *value));
        value.map(|value| all | value).ok_or_else(|| UnknownValue {
            word: word.to_owned(),
            call: call.to_owned(),
            index,
            known: known.iter().map(|(name, _)| *name).collect(),
        })
    })
}

/// The name of a value of an argument, if it has one.
#[must_use]
pub fn name(call: &str, index: u8, value: u64) -> Option<&'static str> {
    let mut known = names(call, index).iter();
    known
        .find(|(_, known)| *known == value)
        .map(|(name, _)| *name)
}
