//! What one container gets of a profile: the rules that are there for it, loaded as runc or crun and
//! libseccomp do it. Pure.
//!
//! The steps, each of which changes what a call gets:
//!
//! 1. Rules that are not for this container are left out ([`Applicability`]).
//! 2. The runtime leaves out rules that do what happens anyway, and rules for names that its
//!    libseccomp does not know on any ABI. A rule that names one argument twice becomes one rule for
//!    each of its conditions. (runc `libcontainer/seccomp`, crun `src/libcrun/seccomp.c`.)
//! 3. libseccomp looks each name up for every ABI of the filter, and makes a tree of comparisons for
//!    each number ([`tree`]).
//! 4. runc answers ENOSYS to every number above the highest that the profile names, so that programs
//!    take new calls for missing and fall back; crun does not.
//!
//! [`Applicability`]: crate::Applicability

mod key;
mod multiplexed;
mod tree;
mod untold;

use std::collections::HashMap;
use std::fmt;

use podfence_workload::CapabilityMask;

use crate::classes::{ArgumentClass, Classes, Test, TooManyClasses};
use crate::syscalls::{self, Libseccomp};
use crate::{Abi, Action, Architecture, Errno, KernelVersion, Rule, RuleSet};

pub use key::FilterKey;
pub(crate) use multiplexed::is_carrier;
pub use tree::Conflict;
use tree::Tree;
use untold::Compared;

/// What of a container its profile asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// The node's architecture.
    pub architecture: Architecture,
    /// The container's bounding set.
    pub bounding: CapabilityMask,
    /// The node's kernel.
    pub kernel: KernelVersion,
}

/// The program that runs containers, below containerd or CRI-O.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OciRuntime {
    /// runc from 1.0.0-rc93 on
    Runc,
    /// crun
    Crun,
}

impl OciRuntime {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
        }
    }
}

/// The calls by which the kernel's own probes return, on x86-64: it puts them into programs that know
/// nothing of them, and a filter would break these. From these releases on it asks none
/// (`__secure_computing` in `kernel/seccomp.c`); fixes of older ones took that over for `uretprobe`,
/// which their version does not tell.
const PAST_FILTERS: [(u32, KernelVersion); 2] = [
    (
        335,
        KernelVersion {
            major: 6,
            minor: 14,
        },
    ), // uretprobe
    (
        336,
        KernelVersion {
            major: 6,
            minor: 18,
        },
    ), // uprobe
];

/// Who loads the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Loader {
    /// The program.
    pub runtime: OciRuntime,
    /// The libseccomp that it is linked with.
    pub libseccomp: Libseccomp,
}

impl Default for Loader {
    /// runc with the newest libseccomp.
    fn default() -> Self {
        Self {
            runtime: OciRuntime::Runc,
            libseccomp: Libseccomp::NEWEST,
        }
    }
}

/// The filter of a container.
#[derive(Debug)]
pub struct Filter {
    default: Errno,
    loader: Loader,
    /// None where only the program is asked about, not a kernel that runs it.
    kernel: Option<KernelVersion>,
    rules: Vec<Rule>,
    abis: Vec<(Abi, Numbers)>,
}

/// What a filter does with the calls of one ABI.
#[derive(Debug, Default)]
struct Numbers {
    trees: HashMap<u32, Tree>,
    /// The highest number that the profile names, whatever it says about it.
    highest: u32,
}

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the kernel does.
    pub action: Action,
    /// Why.
    pub cause: Cause,
}

/// What decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// This rule.
    Rule(Rule),
    /// No rule names the call, or none that does matches its arguments.
    Default,
    /// runc answers for numbers above the highest that the profile names.
    AboveHighest,
    /// The profile names the call, but libseccomp does not know it and left its rules out.
    UnknownTo(Libseccomp),
    /// The filter was not made for the ABI.
    ForeignAbi,
    /// The kernel lets the call through and asks no filter.
    PastFilters,
}

