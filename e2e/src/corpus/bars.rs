//! What came out of a program, and the bars that verdicts are held to. Pure.

use podfence_seccomp::{Readiness, Verdict};

use super::Program;

/// Of programs that fail, as many in a hundred must be at risk or worse.
const FOREBODED_PERCENT: usize = 90;
/// Of programs that work, as many in a hundred may be unknown.
const UNKNOWN_PERCENT: usize = 5;

/// What can be expected of a verdict from a node without SeccompDefault alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreseen {
    /// `AtRisk`, or a worse one.
    AtRiskOrWorse,
    /// `WouldBeDenied`.
    WouldBeDenied,
    /// `NoDenialSeen`.
    NoDenialSeen,
}

impl Foreseen {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AtRiskOrWorse, Self::WouldBeDenied, Self::NoDenialSeen];

    /// As the table of programs says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtRiskOrWorse => "at-risk-or-worse",
            Self::WouldBeDenied => "would-be-denied",
            Self::NoDenialSeen => "no-denial-seen",
        }
    }

    /// Whether a verdict is what was expected.
    #[must_use]
    pub const fn includes(self, verdict: Verdict) -> bool {
        match self {
            Self::AtRiskOrWorse => is_at_risk_or_worse(verdict),
            Self::WouldBeDenied => matches!(verdict, Verdict::WouldBeDenied),
            Self::NoDenialSeen => matches!(verdict, Verdict::NoDenialSeen),
        }
    }
}

/// A call that a verdict names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// The argument that it would be denied for.
    pub argument: Option<String>,
    /// Whether it is recorded that it did what was asked, where no filter was.
    pub has_succeeded: bool,
}

/// What was said of a program when it had run on the node without SeccompDefault alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The verdict.
    pub verdict: Verdict,
    /// The calls that it names.
    pub calls: Vec<Call>,
    /// The software, by its signatures, to which the loss of a call is known to be fatal and that the program looks
    /// like.
    pub fatal: Vec<String>,
}

/// How a program went on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did its task.
    Done,
    /// It ended.
    Failed {
        /// The exit code.
        exit: i32,
        /// The last line of its log.
        said: String,
    },
    /// It neither did its task nor ended.
    Hung {
        /// The last line of its log.
        said: String,
    },
}

/// What happened to a program under `RuntimeDefault`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// How it went.
    pub outcome: Outcome,
    /// What was said of it then.
    pub verdict: Option<Verdict>,
}

/// Everything that came out of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The program.
    pub program: Program,
    /// How it went on the node without SeccompDefault.
    pub off: Outcome,
    /// What was said of it then; none where no agent observed system calls.
    pub observed: Option<Observed>,
    /// What happened on the node with it; none where it did not even do its task without.
    pub on: Option<Happened>,
}

/// How a verdict and what happened go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// The verdict was right.
    Agrees,
    /// It works, and a call that succeeded elsewhere is denied: nobody could know.
    Cautious,
    /// The verdict was wrong, or it said nothing.
    Misses,
    /// There is nothing to compare.
    Nothing,
}

impl Report {
    /// Whether the program works under `RuntimeDefault`; none where it is not known.
    #[must_use]
    pub fn works(&self) -> Option<bool> {
        self.on.as_ref().map(|on| on.outcome == Outcome::Done)
    }

    /// How the verdict and what happened go together.
    #[must_use]
    pub fn matches(&self) -> Match {
        let (Some(works), Some(observed)) = (self.works(), &self.observed) else {
            return Match::Nothing;
        };
        let verdict = observed.verdict;
        match (works, verdict.readiness()) {
            (true, Readiness::Ready) => Match::Agrees,
            (false, _) if is_at_risk_or_worse(verdict) => Match::Agrees,
            (true, _) if observed.is_cautious() => Match::Cautious,
            _ => Match::Misses,
        }
    }

