//! What our filters decide beside the programs that runc and libseccomp make of the same rules. Does
//! I/O: it asks the oracle `seccomp`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use podfence_seccomp::syscalls::{self, Libseccomp};
use podfence_seccomp::{Abi, Action, Condition, Errno, Filter, Loader, OciRuntime, Operator};
use serde::Deserialize;
use serde_json::Value;

use crate::bpf::{self, Call, Program};
use crate::oci_profile::{ListedRule, OciProfile};
use crate::oracle::Oracle;

/// Above every number that is in use, to see what happens to calls that are yet to come.
const NUMBERS: u32 = 560;
/// Arguments tried at one number at most; profiles need far fewer.
const MOST_ARGUMENTS: usize = 400;
/// How long runc may work on one list of rules. A profile takes it some 20 ms; for some lists that
/// no profile has, libseccomp's time grows exponentially.
const LIMIT: Duration = Duration::from_secs(2);

/// runc and libseccomp, which make programs of rules.
pub struct Compiler {
    oracle: Oracle,
    libseccomp: Libseccomp,
}

/// What came of a list of rules.
#[derive(Debug)]
pub enum Compiled {
    /// This program.
    Program(Program),
    /// runc or libseccomp refuse the rules.
    Refused(String),
    /// libseccomp does not come to an end.
    Endless,
}

#[derive(Deserialize)]
struct Answer {
    version: String,
    #[serde(default)]
    program: Program,
    error: Option<String>,
}

impl Compiler {
    /// Starts the oracle and finds out what its libseccomp knows.
    ///
    /// # Errors
    ///
    /// When it cannot be built or started.
    pub fn start() -> Result<Self> {
        let mut oracle = Oracle::start("seccomp", &[])?;
        let libseccomp = libseccomp(&mut oracle)?;
        Ok(Self { oracle, libseccomp })
    }

    /// Who loads the filters.
    #[must_use]
    pub fn loader(&self) -> Loader {
        Loader {
            runtime: OciRuntime::Runc,
            libseccomp: self.libseccomp,
        }
    }

    /// Makes a program of an OCI configuration.
    ///
    /// # Errors
    ///
    /// When the oracle fails, or cannot be started again after it has taken too long.
    pub fn compile(&mut self, configuration: &Value) -> Result<Compiled> {
        let question = configuration.to_string();
        let Some(answer) = self.oracle.ask_within::<Answer>(&question, LIMIT)? else {
            // It is still at it, and answers nothing else before it is through.
            self.oracle = Oracle::start("seccomp", &[])?;
            return Ok(Compiled::Endless);
        };
        Ok(match answer.error {
            Some(error) => Compiled::Refused(error),
            None => Compiled::Program(answer.program),
        })
    }
}

/// The release of libseccomp whose names the oracle knows. Distributions take over the names of newer
/// releases and keep the version: Debian's 2.5.4-1+deb12u1 knows those of 2.5.5.
fn libseccomp(oracle: &mut Oracle) -> Result<Libseccomp> {
    /// The newest calls of releases that brought any, newest release first.
    const WITNESSES: [(&str, Libseccomp); 2] = [
        ("mseal", Libseccomp::new(2, 6, 0)),
        ("cachestat", Libseccomp::new(2, 5, 5)),
    ];
    let mut reported = None;
    for (name, release) in WITNESSES {
        let profile = OciProfile {
            default: Errno::EPERM,
            abis: vec![Abi::X86_64],
            rules: vec![ListedRule {
                syscall: name.to_owned(),
                action: Action::Allow,
                conditions: Vec::new(),
            }],
        };
        let answer: Answer = oracle.ask(&profile.to_json().to_string())?;
        let number = syscalls::number(Abi::X86_64, name).context("a known call")?;
        let call = Call::new(Abi::X86_64, number, [0; 6]);
        if answer.error.is_none() && bpf::run(&answer.program, &call)? == Action::Allow {
            return Ok(release);
        }
        reported = Some(answer.version);
    }
    Ok(reported.context("a witness")?.parse::<Libseccomp>()?)
}

