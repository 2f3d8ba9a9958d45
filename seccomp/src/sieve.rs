//! What an observer of a node's calls need not look at: calls that `RuntimeDefault` lets through,
//! whatever the capabilities of the container are. Pure.
//!
//! Whoever sees every call of a node cannot ask a filter about each. Of most calls their number says
//! that every container may make them; of some few, such as `clone` and `socket`, a comparison of one
//! argument does. What is left is kept, and a [`Filter`] decides about it.
//!
//! INVARIANT: a sieve lets nothing pass that some container would be denied. It may keep what is
//! allowed.

use std::collections::{BTreeMap, HashSet};

use podfence_workload::CapabilityMask;

use crate::{
    Abi, Action, Architecture, Class, Condition, Container, Filter, KernelVersion, LoadError,
    Loader, Operator, RuleSet, TooManyClasses, argument, syscalls,
};

/// Numbers from here on are kept, whatever they are. All but a few of Arm's own are far below.
pub const NUMBERS: u32 = 1024;

/// Numbers below it are those of sorts of things, as address families are.
const SMALL: u64 = 64;

/// What passes and what is kept of the calls of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sieve {
    abis: Vec<(Abi, BTreeMap<u32, Kept>)>,
}

/// What is kept of the calls of a number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kept {
    /// The arguments that count, and which of their bits do: what some rule compares, and what tells
    /// what the call is for. Of `clone3` the first stands for the flags in its structure.
    pub arguments: Vec<(u8, u64)>,
    /// Calls for which one of these holds are allowed. Of `clone3` they speak of the flags, and say
    /// that `clone` is allowed with them, which programs call instead.
    pub passes: Vec<Condition>,
}

/// Rules of which no sieve can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SieveError {
    /// No container can have them.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// As no known profile does.
    #[error(transparent)]
    TooManyClasses(#[from] TooManyClasses),
}

impl Sieve {
    /// The sieve of a profile on a node.
    ///
    /// # Errors
    ///
    /// When the rules cannot be loaded, or tell too many arguments apart.
    pub fn of(
        profile: &RuleSet,
        architecture: Architecture,
        kernel: KernelVersion,
    ) -> Result<Self, SieveError> {
        let mut filters = Vec::new();
        for bounding in capability_sets(profile) {
            let container = Container {
                architecture,
                bounding,
                kernel,
            };
            filters.push(Filter::load(profile, container, Loader::default())?);
        }
        let mut abis = Vec::new();
        for abi in profile.abis(architecture) {
            let mut kept = BTreeMap::new();
            for number in 0..NUMBERS {
                if let Some(what) = kept_by_all(&filters, abi, number)? {
                    kept.insert(number, what);
                }
            }
            abis.push((abi, kept));
        }
        let mut sieve = Self { abis };
        sieve.take_clone3_for_clone();
        Ok(sieve)
    }

    /// The ABIs of the node, its own first.
    pub fn abis(&self) -> impl Iterator<Item = Abi> {
        self.abis.iter().map(|(abi, _)| *abi)
    }

    /// The numbers below [`NUMBERS`] that do not always pass, with what is kept of them.
    pub fn kept(&self, abi: Abi) -> impl Iterator<Item = (u32, &Kept)> {
        let known = self.abis.iter().filter(move |(known, _)| *known == abi);
        known.flat_map(|(_, kept)| kept.iter().map(|(number, kept)| (*number, kept)))
    }

    /// Whether a call passes.
    #[must_use]
    pub fn passes(&self, abi: Abi, number: u32, arguments: [u64; 6]) -> bool {
        let Some((_, kept)) = self.abis.iter().find(|(known, _)| *known == abi) else {
            return false;
        };
        let most = if abi.has_wide_arguments() {
            u64::MAX
        } else {
            u64::from(u32::MAX)
        };
        let holds = |condition: &Condition| {
            let argument = arguments.get(usize::from(condition.index));
            argument.is_some_and(|argument| condition.operator.holds(*argument & most))
        };
        match kept.get(&number) {
            None => number < NUMBERS,
            Some(kept) => kept.passes.iter().any(holds),
        }
    }

