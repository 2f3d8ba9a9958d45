//! What the programs in the kernel have seen since they were asked last, as values. Pure.
//!
//! A *space* is a mount namespace that programs were executed in: one for every start of a container,
//! and more where its programs make some of their own. The kernel never gives a space's number to
//! another one as long as it runs, so nothing is ever taken for what had the same inode or process
//! number before.

use podfence_seccomp::{Abi, Errno, Moment};

/// The number of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpaceId(pub u64);

/// What was seen between two looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Every space that is known and not ignored.
    pub spaces: Vec<Space>,
    /// The calls of all spaces that are not ignored.
    pub calls: Vec<SeenCall>,
    /// How often something was lost since the last look of which it is not known whose it was: it may
    /// be any container's.
    pub lost: u64,
}

/// A mount namespace that programs were executed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// Its number.
    pub id: SpaceId,
    /// The names of the control groups of the first of its programs that was seen, from its own one
    /// upwards, without the root. A container's is named after the container.
    pub groups: Vec<Box<str>>,
    /// When something was first seen in it.
    pub seen: Moment,
    /// When the first program was executed in it, and under how many filters; none where it is older
    /// than the observer.
    pub begun: Option<Begun>,
    /// How much of it was lost since the last look.
    pub lost: u64,
    /// Whether one of its programs has executed a file that lies in no mount namespace, as one in
    /// memory, which another space executes too, or for which there was no place. What that does is
    /// not seen.
    pub blind: bool,
}

/// The beginning of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// When.
    pub at: Moment,
    /// The seccomp filters of its first program: those of the runtime.
    pub filters: u32,
}

/// Calls that differ in nothing that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenCall {
    /// Whose.
    pub space: SpaceId,
    /// How it was called.
    pub abi: Abi,
    /// The call's number, without the bit that x32 adds.
    pub number: u32,
    /// Those arguments that count, by position; for clone3 the flags at position 0. None where they
    /// could not be read.
    pub arguments: Option<Vec<(u8, u64)>>,
    /// What came of it.
    pub fate: Fate,
    /// The program that made it, as a path within the container.
    pub executable: Box<str>,
    /// How often.
    pub count: u64,
    /// When first.
    pub first: Moment,
    /// When last.
    pub last: Moment,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It went into the kernel and did what was asked.
    Success,
    /// It went into the kernel, which refused.
    Refused(Errno),
    /// It went into the kernel, and has not come back or nobody saw it.
    Unrecorded,
    /// It came back with this error and never went in.
    Denied {
        /// The error.
        errno: Errno,
        /// How many filters the thread had: more than the space's first program has are its own.
        filters: u32,
        /// Whether something else may have kept it from going in: a debugger, or the observer's own
        /// start.
        ambiguous: bool,
    },
}
