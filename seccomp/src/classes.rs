//! Which arguments of a call count, and what becomes of the call for each class of them. Pure.
//!
//! A filter compares halves of arguments with constants. The values of each half fall into parts that
//! no comparison tells apart; one value of each part is asked about, which is exact whatever
//! libseccomp made of the rules. Parts that come to the same are then put together again.

mod parts;

use std::fmt;

use crate::rule::Number;
use crate::{Abi, Condition, Operator};

use parts::Part;

/// Combinations of parts that are asked about at most. Profiles need less than a hundred; a file that
/// somebody wrote may need any number.
const MOST_COMBINATIONS: usize = 1 << 16;

/// A comparison of one half of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Test {
    pub(crate) argument: u8,
    pub(crate) high: bool,
    pub(crate) kind: TestKind,
}

/// How it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TestKind {
    /// Values from this one on are apart from smaller ones.
    From(u32),
    /// `word & mask == value`
    Masked { mask: u32, value: u32 },
}

/// The rules for a call tell more arguments apart than can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rules for one call tell too many arguments apart to be listed")]
pub struct TooManyClasses;

/// What becomes of a call by its arguments. No two of the classes overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes<D> {
    /// Those that are told by what their arguments are.
    pub listed: Vec<ArgumentClass<D>>,
    /// All others; everything, where nothing is listed.
    pub otherwise: ArgumentClass<D>,
}

/// Arguments for which the same becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentClass<D> {
    /// What the arguments are, each of a different one; empty for those that are not listed.
    pub when: Vec<Values>,
    /// Some arguments of the class.
    pub example: [u64; 6],
    /// What becomes of the call.
    pub decision: D,
}

/// Values of one argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values {
    /// Which argument, 0 to 5.
    pub index: u8,
    /// Whether the argument has 64 bits.
    wide: bool,
    parts: Vec<Part>,
}

/// A decision by one argument after the other.
#[derive(Clone, PartialEq)]
enum Node<D> {
    Leaf(D, [u64; 6]),
    Fork(u8, Vec<(Vec<Part>, Node<D>)>),
}

impl Test {
    /// What a condition compares.
    pub(crate) fn of(abi: Abi, condition: Condition) -> Vec<Self> {
        let Condition { index, operator } = condition;
        let halves: &[bool] = if abi.has_wide_arguments() {
            &[true, false]
        } else {
            &[false]
        };
        let mut tests = Vec::new();
        for high in halves.iter().copied() {
            let half = |number: u64| low_word(if high { number >> 32 } else { number });
            let kinds = match operator {
                Operator::MaskedEqual { mask, value } => vec![TestKind::Masked {
                    mask: half(mask),
                    value: half(value) & half(mask),
                }],
                Operator::NotEqual(value)
                | Operator::Less(value)
                | Operator::LessOrEqual(value)
                | Operator::Equal(value)
                | Operator::GreaterOrEqual(value)
                | Operator::Greater(value) => TestKind::around(half(value)),
            };
            tests.extend(kinds.into_iter().map(|kind| Self {
                argument: index,
                high,
                kind,
            }));
        }
        tests
    }
}

impl TestKind {
    /// Tells a value from all others.
    pub(crate) fn around(value: u32) -> Vec<Self> {
        let next = value.checked_add(1).map(Self::From);
        std::iter::once(Self::From(value)).chain(next).collect()
    }
}

impl<D: Clone + PartialEq> Classes<D> {
    /// Asks about arguments of every class that the tests tell apart, as far as they are not given.
    ///
    /// # Errors
    ///
    /// When there are too many.
    pub(crate) fn of(
        abi: Abi,
        tests: &[Test],
        given: &[Option<u64>; 6],
        decide: impl Fn([u64; 6]) -> D,
    ) -> Result<Self, TooManyClasses> {
        let everything = ArgumentClass {
            when: Vec::new(),
            example: given.map(Option::unwrap_or_default),
            decision: decide(given.map(Option::unwrap_or_default)),
        };
        let classes = Self::all(abi, tests, given, decide)?;
        Ok(Self::with_an_otherwise(classes, everything))
    }

