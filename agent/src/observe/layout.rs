//! The values of the programs' maps: structures of `bpf/observer.c`, read from bytes. Pure.
//!
//! INVARIANT: sizes and order of fields are those of the C structures. Map creation fails where a size
//! differs, and the tests of the kernel's side see every field.

use std::num::NonZeroU64;

/// `struct space`
pub(crate) const SPACE: usize = 680;
/// `struct program_key`
pub(crate) const PROGRAM_KEY: usize = 16;
/// `struct program`
pub(crate) const PROGRAM: usize = 384;
/// `struct pending`
pub(crate) const PENDING: usize = 56;
/// `struct tally_key`
pub(crate) const TALLY_KEY: usize = 48;
/// `struct orphan`
pub(crate) const ORPHAN: usize = 16;
/// `struct adopted`
pub(crate) const ADOPTED: usize = 24;
/// `struct tally`
pub(crate) const TALLY: usize = 24;

const GROUPS: usize = 8;
const GROUP_NAME: usize = 80;
const PARTS: usize = 8;
const PART: usize = 48;
const KEPT: usize = 2;

/// `struct space`, times in nanoseconds since boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawSpace {
    pub(crate) seen: u64,
    pub(crate) begun: Option<u64>,
    pub(crate) lost: u64,
    pub(crate) filters: u32,
    pub(crate) ignored: bool,
    pub(crate) blind: bool,
    pub(crate) groups: Vec<Box<str>>,
}

/// `struct pending`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawPending {
    pub(crate) started: u64,
    pub(crate) at: u64,
    pub(crate) call: RawCall,
    pub(crate) passes: bool,
}

/// What calls that are counted as one have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawCall {
    pub(crate) space: u64,
    pub(crate) inode: u64,
    pub(crate) kept: [u64; KEPT],
    pub(crate) number: u32,
    pub(crate) abi: u8,
    /// The arguments in memory could not be read.
    pub(crate) unread: bool,
}

/// `struct tally_key`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawTallyKey {
    pub(crate) call: RawCall,
    /// The error; zero for none.
    pub(crate) errno: u32,
    pub(crate) denied: bool,
    pub(crate) ambiguous: bool,
    pub(crate) filters: u32,
}

/// `struct tally`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawTally {
    pub(crate) count: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// Bytes that are read from front to back. What is beyond their end is zero.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(length).unwrap_or((self.0, &[]));
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.bytes(N).try_into().unwrap_or([0; N])
    }

    fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.array())
    }

    fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.array())
    }

    fn u8(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    fn is_set(&mut self) -> bool {
        self.u8() != 0
    }

    /// Names of this many bytes each, up to the first that is empty.
    fn names(&mut self, most: usize, length: usize) -> Vec<Box<str>> {
        let names = (0..most).map(|_| {
            let bytes = self.bytes(length);
            let end = bytes.iter().position(|byte| *byte == 0);
            let name = end.and_then(|end| bytes.get(..end)).unwrap_or(bytes);
            String::from_utf8_lossy(name).into_owned().into_boxed_str()
        });
        let names: Vec<_> = names.collect();
        names
            .into_iter()
            .take_while(|name| !name.is_empty())
            .collect()
    }
}

impl RawSpace {
    pub(crate) fn read(bytes: &[u8; SPACE]) -> Self {
        let fields = &mut Fields(bytes);
        let (seen, begun, lost) = (fields.u64(), fields.u64(), fields.u64());
        let filters = fields.u32();
        let has_begun = fields.u32() != 0;
        let ignored = fields.u32() != 0;
        let blind = fields.u32() != 0;
        let mut groups = fields.names(GROUPS, GROUP_NAME);
        // The root of a tree of control groups.
        groups.retain(|name| &**name != "/");
        Self {
            seen,
            begun: NonZeroU64::new(begun)
                .map(NonZeroU64::get)
                .filter(|_| has_begun),
            lost,
            filters,
            ignored,
            blind,
            groups,
        }
    }

    /// A space of which nothing is to be said.
    pub(crate) fn ignored() -> [u8; SPACE] {
        let mut bytes = [0; SPACE];
        // seen, begun, lost, filters, has_begun
        let at = 3 * size_of::<u64>() + 2 * size_of::<u32>();
        if let Some(place) = bytes.get_mut(at..at + size_of::<u32>()) {
            place.copy_from_slice(&1_u32.to_ne_bytes());
        }
        bytes
    }
}

