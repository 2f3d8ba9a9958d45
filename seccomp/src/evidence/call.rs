//! Calls that were seen: made by an unconfined program, or really denied. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Abi, Errno, Moment, Span};

/// Who saw a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// Podfence's own observer on the node, which sees every call with arguments and result.
    Observer,
    /// The kernel's audit log under a profile that logs instead of denying. It has neither
    /// arguments nor results, but a record is only there if the arguments were ones to deny.
    AuditLog,
    /// The recorder of the security-profiles-operator: names only.
    Spo,
    /// Inspektor Gadget: names, and of its traceloop also arguments and results.
    InspektorGadget,
}

impl Source {
    /// Its name, as a status says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observer => "Observer",
            Self::AuditLog => "AuditLog",
            Self::Spo => "SPO",
            Self::InspektorGadget => "InspektorGadget",
        }
    }
}

/// A call as an unconfined program made it. Calls that are equal in this are one finding, whoever
/// made them and how often.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call {
    /// Its name.
    pub name: Box<str>,
    /// What of its arguments counts.
    pub arguments: Arguments,
    /// How it was called.
    pub abi: Abi,
    /// What the kernel answered.
    pub outcome: Outcome,
    /// Who saw it.
    pub source: Source,
}

/// A call that the filter answered on an enforcing node: the observer saw it return without having
/// seen it enter the kernel. The registers still hold its arguments then.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Denial {
    /// Its name.
    pub name: Box<str>,
    /// What of its arguments counts.
    pub arguments: Arguments,
    /// How it was called.
    pub abi: Abi,
    /// What it returned.
    pub errno: Errno,
    /// Whether something else may have been what denied it: a filter of the program's own, a
    /// debugger, or nothing at all, if the call was under way when the observer came.
    pub ambiguous: bool,
}

/// What is known of a call's arguments: those that filters compare or that tell what the call is for,
/// by position. Addresses and the like are left out, so that there are few different ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Arguments(Option<Box<[(u8, u64)]>>);

impl Arguments {
    /// Nobody recorded them.
    pub const UNRECORDED: Self = Self(None);

    /// These, each with its position from 0 to 5. What has no such position is left out; of two for
    /// one position the greater counts. For `clone3` position 0 is the flags in its structure.
    #[must_use]
    pub fn recorded(arguments: impl IntoIterator<Item = (u8, u64)>) -> Self {
        let mut sorted = BTreeMap::new();
        for (position, value) in arguments.into_iter().filter(|(position, _)| *position < 6) {
            let known = sorted.entry(position).or_insert(value);
            *known = value.max(*known);
        }
        Self(Some(sorted.into_iter().collect()))
    }

    /// Whether anything was recorded.
    #[must_use]
    pub const fn are_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// The argument at a position; none where it was not recorded.
    #[must_use]
    pub fn at(&self, position: u8) -> Option<u64> {
        let (_, value) = self.iter().find(|(known, _)| *known == position)?;
        Some(value)
    }

    /// All that were recorded, by position.
    pub fn iter(&self) -> impl Iterator<Item = (u8, u64)> {
        self.0.as_deref().unwrap_or_default().iter().copied()
    }
}

/// What the kernel answered an unconfined program. The order is from what a denial takes most from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// It did what was asked.
    Success,
    /// Nobody recorded it.
    Unrecorded,
    /// It refused.
    Errno(Errno),
}

/// In which part of its run a program made a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Before it was ready.
    Start,
    /// While it was ready.
    Steady,
    /// After it was told to end.
    Stop,
}

/// How often, as a power of ten: 0 is one to nine times. A count itself would change with every
/// call, and two records of the same calls could not be told from records of different ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Magnitude(u8);

impl Magnitude {
    /// The magnitude of a count.
    #[must_use]
    pub fn of(count: u64) -> Self {
        Self(u8::try_from(count.checked_ilog10().unwrap_or_default()).unwrap_or(u8::MAX))
    }

    /// The magnitude of this power of ten. None is greater than that of the greatest count, 19.
    #[must_use]
    pub fn of_exponent(exponent: u8) -> Self {
        Self(exponent).min(Self::of(u64::MAX))
    }

    /// The power of ten.
    #[must_use]
    pub const fn exponent(self) -> u8 {
        self.0
    }
}

/// A pod that something was seen in, to look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Example {
    /// The pod.
    pub pod: Box<str>,
    /// Its node.
    pub node: Box<str>,
}