    /// What of the expectations was wrong, in words.
    #[must_use]
    pub fn wrong_expectations(&self) -> Vec<String> {
        let expected = &self.program.expected;
        let mut wrong = Vec::new();
        if self
            .works()
            .is_some_and(|works| works != expected.on.works())
        {
            wrong.push(format!("expected: {}", expected.on.as_str()));
        }
        let Some(observed) = &self.observed else {
            return wrong;
        };
        if !expected.verdict.includes(observed.verdict) {
            wrong.push(format!("expected: {}", expected.verdict.as_str()));
        }
        for (name, argument) in &expected.calls {
            let is_there = observed.calls.iter().any(|call| {
                let says = |it: &str| {
                    call.argument
                        .as_deref()
                        .is_some_and(|said| has_word(said, it))
                };
                call.name == *name && argument.as_deref().is_none_or(says)
            });
            if !is_there {
                let argument = argument.as_deref().unwrap_or_default();
                wrong.push(format!("expected: {name} {argument}").trim_end().to_owned());
            }
        }
        wrong
    }
}

impl Observed {
    fn is_cautious(&self) -> bool {
        self.verdict == Verdict::AtRisk && self.calls.iter().any(|call| call.has_succeeded)
    }
}

/// Whether a name is among those that an argument is made of.
fn has_word(said: &str, name: &str) -> bool {
    let is_between = |character: char| !character.is_ascii_alphanumeric() && character != '_';
    said.split(is_between).any(|word| word == name)
}

const fn is_at_risk_or_worse(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Failing | Verdict::Conflicting | Verdict::WouldFail | Verdict::AtRisk
    )
}

/// Everything that is held against a bar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bars {
    /// Programs that did not do their task without SeccompDefault.
    pub undone: Vec<String>,
    /// Programs that nothing was said of.
    pub unobserved: Vec<String>,
    /// How many fail under `RuntimeDefault`.
    pub failing: usize,
    /// Of them, those that were said to be ready.
    pub failing_though_ready: Vec<String>,
    /// Of them, those that were neither ready nor at risk.
    pub failing_unforeseen: Vec<String>,
    /// How many work under it.
    pub working: usize,
    /// Of them, those that were said to fail.
    pub working_though_failing: Vec<String>,
    /// Of them, those that were at risk although no call that would be denied has succeeded.
    pub working_accused: Vec<String>,
    /// Of them, those that were at risk because a call had succeeded.
    pub working_cautious: Vec<String>,
    /// Of them, those of which nothing was known.
    pub working_unknown: Vec<String>,
}

impl Bars {
    /// Measures.
    #[must_use]
    pub fn of(reports: &[Report]) -> Self {
        let mut bars = Self::default();
        for report in reports {
            let name = report.program.name.clone();
            match (report.works(), &report.observed) {
                (None, _) => bars.undone.push(name),
                (Some(works), None) => {
                    bars.count(works);
                    bars.unobserved.push(name);
                }
                (Some(works), Some(observed)) => {
                    bars.count(works);
                    if let Some(place) = bars.place(works, observed) {
                        place.push(name);
                    }
                }
            }
        }
        bars
    }

    fn count(&mut self, works: bool) {
        if works {
            self.working += 1;
        } else {
            self.failing += 1;
        }
    }

    /// Where a program is named; none where the verdict was right.
    fn place(&mut self, works: bool, observed: &Observed) -> Option<&mut Vec<String>> {
        match (works, observed.verdict) {
            (false, verdict) if is_at_risk_or_worse(verdict) => None,
            (false, verdict) if verdict.readiness() == Readiness::Ready => {
                Some(&mut self.failing_though_ready)
            }
            (false, _) => Some(&mut self.failing_unforeseen),
            (true, verdict) if verdict.readiness() == Readiness::NotReady => {
                Some(&mut self.working_though_failing)
            }
            (true, Verdict::AtRisk) if observed.is_cautious() => Some(&mut self.working_cautious),
            (true, Verdict::AtRisk) => Some(&mut self.working_accused),
            (true, Verdict::Suspected | Verdict::Unknown) => Some(&mut self.working_unknown),
            (true, _) => None,
        }
    }

