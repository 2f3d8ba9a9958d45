//! A container's `RuntimeDefault` with single calls allowed or denied beside it, as a flat profile.
//! Pure.
//!
//! A rule that is added does not always win: libseccomp has an order of its own, and refuses some
//! rules beside others. So rules are proposed for each call, and taken only when the filter that comes
//! of the whole file does what was asked for with that call, and with all others what it did before.

mod proposal;
mod reading;
mod verify;

use std::collections::BTreeSet;

use crate::classes::{Classes, TooManyClasses};
use crate::{
    Abi, Action, Applicability, Condition, Container, Errno, Filter, FlatProfile, LoadError,
    Loader, MalformedProfile, OciRuntime, Operator, Rule, RuleSet, syscalls,
};

pub use reading::InvalidEdit;

/// A call that is to be allowed or denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Whether it is allowed.
    pub allow: bool,
    /// The call.
    pub syscall: &'static str,
    /// For which arguments: all of these must hold. Each is about another argument.
    pub conditions: Vec<Condition>,
}

/// Edits that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The rules cannot be loaded, before or after.
    #[error(transparent)]
    Rules(#[from] LoadError),
    /// The rules tell too many arguments apart.
    #[error(transparent)]
    Classes(#[from] TooManyClasses),
    /// No ABI of the filter has the call.
    #[error("no ABI of a filter on {architecture} has {call}")]
    NotThere {
        /// The call.
        call: &'static str,
        /// The node's architecture.
        architecture: crate::Architecture,
    },
    /// libseccomp leaves out what is said about the call.
    #[error("libseccomp {release} does not know {call} and would leave the rule out")]
    Unknown {
        /// The call.
        call: &'static str,
        /// The release.
        release: syscalls::Libseccomp,
    },
    /// Everything that one edit allows is denied by another one.
    #[error("everything that is allowed of {call} is denied by another edit")]
    Contradiction {
        /// The call.
        call: &'static str,
    },
    /// No rules do what is asked for.
    #[error("no rules of a seccomp profile do this to {call} on every ABI of the filter")]
    Unwritable {
        /// The call.
        call: &'static str,
    },
    /// The edits would change another call, or the file would not do what it should.
    #[error("{call} on {abi} would get {got} instead of {wanted} for {arguments}")]
    Differs {
        /// The call, or its number.
        call: String,
        /// The ABI.
        abi: Abi,
        /// The arguments.
        arguments: String,
        /// What becomes of it.
        got: String,
        /// What should.
        wanted: String,
    },
    /// What was written cannot be read.
    #[error("failed to read what was written: {0}")]
    Written(#[from] MalformedProfile),
    /// The serializer failed.
    #[error("failed to write JSON: {0}")]
    Json(String),
}

impl Edit {
    /// Reads `CALL` or `CALL:argN==VALUE,...`, with the operators of rules and the names of values.
    ///
    /// # Errors
    ///
    /// When it says nothing, or speaks of a call that nobody has.
    pub fn read(allow: bool, text: &str) -> Result<Self, InvalidEdit> {
        reading::read(allow, text)
    }

    fn matches(&self, abi: Abi, arguments: [u64; 6]) -> bool {
        self.conditions
            .iter()
            .all(|condition| condition.holds(abi, arguments))
    }
}

impl Condition {
    /// Whether it holds, of as many bits as arguments of the ABI have.
    #[must_use]
    pub fn holds(&self, abi: Abi, arguments: [u64; 6]) -> bool {
        let argument = arguments.get(usize::from(self.index)).copied();
        let argument = argument.unwrap_or_default();
        let argument = if abi.has_wide_arguments() {
            argument
        } else {
            argument & u64::from(u32::MAX)
        };
        match self.operator {
            Operator::NotEqual(value) => argument != value,
            Operator::Less(value) => argument < value,
            Operator::LessOrEqual(value) => argument <= value,
            Operator::Equal(value) => argument == value,
            Operator::GreaterOrEqual(value) => argument >= value,
            Operator::Greater(value) => argument > value,
            Operator::MaskedEqual { mask, value } => argument & mask == value,
        }
    }
}

/// What is asked for: the filter before, and what is to be different.
struct Wish<'a> {
    before: &'a Filter,
    edits: &'a [Edit],
    /// Calls that got a rule because runc answered for them before. The rule is there on every ABI, and
    /// on some the call got the default: it may answer ENOSYS there as well, which tells programs to
    /// fall back.
    stubbed: BTreeSet<&'static str>,
}

impl Wish<'_> {
    fn edits_of<'a>(&'a self, call: Option<&'a str>) -> impl Iterator<Item = &'a Edit> {
        let edits = self.edits.iter();
        edits.filter(move |edit| Some(edit.syscall) == call)
    }

    /// What should become of a call by number. Denying wins over allowing.
    fn wanted(&self, abi: Abi, number: u32, arguments: [u64; 6]) -> Action {
        let before = self.before.action(abi, number, arguments);
        let (mut allowed, mut denied) = (false, false);
        for edit in self.edits_of(syscalls::name(abi, number)) {
            if edit.matches(abi, arguments) {
                allowed |= edit.allow;
                denied |= !edit.allow;
            }
        }
        match (denied, allowed, before) {
            (true, _, Action::Allow) => Action::Errno(self.before.default_errno()),
            (false, true, _) => Action::Allow,
            _ => before,
        }
    }

    /// Whether this is what should become of a call by number.
    fn accepts(&self, abi: Abi, number: u32, wanted: Action, got: Action) -> bool {
        let is_stubbed = || {
            let name = syscalls::name(abi, number);
            name.is_some_and(|name| self.stubbed.contains(name))
        };
        got == wanted
            || (wanted != Action::Allow && got == Action::Errno(Errno::ENOSYS) && is_stubbed())
    }
}

