//! The version of a kernel, as far as profiles ask for it. Pure.

use std::str::FromStr;

/// A kernel's version; rules ask for major and minor only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KernelVersion {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
}

/// The text does not begin with two numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a kernel's version: write it as 6.8 or as uname -r prints it")]
pub struct InvalidKernel(String);

impl FromStr for KernelVersion {
    type Err = InvalidKernel;

    /// Reads `6.8`, `6.8.0-45-generic` and all else that `uname -r` prints.
    fn from_str(text: &str) -> Result<Self, InvalidKernel> {
        let invalid = || InvalidKernel(text.to_owned());
        let (major, rest) = text.split_once('.').ok_or_else(invalid)?;
        let digits = rest
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(rest.len());
        let minor = rest.get(..digits).ok_or_else(invalid)?;
        Ok(Self {
            major: major.parse().map_err(|_| invalid())?,
            minor: minor.parse().map_err(|_| invalid())?,
        })
    }
}
