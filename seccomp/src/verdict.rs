//! From facts to a verdict: would this container fail under `RuntimeDefault`, or does it? Pure.
//!
//! The rules, each of which a test in `tests/verdicts.rs` holds:
//!
//! 1. A verdict is a function of the set of facts, for one [`Key`] and one moment.
//! 2. What no switch changes is `NotAffected`, whatever else is known.
//! 3. Failing needs a run under `RuntimeDefault` that fares badly and an unconfined run of the same
//!    template that fares well. What fares badly on both sides is no failure of seccomp.
//! 4. Failing and Passing for one key are shown as Conflicting. Nothing but their age takes a failure
//!    away again.
//! 5. A call that would be lost makes it `AtRisk`, and `WouldFail` where that is known to be fatal. Only a
//!    run under `RuntimeDefault` that fares well lowers these.
//! 6. "Nothing would be denied" is said only after a start and a whole window that were observed without
//!    loss. Absence of evidence is Unknown.
//! 7. A call is named as the cause only if its denial was seen, and nothing else can have denied it. Else
//!    it is named as what it is: one that was observed, one whose denial is ambiguous, or one that is
//!    suspected of such software.

mod case;
mod finding;
mod ground;
mod twins;
mod workload;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::evidence::{Coverage, Evidence, Gap, Key, Known};
use crate::signature::Signature;
use crate::{Affected, Exempt, Filter, Moment, UnknownProfile};

use case::Case;
pub use finding::{Certainty, Finding};
pub use ground::Ground;
pub use workload::WorkloadJudgement;

/// Whether a container fails, or would, under `RuntimeDefault`. The order is that of severity, worst
/// first: of several, the least counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// It runs under `RuntimeDefault` and fares badly where its unconfined twin fares well.
    Failing,
    /// It is both Failing and Passing.
    Conflicting,
    /// It would lose a call, and that is known to be fatal.
    WouldFail,
    /// It would lose a call; what that does is not known.
    AtRisk,
    /// Such software is known to fail, and nothing was observed of this one.
    Suspected,
    /// There is no evidence, too little, or some of it was lost.
    Unknown,
    /// Calls would be denied, all of which fail today already and mean the same.
    WouldBeDenied,
    /// Nothing would be denied.
    NoDenialSeen,
    /// It runs under `RuntimeDefault` and fares well.
    Passing,
    /// The switch changes nothing for it.
    NotAffected,
}

/// What a verdict says about switching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Readiness {
    /// A switch breaks it.
    NotReady,
    /// Nobody knows.
    Unknown,
    /// It can be switched.
    Ready,
}

/// What Failing and Passing rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Basis {
    /// Denials were seen.
    Observed,
    /// How it fares, beside its twin.
    Inferred,
}

/// Why a verdict is Unknown, or Suspected and not better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Doubt {
    /// What was observed is not enough.
    Evidence(Gap),
    /// What the container would run under cannot be said.
    Profile(UnknownProfile),
}

/// How much evidence is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a container must have been observed before "no denial seen" is said.
    pub minimum_observation: Duration,
    /// How long a container must have been ready to count as faring well.
    pub settling: Duration,
    /// How long a fact counts after it was last seen.
    pub retention: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            // A day has most of what comes at its hours: log rotation, backups, nightly jobs.
            minimum_observation: Duration::from_secs(24 * 60 * 60),
            // After as long the kubelet forgets that a container crashed (`MaxContainerBackOff` twice).
            settling: Duration::from_secs(10 * 60),
            // Longer than a month of monthly jobs and than most images live.
            retention: Duration::from_secs(35 * 24 * 60 * 60),
        }
    }
}

/// The container that is judged, under one profile.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Whether a switch affects it.
    pub affected: Affected,
    /// What its evidence is bound to.
    pub key: &'a Key,
    /// What names its template.
    pub template: &'a str,
    /// `RuntimeDefault`, loaded for it.
    pub filter: &'a Filter,
    /// The known breakages that it looks like.
    pub signatures: &'a [&'a Signature],
}

/// A verdict with its reasons.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// What Failing, Conflicting and Passing rest on; none for the others.
    pub basis: Option<Basis>,
    /// The hash of the profile that it speaks of; none where that is unknown or does not matter.
    pub profile: Option<Box<str>>,
    /// The calls that it rests on, sorted.
    pub calls: Vec<Finding>,
    /// Which evidence it rests on.
    pub grounds: BTreeSet<Ground>,
    /// When the first of the facts was seen that it rests on.
    pub since: Option<Moment>,
    /// What was observed.
    pub coverage: Coverage,
    /// Why it is not better, of Unknown and Suspected.
    pub doubt: Option<Doubt>,
    /// Why a switch changes nothing, of `NotAffected`.
    pub exempt: Option<Exempt>,
    /// Where it fares badly under `RuntimeDefault`.
    pub failing_on: BTreeSet<Box<str>>,
    /// Where it fares well under `RuntimeDefault`.
    pub passing_on: BTreeSet<Box<str>>,
    /// Where its unconfined twin fares well.
    pub healthy_twin_on: BTreeSet<Box<str>>,
}