/// What decided, before it is put into words.
enum Reason<'a> {
    Rule(&'a Rule),
    Default,
    AboveHighest,
    ForeignAbi,
    PastFilters,
}

/// A call that cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownCall {
    /// No ABI has a call by this name.
    #[error("no system call is named {0:?}")]
    Name(String),
    /// Another ABI has it.
    #[error("{abi} has no system call {name:?}")]
    Abi {
        /// The call.
        name: String,
        /// The ABI.
        abi: Abi,
    },
}

/// Rules that cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// libseccomp refuses them, and the container does not start.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// What libseccomp makes of them cannot be told.
    #[error("what libseccomp makes of the rules for {call:?} on {abi} cannot be told")]
    Untold {
        /// The call.
        call: &'static str,
        /// The ABI.
        abi: Abi,
    },
}

/// What a filter does with all calls of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// The same, whatever their arguments are.
    Always(Decision),
    /// It depends on these arguments.
    ByArguments(Vec<Rule>),
}

impl Filter {
    /// Loads the rules for a container.
    ///
    /// # Errors
    ///
    /// When libseccomp would refuse the rules because two of them say different things about the
    /// same calls, or when it cannot be told what it makes of them. No known profile has such rules.
    pub fn load(
        profile: &RuleSet,
        container: Container,
        loader: Loader,
    ) -> Result<Self, LoadError> {
        let filter = Self::of_rules(
            profile.active(container).cloned().collect(),
            profile.default,
            &profile.abis(container.architecture),
            loader,
        )?;
        Ok(filter.on_kernel(container.kernel))
    }

