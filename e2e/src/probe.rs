//! What a program really gets that makes system calls under a filter: which calls to make, and how to
//! read what `programs/probe.c` says of them. No I/O.
//!
//! A call is made twice, confined and unconfined, in containers that are otherwise the same. What a
//! filter denies is then told from what the kernel refuses for reasons of its own, unless both come
//! to the same error; such calls are counted apart ([`Sight::Untold`]). What a call comes to depends
//! on more than the filter, such as what else runs, so outcomes need not be equal: it is enough that
//! only the kernel can have said it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};
use podfence_seccomp::{Abi, Action, Class, Condition, Errno, Filter, Operator, syscalls};

/// Numbers that no kernel has yet on any ABI: what a filter does with calls that are yet to come.
const YET_TO_COME: [u32; 3] = [600, 1000, 4000];
/// Arguments of one number at most. The profiles need a hundred.
const MOST_ARGUMENTS: usize = 300;

/// A call for the probe to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// Through which door of the kernel.
    pub abi: Abi,
    /// Without the bit that x32 adds.
    pub number: u32,
    /// Such that the call does no harm where it is allowed.
    pub arguments: [u64; 6],
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded; with what result depends on too much to be compared.
    Success,
    /// It returned this error.
    Error(Errno),
    /// It had not returned after a while.
    Blocked,
    /// It ended the process, as `exit` does.
    Ended,
    /// The process was killed by this signal.
    Signal(i32),
}

/// What is learned from a call that was made confined and unconfined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The filter denies it, as it should: unconfined it comes to something else.
    Denied,
    /// The filter lets it through, as it should: it comes to something that the filter never says.
    Allowed,
    /// It comes to the same both ways, to an error that the filter may say as well.
    Untold,
    /// It does not come to what it should.
    Different,
}

impl Call {
    /// Its name, or its number where it has none.
    #[must_use]
    pub fn name(&self) -> String {
        syscalls::name(self.abi, self.number)
            .map_or_else(|| self.number.to_string(), ToOwned::to_owned)
    }
}

impl fmt::Display for Call {
    /// As the probe reads it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:x}", self.abi, self.number)?;
        for argument in self.arguments {
            write!(formatter, " {argument:x}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => formatter.write_str("success"),
            Self::Error(errno) => write!(formatter, "{}", error_name(*errno)),
            Self::Blocked => formatter.write_str("waits"),
            Self::Ended => formatter.write_str("exits"),
            Self::Signal(number) => write!(formatter, "signal {number}"),
        }
    }
}

/// The name of an error that calls with senseless arguments come to (`asm-generic/errno-base.h` and
/// `errno.h`), or its number.
fn error_name(errno: Errno) -> String {
    const NAMES: [(u16, &str); 15] = [
        (2, "ENOENT"),
        (3, "ESRCH"),
        (4, "EINTR"),
        (5, "EIO"),
        (6, "ENXIO"),
        (7, "E2BIG"),
        (9, "EBADF"),
        (10, "ECHILD"),
        (14, "EFAULT"),
        (19, "ENODEV"),
        (20, "ENOTDIR"),
        (88, "ENOTSOCK"),
        (94, "ESOCKTNOSUPPORT"),
        (95, "EOPNOTSUPP"),
        (97, "EAFNOSUPPORT"),
    ];
    let found = NAMES.iter().find(|(number, _)| *number == errno.number());
    found.map_or_else(|| errno.to_string(), |(_, name)| (*name).to_owned())
}

/// Every call of these ABIs, with null and with wild arguments, and with arguments on both sides of
/// every condition that the filter has on it.
#[must_use]
pub fn calls(filter: &Filter, abis: &[Abi]) -> BTreeSet<Call> {
    let mut calls = BTreeSet::new();
    for &abi in abis {
        let named = syscalls::names()
            .iter()
            .filter_map(|name| syscalls::number(abi, name));
        for number in named.chain(YET_TO_COME) {
            let conditions: Vec<Condition> = match filter.class(abi, number) {
                Class::Always(_) => Vec::new(),
                Class::ByArguments(rules) => rules
                    .iter()
                    .flat_map(|rule| rule.conditions.iter().copied())
                    .collect(),
            };
            let tried = arguments(&conditions);
            // SECCOMP_SET_MODE_STRICT: the kernel refuses it to whom has a filter.
            let differs = syscalls::name(abi, number) == Some("seccomp");
            let tried = tried.into_iter().skip(usize::from(differs));
            calls.extend(tried.map(|arguments| Call {
                abi,
                number,
                arguments: if abi.has_wide_arguments() {
                    arguments
                } else {
                    // The kernel sees no more of them.
                    arguments.map(|argument| argument & u64::from(u32::MAX))
                },
            }));
        }
    }
    calls
}

