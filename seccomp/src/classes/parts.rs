//! The parts that comparisons make of the values of an argument. Pure.

use std::collections::BTreeSet;
use std::fmt;

use super::{Test, TestKind, TooManyClasses};
use crate::rule::Number;

/// Parts of one half of an argument at most: each mask may double them.
const MOST_PARTS: usize = 1 << 12;

/// Values that no comparison tells apart, or a union of such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    high: Range,
    low: Range,
    /// What holds of the bits of all its values, sorted.
    pub(super) bits: Vec<Bits>,
    example: u64,
}

/// From the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    first: u32,
    last: u32,
}

/// Whether `value` is what a mask leaves of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bits {
    mask: u64,
    value: u64,
    holds: bool,
}

/// The parts of one half of an argument.
struct WordPart {
    range: Range,
    bits: Vec<(u32, u32, bool)>,
    example: u32,
}

/// The parts that these comparisons make of the values of one argument.
pub(super) fn of_argument(wide: bool, tests: &[Test]) -> Result<Vec<Part>, TooManyClasses> {
    let half = |high: bool| tests.iter().filter(move |test| test.high == high);
    let low = of_word(half(false).map(|test| test.kind))?;
    let high = if wide {
        of_word(half(true).map(|test| test.kind))?
    } else {
        let nothing = Range { first: 0, last: 0 };
        vec![WordPart {
            range: nothing,
            bits: Vec::new(),
            example: 0,
        }]
    };
    let mut parts = Vec::new();
    for high in &high {
        for low in &low {
            let of = |bits: &[(u32, u32, bool)], shift: u32| -> Vec<Bits> {
                let of = |(mask, value, holds): &(u32, u32, bool)| Bits {
                    mask: u64::from(*mask) << shift,
                    value: u64::from(*value) << shift,
                    holds: *holds,
                };
                bits.iter().map(of).collect()
            };
            parts.push(Part {
                high: high.range,
                low: low.range,
                bits: needed([of(&low.bits, 0), of(&high.bits, 32)].concat()),
                example: (u64::from(high.example) << 32) | u64::from(low.example),
            });
        }
    }
    Ok(parts)
}

/// Leaves out what the others say already, what speaks of the most bits first.
fn needed(mut bits: Vec<Bits>) -> Vec<Bits> {
    bits.sort_by_key(|one| std::cmp::Reverse(one.mask.count_ones()));
    let mut at = 0;
    while let Some(one) = bits.get(at).copied() {
        let mut others = bits.clone();
        others.remove(at);
        let ((mask, value), _) = said(&others);
        let differs = (value ^ one.value) & mask & one.mask != 0;
        let is_whole = one.mask & !mask == 0;
        if (one.holds && is_whole && !differs) || (!one.holds && differs) {
            bits = others;
        } else {
            at += 1;
        }
    }
    bits.sort_unstable();
    bits
}

fn of_word(tests: impl Iterator<Item = TestKind>) -> Result<Vec<WordPart>, TooManyClasses> {
    let mut starts = BTreeSet::from([0]);
    let mut masks = BTreeSet::new();
    for test in tests {
        match test {
            TestKind::From(value) => {
                starts.insert(value);
            }
            TestKind::Masked { mask: 0, .. } => {}
            TestKind::Masked { mask, value } => {
                masks.insert((mask, value));
            }
        }
    }
    let masks: Vec<(u32, u32)> = masks.into_iter().collect();
    let starts: Vec<u32> = starts.into_iter().collect();
    let ends = starts.iter().skip(1).map(|next| next - 1);
    let mut parts = Vec::new();
    for (first, last) in starts.iter().copied().zip(ends.chain([u32::MAX])) {
        let range = Range { first, last };
        split(range, &masks, &mut Vec::new(), &mut parts)?;
    }
    Ok(parts)
}

/// Adds the parts of a range that masks make of it, beside what is said of the bits already.
fn split(
    range: Range,
    masks: &[(u32, u32)],
    bits: &mut Vec<(u32, u32, bool)>,
    parts: &mut Vec<WordPart>,
) -> Result<(), TooManyClasses> {
    // What has no value need not be split further.
    let Some(example) = some_value(range, bits, 0, 0) else {
        return Ok(());
    };
    let Some(((mask, value), rest)) = masks.split_first() else {
        parts.push(WordPart {
            range,
            bits: bits.clone(),
            example,
        });
        return if parts.len() > MOST_PARTS {
            Err(TooManyClasses)
        } else {
            Ok(())
        };
    };
    for holds in [true, false] {
        bits.push((*mask, *value, holds));
        split(range, rest, bits, parts)?;
        bits.pop();
    }
    Ok(())
}