    /// Loads rules that are all there, as they stand in an OCI configuration, for these ABIs.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn of_rules(
        rules: Vec<Rule>,
        default: Errno,
        abis: &[Abi],
        loader: Loader,
    ) -> Result<Self, LoadError> {
        let abis = abis
            .iter()
            .map(|abi| Ok((*abi, Numbers::load(*abi, &rules, default, loader)?)))
            .collect::<Result<_, LoadError>>()?;
        Ok(Self {
            default,
            loader,
            kernel: None,
            rules,
            abis,
        })
    }

    /// As this kernel runs it. Without a kernel, decisions are those of the program alone.
    #[must_use]
    pub fn on_kernel(self, kernel: KernelVersion) -> Self {
        Self {
            kernel: Some(kernel),
            ..self
        }
    }

    /// What becomes of a call by name.
    ///
    /// # Errors
    ///
    /// When the ABI has no call of this name.
    pub fn decide(
        &self,
        abi: Abi,
        name: &str,
        arguments: [u64; 6],
    ) -> Result<Decision, UnknownCall> {
        Ok(self.decide_number(abi, number_of(abi, name)?, arguments))
    }

    /// What becomes of a call by number, without the bit that x32 adds.
    #[must_use]
    pub fn decide_number(&self, abi: Abi, number: u32, arguments: [u64; 6]) -> Decision {
        let (action, reason) = self.judge(abi, number, arguments);
        let cause = match reason {
            Reason::Rule(rule) => Cause::Rule(rule.clone()),
            Reason::Default => self.unnamed(abi, number, Cause::Default),
            Reason::AboveHighest => self.unnamed(abi, number, Cause::AboveHighest),
            Reason::ForeignAbi => Cause::ForeignAbi,
            Reason::PastFilters => Cause::PastFilters,
        };
        Decision { action, cause }
    }

    /// What the kernel does with a call by number, as [`Self::decide_number`], without saying why:
    /// for whoever asks about every call.
    #[must_use]
    pub fn action(&self, abi: Abi, number: u32, arguments: [u64; 6]) -> Action {
        self.judge(abi, number, arguments).0
    }

    fn judge(&self, abi: Abi, number: u32, arguments: [u64; 6]) -> (Action, Reason<'_>) {
        let Some((_, numbers)) = self.abis.iter().find(|(known, _)| *known == abi) else {
            return (Action::KillThread, Reason::ForeignAbi);
        };
        if self.asks_no_filter(abi, number) {
            return (Action::Allow, Reason::PastFilters);
        }
        if self.is_stubbed(abi, numbers, number) {
            return (Action::Errno(Errno::ENOSYS), Reason::AboveHighest);
        }
        let tree = numbers.trees.get(&number);
        let matched = tree.and_then(|tree| tree.evaluate(arguments));
        match matched.and_then(|at| self.rules.get(at)) {
            Some(rule) => (rule.action, Reason::Rule(rule)),
            None => (Action::Errno(self.default), Reason::Default),
        }
    }

    /// What becomes of all calls of a number, as far as it does not depend on their arguments: what
    /// an observer needs to know beforehand.
    #[must_use]
    pub fn class(&self, abi: Abi, number: u32) -> Class {
        let numbers = self.abis.iter().find(|(known, _)| *known == abi);
        let tree = numbers
            .filter(|(_, numbers)| !self.is_stubbed(abi, numbers, number))
            .and_then(|(_, numbers)| numbers.trees.get(&number))
            .filter(|tree| tree.has_comparisons());
        let Some(tree) = tree else {
            return Class::Always(self.decide_number(abi, number, [0; 6]));
        };
        let rules = tree.rules().into_iter();
        Class::ByArguments(rules.filter_map(|at| self.rules.get(at).cloned()).collect())
    }

    /// What becomes of all calls of a number, by their arguments.
    ///
    /// # Errors
    ///
    /// When the rules tell too many arguments apart, as those of no known profile do.
    pub fn classes(&self, abi: Abi, number: u32) -> Result<Classes<Action>, TooManyClasses> {
        Classes::of(abi, &self.tests(abi, number), &[None; 6], |arguments| {
            self.action(abi, number, arguments)
        })
    }

    /// As [`Self::classes`], each with what its arguments are.
    pub(crate) fn all_classes(
        &self,
        abi: Abi,
        number: u32,
    ) -> Result<Vec<ArgumentClass<Action>>, TooManyClasses> {
        Classes::all(abi, &self.tests(abi, number), &[None; 6], |arguments| {
            self.action(abi, number, arguments)
        })
    }

    /// What the filter tells apart of the arguments of all calls of a number.
    pub(crate) fn tests(&self, abi: Abi, number: u32) -> Vec<Test> {
        let numbers = self.abis.iter().find(|(known, _)| *known == abi);
        let tree = numbers
            .filter(|(_, numbers)| !self.is_stubbed(abi, numbers, number))
            .and_then(|(_, numbers)| numbers.trees.get(&number));
        tree.map(Tree::tests).unwrap_or_default()
    }

    /// The numbers that the filter of an ABI says something about, and the highest that the profile
    /// names, whatever it says about it.
    pub(crate) fn numbers(&self, abi: Abi) -> (Vec<u32>, u32) {
        let numbers = self.abis.iter().find(|(known, _)| *known == abi);
        numbers.map_or_else(Default::default, |(_, numbers)| {
            (numbers.trees.keys().copied().collect(), numbers.highest)
        })
    }

    /// The rules that it was made of.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What becomes of a call that no rule names.
    #[must_use]
    pub const fn default_errno(&self) -> Errno {
        self.default
    }

    /// Every error that it has for a call whose arguments decide.
    pub(crate) fn errors(&self, abi: Abi, number: u32) -> impl Iterator<Item = Errno> {
        let rules = match self.class(abi, number) {
            Class::Always(_) => Vec::new(),
            Class::ByArguments(rules) => rules,
        };
        let of_rules = rules.into_iter().filter_map(|rule| match rule.action {
            Action::Errno(errno) => Some(errno),
            Action::Allow | Action::KillThread => None,
        });
        of_rules.chain([self.default])
    }

    /// The ABIs that it was made for, the node's own first.
    pub fn abis(&self) -> impl Iterator<Item = Abi> {
        self.abis.iter().map(|(abi, _)| *abi)
    }

    /// Whether the kernel lets a call through before it asks any filter.
    #[must_use]
    pub fn asks_no_filter(&self, abi: Abi, number: u32) -> bool {
        let mut past = PAST_FILTERS.iter();
        abi == Abi::X86_64
            && past.any(|(known, since)| {
                *known == number && self.kernel.is_some_and(|kernel| kernel >= *since)
            })
    }

    /// Whether runc's part of the filter answers before libseccomp's does.
    fn is_stubbed(&self, abi: Abi, numbers: &Numbers, number: u32) -> bool {
        self.loader.runtime == OciRuntime::Runc
            && numbers.highest > 0
            && (number > numbers.highest
                // On z/Architecture 0 is no call, and stands for numbers that do not fit elsewhere.
                || (number == 0 && matches!(abi, Abi::S390x | Abi::S390)))
    }

    /// Why nothing named the call: `otherwise`, unless its rules were left out.
    fn unnamed(&self, abi: Abi, number: u32, otherwise: Cause) -> Cause {
        let release = self.loader.libseccomp;
        match syscalls::name(abi, number) {
            Some(name)
                if !release.knows(name) && self.rules.iter().any(|rule| rule.syscall == name) =>
            {
                Cause::UnknownTo(release)
            }
            _ => otherwise,
        }
    }
}