/// Arguments that tell the conditions apart.
fn arguments(conditions: &[Condition]) -> Vec<[u64; 6]> {
    let mut all = vec![[0; 6], [u64::MAX; 6]];
    let mut by_index = BTreeMap::<u8, BTreeSet<u64>>::new();
    for condition in conditions {
        by_index
            .entry(condition.index)
            .or_default()
            .extend(sides(condition.operator));
    }
    for (index, values) in by_index {
        let so_far: Vec<_> = all
            .iter()
            .filter(|known| **known != [u64::MAX; 6])
            .copied()
            .collect();
        for value in values {
            all.extend(so_far.iter().map(|known| {
                let mut arguments = *known;
                if let Some(place) = arguments.get_mut(usize::from(index)) {
                    *place = value;
                }
                arguments
            }));
        }
    }
    all.truncate(MOST_ARGUMENTS);
    all
}

/// Values for which a comparison holds and for which it does not, also such that only the upper half
/// of 64 bits makes the difference.
fn sides(operator: Operator) -> Vec<u64> {
    match operator {
        Operator::NotEqual(value)
        | Operator::Less(value)
        | Operator::LessOrEqual(value)
        | Operator::Equal(value)
        | Operator::GreaterOrEqual(value)
        | Operator::Greater(value) => vec![
            value,
            value.wrapping_sub(1),
            value.wrapping_add(1),
            value | (1 << 32),
        ],
        Operator::MaskedEqual { mask, value } => {
            let bits = (0..64).map(|bit| 1 << bit);
            let single = bits.filter(|bit| mask & bit != 0);
            single.map(|bit| value ^ bit).chain([value]).collect()
        }
    }
}

/// Reads what the probe says.
///
/// # Errors
///
/// When it is not the probe's output, or not all of it.
pub fn read(output: &str) -> Result<BTreeMap<Call, Outcome>> {
    let lines = output
        .strip_suffix("done\n")
        .context("the probe did not come to its end")?;
    lines
        .lines()
        .map(|line| read_line(line).with_context(|| format!("not the probe's: {line:?}")))
        .collect()
}

fn read_line(line: &str) -> Result<(Call, Outcome)> {
    let mut words = line.split(' ');
    let mut word = || words.next().context("too short");
    let abi = word()?.parse()?;
    let number = u32::from_str_radix(word()?, 16)?;
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = u64::from_str_radix(word()?, 16)?;
    }
    let outcome = match word()? {
        "blocked" => Outcome::Blocked,
        "ended" => Outcome::Ended,
        "signal" => Outcome::Signal(word()?.parse()?),
        result => {
            let result: i64 = result.parse()?;
            // As the kernel's IS_ERR_VALUE: everything below is an address.
            match u16::try_from(-i128::from(result)) {
                Ok(errno @ 1..4096) => Outcome::Error(Errno::new(errno)),
                _ => Outcome::Success,
            }
        }
    };
    ensure!(words.next().is_none(), "too long");
    let call = Call {
        abi,
        number,
        arguments,
    };
    Ok((call, outcome))
}

/// What is learned from a call. `said` are all errors that the filter says of any call.
///
/// # Errors
///
/// When the filter would kill the process: no profile does that to an ABI that it is made for.
pub fn judge(
    action: Action,
    said: &[Errno],
    confined: Outcome,
    unconfined: Outcome,
) -> Result<Sight> {
    Ok(match action {
        Action::KillThread => bail!("the filter is not made for this ABI"),
        Action::Errno(errno) if confined != Outcome::Error(errno) => Sight::Different,
        Action::Errno(_) if unconfined == confined => Sight::Untold,
        Action::Errno(_) => Sight::Denied,
        Action::Allow => match confined {
            Outcome::Error(errno) if said.contains(&errno) => {
                if unconfined == confined {
                    Sight::Untold
                } else {
                    Sight::Different
                }
            }
            _ => Sight::Allowed,
        },
    })
}

