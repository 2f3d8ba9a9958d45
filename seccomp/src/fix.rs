//! What to do about a verdict, least privilege first. Pure.
//!
//! Only what the namespace's Pod Security level admits is offered. Which that is, the caller says: this
//! crate knows nothing of levels.

use std::collections::BTreeSet;

use podfence_workload::CapabilityMask;

use crate::evidence::Arguments;
use crate::signature::{Severity, Signature};
use crate::{
    Action, Certainty, Container, ExplainError, Explanation, Filter, Finding, Judgement, Loader,
    RuleSet, Verdict, argument, explain,
};

/// Something that mends a workload. The order is that of the privilege it takes, the least first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fix {
    /// Nothing: it does without the calls.
    Tolerate,
    /// A setting of the software with which it does without the calls.
    ApplicationFlag {
        /// The software.
        software: &'static str,
        /// What to set.
        setting: &'static str,
    },
    /// These capabilities, with which the profile lets the calls through. The least of all where they are
    /// small, and the most where one of them is worth more to an attacker than all that a profile denies.
    AddCapabilities(CapabilityMask),
    /// A Localhost profile: `RuntimeDefault` and exactly these calls.
    LocalhostProfile(Vec<NeededCall>),
    /// Explicitly no profile.
    Unconfined,
    /// Running it on nodes without SeccompDefault.
    NodesWithoutSeccompDefault,
}

/// A call that a Localhost profile has to allow beside what `RuntimeDefault` does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NeededCall {
    /// Its name.
    pub name: Box<str>,
    /// The arguments that it is needed with; any where they are not recorded.
    pub arguments: Arguments,
}

/// A change to a pod's specification that a level may forbid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adding capabilities to the container.
    AddCapabilities(CapabilityMask),
    /// Choosing a profile of the type `Localhost`.
    LocalhostProfile,
    /// Choosing the type `Unconfined`.
    Unconfined,
}

/// What Pod Security says to changes to this workload.
pub trait Admission {
    /// Whether the level that the namespace has admits the change.
    fn admits_now(&self, change: Change) -> bool;

    /// Whether the level that is planned for the namespace admits it; the same where none is.
    fn admits_planned(&self, change: Change) -> bool;
}

/// What the container runs under.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The profile.
    pub profile: &'a RuleSet,
    /// What of the container it asks for.
    pub container: Container,
    /// Who loads it.
    pub loader: Loader,
}

/// What there is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fixes {
    /// What is admitted now and will be, least privilege first.
    pub offered: Vec<Fix>,
    /// What is admitted now and would stand in the way of the planned level.
    pub blocking: Vec<Fix>,
}

impl Fix {
    /// Its name, as a status says it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Tolerate => "Tolerate",
            Self::ApplicationFlag { .. } => "ApplicationFlag",
            Self::AddCapabilities(_) => "AddCapabilities",
            Self::LocalhostProfile(_) => "LocalhostProfile",
            Self::Unconfined => "Unconfined",
            Self::NodesWithoutSeccompDefault => "NodesWithoutSeccompDefault",
        }
    }

    /// What it changes in the pod's specification that a level may forbid.
    const fn change(&self) -> Option<Change> {
        match self {
            Self::AddCapabilities(capabilities) => Some(Change::AddCapabilities(*capabilities)),
            Self::LocalhostProfile(_) => Some(Change::LocalhostProfile),
            Self::Unconfined => Some(Change::Unconfined),
            Self::Tolerate | Self::ApplicationFlag { .. } | Self::NodesWithoutSeccompDefault => {
                None
            }
        }
    }
}

impl Fixes {
    /// What to do about a judgement. It loads a filter for every capability and call: ask for what
    /// is shown, not for every workload.
    ///
    /// # Errors
    ///
    /// When the rules cannot be loaded.
    pub fn of(
        judgement: &Judgement,
        signatures: &[&Signature],
        setting: Setting<'_>,
        admission: &impl Admission,
    ) -> Result<Self, ExplainError> {
        Ok(Self::admitted(
            remedies(judgement, signatures, setting)?,
            admission,
        ))
    }

    /// What Pod Security admits of all that would help.
    #[must_use]
    pub fn admitted(remedies: Vec<Fix>, admission: &impl Admission) -> Self {
        let mut fixes = Self::default();
        for fix in remedies {
            match fix.change() {
                Some(change) if !admission.admits_now(change) => {}
                Some(change) if !admission.admits_planned(change) => fixes.blocking.push(fix),
                _ => fixes.offered.push(fix),
            }
        }
        fixes
    }
}

