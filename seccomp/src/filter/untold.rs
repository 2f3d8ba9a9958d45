//! Rules of which nobody can tell, but by running it, what libseccomp makes of them. Pure.
//!
//! libseccomp compares 64 bits in two halves and lets rules share comparisons that look alike. With
//! `<` and `>`, and with `!=` where further conditions stand around it, it then takes comparisons for
//! the same that are not: of `arg2 < 1` and `arg2 > 0x100000000`, either of which should do, it makes a
//! filter that lets 1 through as well. What comes out depends on its version and on the order of the
//! rules, so such rules are refused here instead of being guessed at. No release of a known runtime
//! has any. Where the border is was found by trying random lists (`e2e/tests/seccomp_filter.rs`), so one
//! in some ten thousand may still be on the wrong side of it; `make fuzz` looks for these.

use crate::{Abi, Action, Condition, Operator};

/// What of a rule counts here.
pub(super) type Compared = (Action, Vec<Condition>);

/// Whether it cannot be told what becomes of the rules for one number.
pub(super) fn is_untold(abi: Abi, rules: &[Compared]) -> bool {
    let all = || rules.iter().flat_map(|(_, conditions)| conditions);
    if !abi.has_wide_arguments() && all().any(|condition| is_empty_in_low_half(condition.operator))
    {
        return true;
    }
    let has_high_half = all().any(|condition| values(condition.operator) > u64::from(u32::MAX));
    let is_shared = |argument: u8| all().filter(|other| other.index == argument).count() > 1;
    let orders_shared =
        all().any(|condition| is_order(condition.operator) && is_shared(condition.index));
    let has_span = rules
        .iter()
        .any(|(_, conditions)| spans_arguments(conditions));
    let is_mixed = |(_, conditions): &Compared| {
        let last = conditions.iter().map(|condition| condition.index).max();
        let mut denied = denials(conditions);
        let has_shared = conditions
            .iter()
            .any(|condition| is_shared(condition.index));
        let has_order = conditions
            .iter()
            .any(|condition| is_order(condition.operator));
        (spans_arguments(conditions) && has_order && has_shared)
            || denied.any(|argument| Some(argument) != last && is_shared(argument))
    };
    (orders_shared && (has_high_half || has_span))
        || rules.iter().any(is_mixed)
        || rules.iter().any(|rule| is_taken_for_a_part(rule, rules))
}

/// Whether a rule compares an argument behind another one, a second rule that does the same compares
/// it too, and either says `!=` of it. libseccomp can then take the first for a part of the second and
/// drop it.
fn is_taken_for_a_part((action, conditions): &Compared, rules: &[Compared]) -> bool {
    let denies = |conditions: &[Condition], argument: u8| {
        denials(conditions).any(|denied| denied == argument)
    };
    let is_behind = |argument: u8| conditions.iter().any(|other| other.index < argument);
    let mut arguments = conditions.iter().map(|condition| condition.index);
    arguments.any(|argument| {
        is_behind(argument)
            && rules.iter().any(|(other_action, others)| {
                action == other_action
                    && others != conditions
                    && others.iter().any(|other| other.index == argument)
                    && (denies(conditions, argument) || denies(others, argument))
            })
    })
}

/// The arguments of which a rule says `!=`. What follows a `!=` of 64 bits follows from either half,
/// and libseccomp keeps it once for both: what another rule adds behind one half is then behind the
/// other as well.
fn denials(conditions: &[Condition]) -> impl Iterator<Item = u8> {
    let denies = |condition: &&Condition| matches!(condition.operator, Operator::NotEqual(_));
    conditions
        .iter()
        .filter(denies)
        .map(|condition| condition.index)
}

fn spans_arguments(conditions: &[Condition]) -> bool {
    let mut arguments = conditions.iter().map(|condition| condition.index);
    let first = arguments.next();
    arguments.any(|argument| Some(argument) != first)
}

/// Whether nothing is left to compare where an ABI has the low half only; what libseccomp then does with
/// the value depends on its neighbours.
fn is_empty_in_low_half(operator: Operator) -> bool {
    match operator {
        Operator::MaskedEqual { mask, .. } => mask != 0 && mask.trailing_zeros() >= 32,
        _ => false,
    }
}