/// A value in the range with these bits, of which `fixed` are already said to be `value`.
fn some_value(range: Range, bits: &[(u32, u32, bool)], fixed: u32, value: u32) -> Option<u32> {
    let Some(((mask, wanted, holds), rest)) = bits.split_first() else {
        return smallest(range.first, fixed, value).filter(|value| *value <= range.last);
    };
    let differs = (value ^ wanted) & fixed & mask != 0;
    if *holds {
        return (!differs)
            .then(|| some_value(range, rest, fixed | mask, value | wanted))
            .flatten();
    }
    if differs {
        return some_value(range, rest, fixed, value);
    }
    // Any of its bits may be the other one.
    (0..u32::BITS)
        .map(|bit| 1 << bit)
        .filter(|bit| mask & !fixed & bit != 0)
        .find_map(|bit| some_value(range, rest, fixed | bit, value | (!wanted & bit)))
}

/// The smallest number from `first` on whose `fixed` bits are those of `value`.
fn smallest(first: u32, fixed: u32, value: u32) -> Option<u32> {
    if first & fixed == value {
        return Some(first);
    }
    // It has a bit more than `first`, the same bits above that and as few as may be below.
    (0..u32::BITS)
        .filter(|bit| first & (1 << bit) == 0)
        .map(|bit| {
            let above = if bit == 31 { 0 } else { u32::MAX << (bit + 1) };
            (first & above) | (1 << bit) | (value & !above & !(1 << bit))
        })
        .find(|number| number & fixed == value)
}

/// Puts parts together that make one.
pub(super) fn unite(parts: &mut Vec<Part>) {
    while let Some((at, other, united)) = first_pair(parts) {
        parts.remove(other);
        if let Some(part) = parts.get_mut(at) {
            *part = united;
        }
    }
}

fn first_pair(parts: &[Part]) -> Option<(usize, usize, Part)> {
    parts.iter().enumerate().find_map(|(at, one)| {
        let mut later = parts.iter().enumerate().skip(at + 1);
        later.find_map(|(place, two)| Some((at, place, one.united(two)?)))
    })
}

/// The parts as ranges of whole values, as long as may be, and those that are none.
pub(super) fn ranges(parts: &[Part]) -> (Vec<(u64, u64)>, Vec<&Part>) {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut others = Vec::new();
    for part in parts {
        match part.whole_range() {
            Some(range) => ranges.push(range),
            None => others.push(part),
        }
    }
    ranges.sort_unstable();
    let mut united: Vec<(u64, u64)> = Vec::new();
    for (first, last) in ranges {
        match united.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(first) => *end = last,
            _ => united.push((first, last)),
        }
    }
    (united, others)
}

/// What holds of the bits, as far as that is what some of them are, and the rest.
fn said(all: &[Bits]) -> ((u64, u64), Vec<Bits>) {
    let (mut mask, mut value) = (0, 0);
    let mut rest = Vec::new();
    for bits in all {
        if bits.holds {
            mask |= bits.mask;
            value |= bits.value;
        } else if bits.mask.is_power_of_two() {
            mask |= bits.mask;
            value |= bits.mask & !bits.value;
        } else {
            rest.push(*bits);
        }
    }
    ((mask, value), rest)
}

impl Range {
    const ALL: Self = Self {
        first: 0,
        last: u32::MAX,
    };

    fn contains(self, word: u32) -> bool {
        self.first <= word && word <= self.last
    }

    fn united(self, other: Self) -> Option<Self> {
        let (lower, upper) = if self.first <= other.first {
            (self, other)
        } else {
            (other, self)
        };
        (lower.last.checked_add(1) == Some(upper.first)).then_some(Self {
            first: lower.first,
            last: upper.last,
        })
    }
}

impl Part {
    pub(super) const fn example(&self) -> u64 {
        self.example
    }

    pub(super) fn contains(&self, value: u64) -> bool {
        self.high.contains(super::low_word(value >> 32))
            && self.low.contains(super::low_word(value))
            && self
                .bits
                .iter()
                .all(|bits| (value & bits.mask == bits.value) == bits.holds)
    }

    fn united(&self, other: &Self) -> Option<Self> {
        let mut united = self.clone();
        let same = (
            self.high == other.high,
            self.low == other.low,
            self.bits == other.bits,
        );
        match same {
            (true, false, true) => united.low = self.low.united(other.low)?,
            // Otherwise what is a range of whole values would be none any more.
            (false, true, true) if self.low == Range::ALL => {
                united.high = self.high.united(other.high)?;
            }
            (true, true, false) if self.bits.len() == other.bits.len() => {
                let mut pairs = self.bits.iter().zip(&other.bits);
                let at = pairs.position(|(one, two)| one != two)?;
                let is_alike = pairs.all(|(one, two)| one == two);
                let removed = united.bits.remove(at);
                let opposite = Bits {
                    holds: !removed.holds,
                    ..removed
                };
                if !is_alike || other.bits.get(at) != Some(&opposite) {
                    return None;
                }
            }
            _ => return None,
        }
        united.example = self.example.min(other.example);
        Some(united)
    }