/// Compares what a filter and a program decide about every number of every ABI of the filter, with
/// arguments on both sides of each condition of the rules. Says how many calls that were.
///
/// # Errors
///
/// When they differ; the error says about which call.
pub fn compare(filter: &Filter, program: &Program, rules: &[ListedRule]) -> Result<usize> {
    let mut compared = 0;
    for abi in filter.abis() {
        let conditions = conditions(rules, abi);
        // Some of Arm's own numbers are far above all others.
        let named = conditions
            .keys()
            .copied()
            .filter(|number| *number >= NUMBERS);
        let others = [983_042, 983_050, u32::MAX >> 2];
        let numbers: BTreeSet<u32> = (0..NUMBERS).chain(named).chain(others).collect();
        // What the kernel does not ask the program about is not the program's to decide.
        let asked = numbers
            .into_iter()
            .filter(|number| !filter.asks_no_filter(abi, *number));
        for number in asked {
            let tried = arguments(conditions.get(&number).map_or(&[], Vec::as_slice));
            compared += tried.len();
            for arguments in tried {
                let ours = filter.action(abi, number, arguments);
                let theirs = bpf::run(program, &call(abi, number, arguments))?;
                if ours != theirs {
                    let ours = filter.decide_number(abi, number, arguments);
                    let name = syscalls::name(abi, number).unwrap_or("?");
                    bail!(
                        "{abi} {name} ({number}) {arguments:x?}: runc {theirs:?}, we {:?} by {}",
                        ours.action,
                        ours.cause
                    );
                }
            }
        }
    }
    Ok(compared)
}

/// The call as the kernel numbers it: MIPS counts on from a base of each ABI.
fn call(abi: Abi, number: u32, arguments: [u64; 6]) -> Call {
    let base = match abi {
        Abi::Mips => 4000,
        Abi::Mips64 => 5000,
        Abi::Mips64n32 => 6000,
        _ => 0,
    };
    Call::new(abi, base + number, arguments)
}

/// The conditions on the calls of each number that has any; those of calls that are made through
/// another one count for that as well.
fn conditions(rules: &[ListedRule], abi: Abi) -> BTreeMap<u32, Vec<Condition>> {
    let mut conditions = BTreeMap::<u32, Vec<Condition>>::new();
    let carriers = ["socketcall", "ipc"].map(|name| syscalls::number(abi, name));
    for rule in rules {
        let own = syscalls::number(abi, &rule.syscall);
        for number in carriers.into_iter().chain([own]).flatten() {
            conditions
                .entry(number)
                .or_default()
                .extend(&rule.conditions);
        }
    }
    for carrier in carriers.into_iter().flatten() {
        let which = (0..25).map(|number| Condition {
            index: 0,
            operator: Operator::Equal(number),
        });
        conditions.entry(carrier).or_default().extend(which);
    }
    conditions
}

/// Arguments on both sides of every condition, and of every two.
fn arguments(conditions: &[Condition]) -> Vec<[u64; 6]> {
    const FEWEST: [[u64; 6]; 2] = [[0; 6], [u64::MAX; 6]];
    let mut values: [BTreeSet<u64>; 6] = Default::default();
    for condition in conditions {
        if let Some(values) = values.get_mut(usize::from(condition.index)) {
            values.extend(near(condition.operator));
        }
    }
    let mut all = FEWEST.to_vec();
    for (index, values) in values.iter().enumerate() {
        let so_far = all.clone();
        for value in values {
            all.extend(so_far.iter().map(|arguments| {
                let mut arguments = *arguments;
                if let Some(argument) = arguments.get_mut(index) {
                    *argument = *value;
                }
                arguments
            }));
        }
        all.truncate(MOST_ARGUMENTS);
    }
    all
}

/// Values for which a condition holds, and others for which it does not.
fn near(operator: Operator) -> Vec<u64> {
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
            value ^ (1 << 32),
            value | (u64::from(u32::MAX) << 32),
        ],
        Operator::MaskedEqual { mask, value } => {
            let lowest = mask & mask.wrapping_neg();
            vec![
                value,
                value | !mask,
                value ^ lowest,
                value ^ mask,
                !mask,
                mask,
            ]
        }
    }
}
