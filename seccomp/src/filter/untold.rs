//! Rules of which nobody can tell, but by running it, what libseccomp makes of them. Pure.
//!
//! libseccomp compares 64 bits in two halves and lets rules share comparisons that look alike. With
//! `<` and `>`, and with `!=` where a further condition follows, it then takes comparisons for the
//! same that are not: of `arg2 < 1` and `arg2 > 0x100000000`, either of which should do, it makes a
//! filter that lets 1 through as well. What comes out depends on its version and on the order of the
//! rules, so such rules are refused here instead of being guessed at. No release of a known runtime
//! has any.

use crate::{Abi, Condition, Operator};

/// Whether it cannot be told what becomes of the rules for one number.
pub(super) fn is_untold(abi: Abi, rules: &[Vec<Condition>]) -> bool {
    let all = || rules.iter().flatten();
    let has_high_half = all().any(|condition| values(condition.operator) > u64::from(u32::MAX));
    if has_high_half && !abi.has_wide_arguments() {
        // Half of the value is never compared, but still orders the comparisons.
        return true;
    }
    let has_order = all().any(|condition| is_order(condition.operator));
    let is_shared = |argument: u8| all().filter(|other| other.index == argument).count() > 1;
    let orders_shared =
        all().any(|condition| is_order(condition.operator) && is_shared(condition.index));
    // What follows a `!=` of 64 bits follows from either half, and libseccomp keeps it once for both:
    // what another rule adds behind one half is then behind the other as well.
    let denies_shared = rules.iter().any(|rule| {
        let last = rule.iter().map(|condition| condition.index).max();
        rule.iter().any(|condition| {
            matches!(condition.operator, Operator::NotEqual(_))
                && Some(condition.index) != last
                && is_shared(condition.index)
        })
    });
    let spans_arguments = rules.iter().any(|conditions| {
        let mut arguments = conditions.iter().map(|condition| condition.index);
        let first = arguments.next();
        arguments.any(|argument| Some(argument) != first)
    });
    denies_shared
        || (orders_shared && has_high_half)
        || (has_order && spans_arguments && rules.len() > 1)
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
