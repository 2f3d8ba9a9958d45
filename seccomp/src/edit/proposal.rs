//! Rules for one call that may do what is asked for. Pure.

use super::{Edit, Wish, verify};
use crate::classes::{ArgumentClass, Classes, TooManyClasses};
use crate::{Action, Applicability, Condition, FlatProfile, Operator, Rule, syscalls};

/// Rules made of classes at most: a file that nobody can read is no answer.
const MOST_RULES: usize = 256;

/// Proposals, what reads best first.
pub(super) fn rules(
    wish: &Wish<'_>,
    flat: &FlatProfile,
    call: &'static str,
) -> Result<Vec<Vec<Rule>>, TooManyClasses> {
    let known: Vec<Rule> = flat
        .rules
        .iter()
        .filter(|rule| rule.syscall == call)
        .cloned()
        .collect();
    let of = |action, conditions: &[Condition]| Rule {
        syscall: call,
        action,
        conditions: conditions.into(),
        applicability: Applicability::default(),
    };
    let default = Action::Errno(wish.before.default_errno());
    let edits: Vec<&Edit> = wish.edits_of(Some(call)).collect();
    // It may be so already.
    let mut proposals = vec![known.clone()];
    if let [edit] = edits.as_slice() {
        if edit.conditions.is_empty() {
            // What stands against it goes; a rule that does what happens anyway keeps the name, up to
            // which runc knows calls.
            let action = if edit.allow { Action::Allow } else { default };
            proposals.push(vec![of(action, &[])]);
        } else if edit.allow {
            let added = of(Action::Allow, &edit.conditions);
            let mut more = known.clone();
            more.retain(|rule| rule.action != default);
            more.push(added.clone());
            proposals.push(more);
            if let [condition] = edit.conditions.as_slice() {
                let mut narrowed: Vec<Rule> = known
                    .iter()
                    .filter(|rule| rule.action != default)
                    .flat_map(|rule| without(rule, *condition))
                    .collect();
                narrowed.push(added);
                proposals.push(narrowed);
            }
        }
    }
    proposals.append(&mut from_scratch(wish, flat, call, default, of)?);
    Ok(proposals)
}

/// A rule that allows nothing, for all that it is about but arguments with a flag. Of other conditions
/// than on flags of the same argument it is left as it is.
fn without(rule: &Rule, flag: Condition) -> Vec<Rule> {
    let index = flag.index;
    let Operator::MaskedEqual { mask: bit, value } = flag.operator else {
        return vec![rule.clone()];
    };
    let is_about = |condition: &Condition| condition.index == index;
    if rule.action == Action::Allow
        || bit != value
        || !bit.is_power_of_two()
        || !rule.conditions.iter().all(is_about)
    {
        return vec![rule.clone()];
    }
    // An argument that is named twice makes one rule of each condition, as in the runtimes.
    let narrowed = rule.conditions.iter().filter_map(|condition| {
        let operator = match condition.operator {
            Operator::MaskedEqual { mask, value } if mask & value & bit == 0 => {
                let mask = mask | bit;
                Operator::MaskedEqual { mask, value }
            }
            Operator::MaskedEqual { .. } => return None,
            other => other,
        };
        let conditions = Box::from([Condition { index, operator }]);
        Some(Rule {
            conditions,
            ..rule.clone()
        })
    });
    narrowed.collect()
}

/// Rules made from scratch of what should become of the call by its arguments.
fn from_scratch(
    wish: &Wish<'_>,
    flat: &FlatProfile,
    call: &'static str,
    default: Action,
    of: impl Fn(Action, &[Condition]) -> Rule,
) -> Result<Vec<Vec<Rule>>, TooManyClasses> {
    let mut abis = flat.abis.iter().copied();
    let there = abis.find_map(|abi| Some((abi, syscalls::number(abi, call)?)));
    let Some((abi, number)) = there else {
        return Ok(Vec::new());
    };
    let of_edits = verify::tests_of_edits(abi, wish.edits_of(Some(call)));
    let all = [wish.before.tests(abi, number), of_edits.clone()].concat();
    let mut proposals = Vec::new();
    // What the edits say may be all that counts now; whether it is shows when it is verified.
    for (tests, plain) in [(&of_edits, false), (&all, false), (&all, true)] {
        let classes = Classes::all(abi, tests, &[None; 6], |arguments| {
            wish.wanted(abi, number, arguments)
        })?;
        let mut rules = Vec::new();
        let mut whole = true;
        for class in classes.iter().filter(|class| class.decision != default) {
            match combinations(class, plain) {
                Some(all) => {
                    rules.extend(all.iter().map(|conditions| of(class.decision, conditions)));
                }
                None => whole = false,
            }
        }
        if rules.is_empty() {
            rules.push(of(default, &[]));
        }
        if whole && rules.len() <= MOST_RULES {
            let mut turned = rules.clone();
            turned.reverse();
            proposals.extend([rules, turned]);
        }
    }
    Ok(proposals)
}

/// Conditions that together take in the class and nothing else.
fn combinations(class: &ArgumentClass<Action>, plain: bool) -> Option<Vec<Vec<Condition>>> {
    let mut all: Vec<Vec<Condition>> = vec![Vec::new()];
    for values in &class.when {
        let conditions = values.conditions(plain)?;
        if all.len().saturating_mul(conditions.len()) > MOST_RULES {
            return None;
        }
        let longer = all.iter().flat_map(|before| {
            conditions.iter().map(move |condition| {
                let mut together = before.clone();
                together.push(*condition);
                together
            })
        });
        all = longer.collect();
    }
    Some(all)
}