/// The profile of a container with these edits. Where a call is denied that was not refused already,
/// it gets what calls get that no rule names.
///
/// # Errors
///
/// When no profile can do what is asked for, or none that leaves all other calls alone.
pub fn edited(
    profile: &RuleSet,
    container: Container,
    loader: Loader,
    edits: &[Edit],
) -> Result<FlatProfile, EditError> {
    let rules = profile.active(container).map(|rule| Rule {
        applicability: Applicability::default(),
        ..rule.clone()
    });
    let mut flat = FlatProfile {
        architecture: container.architecture,
        abis: profile.abis(container.architecture),
        default: profile.default,
        rules: rules.collect(),
    };
    let before = flat.load(loader)?;
    let mut wish = Wish {
        before: &before,
        edits,
        stubbed: BTreeSet::new(),
    };
    refuse(&wish, &flat, loader)?;
    let calls: BTreeSet<&'static str> = edits.iter().map(|edit| edit.syscall).collect();
    for call in &calls {
        flat = with_call(&wish, &flat, loader, call)?;
    }
    wish.stubbed = keep_stub(&wish, &mut flat, loader)?;
    verify::file(&wish, &flat, loader)?;
    Ok(flat)
}

impl FlatProfile {
    /// Its filter.
    ///
    /// # Errors
    ///
    /// When the rules cannot be loaded.
    pub fn load(&self, loader: Loader) -> Result<Filter, LoadError> {
        Filter::of_rules(self.rules.clone(), self.default, &self.abis, loader)
    }
}

/// Refuses edits that cannot do anything.
fn refuse(wish: &Wish<'_>, flat: &FlatProfile, loader: Loader) -> Result<(), EditError> {
    for edit in wish.edits {
        let call = edit.syscall;
        let mut there = flat.abis.iter().copied();
        let Some(abi) = there.find(|abi| syscalls::number(*abi, call).is_some()) else {
            return Err(EditError::NotThere {
                call,
                architecture: flat.architecture,
            });
        };
        if !loader.libseccomp.knows(call) {
            let release = loader.libseccomp;
            return Err(EditError::Unknown { call, release });
        }
        if edit.allow {
            let tests = verify::tests_of_edits(abi, wish.edits_of(Some(call)));
            let left = Classes::of(abi, &tests, &[None; 6], |arguments| {
                let mut denying = wish.edits_of(Some(call)).filter(|edit| !edit.allow);
                edit.matches(abi, arguments) && !denying.any(|deny| deny.matches(abi, arguments))
            })?;
            if !left.iter().any(|class| class.decision) {
                return Err(EditError::Contradiction { call });
            }
        }
    }
    Ok(())
}

/// The profile with other rules for a call: the first that do what is asked for.
fn with_call(
    wish: &Wish<'_>,
    flat: &FlatProfile,
    loader: Loader,
    call: &'static str,
) -> Result<FlatProfile, EditError> {
    for proposed in proposal::rules(wish, flat, call)? {
        let mut rules: Vec<Rule> = flat
            .rules
            .iter()
            .filter(|rule| rule.syscall != call)
            .cloned()
            .collect();
        rules.extend(proposed);
        let proposal = FlatProfile {
            rules,
            ..flat.clone()
        };
        let Ok(filter) = proposal.load(loader) else {
            continue;
        };
        if verify::call(wish, &filter, call).is_ok() {
            return Ok(proposal);
        }
    }
    Err(EditError::Unwritable { call })
}

/// runc answers ENOSYS above the highest number that is named. Where an edit names a higher one, the
/// calls between get rules that say the same; these are returned.
fn keep_stub(
    wish: &Wish<'_>,
    flat: &mut FlatProfile,
    loader: Loader,
) -> Result<BTreeSet<&'static str>, LoadError> {
    let mut added = BTreeSet::new();
    if loader.runtime != OciRuntime::Runc || flat.default == Errno::ENOSYS {
        return Ok(added);
    }
    let after = flat.load(loader)?;
    for abi in &flat.abis {
        let [(_, highest), (_, new)] = [wish.before, &after].map(|filter| filter.numbers(*abi));
        // Arm has numbers of its own far above all others, which profiles name themselves.
        for number in highest.saturating_add(1)..new.min(verify::NUMBERS) {
            added.extend(syscalls::name(*abi, number).filter(|name| loader.libseccomp.knows(name)));
        }
    }
    added.retain(|name| !flat.rules.iter().any(|rule| rule.syscall == *name));
    flat.rules.extend(added.iter().map(|name| Rule {
        syscall: name,
        action: Action::Errno(Errno::ENOSYS),
        conditions: Box::default(),
        applicability: Applicability::default(),
    }));
    Ok(added)
}
