//! Whether this kernel shows a denied call as the observer takes it: as one that comes back without
//! having gone in. Makes such calls, on a thread of its own.

use std::collections::BTreeMap;
use std::thread;

use podfence_seccomp::{Abi, Errno, syscalls};
use rustix::process::getpriority_process;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use super::clock::Clock;
use super::kernel::{Kernel, KernelError};
use super::sight::{Fate, Sight};
use super::tables::Tables;

/// A call that asks for little and that next to nobody makes. Not one that is answered with a
/// process: a process of another PID namespace has the number 0, which rustix takes for impossible.
const CALL: &str = "getpriority";

/// An error that this call never has (EBADSLT), so that only our filter can have given it.
const DENIED_WITH: u16 = 57;

/// Calls that are made without and under a filter.
const FREE: u64 = 3;
const FILTERED: u64 = 5;

/// Why nothing can be told of denials.
#[derive(Debug, thiserror::Error)]
pub enum AssumptionError {
    /// It could not be tried.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// No filter can be put on a thread here.
    #[error("failed to put a filter on a thread of its own: {0}")]
    Filter(String),
    /// The kernel behaves otherwise.
    #[error(
        "this kernel does not show denied calls as they are taken here: of {FREE} calls that went in \
         {went_in} were seen, and of {FILTERED} that a filter denied {denied} came back without \
         having gone in, and {mistaken} after"
    )]
    DoesNotHold {
        /// Calls that were seen to go in and to succeed.
        went_in: u64,
        /// Calls that came back with the filter's error and had not gone in.
        denied: u64,
        /// Calls that came back with the filter's error and had gone in.
        mistaken: u64,
    },
}

/// Tries it.
///
/// # Errors
/// When it does not hold, or cannot be tried.
pub fn check() -> Result<(), AssumptionError> {
    let (abi, machine) = match std::env::consts::ARCH {
        "aarch64" => (Abi::Aarch64, TargetArch::aarch64),
        _ => (Abi::X86_64, TargetArch::x86_64),
    };
    let number = syscalls::number(abi, CALL).unwrap_or_default();
    let filter = filter(number, machine).map_err(AssumptionError::Filter)?;
    let (mut kernel, _) = Kernel::start(Tables::keeping(abi, number), Clock::now())?;
    let made = thread::spawn(move || {
        call(FREE);
        seccompiler::apply_filter(&filter).map_err(|error| error.to_string())?;
        call(FILTERED);
        Ok(())
    });
    let made = made
        .join()
        .unwrap_or_else(|_| Err("it panicked".to_owned()));
    made.map_err(AssumptionError::Filter)?;
    judge(&kernel.look(Clock::now())?)
}

/// Makes the call so often. What comes back is told by the observer.
fn call(times: u64) {
    for _ in 0..times {
        let _ = getpriority_process(None);
    }
}

/// Every call but one is allowed.
fn filter(number: u32, machine: TargetArch) -> Result<BpfProgram, String> {
    let rules = BTreeMap::from([(i64::from(number), Vec::new())]);
    let denial = SeccompAction::Errno(DENIED_WITH.into());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denial, machine);
    let program = filter.and_then(BpfProgram::try_from);
    program.map_err(|error| error.to_string())
}

fn judge(sight: &Sight) -> Result<(), AssumptionError> {
    let ours = Errno::new(DENIED_WITH);
    let sum = |is_meant: &dyn Fn(Fate) -> bool| {
        let calls = sight.calls.iter().filter(|call| is_meant(call.fate));
        calls.map(|call| call.count).sum::<u64>()
    };
    // Others may make the call meanwhile, and no other filter denies it like this.
    let went_in = sum(&|fate| fate == Fate::Success);
    let denied = sum(&|fate| matches!(fate, Fate::Denied { errno, .. } if errno == ours));
    let mistaken = sum(&|fate| fate == Fate::Refused(ours));
    if went_in >= FREE && denied == FILTERED && mistaken == 0 {
        return Ok(());
    }
    Err(AssumptionError::DoesNotHold {
        went_in,
        denied,
        mistaken,
    })
}

#[cfg(test)]
mod tests {
    use podfence_seccomp::{Abi, Errno, Moment};

    use super::{DENIED_WITH, judge};
    use crate::observe::sight::{Fate, SeenCall, Sight, SpaceId};

    fn seen(fate: Fate, count: u64) -> SeenCall {
        SeenCall {
            space: SpaceId(1),
            abi: Abi::X86_64,
            number: 140,
            arguments: Some(Vec::new()),
            fate,
            executable: "/agent".into(),
            count,
            first: Moment::from_unix_seconds(1),
            last: Moment::from_unix_seconds(1),
        }
    }

    #[test]
    fn a_kernel_that_behaves_otherwise_is_refused() {
        let denied = |number, ambiguous| Fate::Denied {
            errno: Errno::new(number),
            filters: 1,
            ambiguous,
        };
        let ours = Errno::new(DENIED_WITH);
        let free = seen(Fate::Success, 3);
        let first = seen(denied(DENIED_WITH, true), 1);
        let others = seen(denied(DENIED_WITH, false), 4);
        for (name, calls, holds) in [
            ("nothing is seen", vec![], false),
            ("denials are not seen", vec![free.clone()], false),
            ("some are", vec![free.clone(), others.clone()], false),
            ("none goes in", vec![first.clone(), others.clone()], false),
            (
                "denials go in",
                vec![free.clone(), seen(Fate::Refused(ours), 5)],
                false,
            ),
            (
                "some go in",
                vec![
                    free.clone(),
                    first.clone(),
                    others.clone(),
                    seen(Fate::Refused(ours), 1),
                ],
                false,
            ),
            (
                "other errors",
                vec![free.clone(), seen(denied(1, false), 5)],
                false,
            ),
            (
                "as it should be, beside others",
                vec![
                    free,
                    first,
                    others,
                    seen(Fate::Success, 9),
                    seen(denied(1, false), 9),
                ],
                true,
            ),
        ] {
            let sight = Sight {
                calls,
                ..Sight::default()
            };
            assert_eq!(judge(&sight).is_ok(), holds, "{name}");
        }
    }
}