/// More programs than this are not named: the list is to be read, and a shell script can run any
/// number of them.
const MAX_EXECUTABLES: usize = 8;

/// When, where and how often a call was seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sighting {
    /// From when to when.
    pub span: Span,
    /// How often, within the record that has most.
    pub count: Magnitude,
    /// In which parts of the run.
    pub phases: BTreeSet<Phase>,
    /// The programs that made it, as paths within the container.
    executables: BTreeSet<Box<str>>,
    /// A pod to look at.
    pub example: Option<Example>,
}

impl Sighting {
    /// Seen once, at this moment, with nothing known beside.
    #[must_use]
    pub fn at(moment: Moment) -> Self {
        Self {
            span: Span::new(moment, moment),
            count: Magnitude::default(),
            phases: BTreeSet::new(),
            executables: BTreeSet::new(),
            example: None,
        }
    }

    /// The same with a program that made the call.
    #[must_use]
    pub fn by(mut self, executable: &str) -> Self {
        self.executables.insert(executable.into());
        while self.executables.len() > MAX_EXECUTABLES {
            self.executables.pop_last();
        }
        self
    }

    /// The programs that made it, sorted; the first few.
    pub fn executables(&self) -> impl Iterator<Item = &str> {
        self.executables.iter().map(|path| &**path)
    }

    /// Both together. Which comes first, and whether one comes twice, makes no difference.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let Self {
            span,
            count,
            phases,
            executables,
            example,
        } = other;
        let joined = Self {
            span: self.span.join(span),
            count: self.count.max(count),
            phases: &self.phases | &phases,
            executables: self.executables,
            // The first by name: any would do, but it must be the same one every time.
            example: match (self.example, example) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            },
        };
        executables
            .iter()
            .fold(joined, |joined, path| joined.by(path))
    }
}

#[cfg(test)]
mod tests {
    use super::{Arguments, Example, MAX_EXECUTABLES, Magnitude, Phase, Sighting};
    use crate::{Moment, Span};

    #[test]
    fn arguments_have_positions() {
        let arguments = Arguments::recorded([(2, 9), (0, 5), (6, 1), (0, 7)]);
        assert_eq!(arguments.iter().collect::<Vec<_>>(), [(0, 7), (2, 9)]);
        assert_eq!((arguments.at(2), arguments.at(1)), (Some(9), None));
        // That there is nothing to record is not that nobody did.
        assert!(Arguments::recorded([]).are_recorded());
        assert_ne!(Arguments::recorded([]), Arguments::UNRECORDED);
    }

    #[test]
    fn counts_are_powers_of_ten() {
        for (count, want) in [(0, 0), (1, 0), (9, 0), (10, 1), (999, 2), (u64::MAX, 19)] {
            assert_eq!(Magnitude::of(count).exponent(), want, "{count}");
            assert_eq!(Magnitude::of_exponent(want), Magnitude::of(count));
        }
        assert_eq!(Magnitude::of_exponent(200), Magnitude::of(u64::MAX));
    }

    #[test]
    fn sightings_join_in_any_order_and_stay_small() {
        let at = Moment::from_unix_seconds;
        let sighting = |number: u64, phase| Sighting {
            count: Magnitude::of(number),
            phases: [phase].into(),
            example: Some(Example {
                pod: format!("pod-{number}").into(),
                node: "node".into(),
            }),
            ..Sighting::at(at(number)).by(&format!("/bin/{number:02}"))
        };
        let (one, other) = (sighting(30, Phase::Start), sighting(2, Phase::Steady));
        let joined = one.clone().join(other.clone());
        assert_eq!(joined, other.join(one.clone()));
        assert_eq!(joined, joined.clone().join(one));
        assert_eq!(joined.span, Span::new(at(2), at(30)));
        assert_eq!(joined.count, Magnitude::of(30));
        assert_eq!(joined.phases, [Phase::Start, Phase::Steady].into());
        assert_eq!(&*joined.example.expect("one of the two").pod, "pod-2");
        let many = (0..20).map(|number| sighting(number, Phase::Stop));
        let (up, down) = (many.clone(), many.rev());
        let up = up.reduce(Sighting::join).expect("some");
        assert_eq!(Some(up.clone()), down.reduce(Sighting::join));
        let executables: Vec<_> = up.executables().collect();
        assert_eq!(
            (executables.len(), executables[0]),
            (MAX_EXECUTABLES, "/bin/00")
        );
    }
}