/// Everything that would help, least privilege first, whether it is admitted or not. Of the judgement
/// it depends on the verdict and on which calls there are.
///
/// # Errors
///
/// When the rules cannot be loaded.
pub fn remedies(
    judgement: &Judgement,
    signatures: &[&Signature],
    setting: Setting<'_>,
) -> Result<Vec<Fix>, ExplainError> {
    let calls: Vec<Finding> = judgement
        .calls
        .iter()
        .filter(|found| {
            // Where something fails, what may have nothing to do with it mends nothing.
            let fails = matches!(judgement.verdict, Verdict::Failing | Verdict::Conflicting);
            !(fails && found.certainty == Certainty::Ambiguous)
        })
        .cloned()
        .collect();
    match judgement.verdict {
        // There is nothing to mend, or nobody knows what.
        Verdict::NotAffected | Verdict::NoDenialSeen | Verdict::Unknown => return Ok(Vec::new()),
        Verdict::Passing | Verdict::WouldBeDenied => {
            return Ok(calls.first().map(|_| Fix::Tolerate).into_iter().collect());
        }
        Verdict::Failing
        | Verdict::Conflicting
        | Verdict::WouldFail
        | Verdict::AtRisk
        | Verdict::Suspected => {}
    }
    let mut fixes = Vec::new();
    let misses = |signature: &Signature, found: &Finding| {
        let mut calls = signature.calls.iter();
        calls.any(|call| call.is_made_by(found.abi, &found.name, &found.arguments))
    };
    let is_tolerated = |found: &Finding| {
        let mut tolerant = signatures
            .iter()
            .filter(|signature| signature.severity == Severity::Tolerated);
        tolerant.any(|signature| misses(signature, found))
    };
    if judgement.verdict == Verdict::AtRisk && calls.iter().all(is_tolerated) {
        fixes.push(Fix::Tolerate);
    }
    for signature in signatures {
        if let Some(flag) = signature.fix
            && calls.iter().any(|found| misses(signature, found))
        {
            fixes.push(Fix::ApplicationFlag {
                software: signature.software,
                setting: flag,
            });
        }
    }
    let capabilities = unlocking(&calls, setting)?;
    let small = capabilities.filter(|all| power(*all) == 0);
    let strong = capabilities.filter(|all| power(*all) > 0);
    fixes.extend(small.map(Fix::AddCapabilities));
    if !calls.is_empty() {
        fixes.push(Fix::LocalhostProfile(needed(&calls)));
    }
    fixes.extend([Fix::Unconfined, Fix::NodesWithoutSeccompDefault]);
    fixes.extend(strong.map(Fix::AddCapabilities));
    Ok(fixes)
}

/// What becomes of a call that was found, and the capabilities each of which lets it through.
///
/// # Errors
///
/// When the rules cannot be loaded, or the ABI has no such call.
pub fn explain_finding(found: &Finding, setting: Setting<'_>) -> Result<Explanation, ExplainError> {
    let call = (found.abi, &*found.name);
    let Setting {
        profile,
        container,
        loader,
    } = setting;
    explain(profile, container, loader, call, witness(found))
}

/// Arguments that stand for those that were not recorded: a profile that looks at an argument lets
/// none through that has every bit.
fn witness(found: &Finding) -> [u64; 6] {
    let at = |position| found.arguments.at(u8::try_from(position).ok()?);
    std::array::from_fn(|position| at(position).unwrap_or(u64::MAX))
}

/// The capabilities with which all calls go through; none where no capability does that.
fn unlocking(
    calls: &[Finding],
    setting: Setting<'_>,
) -> Result<Option<CapabilityMask>, ExplainError> {
    let mut chosen = CapabilityMask::default();
    if calls.is_empty() {
        return Ok(None);
    }
    for found in calls {
        let unlocked_by = explain_finding(found, setting)?.unlocked_by;
        let mut candidates = unlocked_by
            .into_iter()
            .filter_map(CapabilityMask::named)
            .collect::<Vec<_>>();
        if candidates
            .iter()
            .any(|capability| chosen.intersects(*capability))
        {
            continue;
        }
        candidates.sort_by_key(|capability| power(*capability));
        let Some(least) = candidates.first() else {
            return Ok(None);
        };
        chosen = chosen.union(*least);
    }
    // Capabilities can take rules away as well, so what each does alone they need not do together.
    let container = Container {
        bounding: setting.container.bounding.union(chosen),
        ..setting.container
    };
    let filter = Filter::load(setting.profile, container, setting.loader)?;
    for found in calls {
        let decision = filter.decide(found.abi, &found.name, witness(found))?;
        if decision.action != Action::Allow {
            return Ok(None);
        }
    }
    Ok((!chosen.is_empty()).then_some(chosen))
}

/// How much the strongest of the capabilities is worth to an attacker: `SYS_ADMIN` is next to everything,
/// and these others reach into the kernel or other processes.
fn power(capabilities: CapabilityMask) -> u8 {
    const STRONG: CapabilityMask = CapabilityMask::of(&[
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_PTRACE",
        "SYS_BOOT",
        "DAC_READ_SEARCH",
        "BPF",
    ]);
    if capabilities.intersects(CapabilityMask::of(&["SYS_ADMIN"])) {
        2
    } else {
        u8::from(STRONG.intersects(capabilities))
    }
}

/// The calls that a profile has to allow, each once. What is needed with any arguments is not needed
/// with some as well.
fn needed(calls: &[Finding]) -> Vec<NeededCall> {
    let all: BTreeSet<NeededCall> = calls.iter().map(NeededCall::of).collect();
    let any: BTreeSet<&str> = all
        .iter()
        .filter(|call| !call.arguments.are_recorded())
        .map(|call| &*call.name)
        .collect();
    all.iter()
        .filter(|call| !call.arguments.are_recorded() || !any.contains(&*call.name))
        .cloned()
        .collect()
}

impl NeededCall {
    /// Of the arguments only the one that has names is kept: it is what the call is denied for.
    fn of(found: &Finding) -> Self {
        let position = argument::position(found.abi, &found.name);
        Self {
            name: found.name.clone(),
            arguments: match found.argument().and(found.arguments.at(position)) {
                Some(value) => Arguments::recorded([(position, value)]),
                None => Arguments::UNRECORDED,
            },
        }
    }
}
