//! Whether a profile does what was asked for, and nothing else. Pure.

use super::{Edit, EditError, Wish};
use crate::classes::{Classes, Test};
use crate::{Abi, Action, Filter, FlatProfile, Loader, syscalls};

/// Numbers that are looked at one by one: all but a few of Arm's own are far below.
pub(super) const NUMBERS: u32 = 1024;

/// Stands for all numbers that are yet to come.
const UNUSED: u32 = u32::MAX >> 2;

/// What edits tell apart of the arguments.
pub(super) fn tests_of_edits<'a>(abi: Abi, edits: impl Iterator<Item = &'a Edit>) -> Vec<Test> {
    let conditions = edits.flat_map(|edit| &edit.conditions);
    conditions
        .flat_map(|condition| Test::of(abi, *condition))
        .collect()
}

/// Writes the profile, reads it back and looks at every call.
pub(super) fn file(wish: &Wish<'_>, flat: &FlatProfile, loader: Loader) -> Result<(), EditError> {
    let text = flat
        .write()
        .map_err(|error| EditError::Json(error.to_string()))?;
    let read = FlatProfile::read(&text, flat.architecture)?.profile;
    let after = read.load(loader)?;
    for abi in flat.abis.iter().copied() {
        let named = [wish.before, &after].map(|filter| filter.numbers(abi).0);
        let beyond = named
            .into_iter()
            .flatten()
            .filter(|number| *number >= NUMBERS);
        for number in (0..NUMBERS).chain(beyond).chain([UNUSED]) {
            number_is_right(wish, &after, abi, number)?;
        }
    }
    Ok(())
}

/// Looks at one call on every ABI.
pub(super) fn call(wish: &Wish<'_>, after: &Filter, name: &str) -> Result<(), EditError> {
    for abi in after.abis() {
        if let Some(number) = syscalls::number(abi, name) {
            number_is_right(wish, after, abi, number)?;
        }
    }
    Ok(())
}

fn number_is_right(
    wish: &Wish<'_>,
    after: &Filter,
    abi: Abi,
    number: u32,
) -> Result<(), EditError> {
    let name = syscalls::name(abi, number);
    let mut tests = wish.before.tests(abi, number);
    tests.extend(after.tests(abi, number));
    tests.extend(tests_of_edits(abi, wish.edits_of(name)));
    let classes = Classes::of(abi, &tests, &[None; 6], |arguments| {
        let got = after.action(abi, number, arguments);
        let wanted = wish.wanted(abi, number, arguments);
        let is_right = wish.accepts(abi, number, wanted, got);
        (!is_right).then_some((got, wanted))
    })?;
    let different = classes
        .iter()
        .find_map(|class| Some((class.decision?, class)));
    let Some(((got, wanted), class)) = different else {
        return Ok(());
    };
    let when: Vec<String> = class.when.iter().map(ToString::to_string).collect();
    let arguments = if when.is_empty() {
        "some arguments".to_owned()
    } else {
        when.join(" ")
    };
    let text = |action: Action| match action {
        Action::Allow => "allow".to_owned(),
        Action::Errno(errno) => errno.to_string(),
        Action::KillThread => "kill".to_owned(),
    };
    Err(EditError::Differs {
        call: name.map_or_else(|| format!("call {number}"), str::to_owned),
        abi,
        arguments,
        got: text(got),
        wanted: text(wanted),
    })
}