    /// As [`Self::of`], with all classes listed.
    pub(crate) fn all(
        abi: Abi,
        tests: &[Test],
        given: &[Option<u64>; 6],
        decide: impl Fn([u64; 6]) -> D,
    ) -> Result<Vec<ArgumentClass<D>>, TooManyClasses> {
        let mut arguments = [0; 6];
        let mut axes: Vec<(u8, Vec<Part>)> = Vec::new();
        let mut combinations = 1_usize;
        for ((index, given), place) in (0_u8..).zip(given).zip(&mut arguments) {
            if let Some(value) = given {
                *place = *value;
                continue;
            }
            let of_argument: Vec<Test> = tests
                .iter()
                .filter(|test| test.argument == index)
                .copied()
                .collect();
            if of_argument.is_empty() {
                continue;
            }
            let parts = parts::of_argument(abi.has_wide_arguments(), &of_argument)?;
            combinations = combinations.saturating_mul(parts.len());
            axes.push((index, parts));
        }
        if combinations > MOST_COMBINATIONS {
            return Err(TooManyClasses);
        }
        let mut classes = Vec::new();
        let node = Node::of(&axes, arguments, &decide);
        node.flatten(abi.has_wide_arguments(), &[], &mut classes);
        Ok(classes)
    }

    /// Leaves what takes the most words to be what is not listed.
    fn with_an_otherwise(classes: Vec<ArgumentClass<D>>, everything: ArgumentClass<D>) -> Self {
        let words = |class: &ArgumentClass<D>| -> usize {
            classes
                .iter()
                .filter(|other| other.decision == class.decision)
                .map(|other| other.when.iter().map(Values::words).sum::<usize>())
                .sum()
        };
        let longest = classes.iter().max_by_key(|class| words(class)).cloned();
        let mut otherwise = longest.unwrap_or(everything);
        otherwise.when.clear();
        let listed = classes
            .into_iter()
            .filter(|class| class.decision != otherwise.decision)
            .collect();
        Self { listed, otherwise }
    }

    /// The class of these arguments.
    #[must_use]
    pub fn find(&self, arguments: [u64; 6]) -> &ArgumentClass<D> {
        self.listed
            .iter()
            .find(|class| class.contains(arguments))
            .unwrap_or(&self.otherwise)
    }

    /// All of them, what is not listed last.
    pub fn iter(&self) -> impl Iterator<Item = &ArgumentClass<D>> {
        self.listed.iter().chain(std::iter::once(&self.otherwise))
    }
}

impl<D> ArgumentClass<D> {
    /// Whether the arguments are what `when` says.
    fn contains(&self, arguments: [u64; 6]) -> bool {
        self.when.iter().all(|values| {
            let argument = arguments.get(usize::from(values.index));
            argument.is_some_and(|argument| values.contain(*argument))
        })
    }
}

impl<D: Clone + PartialEq> Node<D> {
    fn of(axes: &[(u8, Vec<Part>)], arguments: [u64; 6], decide: &impl Fn([u64; 6]) -> D) -> Self {
        let Some(((index, parts), rest)) = axes.split_first() else {
            return Self::Leaf(decide(arguments), arguments);
        };
        let mut groups: Vec<(Vec<Part>, Self)> = Vec::new();
        for part in parts {
            let mut arguments = arguments;
            if let Some(place) = arguments.get_mut(usize::from(*index)) {
                *place = part.example();
            }
            let node = Self::of(rest, arguments, decide);
            match groups.iter_mut().find(|(_, known)| known.is_alike(&node)) {
                Some((parts, _)) => parts.push(part.clone()),
                None => groups.push((vec![part.clone()], node)),
            }
        }
        if groups.len() == 1
            && let Some((_, node)) = groups.pop()
        {
            return node;
        }
        for (parts, _) in &mut groups {
            parts::unite(parts);
        }
        Self::Fork(*index, groups)
    }