impl Verdict {
    /// All of them, worst first.
    pub const ALL: [Self; 10] = [
        Self::Failing,
        Self::Conflicting,
        Self::WouldFail,
        Self::AtRisk,
        Self::Suspected,
        Self::Unknown,
        Self::WouldBeDenied,
        Self::NoDenialSeen,
        Self::Passing,
        Self::NotAffected,
    ];

    /// Its name, as a status says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "Failing",
            Self::Conflicting => "Conflicting",
            Self::WouldFail => "WouldFail",
            Self::AtRisk => "AtRisk",
            Self::Suspected => "Suspected",
            Self::Unknown => "Unknown",
            Self::WouldBeDenied => "WouldBeDenied",
            Self::NoDenialSeen => "NoDenialSeen",
            Self::Passing => "Passing",
            Self::NotAffected => "NotAffected",
        }
    }

    /// What it says about switching.
    #[must_use]
    pub const fn readiness(self) -> Readiness {
        match self {
            Self::Failing | Self::Conflicting | Self::WouldFail => Readiness::NotReady,
            Self::AtRisk | Self::Suspected | Self::Unknown => Readiness::Unknown,
            Self::WouldBeDenied | Self::NoDenialSeen | Self::Passing | Self::NotAffected => {
                Readiness::Ready
            }
        }
    }
}

impl Basis {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Observed, Self::Inferred];

    /// Its name, as a status says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "Observed",
            Self::Inferred => "Inferred",
        }
    }
}

/// Gives a word of the API the schema of its names.
#[cfg(feature = "schemars")]
macro_rules! schema_of_names {
    ($($type:ident),+) => { $(
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "enum": Self::ALL.map(Self::as_str),
                })
            }
        }
    )+ };
}

#[cfg(feature = "schemars")]
schema_of_names!(Verdict, Basis);

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl Judgement {
    /// What is said of a container whose profile cannot be told, as of an unknown runtime's.
    #[must_use]
    pub fn unknown(reason: UnknownProfile) -> Self {
        Self {
            doubt: Some(Doubt::Profile(reason)),
            ..Self::bare(Verdict::Unknown)
        }
    }

    /// What is said of a container of which nothing but its specification is known, and why nothing
    /// else is.
    #[must_use]
    pub fn without_profile(affected: Affected, why: UnknownProfile) -> Self {
        match affected {
            Affected::No(exempt) => Self {
                exempt: Some(exempt),
                ..Self::bare(Verdict::NotAffected)
            },
            Affected::Unknown(reason) => Self::unknown(reason),
            Affected::Yes => Self::unknown(why),
        }
    }

    fn bare(verdict: Verdict) -> Self {
        Self {
            verdict,
            basis: None,
            profile: None,
            calls: Vec::new(),
            grounds: BTreeSet::new(),
            since: None,
            coverage: Coverage::default(),
            doubt: None,
            exempt: None,
            failing_on: BTreeSet::new(),
            passing_on: BTreeSet::new(),
            healthy_twin_on: BTreeSet::new(),
        }
    }
}

/// The verdict on a container under one profile, from all that is known at a moment.
#[must_use]
pub fn judge(subject: &Subject<'_>, evidence: &Evidence, terms: &Terms, now: Moment) -> Judgement {
    if let Affected::No(exempt) = subject.affected {
        return Judgement {
            exempt: Some(exempt),
            ..Judgement::bare(Verdict::NotAffected)
        };
    }
    let nothing = Known::default();
    let known = evidence.of(subject.key).unwrap_or(&nothing);
    let case = Case::of(subject, known, terms, now);
    let judgement = case.by_health().unwrap_or_else(|| case.by_calls());
    let judgement = Judgement {
        profile: Some(subject.key.profile.clone()),
        coverage: case.coverage,
        ..judgement
    };
    match subject.affected {
        // What is good under a profile that it may not get says nothing.
        Affected::Unknown(reason) if judgement.verdict > Verdict::Unknown => Judgement {
            profile: judgement.profile,
            coverage: judgement.coverage,
            ..Judgement::unknown(reason)
        },
        _ => judgement,
    }
}