    /// The values as a range of 64 bits.
    fn whole_range(&self) -> Option<(u64, u64)> {
        let Self {
            high, low, bits, ..
        } = self;
        let whole = |high: u32, low: u32| (u64::from(high) << 32) | u64::from(low);
        (bits.is_empty() && (high.first == high.last || *low == Range::ALL))
            .then(|| (whole(high.first, low.first), whole(high.last, low.last)))
    }

    /// How much there is to say; more where bits are said not to be something.
    pub(super) fn words(&self) -> usize {
        let (_, rest) = said(&self.bits);
        1 + self.bits.len() + rest.len()
    }

    /// Masks, each with what it leaves of some of the values here and of no other, and that together
    /// take in all of them; none where there are no such.
    pub(super) fn cubes(&self) -> Option<Vec<(u64, u64)>> {
        let is_narrow = self.high == Range { first: 0, last: 0 };
        if self.low != Range::ALL || !(self.high == Range::ALL || is_narrow) {
            return None;
        }
        let ((mask, value), rest) = said(&self.bits);
        let [one] = rest.as_slice() else {
            return rest.is_empty().then(|| vec![(mask, value)]);
        };
        // Any bit that is not told may be the one that differs.
        let bits = (0..u64::BITS).map(|bit| 1 << bit);
        let differing = bits.filter(|bit| one.mask & !mask & bit != 0);
        let cubes = differing.map(|bit| (mask | bit, value | (!one.value & bit)));
        Some(cubes.collect())
    }

    pub(super) fn write(&self, index: u8, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((mask, value), rest) = said(&self.bits);
        let mut words = Vec::new();
        if mask != 0 {
            words.push(format!("arg{index}&{}=={}", Number(mask), Number(value)));
        }
        for Bits { mask, value, .. } in rest {
            words.push(format!("arg{index}&{}!={}", Number(mask), Number(value)));
        }
        for (name, range) in [("high", self.high), ("low", self.low)] {
            if range != Range::ALL && !(name == "high" && range.first == 0 && range.last == 0) {
                let (first, last) = (Number(range.first.into()), Number(range.last.into()));
                words.push(format!("{name} half of arg{index} in {first}-{last}"));
            }
        }
        if words.is_empty() {
            words.push(format!("any arg{index}"));
        }
        formatter.write_str(&words.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::{Range, smallest, some_value};

    #[test]
    fn the_smallest_number_with_given_bits() {
        for (first, fixed, value, want) in [
            (0, 0, 0, Some(0)),
            (7, 0, 0, Some(7)),
            (7, 8, 8, Some(8)),
            (9, 8, 0, Some(16)),
            (5, u32::MAX, 4, None),
            (u32::MAX, 1, 0, None),
            (0x8000_0001, 0x8000_0000, 0, None),
            (0x7fff_ffff, 1, 0, Some(0x8000_0000)),
        ] {
            assert_eq!(
                smallest(first, fixed, value),
                want,
                "{first:#x} {fixed:#x} {value:#x}"
            );
        }
        // By counting, where that is possible.
        for first in 0..64_u32 {
            for fixed in 0..64_u32 {
                for value in (0..64).filter(|value| value & !fixed == 0) {
                    let counted = (first..256).find(|number| number & fixed == value);
                    assert_eq!(
                        smallest(first, fixed, value),
                        counted,
                        "{first} {fixed} {value}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_value_that_fails_masks_is_found_if_there_is_one() {
        let range = Range { first: 0, last: 7 };
        for (bits, exists) in [
            (vec![(6, 2, true), (3, 3, false)], true),
            (vec![(6, 2, true), (2, 2, false)], false),
            (vec![(6, 2, false), (6, 0, false), (6, 4, false)], true),
            (
                vec![(6, 2, false), (6, 0, false), (6, 4, false), (6, 6, false)],
                false,
            ),
            (vec![(8, 8, true)], false),
        ] {
            let counted = (0..=7_u32).any(|word| {
                let fits =
                    |(mask, value, holds): &(u32, u32, bool)| (word & mask == *value) == *holds;
                bits.iter().all(fits)
            });
            assert_eq!(counted, exists, "{bits:?}");
            assert_eq!(some_value(range, &bits, 0, 0).is_some(), exists, "{bits:?}");
        }
    }
}
