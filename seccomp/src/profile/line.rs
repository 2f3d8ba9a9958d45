//! One line of the data: a rule, the ABIs of an architecture, or the default. Pure.
//!
//! ```text
//! default ERRNO
//! abis ARCHITECTURE ABI...
//! ACTION CALL [argN OPERATOR VALUE]... [with CAP,...] [without CAP,...] [on ARCH,...] [not-on ARCH,...] [kernel M.N]
//! ```
//!
//! An action is `allow` or an errno. A condition is one word: `arg0==16`, `arg0!=40`, `arg0<38`,
//! `arg0&0x7e020000==0`.

use podfence_workload::CapabilityMask;

use crate::rule::Applicability;
use crate::{Abi, Action, Architecture, Condition, Errno, Operator, Rule};

/// What a line says.
#[derive(Debug)]
pub(super) enum Line {
    Default(Errno),
    Abis(Architecture, Vec<Abi>),
    Rule(Rule),
}

/// A line that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to read {word:?} in the line {line:?}")]
pub struct InvalidLine {
    line: String,
    word: String,
}

/// What the line is about. All lines about one thing stand together, and their order counts.
pub(super) fn subject(line: &str) -> (&str, &str) {
    let mut words = line.split(' ');
    let first = words.next().unwrap_or_default();
    let second = words.next().unwrap_or_default();
    match first {
        // Before all names of calls.
        "default" => ("", ""),
        "abis" => ("\0", second),
        _ => (second, ""),
    }
}

impl Line {
    pub(super) fn read(line: &'static str) -> Result<Self, InvalidLine> {
        let mut reader = Reader {
            line,
            words: line.split(' '),
        };
        let first = reader.word()?;
        match first {
            "default" => Ok(Self::Default(reader.parsed(Errno::named)?)),
            "abis" => {
                let architecture = reader.parsed(|word| word.parse().ok())?;
                let abis = reader
                    .words
                    .clone()
                    .map(|word| Abi::of_profile(word).ok_or_else(|| reader.invalid(word)));
                Ok(Self::Abis(architecture, abis.collect::<Result<_, _>>()?))
            }
            action => {
                let action = match action {
                    "allow" => Action::Allow,
                    errno => {
                        Action::Errno(Errno::named(errno).ok_or_else(|| reader.invalid(errno))?)
                    }
                };
                reader.rule(action).map(Self::Rule)
            }
        }
    }
}

struct Reader {
    line: &'static str,
    words: std::str::Split<'static, char>,
}

impl Reader {
    fn rule(&mut self, action: Action) -> Result<Rule, InvalidLine> {
        let syscall = self.word()?;
        let mut conditions = Vec::new();
        let mut applicability = Applicability::default();
        while let Some(word) = self.words.next() {
            match word {
                "with" => applicability.capabilities = self.capabilities()?,
                "without" => applicability.without_capabilities = self.capabilities()?,
                "on" => applicability.architectures = self.architectures()?,
                "not-on" => applicability.without_architectures = self.architectures()?,
                "kernel" => {
                    applicability.minimum_kernel = Some(self.parsed(|word| word.parse().ok())?);
                }
                condition => {
                    conditions
                        .push(read_condition(condition).ok_or_else(|| self.invalid(condition))?);
                }
            }
        }
        Ok(Rule {
            syscall,
            action,
            conditions: conditions.into(),
            applicability,
        })
    }

    fn word(&mut self) -> Result<&'static str, InvalidLine> {
        self.words.next().ok_or_else(|| self.invalid(""))
    }

    fn parsed<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> Result<T, InvalidLine> {
        let word = self.word()?;
        parse(word).ok_or_else(|| self.invalid(word))
    }

    fn capabilities(&mut self) -> Result<CapabilityMask, InvalidLine> {
        let word = self.word()?;
        word.split(',')
            .try_fold(CapabilityMask::default(), |all, name| {
                let one = CapabilityMask::named(name).ok_or_else(|| self.invalid(name))?;
                Ok(all.union(one))
            })
    }

    fn architectures(&mut self) -> Result<Box<[Architecture]>, InvalidLine> {
        let word = self.word()?;
        word.split(',')
            .map(|name| name.parse().map_err(|_| self.invalid(name)))
            .collect()
    }

    fn invalid(&self, word: &str) -> InvalidLine {
        InvalidLine {
            line: self.line.to_owned(),
            word: word.to_owned(),
        }
    }
}

/// A sign and what it makes of the value behind it.
type Sign = (&'static str, fn(u64) -> Operator);

/// A condition's parts as they are written.
pub(crate) enum Written<'a> {
    /// `&MASK==VALUE`
    Masked { mask: &'a str, value: &'a str },
    /// A sign and the value behind it.
    Compared(fn(u64) -> Operator, &'a str),
}

/// Takes a condition apart, into its argument and what it says of that.
pub(crate) fn split_condition(word: &str) -> Option<(u8, Written<'_>)> {
    let rest = word.strip_prefix("arg")?;
    let sign = rest.find(|character: char| !character.is_ascii_digit())?;
    let (index, rest) = rest.split_at_checked(sign)?;
    let index = index.parse().ok().filter(|index| *index < 6)?;
    if let Some(masked) = rest.strip_prefix('&') {
        let (mask, value) = masked.split_once("==")?;
        return Some((index, Written::Masked { mask, value }));
    }
    // The longer signs first: one begins as another one does.
    let signs: [Sign; 6] = [
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        ("==", Operator::Equal),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];
    let (operator, value) = signs
        .into_iter()
        .find_map(|(sign, operator)| Some((operator, rest.strip_prefix(sign)?)))?;
    Some((index, Written::Compared(operator, value)))
}

/// Reads a condition as [`Condition`] writes it.
fn read_condition(word: &str) -> Option<Condition> {
    let (index, written) = split_condition(word)?;
    let operator = match written {
        Written::Masked { mask, value } => Operator::MaskedEqual {
            mask: number(mask)?,
            value: number(value)?,
        },
        Written::Compared(operator, value) => operator(number(value)?),
    };
    Some(Condition { index, operator })
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, read_condition};

    #[test]
    fn conditions_read_as_they_are_written() {
        for text in [
            "arg0==16",
            "arg5!=40",
            "arg0<38",
            "arg0<=38",
            "arg1>40",
            "arg2>=999",
            "arg0&0x7e020000==0",
            "arg0&0x20000==0x20000",
            "arg0==0xffffffff",
        ] {
            let condition = read_condition(text).expect("a condition");
            assert_eq!(condition.to_string(), text);
        }
        for wrong in [
            "", "arg", "arg0", "arg0=1", "arg6==1", "0==1", "arg0==", "arg0&1", "arg0==x",
        ] {
            assert_eq!(read_condition(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn lines_that_mean_nothing() {
        for wrong in [
            "",
            "allow",
            "default",
            "default EWHAT",
            "abis vax x86",
            "abis amd64 vax",
            "permit read",
            "allow read with",
            "allow read with CAP_SYS_ADMIN",
            "allow read on vax",
            "allow read kernel four",
            "allow read sometimes",
        ] {
            assert!(Line::read(wrong).is_err(), "{wrong:?}");
        }
    }
}