    /// clone3 is answered as if the kernel had none, and programs call clone with the same flags: so
    /// threads and processes pass, which are all but a few of these calls.
    fn take_clone3_for_clone(&mut self) {
        for (abi, kept) in &mut self.abis {
            let number = |name| syscalls::number(*abi, name);
            let (Some(clone), Some(clone3)) = (number("clone"), number("clone3")) else {
                continue;
            };
            let at = argument::position(*abi, "clone");
            let passes: Vec<_> = kept.get(&clone).map_or_else(Vec::new, |kept| {
                let of_flags = kept.passes.iter().filter(|condition| condition.index == at);
                let first = |condition: &Condition| Condition {
                    index: argument::position(*abi, "clone3"),
                    ..*condition
                };
                of_flags.map(first).collect()
            });
            if let Some(clone3) = kept.get_mut(&clone3) {
                clone3.passes = passes;
            }
        }
    }
}

/// Sets of capabilities between which the rules of a profile tell a difference: none, all, and each
/// one that some rule asks for, alone and as the only one that is missing.
fn capability_sets(profile: &RuleSet) -> HashSet<CapabilityMask> {
    let asked = profile.rules.iter().flat_map(|rule| {
        let applicability = &rule.applicability;
        let with = applicability.capabilities.names();
        with.chain(applicability.without_capabilities.names())
    });
    let mut sets = HashSet::from([CapabilityMask::default(), CapabilityMask::ALL]);
    for capability in asked.filter_map(CapabilityMask::named) {
        sets.insert(capability);
        sets.insert(CapabilityMask::ALL.difference(capability));
    }
    sets
}

/// What is kept of a number, so that nothing passes which one of the filters denies; none where all
/// of its calls pass.
fn kept_by_all(filters: &[Filter], abi: Abi, number: u32) -> Result<Option<Kept>, TooManyClasses> {
    let mut compared = BTreeMap::<u8, u64>::new();
    let mut passes: Option<Vec<Condition>> = None;
    let mut always = true;
    for filter in filters {
        let allowed = match filter.class(abi, number) {
            Class::Always(decision) if decision.action == Action::Allow => continue,
            Class::Always(_) => Vec::new(),
            Class::ByArguments(rules) => {
                for condition in rules.iter().flat_map(|rule| &rule.conditions) {
                    *compared.entry(condition.index).or_default() |= bits(condition.operator);
                }
                allowed_when(filter, abi, number)?
            }
        };
        always = false;
        passes = Some(match passes {
            None => allowed,
            Some(known) => known
                .into_iter()
                .filter(|condition| allowed.contains(condition))
                .collect(),
        });
    }
    if always {
        return Ok(None);
    }
    let name = syscalls::name(abi, number).unwrap_or_default();
    if let Some((position, bits)) = argument::counted(abi, name) {
        *compared.entry(position).or_default() |= bits;
    }
    Ok(Some(Kept {
        arguments: compared.into_iter().collect(),
        passes: passes.unwrap_or_default(),
    }))
}

/// Conditions each of which alone is enough for a call to be allowed: for small numbers, which sorts of
/// things have, each of these, and for flags that some are not set. Others need not pass.
///
/// They are written in one way only, so that those of several filters can be compared.
fn allowed_when(filter: &Filter, abi: Abi, number: u32) -> Result<Vec<Condition>, TooManyClasses> {
    let classes = filter.all_classes(abi, number)?;
    let mut conditions = Vec::new();
    for class in classes {
        let ([values], Action::Allow) = (&*class.when, class.decision) else {
            continue;
        };
        let small = (0..SMALL).filter(|value| values.contain(*value));
        conditions.extend(small.map(|value| Condition {
            index: values.index,
            operator: Operator::Equal(value),
        }));
        let all = values.conditions(false).unwrap_or_default().into_iter();
        conditions.extend(
            all.filter(|condition| matches!(condition.operator, Operator::MaskedEqual { .. })),
        );
    }
    Ok(conditions)
}

/// The bits of an argument that a comparison looks at.
const fn bits(operator: Operator) -> u64 {
    match operator {
        Operator::MaskedEqual { mask, .. } => mask,
        Operator::NotEqual(_)
        | Operator::Less(_)
        | Operator::LessOrEqual(_)
        | Operator::Equal(_)
        | Operator::GreaterOrEqual(_)
        | Operator::Greater(_) => u64::MAX,
    }
}
