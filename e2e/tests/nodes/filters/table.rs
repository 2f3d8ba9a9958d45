//! The table of the calls that `RuntimeDefault` denies: what is decided, and what the calls come to
//! where nothing is denied. No I/O.

use std::{collections::BTreeSet, fmt::Write as _};

use podfence_e2e::probe::{Call, Outcome};
use podfence_seccomp::{
    Abi, Action, ArgumentClass, Classes, Fate, Judge, KernelVersion, Values, syscalls,
    syscalls::Libseccomp,
};

/// What the calls came to, unconfined, with the default capabilities and with all.
pub(crate) type Unconfined<'a> = [&'a dyn Fn(&Call) -> Option<Outcome>; 2];

/// A row: what is decided about some calls, and what they came to.
pub(crate) struct Row {
    /// The call, for which arguments it is denied, with which error, and what unlocks it. It depends
    /// on nothing but the rules.
    pub(crate) decided: String,
    seen: String,
}

/// One row for each way in which a call is denied.
pub(crate) fn rows(
    judge: &Judge,
    calls: &BTreeSet<Call>,
    unconfined: Unconfined<'_>,
) -> anyhow::Result<Vec<Row>> {
    const ABI: Abi = Abi::X86_64;
    let mut rows = Vec::new();
    for name in syscalls::names() {
        let Some(number) = syscalls::number(ABI, name) else {
            continue;
        };
        let classes = judge.classes(ABI, number, &[None; 6])?;
        for class in classes.listed.iter().chain([&classes.otherwise]) {
            let Action::Errno(errno) = class.decision.action else {
                continue;
            };
            let unlocked_by: Vec<_> = class.decision.unlocked_by.names().collect();
            let decided = format!(
                "`{name}` | {} | {errno} | {}",
                arguments(class, &classes),
                unlocked_by.join(", "),
            );
            let made = calls.iter().filter(|call| {
                (call.abi, call.number) == (ABI, number)
                    && judge.fate(ABI, number, call.arguments) == class.decision
            });
            let made: Vec<&Call> = made.collect();
            let seen = unconfined.map(|come_to| outcomes(&made, come_to));
            rows.push(Row {
                decided,
                seen: seen.join(" | "),
            });
        }
    }
    Ok(rows)
}

fn arguments(class: &ArgumentClass<Fate>, classes: &Classes<Fate>) -> String {
    let when = |class: &ArgumentClass<Fate>| {
        let when: Vec<String> = class.when.iter().map(Values::to_string).collect();
        format!("`{}`", when.join(" "))
    };
    if !class.when.is_empty() {
        return when(class);
    }
    let listed: Vec<String> = classes.listed.iter().map(when).collect();
    if listed.is_empty() {
        "all".to_owned()
    } else {
        format!("all but {}", listed.join(", "))
    }
}

fn outcomes(calls: &[&Call], come_to: &dyn Fn(&Call) -> Option<Outcome>) -> String {
    let seen: BTreeSet<String> = calls
        .iter()
        .filter_map(|call| come_to(call))
        .map(|outcome| outcome.to_string())
        .collect();
    seen.into_iter().collect::<Vec<_>>().join(", ")
}

/// The page.
pub(crate) fn page(rows: &[Row], profile: &str, kernel: KernelVersion) -> String {
    let mut page = format!(
        "# What `RuntimeDefault` denies\n\n\
         Written by `make system-calls`, which makes every call on a real node. The left half is what is\n\
         decided: x86-64, {profile}, runc with libseccomp {}, the capabilities of a container that asks\n\
         for none, {}. The right half is what the calls come to there without a filter: with null and\n\
         with wild arguments and with some on both sides of every condition, with the same capabilities\n\
         and with all of them. Where it says what the filter says, the filter changes nothing.\n\n\
         | call | arguments | denied with | unlocked by | unconfined | unconfined, all capabilities |\n\
         |---|---|---|---|---|---|\n",
        Libseccomp::NEWEST,
        of_kernel(kernel),
    );
    for row in rows {
        let _ = writeln!(page, "| {} | {} |", row.decided, row.seen);
    }
    page
}

fn of_kernel(kernel: KernelVersion) -> String {
    format!("Linux {}.{}", kernel.major, kernel.minor)
}

/// Whether a page says of every call what is decided now; none for a page of another kernel.
pub(crate) fn is_current(page: &str, rows: &[Row], kernel: KernelVersion) -> Option<bool> {
    page.contains(&of_kernel(kernel)).then(|| {
        let mut lines = page.lines().filter(|line| line.starts_with("| `"));
        let all = rows.iter().all(|row| {
            let line = lines.next().unwrap_or_default();
            line.starts_with(&format!("| {} |", row.decided))
        });
        all && lines.next().is_none()
    })
}