impl Numbers {
    fn load(abi: Abi, rules: &[Rule], default: Errno, loader: Loader) -> Result<Self, LoadError> {
        let mut numbers = Self::default();
        let mut compared = HashMap::<u32, Vec<Compared>>::new();
        for (at, rule) in rules.iter().enumerate() {
            let name = rule.syscall;
            if !loader.libseccomp.knows(name) {
                continue;
            }
            let direct = number_in_libseccomp(loader.libseccomp, abi, name);
            let through = multiplexed::through(abi, name);
            if through.is_none() {
                // libseccomp has a negative number for the others, which runc does not count.
                numbers.highest = numbers.highest.max(direct.unwrap_or_default());
            }
            if rule.action == Action::Errno(default) {
                continue;
            }
            let targets = through
                .into_iter()
                .chain(direct.map(|number| (number, None)));
            for (number, through) in targets {
                let conditions = rule.conditions.iter().copied();
                let kept = conditions.filter(|condition| through.is_none() || condition.index != 0);
                let others = compared.entry(number).or_default();
                others.push((rule.action, kept.collect()));
                if untold::is_untold(abi, others) {
                    return Err(LoadError::Untold { call: name, abi });
                }
                let tree = numbers.trees.entry(number).or_default();
                tree.add_rule(abi, rule, at, through)?;
            }
        }
        Ok(numbers)
    }
}

/// A call's number as libseccomp has it.
fn number_in_libseccomp(release: Libseccomp, abi: Abi, name: &str) -> Option<u32> {
    // The kernel has the call for x32. libseccomp 2.6.0 has it too; the table of 2.5.5, as Debian's
    // 2.5.4-1+deb12u1 carries it, says that x32 has it not.
    let is_missing =
        abi == Abi::X32 && name == "map_shadow_stack" && release < Libseccomp::new(2, 6, 0);
    (!is_missing).then(|| syscalls::number(abi, name)).flatten()
}

pub(crate) fn number_of(abi: Abi, name: &str) -> Result<u32, UnknownCall> {
    syscalls::number(abi, name).ok_or_else(|| {
        if syscalls::names().contains(&name) {
            UnknownCall::Abi {
                name: name.to_owned(),
                abi,
            }
        } else {
            UnknownCall::Name(name.to_owned())
        }
    })
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => write!(formatter, "{rule}"),
            Self::Default => formatter.write_str("no rule allows it"),
            Self::AboveHighest => {
                formatter.write_str("above the highest number that the profile names")
            }
            Self::UnknownTo(release) => {
                write!(formatter, "its rules are unknown to libseccomp {release}")
            }
            Self::ForeignAbi => formatter.write_str("the filter is not made for this ABI"),
            Self::PastFilters => formatter.write_str("the kernel asks no filter about it"),
        }
    }
}
