//! `RuntimeDefault` as data, what it does with a system call on a real kernel, and who would fail
//! under it. Pure, no I/O.
//!
//! A [`Profile`] is what a runtime's release has for every container; [`Filter::load`] makes of it
//! what one container gets, as runc or crun and libseccomp would, and [`Filter::decide`] says what
//! that does with a call.
//!
//! [`evidence`] is what is known of a container: calls, denials, how it fares with and without. From
//! a set of such facts [`judge`] makes a [`Verdict`], and [`fix`] says what to do about it.

mod action;
mod affected;
mod argument;
mod capabilities;
mod classes;
mod compare;
pub mod constants;
mod edit;
mod effect;
mod effective;
mod errno;
pub mod evidence;
mod explain;
mod filter;
pub mod fix;
mod kernel;
mod moment;
mod oci;
mod profile;
mod rule;
mod sieve;
pub mod signature;
pub mod syscalls;
mod target;
mod verdict;

pub use action::{Action, Errno};
pub use affected::{Affected, Exempt};
pub use argument::describe as describe_arguments;
pub use capabilities::{Capabilities, RefusedCapability};
pub use classes::{ArgumentClass, Classes, TooManyClasses, Values};
pub use compare::{Difference, differences};
pub use edit::{Edit, EditError, InvalidEdit, edited};
pub use effect::{Answer, Bearing};
pub use effective::{EffectiveProfile, Node, Switch, UnknownProfile};
pub use explain::{ExplainError, Explanation, Fate, Judge, explain};
pub use filter::{
    Cause, Class, Conflict, Container, Decision, Filter, FilterKey, LoadError, Loader, OciRuntime,
    UnknownCall,
};
pub use kernel::{InvalidKernel, KernelVersion};
pub use moment::{Moment, Span};
pub use oci::{FlatProfile, MalformedProfile, ReadProfile};
pub use profile::{
    Assumption, InvalidLine, MalformedData, Profile, ProfileError, Provenance, RuleSet, Runtime,
};
pub use rule::{Applicability, Condition, Operator, Rule};
pub use sieve::{Kept, NUMBERS, Sieve, SieveError};
pub use target::{Abi, Architecture, UnknownName};
pub use verdict::{
    Basis, Certainty, Doubt, Finding, Ground, Judgement, Readiness, Subject, Terms, Verdict,
    WorkloadJudgement, judge,
};
