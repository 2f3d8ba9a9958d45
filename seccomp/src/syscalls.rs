//! The names and numbers of system calls, and which names a libseccomp knows. Pure; the table is
//! `data/syscalls.txt`.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use crate::Abi;

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(include_str!("../data/syscalls.txt")));

/// In the order of [`Abi::ALL`].
type Numbers = [Option<u32>; Abi::ALL.len()];

struct Table {
    by_name: HashMap<&'static str, Numbers>,
    names: Vec<&'static str>,
    by_number: HashMap<(Abi, u32), &'static str>,
}

impl Table {
    /// Reads the table; a test holds that it has every line and column.
    fn read(text: &'static str) -> Self {
        let mut table = Self {
            by_name: HashMap::new(),
            names: Vec::new(),
            by_number: HashMap::new(),
        };
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let columns: Vec<Option<Abi>> = lines
            .next()
            .unwrap_or_default()
            .split(' ')
            .skip(1)
            .map(|name| name.parse().ok())
            .collect();
        for line in lines {
            let mut words = line.split(' ');
            let Some(name) = words.next() else { continue };
            let mut numbers = Numbers::default();
            for (abi, word) in columns.iter().zip(words) {
                let (Some(abi), Ok(number)) = (*abi, word.parse()) else {
                    continue;
                };
                if let Some(place) = numbers.get_mut(abi as usize) {
                    *place = Some(number);
                }
                table.by_number.insert((abi, number), name);
            }
            table.by_name.insert(name, numbers);
            table.names.push(name);
        }
        table
    }
}

/// The number of a call, without the bit that x32 adds; none where the ABI does not have it.
#[must_use]
pub fn number(abi: Abi, name: &str) -> Option<u32> {
    *TABLE.by_name.get(name)?.get(abi as usize)?
}

/// The call of a number.
#[must_use]
pub fn name(abi: Abi, number: u32) -> Option<&'static str> {
    TABLE.by_number.get(&(abi, number)).copied()
}

/// Every name that some ABI has, sorted.
#[must_use]
pub fn names() -> &'static [&'static str] {
    &TABLE.names
}

/// A release of libseccomp, which a runtime is linked with: it skips rules for names that it does not
/// know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Libseccomp {
    major: u16,
    minor: u16,
    patch: u16,
}

/// The text is not three numbers, or older than 2.5.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a release of libseccomp from 2.5.0 on, such as 2.5.4")]
pub struct InvalidLibseccomp(String);

impl Libseccomp {
    /// The newest release whose table is known: what is assumed where nothing is said.
    pub const NEWEST: Self = Self::new(2, 6, 0);

    /// The first number of the calls that are numbered alike on all architectures.
    const FIRST_COMMON: u32 = 424;

    /// The last of the common numbers that each release knows. 2.5.4 and 2.6.0 were compared name
    /// by name with their tables; the others are from the kernels that their change logs name
    /// (5.8, 5.14, 5.15 and 6.7). 2.5.1 and 2.5.6 and anything later know at least as much as the
    /// one before them.
    const LAST_COMMON: [(Self, u32); 6] = [
        (Self::new(2, 5, 0), 439),
        (Self::new(2, 5, 2), 447),
        (Self::new(2, 5, 3), 448),
        (Self::new(2, 5, 4), 450),
        (Self::new(2, 5, 5), 456),
        (Self::new(2, 6, 0), 466),
    ];

    /// Calls of one architecture only that came later than its others. The kernel has the first since
    /// 6.4; but the table of 2.5.5, as Debian's 2.5.4-1+deb12u1 carries it, does not.
    const LATE: [(&str, Self); 2] = [
        ("riscv_hwprobe", Self::new(2, 6, 0)),
        ("uretprobe", Self::new(2, 6, 0)),
    ];

    /// Calls that no release knows yet.
    const UNRELEASED: [&str; 1] = ["uprobe"];

    /// This release.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Whether the table of this release is known, so that nothing has to be assumed.
    #[must_use]
    pub fn is_known(self) -> bool {
        Self::LAST_COMMON
            .iter()
            .any(|(release, _)| *release == self)
    }

