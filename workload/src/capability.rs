//! A set of Linux capabilities, unknown names included. Pure.

/// The capabilities that Linux knows, as Kubernetes writes them; the index is the kernel's number.
pub const KNOWN_CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The word that stands for every capability.
const ALL: &str = "ALL";
/// Its bit; the kernel's numbers stay far below.
const ALL_BIT: u64 = 1 << 63;

/// A set of capabilities by the names written: one bit each for those that Linux knows and for
/// the literal `ALL`, text for anything else (`chown`, `CAP_CHOWN`, a typo).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CapabilitySet {
    known: CapabilityMask,
    /// Sorted, each name once.
    other: Vec<Box<str>>,
}

/// Capabilities that Linux knows, without any other names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CapabilityMask(u64);

impl CapabilityMask {
    /// The capabilities of these names. A name that is not known adds nothing, so that a mask
    /// of what is allowed can only become stricter by a mistake.
    #[must_use]
    pub const fn of(names: &[&str]) -> Self {
        let mut mask = 0;
        let mut rest = names;
        while let [name, others @ ..] = rest {
            mask |= known_bit(name);
            rest = others;
        }
        Self(mask)
    }

    /// Every capability that Linux knows.
    pub const ALL: Self = Self::of(&KNOWN_CAPABILITIES);

    /// The capability of this name, as Kubernetes writes it; none for a name that Linux does not
    /// know, `ALL` included.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        KNOWN_CAPABILITIES
            .contains(&name)
            .then(|| Self::of(&[name]))
    }

    /// Those in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in the other.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether every one of the other is here.
    #[must_use]
    pub const fn contains_all(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether any of the other is here.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        other.0 & self.0 != 0
    }

    /// The names, in the order of the kernel's numbers.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        KNOWN_CAPABILITIES
            .into_iter()
            .enumerate()
            .filter(move |(number, _)| self.0 & (1 << number) != 0)
            .map(|(_, name)| name)
    }

    /// How many capabilities there are.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl CapabilitySet {
    /// Whether the literal `ALL` is in the set.
    #[must_use]
    pub const fn has_all(&self) -> bool {
        self.known.0 & ALL_BIT != 0
    }

    /// Whether the name is in the set, exactly as written.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        match known_bit(name) {
            0 => self.other.iter().any(|other| **other == *name),
            bit => self.known.0 & bit != 0,
        }
    }

    /// Whether every name is one of `allowed`.
    #[must_use]
    pub const fn is_within(&self, allowed: CapabilityMask) -> bool {
        self.known.0 & !allowed.0 == 0 && self.other.is_empty()
    }

    /// The names that are not in `allowed`, in no particular order.
    pub fn names_outside(&self, allowed: CapabilityMask) -> impl Iterator<Item = &str> {
        let outside = self.known.0 & !allowed.0;
        KNOWN_CAPABILITIES
            .iter()
            .enumerate()
            .filter(move |(number, _)| outside & (1 << number) != 0)
            .map(|(_, name)| *name)
            .chain((outside & ALL_BIT != 0).then_some(ALL))
            .chain(self.other.iter().map(|name| &**name))
    }

    /// All names, in no particular order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names_outside(CapabilityMask::default())
    }

    /// Whether there are no names.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.other.is_empty()
    }
}

impl CapabilitySet {
    /// Adds a name; [`Self::sort`] must follow before the set is used.
    pub(crate) fn push(&mut self, name: &str) {
        match known_bit(name) {
            0 => self.other.push(name.into()),
            bit => self.known.0 |= bit,
        }
    }

    pub(crate) fn sort(&mut self) {
        self.other.sort_unstable();
        self.other.dedup();
    }
}

impl<'a> FromIterator<&'a str> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut set = Self::default();
        names.into_iter().for_each(|name| set.push(name));
        set.sort();
        set
    }
}

/// The bit of a known name, 0 for any other.
const fn known_bit(name: &str) -> u64 {
    if equal(name, ALL) {
        return ALL_BIT;
    }
    let mut bit = 1;
    let mut rest: &[&str] = &KNOWN_CAPABILITIES;
    while let [known, others @ ..] = rest {
        if equal(name, known) {
            return bit;
        }
        bit <<= 1;
        rest = others;
    }
    0
}

/// `==` for text, which the language does not yet have in constants.
const fn equal(left: &str, right: &str) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while let ([first, left_rest @ ..], [second, right_rest @ ..]) = (left, right) {
        if *first != *second {
            return false;
        }
        (left, right) = (left_rest, right_rest);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{CapabilityMask, CapabilitySet, KNOWN_CAPABILITIES};

    #[test]
    fn only_exact_names_are_known() {
        let odd = ["", "all", "All", "CAP_CHOWN", "chown", "CHOWN ", "NET_RAWX"];
        for name in odd {
            let set: CapabilitySet = [name].into_iter().collect();
            assert!(!set.has_all(), "{name:?}");
            assert!(set.contains(name), "{name:?}");
            assert!(
                !set.is_within(CapabilityMask::of(&KNOWN_CAPABILITIES)),
                "{name:?}"
            );
            assert_eq!(set.names().collect::<Vec<_>>(), [name]);
        }
        assert_eq!(CapabilityMask::of(&odd), CapabilityMask::default());
    }

    #[test]
    fn each_known_capability_has_its_own_bit() {
        assert_eq!(CapabilityMask::of(&KNOWN_CAPABILITIES).len(), 41);
        for name in KNOWN_CAPABILITIES {
            let set: CapabilitySet = [name, name].into_iter().collect();
            assert_eq!(set.names().collect::<Vec<_>>(), [name]);
            assert!(set.is_within(CapabilityMask::of(&[name])));
        }
    }

    #[test]
    fn masks_are_sets() {
        let net = CapabilityMask::of(&["NET_RAW", "NET_ADMIN"]);
        let raw = CapabilityMask::named("NET_RAW").expect("it is known");
        assert_eq!(CapabilityMask::named("ALL"), None);
        assert_eq!(CapabilityMask::named("CAP_NET_RAW"), None);
        assert!(net.contains_all(raw) && !raw.contains_all(net));
        assert!(net.contains_all(CapabilityMask::default()));
        assert!(!net.intersects(CapabilityMask::default()));
        assert_eq!(
            net.difference(raw).names().collect::<Vec<_>>(),
            ["NET_ADMIN"]
        );
        assert_eq!(net.difference(raw).union(raw), net);
        assert_eq!(CapabilityMask::ALL.len(), 41);
    }

    #[test]
    fn names_outside_of_a_mask() {
        let set: CapabilitySet = ["ALL", "x", "NET_RAW", "CHOWN", "x"].into_iter().collect();
        let outside: Vec<_> = set.names_outside(CapabilityMask::of(&["CHOWN"])).collect();
        assert_eq!(outside, ["NET_RAW", "ALL", "x"]);
        assert!(set.has_all());
    }
}
