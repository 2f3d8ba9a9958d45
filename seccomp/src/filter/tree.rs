//! The comparisons that libseccomp makes of all rules for one number, and the order in which they
//! decide. Pure.
//!
//! Where rules of one call do the same, any that matches decides and the order is nothing. Where they
//! do not, libseccomp's order decides, which is not that of the profile: comparisons of the same
//! argument stand side by side, those of greater arguments and values first, and rules that begin with
//! the same comparison share it. This is what libseccomp 2.5 and 2.6 do; filters of runc on a real
//! libseccomp are the test of it (`e2e/tests/seccomp_filter.rs`).

use crate::classes::{Test, TestKind, low_word};
use crate::{Abi, Action, Condition, Operator, Rule};

/// Two rules for one call that libseccomp refuses to have in one filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rule {rule:?} stands against another one for the same calls")]
pub struct Conflict {
    rule: String,
}

/// What is done with the calls of one number.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The rule that decides whatever the arguments are.
    unconditional: Option<usize>,
    level: Level,
}

/// Comparisons that are made one after another until one decides.
type Level = Vec<Node>;

/// A comparison and what follows from it.
#[derive(Clone, Debug)]
struct Node {
    comparison: Comparison,
    yes: Branch,
    no: Branch,
}

/// What follows.
#[derive(Clone, Debug, Default)]
struct Branch {
    /// What is decided: the action, and the rule that says it.
    verdict: Option<(Action, usize)>,
    /// Further comparisons; what they do not decide goes on behind this node.
    next: Level,
}

/// A comparison of 32 bits, which is all that a filter can do at once.
#[derive(Clone, Copy, Debug)]
struct Comparison {
    argument: u8,
    half: Half,
    kind: Kind,
    mask: u32,
    value: u32,
    /// The value of all 64 bits.
    whole: u64,
    /// What the condition that it is a part of asks for.
    asks: Asks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Half {
    Low,
    High,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Equal,
    MaskedEqual,
    Greater,
    GreaterOrEqual,
}

/// In the order of libseccomp's priorities, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asks {
    More,
    Less,
    Equality,
}

impl Tree {
    /// Adds a rule. `through` is what the first argument must be where the call is made through
    /// another one.
    pub(super) fn add_rule(
        &mut self,
        abi: Abi,
        rule: &Rule,
        at: usize,
        through: Option<u32>,
    ) -> Result<(), Conflict> {
        let named_twice = rule
            .conditions
            .iter()
            .enumerate()
            .any(|(place, condition)| {
                let earlier = rule.conditions.iter().take(place);
                earlier
                    .into_iter()
                    .any(|other| other.index == condition.index)
            });
        let added = if named_twice {
            rule.conditions
                .iter()
                .all(|condition| self.add(abi, &[*condition], (rule.action, at), through))
        } else {
            self.add(abi, &rule.conditions, (rule.action, at), through)
        };
        added.then_some(()).ok_or_else(|| Conflict {
            rule: rule.to_string(),
        })
    }

    fn add(
        &mut self,
        abi: Abi,
        conditions: &[Condition],
        verdict: (Action, usize),
        through: Option<u32>,
    ) -> bool {
        let mut conditions: Vec<Condition> = conditions
            .iter()
            .filter(|condition| !is_always_true(**condition))
            .copied()
            .collect();
        if let Some(number) = through {
            conditions.retain(|condition| condition.index != 0);
            let operator = Operator::Equal(number.into());
            conditions.push(Condition { index: 0, operator });
        }
        conditions.sort_by_key(|condition| condition.index);
        if self.unconditional.is_some() {
            return true;
        }
        let Some(new) = chain(abi, &conditions, verdict) else {
            self.unconditional = Some(verdict.1);
            self.level.clear();
            return true;
        };
        insert(&mut self.level, new)
    }

    /// The rule that decides about a call; none when it is left to the default.
    pub(super) fn evaluate(&self, arguments: [u64; 6]) -> Option<usize> {
        self.unconditional
            .or_else(|| evaluate(&self.level, &arguments))
    }

    /// Whether arguments count.
    pub(super) fn has_comparisons(&self) -> bool {
        self.unconditional.is_none() && !self.level.is_empty()
    }

    /// What the comparisons tell apart; nothing where none decides.
    pub(super) fn tests(&self) -> Vec<Test> {
        let mut tests = Vec::new();
        if self.has_comparisons() {
            collect_tests(&self.level, &mut tests);
        }
        tests
    }

