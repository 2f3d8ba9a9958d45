//! A filter as an observer needs it: what is always allowed as a bit set, and of the rest what is
//! always refused and what depends on which arguments. Pure.
//!
//! Whoever sees every call of a node cannot ask a filter about each. Of most a bit says that they are
//! allowed; of the others the arguments are compared with a few constants.

use std::collections::BTreeMap;

use crate::classes::{Classes, TooManyClasses};
use crate::{Abi, Action, Class, Container, Filter, Loader, RuleSet};

/// Numbers from here on have no bit. All but a few of Arm's own are far below.
const NUMBERS: u32 = 1024;

/// What a container's filter depends on: two containers with equal keys have equal filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FilterKey {
    /// The hash of the profile's rules.
    pub profile: &'static str,
    /// What the rules ask of the container.
    pub container: Container,
    /// Who loads them.
    pub loader: Loader,
}

impl FilterKey {
    /// The key of a container under a profile.
    #[must_use]
    pub const fn of(profile: &RuleSet, container: Container, loader: Loader) -> Self {
        Self {
            profile: profile.hash,
            container,
            loader,
        }
    }
}

/// A filter in the form of an observer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    abis: Vec<CompiledAbi>,
}

/// What becomes of the calls of one ABI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledAbi {
    /// The ABI.
    pub abi: Abi,
    /// One bit for each number below 1024, the least significant bit of the first word for 0: whether
    /// its calls are allowed whatever their arguments are.
    pub allowed: Vec<u64>,
    /// What becomes of numbers that have no bit, and is not what `unnamed` and `above` say.
    pub others: BTreeMap<u32, Outcome>,
    /// What becomes of all others up to `highest`.
    pub unnamed: Action,
    /// The highest number that the profile names.
    pub highest: u32,
    /// What becomes of all others above `highest`.
    pub above: Action,
}

/// What becomes of the calls of one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The same, whatever their arguments are.
    Always(Action),
    /// It depends on them.
    ByArguments(Classes<Action>),
}

impl Compiled {
    /// The form of a filter.
    ///
    /// # Errors
    ///
    /// When its rules tell too many arguments apart, as those of no known profile do.
    pub fn of(filter: &Filter) -> Result<Self, TooManyClasses> {
        let abis = filter.abis().map(|abi| CompiledAbi::of(filter, abi));
        Ok(Self {
            abis: abis.collect::<Result<_, _>>()?,
        })
    }

    /// The ABIs that the filter was made for.
    #[must_use]
    pub fn abis(&self) -> &[CompiledAbi] {
        &self.abis
    }

    /// What the kernel does with a call by number, as [`Filter::action`] says it.
    #[must_use]
    pub fn action(&self, abi: Abi, number: u32, arguments: [u64; 6]) -> Action {
        let known = self.abis.iter().find(|known| known.abi == abi);
        known.map_or(Action::KillThread, |abi| abi.action(number, arguments))
    }
}

impl CompiledAbi {
    fn of(filter: &Filter, abi: Abi) -> Result<Self, TooManyClasses> {
        let (named, highest) = filter.numbers(abi);
        let mut compiled = Self {
            abi,
            allowed: vec![0; (NUMBERS / u64::BITS) as usize],
            others: BTreeMap::new(),
            unnamed: Action::Errno(filter.default_errno()),
            highest,
            above: filter.action(abi, u32::MAX >> 2, [0; 6]),
        };
        let beyond = named.into_iter().filter(|number| *number >= NUMBERS);
        for number in (0..NUMBERS).chain(beyond) {
            let outcome = match filter.class(abi, number) {
                Class::Always(decision) => Outcome::Always(decision.action),
                Class::ByArguments(_) => {
                    let classes = filter.classes(abi, number)?;
                    if classes.listed.is_empty() {
                        Outcome::Always(classes.otherwise.decision)
                    } else {
                        Outcome::ByArguments(classes)
                    }
                }
            };
            compiled.take(number, outcome);
        }
        Ok(compiled)
    }

    fn take(&mut self, number: u32, outcome: Outcome) {
        if outcome == Outcome::Always(Action::Allow)
            && let Some(word) = self.allowed.get_mut((number / u64::BITS) as usize)
        {
            *word |= 1 << (number % u64::BITS);
        } else if outcome != Outcome::Always(self.otherwise(number)) {
            self.others.insert(number, outcome);
        }
    }

    /// Whether calls of a number are allowed whatever their arguments are, as the bits say it.
    #[must_use]
    pub fn is_always_allowed(&self, number: u32) -> bool {
        let word = self.allowed.get((number / u64::BITS) as usize);
        word.is_some_and(|word| word & (1 << (number % u64::BITS)) != 0)
    }

    /// What becomes of a call by number.
    #[must_use]
    pub fn action(&self, number: u32, arguments: [u64; 6]) -> Action {
        if self.is_always_allowed(number) {
            return Action::Allow;
        }
        match self.others.get(&number) {
            Some(Outcome::Always(action)) => *action,
            Some(Outcome::ByArguments(classes)) => classes.find(arguments).decision,
            None => self.otherwise(number),
        }
    }

    const fn otherwise(&self, number: u32) -> Action {
        if number > self.highest {
            self.above
        } else {
            self.unnamed
        }
    }
}