    /// Whether both decide the same, whatever their examples are.
    fn is_alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Leaf(one, _), Self::Leaf(two, _)) => one == two,
            (Self::Fork(one, ones), Self::Fork(two, twos)) => {
                one == two
                    && ones.len() == twos.len()
                    && ones
                        .iter()
                        .zip(twos)
                        .all(|((one, first), (two, second))| one == two && first.is_alike(second))
            }
            _ => false,
        }
    }

    fn flatten(self, wide: bool, when: &[Values], classes: &mut Vec<ArgumentClass<D>>) {
        match self {
            Self::Leaf(decision, example) => classes.push(ArgumentClass {
                when: when.to_vec(),
                example,
                decision,
            }),
            Self::Fork(index, groups) => {
                for (parts, node) in groups {
                    let values = Values { index, wide, parts };
                    let mut when = when.to_vec();
                    when.push(values);
                    node.flatten(wide, &when, classes);
                }
            }
        }
    }
}

impl Values {
    /// Whether a value is among them; of an argument of 32 bits no more is looked at.
    #[must_use]
    pub fn contain(&self, value: u64) -> bool {
        let value = if self.wide {
            value
        } else {
            u64::from(low_word(value))
        };
        self.parts.iter().any(|part| part.contains(value))
    }

    /// How much there is to say.
    fn words(&self) -> usize {
        let (ranges, others) = parts::ranges(&self.parts);
        ranges.len() + others.iter().map(|part| part.words()).sum::<usize>()
    }

    fn most(&self) -> u64 {
        if self.wide {
            u64::MAX
        } else {
            u64::from(u32::MAX)
        }
    }

    /// Conditions each of which takes in a part of the values, and that together take in all of them;
    /// none where there are no such conditions.
    ///
    /// `plain` uses equality only, of which libseccomp can have any number side by side.
    pub(crate) fn conditions(&self, plain: bool) -> Option<Vec<Condition>> {
        /// Values of a range that are listed one by one.
        const MOST_LISTED: u64 = 64;
        let index = self.index;
        let (ranges, others) = parts::ranges(&self.parts);
        let mut operators = Vec::new();
        if let ([(0, below), (above, last)], [], false) = (&*ranges, &*others, plain)
            && *last == self.most()
            && above - below == 2
        {
            let operator = Operator::NotEqual(below + 1);
            return Some(vec![Condition { index, operator }]);
        }
        for (first, last) in ranges {
            if first == last {
                operators.push(Operator::Equal(first));
            } else if !plain && first == 0 {
                operators.push(Operator::LessOrEqual(last));
            } else if !plain && last == self.most() {
                operators.push(Operator::GreaterOrEqual(first));
            } else if last - first < MOST_LISTED {
                operators.extend((first..=last).map(Operator::Equal));
            } else {
                return None;
            }
        }
        for part in others {
            let cubes = part.cubes()?.into_iter();
            operators.extend(cubes.map(|(mask, value)| Operator::MaskedEqual { mask, value }));
        }
        let of = |operator| Condition { index, operator };
        Some(operators.into_iter().map(of).collect())
    }
}

impl fmt::Display for Values {
    /// `arg0==16`, `arg0&0x7e020000==0`, `arg0 in 1-37,39,46-`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.index;
        let (ranges, others) = parts::ranges(&self.parts);
        let most = self.most();
        let mut between = "";
        match *ranges {
            [] => {}
            [(value, last)] if value == last => {
                write!(formatter, "arg{index}=={}", Number(value))?;
            }
            [(0, last)] => write!(formatter, "arg{index}<={}", Number(last))?,
            [(first, last)] if last == most => {
                write!(formatter, "arg{index}>={}", Number(first))?;
            }
            [(0, below), (above, last)] if last == most && above - below == 2 => {
                write!(formatter, "arg{index}!={}", Number(below + 1))?;
            }
            _ => {
                write!(formatter, "arg{index} in ")?;
                for (first, last) in &ranges {
                    write!(formatter, "{between}{}", Number(*first))?;
                    if *last == most {
                        formatter.write_str("-")?;
                    } else if first != last {
                        write!(formatter, "-{}", Number(*last))?;
                    }
                    between = ",";
                }
            }
        }
        between = if ranges.is_empty() { "" } else { " or " };
        for part in others {
            write!(formatter, "{between}")?;
            part.write(index, formatter)?;
            between = " or ";
        }
        Ok(())
    }
}

/// The low 32 bits.
#[allow(clippy::cast_possible_truncation)] // That is what is asked for.
pub(crate) const fn low_word(number: u64) -> u32 {
    number as u32
}