    /// The rules that may decide, in the order of the profile.
    pub(super) fn rules(&self) -> Vec<usize> {
        let mut rules: Vec<usize> = self.unconditional.into_iter().collect();
        collect(&self.level, &mut rules);
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

/// Adds what the comparisons tell apart.
fn collect_tests(level: &Level, tests: &mut Vec<Test>) {
    for node in level {
        let Comparison {
            argument,
            half,
            kind,
            mask,
            value,
            ..
        } = node.comparison;
        let kinds = match kind {
            Kind::Equal => TestKind::around(value),
            Kind::MaskedEqual => vec![TestKind::Masked { mask, value }],
            Kind::Greater => value
                .checked_add(1)
                .map(TestKind::From)
                .into_iter()
                .collect(),
            Kind::GreaterOrEqual => vec![TestKind::From(value)],
        };
        tests.extend(kinds.into_iter().map(|kind| Test {
            argument,
            high: half == Half::High,
            kind,
        }));
        collect_tests(&node.yes.next, tests);
        collect_tests(&node.no.next, tests);
    }
}

fn collect(level: &Level, rules: &mut Vec<usize>) {
    for branch in level.iter().flat_map(|node| [&node.yes, &node.no]) {
        rules.extend(branch.verdict.map(|(_, rule)| rule));
        collect(&branch.next, rules);
    }
}

fn evaluate(level: &Level, arguments: &[u64; 6]) -> Option<usize> {
    level.iter().find_map(|node| {
        let branch = if node.comparison.holds(arguments) {
            &node.yes
        } else {
            &node.no
        };
        let verdict = branch.verdict.map(|(_, rule)| rule);
        verdict.or_else(|| evaluate(&branch.next, arguments))
    })
}

/// A comparison without bits to compare is left out.
fn is_always_true(condition: Condition) -> bool {
    matches!(condition.operator, Operator::MaskedEqual { mask: 0, .. })
}

/// The comparisons of one rule, one within the other, the first argument outermost.
fn chain(abi: Abi, conditions: &[Condition], verdict: (Action, usize)) -> Option<Node> {
    let (first, rest) = conditions.split_first()?;
    let then = match chain(abi, rest, verdict) {
        Some(node) => Branch {
            verdict: None,
            next: vec![node],
        },
        None => Branch {
            verdict: Some(verdict),
            next: Level::new(),
        },
    };
    Some(node(abi, *first, then))
}

/// The comparisons of one condition, with what follows when it holds.
fn node(abi: Abi, condition: Condition, then: Branch) -> Node {
    let argument = condition.index;
    let (kind, asks, mask, whole, holds_on_yes) = match condition.operator {
        Operator::Equal(value) => (Kind::Equal, Asks::Equality, u64::MAX, value, true),
        Operator::NotEqual(value) => (Kind::Equal, Asks::Equality, u64::MAX, value, false),
        Operator::MaskedEqual { mask, value } => {
            (Kind::MaskedEqual, Asks::Equality, mask, value, true)
        }
        Operator::Greater(value) => (Kind::Greater, Asks::More, u64::MAX, value, true),
        Operator::GreaterOrEqual(value) => {
            (Kind::GreaterOrEqual, Asks::More, u64::MAX, value, true)
        }
        Operator::Less(value) => (Kind::GreaterOrEqual, Asks::Less, u64::MAX, value, false),
        Operator::LessOrEqual(value) => (Kind::Greater, Asks::Less, u64::MAX, value, false),
    };
    let compare = |half: Half, kind: Kind| {
        let shift = if half == Half::High { 32 } else { 0 };
        let mask = low_word(mask >> shift);
        Comparison {
            argument,
            half,
            kind,
            mask,
            value: low_word(whole >> shift) & mask,
            whole,
            asks,
        }
    };
    let leaf = |comparison: Comparison, then: Branch| {
        let (yes, no) = if holds_on_yes {
            (then, Branch::default())
        } else {
            (Branch::default(), then)
        };
        Node {
            comparison,
            yes,
            no,
        }
    };
    let low = leaf(compare(Half::Low, kind), then.clone());
    if !abi.has_wide_arguments() {
        return low;
    }
    let on_equal = Branch {
        verdict: None,
        next: vec![low],
    };
    let unequal_holds = match asks {
        Asks::Equality => !holds_on_yes,
        Asks::More | Asks::Less => false,
    };
    match asks {
        Asks::Equality => Node {
            comparison: compare(Half::High, kind),
            yes: on_equal,
            no: if unequal_holds {
                then
            } else {
                Branch::default()
            },
        },
        Asks::More | Asks::Less => {
            let is_less = asks == Asks::Less;
            let equal = Node {
                comparison: compare(Half::High, Kind::Equal),
                yes: on_equal,
                no: if is_less {
                    then.clone()
                } else {
                    Branch::default()
                },
            };
            Node {
                comparison: compare(Half::High, Kind::Greater),
                yes: if is_less { Branch::default() } else { then },
                no: Branch {
                    verdict: None,
                    next: vec![equal],
                },
            }
        }
    }
}

/// Puts a rule's comparisons among those of the others. False when two rules stand against each
/// other.
fn insert(level: &mut Level, new: Node) -> bool {
    for (at, known) in level.iter_mut().enumerate() {
        if known.comparison.is_same(&new.comparison) {
            return known.merge(new);
        }
        if known.comparison.comes_after(&new.comparison) {
            level.insert(at, new);
            return true;
        }
    }
    level.push(new);
    true
}

impl Node {
    fn is_leaf(&self) -> bool {
        self.yes.next.is_empty() && self.no.next.is_empty()
    }

    /// Takes in what follows from the same comparison in another rule.
    fn merge(&mut self, new: Self) -> bool {
        let is_leaf = self.is_leaf() || new.is_leaf();
        let high = new.comparison.half == Half::High;
        let (known_whole, new_whole) = (self.comparison.whole, new.comparison.whole);
        if let Some((action, _)) = new.yes.verdict {
            match &mut self.yes.verdict {
                None if !only_does(&self.yes.next, action) => return false,
                None => self.yes.decide(new.yes.verdict),
                Some((known, _)) if *known != action => {
                    if is_leaf {
                        return false;
                    }
                    if high && new_whole > known_whole {
                        self.yes.verdict = new.yes.verdict;
                    }
                }
                Some(_) => {}
            }
        }
        if let Some((action, _)) = new.no.verdict {
            match &self.no.verdict {
                None if !only_does(&self.no.next, action) => return false,
                None => self.no.decide(new.no.verdict),
                Some((known, _)) if *known != action => {
                    if is_leaf {
                        return false;
                    }
                    // libseccomp changes the other branch here.
                    if high && new_whole < known_whole && self.yes.verdict.is_some() {
                        self.yes.verdict = new.no.verdict;
                    }
                }
                Some(_) => {}
            }
        }
        self.yes.merge_next(new.yes.next) && self.no.merge_next(new.no.next)
    }
}

impl Branch {
    /// Decides at once, instead of by comparisons that all come to the same.
    fn decide(&mut self, verdict: Option<(Action, usize)>) {
        self.verdict = verdict;
        self.next.clear();
    }

    fn merge_next(&mut self, new: Level) -> bool {
        // What is decided already needs no further comparison.
        self.verdict.is_some() || new.into_iter().all(|node| insert(&mut self.next, node))
    }
}

fn only_does(level: &Level, action: Action) -> bool {
    level
        .iter()
        .flat_map(|node| [&node.yes, &node.no])
        .all(|branch| {
            branch.verdict.is_none_or(|(known, _)| known == action)
                && only_does(&branch.next, action)
        })
}

impl Comparison {
    fn holds(&self, arguments: &[u64; 6]) -> bool {
        let argument = arguments
            .get(usize::from(self.argument))
            .copied()
            .unwrap_or_default();
        let word = match self.half {
            Half::Low => low_word(argument),
            Half::High => low_word(argument >> 32),
        };
        match self.kind {
            Kind::Equal => word == self.value,
            Kind::MaskedEqual => word & self.mask == self.value,
            Kind::Greater => word > self.value,
            Kind::GreaterOrEqual => word >= self.value,
        }
    }

    fn place(&self) -> (u8, Half) {
        (self.argument, self.half)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.place() == other.place()
            && self.kind == other.kind
            && (self.value, self.mask) == (other.value, other.mask)
    }

    /// Whether the other one is made before this one on the same level.
    fn comes_after(&self, other: &Self) -> bool {
        let place = self.place().cmp(&other.place());
        let order = place.then(self.asks.cmp(&other.asks));
        let by_value = if self.asks == Asks::Less {
            // The smaller value first.
            other.value.cmp(&self.value)
        } else {
            self.value.cmp(&other.value)
        };
        order.then(by_value).is_lt()
    }
}
