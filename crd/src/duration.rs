//! Durations in Go's notation, as Kubernetes writes them (`90s`, `1h30m`). No I/O, no clock.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The unsigned part of the grammar of Go's `time.ParseDuration`. `format: duration` is no
/// substitute: the API server accepts `1d` under it, which Go does not.
const PATTERN: &str = r"^(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$";

/// Longer texts say nothing that a shorter one does not, and CEL prices a rule by this bound.
const MAX_LENGTH: usize = 32;

/// The longest duration: a year, 8760h. Whatever is longer than that is meant as "never", and there
/// are clearer ways to say so.
const MAX: Duration = Duration::from_secs(8_760 * 3_600);

/// A duration between zero and a year, kept as it was written.
///
/// The text is kept because an object that is read and written back must not change: `60m` stays
/// `60m`. Compare [`length`](Self::length) where only the time matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoDuration {
    written: Cow<'static, str>,
    length: Duration,
}

impl GoDuration {
    /// A day: the default of a soak.
    #[must_use]
    pub const fn day() -> Self {
        Self {
            written: Cow::Borrowed("24h"),
            length: Duration::from_secs(24 * 3_600),
        }
    }

    /// How long it is.
    #[must_use]
    pub const fn length(&self) -> Duration {
        self.length
    }

    /// The text, as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.written)
    }
}

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseGoDurationError {
    /// It does not follow Go's grammar.
    #[error("{0:?} is not a duration: write numbers with units, such as 90s or 1h30m")]
    Malformed(String),
    /// It is longer than a year.
    #[error("{0:?} is longer than 8760h")]
    TooLong(String),
}

impl FromStr for GoDuration {
    type Err = ParseGoDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || ParseGoDurationError::Malformed(text.to_owned());
        if text.chars().count() > MAX_LENGTH || text.is_empty() {
            return Err(malformed());
        }
        let too_long = || ParseGoDurationError::TooLong(text.to_owned());
        let mut nanoseconds: u64 = 0;
        // Zero is the one number that Go takes without a unit.
        let mut rest = if text == "0" { "" } else { text };
        while !rest.is_empty() {
            let term = Term::split(rest).ok_or_else(malformed)?;
            nanoseconds = term
                .nanoseconds()
                .and_then(|more| nanoseconds.checked_add(more))
                .ok_or_else(too_long)?;
            rest = term.rest;
        }
        let length = Duration::from_nanos(nanoseconds);
        if length > MAX {
            return Err(too_long());
        }
        Ok(Self {
            written: Cow::Owned(text.to_owned()),
            length,
        })
    }
}

/// One number with its unit, and what follows.
struct Term<'a> {
    whole: &'a str,
    fraction: &'a str,
    unit: Unit,
    rest: &'a str,
}

/// A unit's length in nanoseconds.
#[derive(Clone, Copy)]
struct Unit(u64);

/// `ms` comes before `m`, or `1ms` would be a minute and a stray letter. The two texts for
/// microseconds are U+00B5 (micro sign) and U+03BC (Greek mu); Go takes both.
const UNITS: [(&str, Unit); 8] = [
    ("ns", Unit(1)),
    ("us", Unit(1_000)),
    ("\u{b5}s", Unit(1_000)),
    ("\u{3bc}s", Unit(1_000)),
    ("ms", Unit(1_000_000)),
    ("s", Unit(1_000_000_000)),
    ("m", Unit(60 * 1_000_000_000)),
    ("h", Unit(3_600 * 1_000_000_000)),
];

impl<'a> Term<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let (whole, after) = split_digits(text);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        UNITS.iter().find_map(|&(name, unit)| {
            after.strip_prefix(name).map(|rest| Self {
                whole,
                fraction,
                unit,
                rest,
            })
        })
    }

    /// `None` when it overflows. A fraction of a nanosecond is cut off; Go, which multiplies
    /// floating-point numbers here, may round it up.
    fn nanoseconds(&self) -> Option<u64> {
        let Unit(unit) = self.unit;
        let number = |digits: &str| match digits {
            "" => Some(0),
            digits => digits.parse::<u64>().ok(),
        };
        let whole = number(self.whole)?.checked_mul(unit)?;
        // Digits beyond these are worth less than a nanosecond, even in hours.
        let digits = self.fraction.get(..13).unwrap_or(self.fraction);
        let scale = 10_u128.pow(u32::try_from(digits.len()).ok()?);
        let part = u128::from(number(digits)?) * u128::from(unit) / scale;
        whole.checked_add(u64::try_from(part).ok()?)
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for GoDuration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_LENGTH,
            "pattern": PATTERN,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go's `time.ParseDuration` answers, in nanoseconds; signs and lengths over a year apart,
    /// which Go takes and we do not.
    #[test]
    fn agrees_with_go() {
        for (text, want) in [
            ("", None),
            ("abc", None),
            ("1", None),
            ("1d", None),
            ("1w", None),
            ("s", None),
            (".s", None),
            ("1 h", None),
            ("1h ", None),
            ("1H", None),
            ("1e3s", None),
            ("1..5s", None),
            ("1.5.5s", None),
            ("1s0", None),
            ("1m1", None),
            ("\u{661}s", None),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("00s", Some(0)),
            ("1ns", Some(1)),
            ("1us", Some(1_000)),
            ("1\u{b5}s", Some(1_000)),
            ("1\u{3bc}s", Some(1_000)),
            ("1ms", Some(1_000_000)),
            ("1m", Some(60_000_000_000)),
            ("90s", Some(90_000_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("1h1h", Some(7_200_000_000_000)),
            ("0.5h", Some(1_800_000_000_000)),
            (".5s", Some(500_000_000)),
            ("1.s", Some(1_000_000_000)),
            ("1.000000000000001h", Some(3_600_000_000_000)),
            ("24h", Some(86_400_000_000_000)),
            ("8760h", Some(31_536_000_000_000_000)),
        ] {
            let got = text.parse::<GoDuration>().ok();
            assert_eq!(
                got.as_ref().map(GoDuration::length),
                want.map(Duration::from_nanos),
                "{text:?}"
            );
            assert!(
                got.is_none_or(|got| got.as_str() == text),
                "{text:?} is kept as written"
            );
        }
    }

    #[test]
    fn refuses_what_is_out_of_bounds() {
        let refused = |text: &str| text.parse::<GoDuration>().expect_err(text).to_string();
        for text in [
            "8760h1ns",
            "9223372036854775807ns",
            "99999999999999999999h",
            "6000000h",
        ] {
            assert_eq!(refused(text), format!("{text:?} is longer than 8760h"));
        }
        for text in ["-1s", "+1s", &"1s".repeat(17)] {
            assert!(refused(text).contains("is not a duration"), "{text:?}");
        }
    }

    #[test]
    fn a_day_is_what_it_says() {
        assert_eq!(GoDuration::day().as_str().parse(), Ok(GoDuration::day()));
    }
}