fn is_order(operator: Operator) -> bool {
    match operator {
        Operator::Less(_)
        | Operator::LessOrEqual(_)
        | Operator::GreaterOrEqual(_)
        | Operator::Greater(_) => true,
        Operator::NotEqual(_) | Operator::Equal(_) | Operator::MaskedEqual { .. } => false,
    }
}

/// All bits that are compared with.
fn values(operator: Operator) -> u64 {
    match operator {
        Operator::NotEqual(value)
        | Operator::Less(value)
        | Operator::LessOrEqual(value)
        | Operator::Equal(value)
        | Operator::GreaterOrEqual(value)
        | Operator::Greater(value) => value,
        Operator::MaskedEqual { mask, value } => mask | value,
    }
}

#[cfg(test)]
mod tests {
    use super::{Compared, is_untold};
    use crate::Operator::{
        Equal, Greater, GreaterOrEqual, Less, LessOrEqual, MaskedEqual, NotEqual,
    };
    use crate::{Abi, Action, Condition, Errno, Operator};

    fn rule(conditions: &[(u8, Operator)]) -> Compared {
        let condition = |(index, operator): &(u8, Operator)| Condition {
            index: *index,
            operator: *operator,
        };
        (Action::Allow, conditions.iter().map(condition).collect())
    }

    #[test]
    fn what_can_be_told_and_what_cannot() {
        let high = MaskedEqual {
            mask: 0xff << 32,
            value: 0,
        };
        for (rules, on_x86_64, on_x86) in [
            (vec![], false, false),
            (vec![rule(&[])], false, false),
            (
                vec![rule(&[(0, Less(38))]), rule(&[(0, Greater(40))])],
                false,
                false,
            ),
            (
                vec![rule(&[(2, Less(1))]), rule(&[(2, Greater(1 << 32))])],
                true,
                true,
            ),
            (vec![rule(&[(0, Equal(1 << 32))])], false, false),
            (vec![rule(&[(0, high)])], false, true),
            (
                vec![rule(&[(1, GreaterOrEqual(2)), (2, Equal(0))])],
                false,
                false,
            ),
            (
                vec![
                    rule(&[(1, GreaterOrEqual(2))]),
                    rule(&[(0, Equal(1)), (2, Equal(0))]),
                ],
                false,
                false,
            ),
            (
                vec![
                    rule(&[(1, GreaterOrEqual(2))]),
                    rule(&[(1, Greater(40)), (2, Equal(0))]),
                ],
                true,
                true,
            ),
            (
                vec![
                    rule(&[(0, NotEqual(1)), (1, Equal(2))]),
                    rule(&[(0, Equal(3))]),
                ],
                true,
                true,
            ),
            // CRI-O's rules for sockets.
            (
                vec![
                    rule(&[(0, NotEqual(16))]),
                    rule(&[(0, Equal(16)), (2, NotEqual(9))]),
                ],
                false,
                false,
            ),
            (
                vec![
                    rule(&[(0, Equal(16)), (2, Equal(9))]),
                    rule(&[(2, NotEqual(9))]),
                ],
                true,
                true,
            ),
        ] {
            assert_eq!(is_untold(Abi::X86_64, &rules), on_x86_64, "{rules:?}");
            assert_eq!(is_untold(Abi::X86, &rules), on_x86, "{rules:?}");
        }
        let rules = [
            rule(&[(2, Equal(9))]),
            rule(&[(1, GreaterOrEqual(16)), (2, NotEqual(9))]),
        ];
        assert!(is_untold(Abi::X86_64, &rules));
        let rules = [
            (Action::Errno(Errno::EINVAL), rule(&[(2, Equal(16))]).1),
            rule(&[(0, LessOrEqual(0)), (2, NotEqual(16))]),
        ];
        assert!(is_untold(Abi::X86, &rules));
        // It is no part of the other one where something else is done.
        let (_, denied) = rule(&[(0, Equal(16)), (2, Equal(9))]);
        let rules = [
            (Action::Errno(Errno::EINVAL), denied),
            rule(&[(2, NotEqual(9))]),
        ];
        assert!(!is_untold(Abi::X86_64, &rules));
    }
}
