//! The calls that a verdict names. Pure.

use std::collections::BTreeSet;

use crate::effect::{self, Answer, Effect, Judged};
use crate::evidence::{Arguments, Call, Denial, Outcome, Sighting, Source};
use crate::signature::Signature;
use crate::{Abi, Filter, argument};

/// How it is known that a call matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Certainty {
    /// It was really denied on an enforcing node.
    Denied,
    /// An unconfined program made it.
    Observed,
    /// It was denied where `RuntimeDefault` denies it, and something else may have been what did.
    Ambiguous,
    /// The software is known to make it; nobody saw it.
    Suspected,
}

/// A call that would be denied, or was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The call as the profile sees it: clone where a program falls back to it from clone3.
    pub name: Box<str>,
    /// What is known of its arguments.
    pub arguments: Arguments,
    /// How it is called.
    pub abi: Abi,
    /// How it is known.
    pub certainty: Certainty,
    /// What the profile answers.
    pub answer: Answer,
    /// What the kernel answers today, as far as that was recorded; the worst to lose of several.
    pub today: Outcome,
    /// When and where it was seen; none where it is suspected only.
    pub seen: Option<Sighting>,
    /// Who saw it.
    pub sources: BTreeSet<Source>,
}

impl Finding {
    /// What its arguments are for, as in `CLONE_NEWUSER`.
    #[must_use]
    pub fn argument(&self) -> Option<String> {
        argument::describe(self.abi, &self.name, &self.arguments)
    }

    /// What a call of an unconfined program comes to, with whether that is harm; none where it would
    /// go through or that cannot be said.
    pub(super) fn of_call(filter: &Filter, call: &Call, seen: &Sighting) -> Option<(Self, bool)> {
        let (Judged { name, arguments }, effect) = effect::of_call(filter, call);
        let (answer, harmful) = match effect {
            Effect::Harmful(answer) => (answer, true),
            Effect::Unchanged(answer) => (answer, false),
            Effect::Allowed | Effect::Undecided => return None,
        };
        let finding = Self {
            name,
            arguments,
            abi: call.abi,
            certainty: Certainty::Observed,
            answer,
            today: call.outcome,
            seen: Some(seen.clone()),
            sources: [call.source].into(),
        };
        Some((finding, harmful))
    }

    /// A call that the profile denied; none where something else did.
    pub(super) fn of_denial(filter: &Filter, denial: &Denial, seen: &Sighting) -> Option<Self> {
        effect::is_denied_by(filter, denial).then(|| Self {
            name: denial.name.clone(),
            arguments: denial.arguments.clone(),
            abi: denial.abi,
            certainty: if denial.ambiguous {
                Certainty::Ambiguous
            } else {
                Certainty::Denied
            },
            answer: Answer::Errno(denial.errno),
            today: Outcome::Unrecorded,
            seen: Some(seen.clone()),
            sources: [Source::Observer].into(),
        })
    }

    /// The calls of a signature that the profile would deny.
    pub(super) fn of_signature(filter: &Filter, signature: &Signature) -> Vec<Self> {
        let Some(abi) = filter.abis().next() else {
            return Vec::new();
        };
        let suspected = signature.calls.iter().filter_map(|call| {
            let arguments = call.arguments(abi);
            Some(Self {
                name: call.name.into(),
                answer: effect::answer(filter, abi, call.name, &arguments)?,
                arguments,
                abi,
                certainty: Certainty::Suspected,
                today: Outcome::Unrecorded,
                seen: None,
                sources: BTreeSet::new(),
            })
        });
        suspected.collect()
    }
}

/// One finding for each call, arguments and certainty, sorted by these.
pub(super) fn merge(findings: impl IntoIterator<Item = Finding>) -> Vec<Finding> {
    let mut sorted: Vec<Finding> = findings.into_iter().collect();
    sorted.sort_by(|one, other| identity(one).cmp(&identity(other)));
    sorted.dedup_by(|later, kept| {
        let is_same = identity(later) == identity(kept);
        if is_same {
            kept.today = kept.today.min(later.today);
            kept.sources.append(&mut later.sources);
            kept.seen = match (kept.seen.take(), later.seen.take()) {
                (Some(one), Some(other)) => Some(one.join(other)),
                (one, other) => one.or(other),
            };
        }
        is_same
    });
    sorted
}

fn identity(finding: &Finding) -> (Certainty, &str, &Arguments, Abi, Answer) {
    let Finding {
        name,
        arguments,
        abi,
        certainty,
        answer,
        ..
    } = finding;
    (*certainty, name, arguments, *abi, *answer)
}
