//! Edits as they are typed: `unshare`, `clone:arg0&CLONE_NEWUSER==CLONE_NEWUSER`. Pure.

use super::Edit;
use crate::constants::{self, UnknownValue};
use crate::profile::{Written, split_condition};
use crate::{Condition, Operator, syscalls};

/// A text that is no edit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEdit {
    /// No ABI has a call by this name.
    #[error("no system call is named {0:?}")]
    Call(String),
    /// A condition cannot be read.
    #[error(
        "{0:?} is no condition: write argN==VALUE, N from 0 to 5, with one of == != < <= > >=, \
         or argN&MASK==VALUE"
    )]
    Condition(String),
    /// A value cannot be read.
    #[error(transparent)]
    Value(#[from] UnknownValue),
    /// Bits of the value are not in the mask.
    #[error("{0:?} never holds: the value has bits that the mask has not")]
    Never(String),
    /// An argument is named twice, of which runtimes take either.
    #[error("arg{0} is named twice: write two edits, or one condition that says both")]
    Twice(u8),
}

pub(super) fn read(allow: bool, text: &str) -> Result<Edit, InvalidEdit> {
    let (name, rest) = match text.split_once(':') {
        Some((name, rest)) => (name, Some(rest)),
        None => (text, None),
    };
    let unknown = || InvalidEdit::Call(name.to_owned());
    let at = syscalls::names()
        .binary_search(&name)
        .map_err(|_| unknown())?;
    let syscall = syscalls::names().get(at).copied().ok_or_else(unknown)?;
    let mut conditions: Vec<Condition> = Vec::new();
    for word in rest.into_iter().flat_map(|rest| rest.split(',')) {
        let condition = condition(syscall, word)?;
        let index = condition.index;
        if conditions.iter().any(|known| known.index == index) {
            return Err(InvalidEdit::Twice(index));
        }
        conditions.push(condition);
    }
    conditions.sort_unstable();
    Ok(Edit {
        allow,
        syscall,
        conditions,
    })
}

fn condition(call: &str, word: &str) -> Result<Condition, InvalidEdit> {
    let split = split_condition(word);
    let (index, written) = split.ok_or_else(|| InvalidEdit::Condition(word.to_owned()))?;
    let read = |text: &str| constants::value(call, index, text);
    let operator = match written {
        Written::Masked { mask, value } => {
            let (mask, value) = (read(mask)?, read(value)?);
            if value & !mask != 0 {
                return Err(InvalidEdit::Never(word.to_owned()));
            }
            Operator::MaskedEqual { mask, value }
        }
        Written::Compared(operator, value) => operator(read(value)?),
    };
    Ok(Condition { index, operator })
}