/// `struct program_key`
pub(crate) fn program_key(call: &RawCall) -> [u8; PROGRAM_KEY] {
    let mut key = [0; PROGRAM_KEY];
    let (space, inode) = key.split_at_mut(size_of::<u64>());
    space.copy_from_slice(&call.space.to_ne_bytes());
    inode.copy_from_slice(&call.inode.to_ne_bytes());
    key
}

/// The path in a `struct program`; where it has more parts than these, its end.
pub(crate) fn path(bytes: &[u8; PROGRAM]) -> String {
    let mut parts = Fields(bytes).names(PARTS, PART);
    let begin = if parts.len() == PARTS { "…/" } else { "/" };
    parts.reverse();
    format!("{begin}{}", parts.join("/"))
}

impl RawPending {
    pub(crate) fn read(bytes: &[u8; PENDING]) -> Self {
        let fields = &mut Fields(bytes);
        let (started, at) = (fields.u64(), fields.u64());
        let (space, inode) = (fields.u64(), fields.u64());
        let kept = [fields.u64(), fields.u64()];
        let (number, abi) = (fields.u32(), fields.u8());
        let (passes, unread) = (fields.is_set(), fields.is_set());
        Self {
            started,
            at,
            call: RawCall {
                space,
                inode,
                kept,
                number,
                abi,
                unread,
            },
            passes,
        }
    }
}

impl RawTallyKey {
    pub(crate) fn read(bytes: &[u8; TALLY_KEY]) -> Self {
        let fields = &mut Fields(bytes);
        let (space, inode) = (fields.u64(), fields.u64());
        let kept = [fields.u64(), fields.u64()];
        let (number, errno) = (fields.u32(), fields.u32());
        let (abi, denied) = (fields.u8(), fields.is_set());
        let (ambiguous, unread) = (fields.is_set(), fields.is_set());
        Self {
            call: RawCall {
                space,
                inode,
                kept,
                number,
                abi,
                unread,
            },
            errno,
            denied,
            ambiguous,
            filters: fields.u32(),
        }
    }
}

impl RawTally {
    pub(crate) fn read(bytes: &[u8; TALLY]) -> Self {
        let fields = &mut Fields(bytes);
        Self {
            count: fields.u64(),
            first: fields.u64(),
            last: fields.u64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PROGRAM, RawSpace, SPACE, path};

    fn program(parts: &[&str]) -> [u8; PROGRAM] {
        let mut bytes = [0; PROGRAM];
        for (place, part) in bytes.chunks_mut(48).zip(parts) {
            place[..part.len()].copy_from_slice(part.as_bytes());
        }
        bytes
    }

    #[test]
    fn paths_are_put_together() {
        for (parts, want) in [
            (&[][..], "/"),
            (&["init"], "/init"),
            (&["nginx", "sbin", "usr"], "/usr/sbin/nginx"),
            (
                &["h", "g", "f", "e", "d", "c", "b", "a"],
                "…/a/b/c/d/e/f/g/h",
            ),
        ] {
            assert_eq!(path(&program(parts)), want);
        }
        // A name that fills its place, and bytes that are no text.
        let long = "x".repeat(48);
        assert_eq!(path(&program(&[&long])), format!("/{long}"));
        let mut odd = program(&["ab"]);
        odd[0] = 0xff;
        assert_eq!(path(&odd), "/\u{fffd}b");
    }

    #[test]
    fn a_space_that_is_ignored_says_so() {
        let space = RawSpace::read(&RawSpace::ignored());
        assert!(space.ignored && !space.blind && space.begun.is_none());
        let space = RawSpace::read(&[0; SPACE]);
        assert!(!space.ignored && space.groups.is_empty());
    }

    #[test]
    fn the_root_of_control_groups_is_no_name() {
        let mut bytes = [0; SPACE];
        let groups = &mut bytes[40..];
        groups[..2].copy_from_slice(b"id");
        groups[80..84].copy_from_slice(b"pods");
        groups[160..161].copy_from_slice(b"/");
        let space = RawSpace::read(&bytes);
        assert_eq!(space.groups, ["id".into(), "pods".into()]);
    }
}
