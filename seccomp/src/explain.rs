//! What becomes of a call, for which arguments, and which capability would let it through. Pure.

use podfence_workload::CapabilityMask;

use crate::classes::{Classes, Test, TooManyClasses};
use crate::filter::number_of;
use crate::{
    Abi, Action, Cause, Container, Decision, Filter, LoadError, Loader, Rule, RuleSet, UnknownCall,
};

/// A decision, and what would change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What becomes of the call.
    pub decision: Decision,
    /// The capabilities each of which, added to the container's, lets the call through; sorted by
    /// the kernel's numbers. None for a call that is allowed.
    pub unlocked_by: Vec<&'static str>,
}

/// A question that has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The call cannot be judged.
    #[error(transparent)]
    Call(#[from] UnknownCall),
    /// The rules cannot be loaded.
    #[error(transparent)]
    Rules(#[from] LoadError),
    /// The rules tell too many arguments apart.
    #[error(transparent)]
    Classes(#[from] TooManyClasses),
}

/// The filter of a container, and those that it would have with one capability more.
#[derive(Debug)]
pub struct Judge {
    filter: Filter,
    /// Only capabilities that the rules ask for.
    unlocking: Vec<(CapabilityMask, Filter)>,
}

/// What becomes of a call, and which capabilities would let it through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// What the kernel does.
    pub action: Action,
    /// The capabilities each of which, added to the container's, lets the call through.
    pub unlocked_by: CapabilityMask,
}

impl Judge {
    /// Loads the filters.
    ///
    /// # Errors
    ///
    /// When the rules cannot be loaded.
    pub fn load(
        profile: &RuleSet,
        container: Container,
        loader: Loader,
    ) -> Result<Self, LoadError> {
        let missing = capabilities_asked(profile).difference(container.bounding);
        let unlocking = missing.names().map(|name| {
            let capability = CapabilityMask::of(&[name]);
            let container = Container {
                bounding: container.bounding.union(capability),
                ..container
            };
            Ok((capability, Filter::load(profile, container, loader)?))
        });
        Ok(Self {
            unlocking: unlocking.collect::<Result<_, LoadError>>()?,
            filter: Filter::load(profile, container, loader)?,
        })
    }

    /// The container's filter.
    #[must_use]
    pub const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// What becomes of a call by number.
    #[must_use]
    pub fn fate(&self, abi: Abi, number: u32, arguments: [u64; 6]) -> Fate {
        let action = self.filter.action(abi, number, arguments);
        let mut unlocked_by = CapabilityMask::default();
        if action != Action::Allow {
            for (capability, filter) in &self.unlocking {
                if filter.action(abi, number, arguments) == Action::Allow {
                    unlocked_by = unlocked_by.union(*capability);
                }
            }
        }
        Fate {
            action,
            unlocked_by,
        }
    }

    /// What becomes of a call by number, by those of its arguments that are not given.
    ///
    /// # Errors
    ///
    /// When the rules tell too many arguments apart.
    pub fn classes(
        &self,
        abi: Abi,
        number: u32,
        given: &[Option<u64>; 6],
    ) -> Result<Classes<Fate>, TooManyClasses> {
        let tests = self.tests(abi, number);
        Classes::of(abi, &tests, given, |arguments| {
            self.fate(abi, number, arguments)
        })
    }

    /// What the filters tell apart of the arguments.
    pub(crate) fn tests(&self, abi: Abi, number: u32) -> Vec<Test> {
        let unlocking = self.unlocking.iter().map(|(_, filter)| filter);
        let filters = std::iter::once(&self.filter).chain(unlocking);
        filters
            .flat_map(|filter| filter.tests(abi, number))
            .collect()
    }

    /// The rules of the container that may decide about a call to this effect.
    #[must_use]
    pub fn rules(&self, abi: Abi, number: u32, action: Action) -> Vec<Rule> {
        let rules = match self.filter.class(abi, number) {
            crate::Class::Always(Decision {
                cause: Cause::Rule(rule),
                ..
            }) => vec![rule],
            crate::Class::Always(_) => Vec::new(),
            crate::Class::ByArguments(rules) => rules,
        };
        let to_this_effect = rules.into_iter().filter(|rule| rule.action == action);
        to_this_effect.collect()
    }
}

impl From<Filter> for Judge {
    /// Judges by a filter that is in force somewhere. Of which profile it was made is not known, and
    /// so not what more capabilities would do.
    fn from(filter: Filter) -> Self {
        Self {
            filter,
            unlocking: Vec::new(),
        }
    }
}

/// What becomes of a call, and which capability would let it through.
///
/// # Errors
///
/// When the ABI has no such call, or the rules cannot be loaded.
pub fn explain(
    profile: &RuleSet,
    container: Container,
    loader: Loader,
    (abi, name): (Abi, &str),
    arguments: [u64; 6],
) -> Result<Explanation, ExplainError> {
    let number = number_of(abi, name)?;
    let judge = Judge::load(profile, container, loader)?;
    let fate = judge.fate(abi, number, arguments);
    Ok(Explanation {
        decision: judge.filter.decide_number(abi, number, arguments),
        unlocked_by: fate.unlocked_by.names().collect(),
    })
}

/// What rules ask for of a container's bounding set.
fn capabilities_asked(profile: &RuleSet) -> CapabilityMask {
    let none = CapabilityMask::default();
    profile.rules.iter().fold(none, |all, rule| {
        let applicability = &rule.applicability;
        all.union(applicability.capabilities)
            .union(applicability.without_capabilities)
    })
}
