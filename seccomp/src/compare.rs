//! What becomes of calls under one filter and not under another. Pure.

use crate::classes::{Classes, TooManyClasses};
use crate::{Abi, Fate, Judge, Values, syscalls};

/// Stands for all calls that are yet to come: far above every number in use.
const UNUSED: u32 = u32::MAX >> 2;

/// Calls of which another thing becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The call; none for all that are yet to come.
    pub syscall: Option<&'static str>,
    /// The ABIs on which it is so.
    pub abis: Vec<Abi>,
    /// For which arguments: all of these hold. Empty where they do not matter.
    pub when: Vec<Values>,
    /// What becomes of it under the first.
    pub before: Fate,
    /// What becomes of it under the second.
    pub after: Fate,
}

/// The differences between two filters, sorted by call, what is yet to come last. Only what becomes
/// of calls counts, not what would unlock them.
///
/// # Errors
///
/// When the rules for a call tell too many arguments apart, as those of no known profile do.
pub fn differences(
    before: &Judge,
    after: &Judge,
    abis: &[Abi],
) -> Result<Vec<Difference>, TooManyClasses> {
    let mut differences: Vec<Difference> = Vec::new();
    for abi in abis.iter().copied() {
        let named = syscalls::names()
            .iter()
            .filter_map(|name| Some((Some(*name), syscalls::number(abi, name)?)));
        for (name, number) in named.chain([(None, UNUSED)]) {
            for difference in of_call(before, after, abi, name, number)? {
                match differences
                    .iter_mut()
                    .find(|known| known.says_the_same(&difference))
                {
                    Some(known) => known.abis.push(abi),
                    None => differences.push(difference),
                }
            }
        }
    }
    differences.sort_by_key(|difference| {
        let first = difference.abis.first().copied();
        let place = abis.iter().position(|abi| Some(*abi) == first);
        (difference.syscall.is_none(), difference.syscall, place)
    });
    Ok(differences)
}

fn of_call(
    before: &Judge,
    after: &Judge,
    abi: Abi,
    syscall: Option<&'static str>,
    number: u32,
) -> Result<Vec<Difference>, TooManyClasses> {
    let tests = [before.tests(abi, number), after.tests(abi, number)].concat();
    let classes = Classes::all(abi, &tests, &[None; 6], |arguments| {
        let fates = [before, after].map(|judge| judge.fate(abi, number, arguments));
        let [before, after] = fates;
        (before.action != after.action).then_some(fates)
    })?;
    let differing = classes.into_iter().filter_map(|class| {
        let [before, after] = class.decision?;
        Some(Difference {
            syscall,
            abis: vec![abi],
            when: class.when,
            before,
            after,
        })
    });
    Ok(differing.collect())
}

impl Difference {
    /// Whether it is the same of another ABI, whose arguments may have fewer bits.
    fn says_the_same(&self, other: &Self) -> bool {
        self.syscall == other.syscall
            && (self.before, self.after) == (other.before, other.after)
            && self.when_text() == other.when_text()
    }

    /// What the arguments are, in words.
    #[must_use]
    pub fn when_text(&self) -> Vec<String> {
        self.when.iter().map(ToString::to_string).collect()
    }
}