    /// How many of those that fail were at risk or worse.
    #[must_use]
    pub fn foreboded(&self) -> usize {
        let unforeseen = [&self.failing_though_ready, &self.failing_unforeseen];
        let unforeseen: usize = unforeseen.iter().map(|names| names.len()).sum();
        self.failing.saturating_sub(unforeseen)
    }

    /// What is not as it must be, a line each. What nobody observed is measured by no bar.
    #[must_use]
    pub fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        let mut none = |names: &[String], what: &str| {
            if !names.is_empty() {
                missed.push(format!("{what}: {}", names.join(", ")));
            }
        };
        none(&self.undone, "not done without SeccompDefault");
        none(&self.unobserved, "not observed");
        none(&self.failing_though_ready, "said to be ready, and fails");
        none(&self.working_though_failing, "said to fail, and works");
        none(
            &self.working_accused,
            "at risk although no call that would be denied has succeeded",
        );
        if self.foreboded() * 100 < self.failing * FOREBODED_PERCENT {
            missed.push(format!(
                "of {} that fail, {} are at risk or worse, and not {FOREBODED_PERCENT} %: {}",
                self.failing,
                self.foreboded(),
                self.failing_unforeseen.join(", ")
            ));
        }
        if self.working_unknown.len() * 100 > self.working * UNKNOWN_PERCENT {
            missed.push(format!(
                "of {} that work, {} are unknown, more than {UNKNOWN_PERCENT} %: {}",
                self.working,
                self.working_unknown.len(),
                self.working_unknown.join(", ")
            ));
        }
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Expectation, OnNode};
    use super::*;

    fn program(name: &str) -> Program {
        Program {
            name: name.to_owned(),
            packages: Vec::new(),
            user: None,
            is_short: false,
            task: "true".to_owned(),
            expected: Expectation {
                on: OnNode::Fails,
                verdict: Foreseen::AtRiskOrWorse,
                calls: vec![("clone".to_owned(), Some("CLONE_NEWUSER".to_owned()))],
                because: String::new(),
            },
        }
    }

    fn observed(verdict: Verdict, has_succeeded: bool) -> Observed {
        let call = Call {
            name: "clone".to_owned(),
            argument: Some("CLONE_NEWNS|CLONE_NEWUSER".to_owned()),
            has_succeeded,
        };
        Observed {
            verdict,
            calls: vec![call],
            fatal: Vec::new(),
        }
    }

    fn report(name: &str, works: bool, observed: Observed) -> Report {
        let outcome = if works {
            Outcome::Done
        } else {
            Outcome::Failed {
                exit: 1,
                said: String::new(),
            }
        };
        let happened = Happened {
            outcome,
            verdict: None,
        };
        Report {
            program: program(name),
            off: Outcome::Done,
            observed: Some(observed),
            on: Some(happened),
        }
    }

    #[test]
    fn nothing_that_was_not_seen_passes() {
        let mut undone = report("undone", true, observed(Verdict::NoDenialSeen, false));
        undone.on = None;
        let mut unobserved = report("unobserved", false, observed(Verdict::AtRisk, true));
        unobserved.observed = None;
        let mut hung = report("hung", true, observed(Verdict::NoDenialSeen, false));
        hung.on = Some(Happened {
            outcome: Outcome::Hung {
                said: String::new(),
            },
            verdict: None,
        });
        let bars = Bars::of(&[undone.clone(), unobserved.clone(), hung.clone()]);
        assert_eq!((bars.failing, bars.working), (2, 0));
        let missed = bars.missed();
        let want = [
            "not done without SeccompDefault: undone",
            "not observed: unobserved",
            "said to be ready, and fails: hung",
            "of 2 that fail, 1 are at risk or worse, and not 90 %: ",
        ];
        assert_eq!(missed, want);
        let matches = [undone, unobserved, hung].map(|it| it.matches());
        assert_eq!(matches, [Match::Nothing, Match::Nothing, Match::Misses]);
    }

    #[test]
    fn each_verdict_counts_where_it_belongs() {
        use Match::{Agrees, Cautious, Misses};
        use Verdict as V;
        for (works, verdict, has_succeeded, want, line) in [
            (
                false,
                V::NotAffected,
                true,
                Misses,
                Some("said to be ready, and fails: a"),
            ),
            (
                false,
                V::Passing,
                true,
                Misses,
                Some("said to be ready, and fails: a"),
            ),
            (
                false,
                V::NoDenialSeen,
                true,
                Misses,
                Some("said to be ready, and fails: a"),
            ),
            (
                false,
                V::WouldBeDenied,
                true,
                Misses,
                Some("said to be ready, and fails: a"),
            ),
            (
                false,
                V::Unknown,
                true,
                Misses,
                Some("of 1 that fail, 0 are at risk or worse, and not 90 %: a"),
            ),
            (
                false,
                V::Suspected,
                true,
                Misses,
                Some("of 1 that fail, 0 are at risk or worse, and not 90 %: a"),
            ),
            (false, V::AtRisk, false, Agrees, None),
            (false, V::WouldFail, false, Agrees, None),
            (
                true,
                V::WouldFail,
                true,
                Misses,
                Some("said to fail, and works: a"),
            ),
            (
                true,
                V::Failing,
                true,
                Misses,
                Some("said to fail, and works: a"),
            ),
            (
                true,
                V::AtRisk,
                false,
                Misses,
                Some("at risk although no call that would be denied has succeeded: a"),
            ),
            (true, V::AtRisk, true, Cautious, None),
            (
                true,
                V::Unknown,
                true,
                Misses,
                Some("of 1 that work, 1 are unknown, more than 5 %: a"),
            ),
            (
                true,
                V::Suspected,
                true,
                Misses,
                Some("of 1 that work, 1 are unknown, more than 5 %: a"),
            ),
            (true, V::WouldBeDenied, false, Agrees, None),
            (true, V::NoDenialSeen, false, Agrees, None),
        ] {
            let report = report("a", works, observed(verdict, has_succeeded));
            let missed = Bars::of(std::slice::from_ref(&report)).missed();
            let first = missed.first().map(String::as_str);
            assert_eq!(
                (report.matches(), first),
                (want, line),
                "{works} {verdict:?}"
            );
        }
    }

    #[test]
    fn shares_are_counted_to_the_last_program() {
        let fails = |verdict| report("f", false, observed(verdict, true));
        let works = |verdict| report("w", true, observed(verdict, true));
        let many = |number, one: Report| vec![one; number];
        for (reports, want) in [
            (
                [
                    many(9, fails(Verdict::AtRisk)),
                    many(1, fails(Verdict::Unknown)),
                ],
                0,
            ),
            (
                [
                    many(8, fails(Verdict::AtRisk)),
                    many(1, fails(Verdict::Unknown)),
                ],
                1,
            ),
            (
                [
                    many(19, works(Verdict::NoDenialSeen)),
                    many(1, works(Verdict::Unknown)),
                ],
                0,
            ),
            (
                [
                    many(18, works(Verdict::NoDenialSeen)),
                    many(1, works(Verdict::Unknown)),
                ],
                1,
            ),
            ([Vec::new(), Vec::new()], 0),
        ] {
            let bars = Bars::of(&reports.concat());
            assert_eq!(bars.missed().len(), want, "{bars:?}");
        }
    }

    #[test]
    fn expectations_that_were_wrong_are_said() {
        let right = report("a", false, observed(Verdict::AtRisk, true));
        assert_eq!(right.wrong_expectations(), [""; 0]);
        let mut other = observed(Verdict::NoDenialSeen, true);
        other.calls[0].argument = Some("CLONE_NEWUSERS".to_owned());
        assert_eq!(
            report("a", true, other).wrong_expectations(),
            [
                "expected: fails",
                "expected: at-risk-or-worse",
                "expected: clone CLONE_NEWUSER"
            ]
        );
        let mut unobserved = report("a", true, observed(Verdict::AtRisk, true));
        unobserved.observed = None;
        assert_eq!(unobserved.wrong_expectations(), ["expected: fails"]);
    }
}