    /// Whether it knows a call by this name.
    #[must_use]
    pub fn knows(self, name: &str) -> bool {
        let Some(numbers) = TABLE.by_name.get(name) else {
            return false;
        };
        if Self::UNRELEASED.contains(&name) {
            return false;
        }
        if let Some((_, since)) = Self::LATE.iter().find(|(late, _)| *late == name) {
            return self >= *since;
        }
        let generic = [Abi::Aarch64, Abi::Loongarch64]
            .iter()
            .find_map(|abi| numbers.get(*abi as usize).copied().flatten());
        generic.is_none_or(|number| number < Self::FIRST_COMMON || number <= self.last_common())
    }

    fn last_common(self) -> u32 {
        Self::LAST_COMMON
            .iter()
            .rev()
            .find(|(release, _)| *release <= self)
            .map_or(0, |(_, last)| *last)
    }
}

impl FromStr for Libseccomp {
    type Err = InvalidLibseccomp;

    fn from_str(text: &str) -> Result<Self, InvalidLibseccomp> {
        let mut words = text.split('.').map(str::parse::<u16>);
        match [words.next(), words.next(), words.next(), words.next()] {
            [Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None]
                if (major, minor) >= (2, 5) =>
            {
                Ok(Self::new(major, minor, patch))
            }
            _ => Err(InvalidLibseccomp(text.to_owned())),
        }
    }
}

impl fmt::Display for Libseccomp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            major,
            minor,
            patch,
        } = self;
        write!(formatter, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Libseccomp, TABLE, name, names, number};
    use crate::Abi;

    #[test]
    fn the_table_is_whole() {
        let text = include_str!("../data/syscalls.txt");
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(names().len() + 1, lines.len());
        assert!(names().is_sorted(), "each name once, and in order");
        let columns: Vec<_> = lines[0].split(' ').skip(1).collect();
        assert_eq!(columns.len(), Abi::ALL.len());
        for (at, line) in lines.iter().enumerate().skip(1) {
            let words: Vec<_> = line.split(' ').collect();
            assert_eq!(words.len(), columns.len() + 1, "line {at}");
            for (column, word) in columns.iter().zip(&words[1..]) {
                let abi: Abi = column.parse().expect("a known ABI");
                assert_eq!(number(abi, words[0]), word.parse().ok(), "{line}");
                assert!(*word == "-" || number(abi, words[0]).is_some(), "{line}");
            }
        }
        for ((abi, number_of), called) in &TABLE.by_number {
            assert_eq!(number(*abi, called), Some(*number_of), "{abi} {called}");
            assert_eq!(name(*abi, *number_of), Some(*called));
        }
    }

    #[test]
    fn some_numbers_of_the_kernel() {
        for (abi, call, want) in [
            (Abi::X86_64, "unshare", Some(272)),
            (Abi::X86, "socketcall", Some(102)),
            (Abi::X86_64, "socketcall", None),
            (Abi::Aarch64, "unshare", Some(97)),
            (Abi::Arm, "cacheflush", Some(983_042)),
            (Abi::X86_64, "no_such_call", None),
        ] {
            assert_eq!(number(abi, call), want, "{abi} {call}");
        }
    }

    #[test]
    fn what_a_release_of_libseccomp_knows() {
        for (call, since) in [
            ("read", "2.5.0"),
            ("faccessat2", "2.5.0"),
            ("memfd_secret", "2.5.2"),
            ("process_mrelease", "2.5.3"),
            ("set_mempolicy_home_node", "2.5.4"),
            ("cachestat", "2.5.5"),
            ("statmount", "2.6.0"),
            ("mseal", "2.6.0"),
            ("riscv_hwprobe", "2.6.0"),
            ("uretprobe", "2.6.0"),
        ] {
            let since: Libseccomp = since.parse().expect("a release");
            for (release, _) in Libseccomp::LAST_COMMON {
                assert_eq!(release.knows(call), release >= since, "{call} {release}");
            }
        }
        for call in ["file_getattr", "listns", "uprobe", "no_such_call", ""] {
            assert!(!Libseccomp::NEWEST.knows(call), "{call:?}");
        }
    }

    #[test]
    fn releases_are_three_numbers() {
        for wrong in ["", "2.5", "2.4.3", "2.5.4.1", "2.5.x", "v2.5.4", "2.5.4 "] {
            assert!(wrong.parse::<Libseccomp>().is_err(), "{wrong:?}");
        }
        let odd: Libseccomp = "2.5.6".parse().expect("a release");
        assert!(!odd.is_known() && odd.knows("cachestat") && !odd.knows("mseal"));
    }
}