#[cfg(test)]
mod tests {
    use podfence_seccomp::{Architecture, Container, Loader, Profile, Runtime};

    use super::*;

    #[test]
    fn calls_are_made_on_both_sides_of_every_condition() {
        let profile: Profile = "containerd/2.3.7".parse().unwrap();
        let container = Container {
            architecture: Architecture::Amd64,
            bounding: Runtime::Containerd.default_capabilities(),
            kernel: "6.18".parse().unwrap(),
        };
        let filter = Filter::load(&profile.rules, container, Loader::default()).unwrap();
        let calls = calls(&filter, &[Abi::X86_64, Abi::X86]);
        for name in ["socket", "clone", "personality"] {
            let number = syscalls::number(Abi::X86_64, name).unwrap();
            let actions: BTreeSet<Action> = calls
                .iter()
                .filter(|call| call.abi == Abi::X86_64 && call.number == number)
                .map(|call| filter.action(call.abi, call.number, call.arguments))
                .collect();
            assert_eq!(actions.len(), 2, "{name} is allowed and denied");
        }
        assert!(calls.iter().any(|call| call.name() == "600"));
        let narrow = calls.iter().filter(|call| call.abi == Abi::X86);
        assert!(
            narrow
                .flat_map(|call| call.arguments)
                .all(|argument| argument <= 0xffff_ffff)
        );
    }

    #[test]
    fn the_output_reads_as_it_is_written() {
        let output = "x86_64 110 10000000 0 0 0 0 0 -1\n\
                      x86_64 0 0 0 0 0 0 0 7\n\
                      x86 1d 0 0 0 0 0 ffffffff blocked\n\
                      x86_64 9 0 0 0 0 0 0 140187732541440\n\
                      x86_64 3c 0 0 0 0 0 0 ended\n\
                      x32 f 0 0 0 0 0 0 signal 11\ndone\n";
        let outcomes: Vec<Outcome> = read(output).unwrap().into_values().collect();
        assert_eq!(
            outcomes,
            [
                Outcome::Success,
                Outcome::Success,
                Outcome::Ended,
                Outcome::Error(Errno::EPERM),
                Outcome::Blocked,
                Outcome::Signal(11),
            ]
        );
        for call in read(output).unwrap().into_keys() {
            assert!(output.contains(&call.to_string()), "{call}");
        }
        for wrong in [
            "",
            "x86_64 0 0 0 0 0 0 0 7\n",
            "x86_64 0 0 0 0 0 0 0\ndone\n",
            "x86_64 0 0 0 0 0 0 0 7 8\ndone\n",
            "x86_64 0 0 0 0 0 0 7\ndone\n",
            "vax 0 0 0 0 0 0 0 7\ndone\n",
            "x86_64 0 0 0 0 0 0 0 signal\ndone\n",
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_a_filter_does_is_told_from_what_the_kernel_does() {
        let said = [Errno::EPERM, Errno::ENOSYS];
        let (deny, error) = (Action::Errno(Errno::EPERM), Outcome::Error);
        let fault = error(Errno::new(14));
        for (action, confined, unconfined, sight) in [
            (deny, fault, fault, Sight::Different),
            (deny, Outcome::Success, fault, Sight::Different),
            (deny, error(Errno::ENOSYS), fault, Sight::Different),
            (deny, error(Errno::EPERM), fault, Sight::Denied),
            (deny, error(Errno::EPERM), Outcome::Success, Sight::Denied),
            (
                deny,
                error(Errno::EPERM),
                error(Errno::EPERM),
                Sight::Untold,
            ),
            (Action::Allow, error(Errno::EPERM), fault, Sight::Different),
            (
                Action::Allow,
                Outcome::Ended,
                Outcome::Blocked,
                Sight::Allowed,
            ),
            (Action::Allow, fault, fault, Sight::Allowed),
            (
                Action::Allow,
                Outcome::Blocked,
                Outcome::Blocked,
                Sight::Allowed,
            ),
            (
                Action::Allow,
                error(Errno::ENOSYS),
                error(Errno::ENOSYS),
                Sight::Untold,
            ),
        ] {
            let judged = judge(action, &said, confined, unconfined).unwrap();
            assert_eq!(judged, sight, "{action:?} {confined} {unconfined}");
        }
        assert!(judge(Action::KillThread, &said, fault, fault).is_err());
    }
}
