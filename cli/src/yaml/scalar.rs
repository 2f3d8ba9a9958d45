//! What a YAML scalar means to kubectl: the rules of YAML 1.1 as its decoder applies them. Pure.
//!
//! `privileged: yes` is true to Kubernetes, and `runAsUser: 0x0` is root. A reader that took
//! these for text would judge another pod than the one that is created.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value};

/// What a scalar stands for, before it becomes JSON.
#[derive(Clone, Debug, PartialEq)]
enum Scalar<'a> {
    Null,
    Flag(bool),
    Integer(Number),
    Float(f64),
    Text(&'a str),
}

/// A plain scalar without a tag.
pub(super) fn plain(text: &str) -> Result<Value, String> {
    resolve(text).into_json()
}

/// A scalar with a tag of YAML's own, named without its prefix: `!!int` is `int`.
///
/// Other tags mean nothing to kubectl: whatever they mark is text.
pub(super) fn tagged(tag: &str, text: &str) -> Result<Value, String> {
    let mismatch = || format!("{text:?} is no !!{tag}");
    match (tag, resolve(text)) {
        ("null", scalar @ Scalar::Null)
        | ("bool", scalar @ Scalar::Flag(_))
        | ("int", scalar @ Scalar::Integer(_))
        | ("float", scalar @ (Scalar::Integer(_) | Scalar::Float(_))) => scalar.into_json(),
        ("null" | "bool" | "int" | "float", _) => Err(mismatch()),
        ("binary", _) => {
            // Long values are broken into lines.
            let joined: String = text.split(['\r', '\n']).collect();
            let bytes = STANDARD.decode(joined).map_err(|_| mismatch())?;
            Ok(String::from_utf8_lossy(&bytes).into())
        }
        _ => Ok(text.into()),
    }
}

impl Scalar<'_> {
    fn into_json(self) -> Result<Value, String> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Flag(flag) => flag.into(),
            Self::Integer(number) => Value::Number(number),
            Self::Float(number) => float_to_json(number)?,
            Self::Text(text) => text.into(),
        })
    }
}

/// kubectl writes a whole number without a fraction, so that `1e3` is an integer to the server.
fn float_to_json(number: f64) -> Result<Value, String> {
    /// 2 to the power of 63: from here on a float is no 64-bit integer.
    const END: f64 = 9_223_372_036_854_775_808.0;
    if number.fract() == 0.0 && (-END..END).contains(&number) {
        #[allow(clippy::cast_possible_truncation)] // Whole and in range, as was just asked.
        return Ok((number as i64).into());
    }
    Number::from_f64(number)
        .map(Value::Number)
        .ok_or_else(|| format!("{number} has no form in JSON"))
}

fn resolve(text: &str) -> Scalar<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Scalar::Flag(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Scalar::Flag(false)
        }
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        _ => number(text).unwrap_or(Scalar::Text(text)),
    }
}

fn number(text: &str) -> Option<Scalar<'_>> {
    match text.bytes().next()? {
        b'.' => {
            let digits = text.as_bytes();
            // Here kubectl's decoder takes underscores between digits only.
            let is_separator = |at: usize| {
                let is_digit = |at: Option<usize>| {
                    at.and_then(|at| digits.get(at))
                        .is_some_and(u8::is_ascii_digit)
                };
                is_digit(at.checked_sub(1)) && is_digit(at.checked_add(1))
            };
            text.match_indices('_')
                .all(|(at, _)| is_separator(at))
                .then_some(())?;
            float(&text.replace('_', ""))
        }
        b'+' | b'-' | b'0'..=b'9' => {
            let digits = text.replace('_', "");
            integer(&digits)
                .map(Scalar::Integer)
                .or_else(|| float(&digits))
        }
        _ => None,
    }
}

/// An integer in the notation of its prefix; `0644` is octal, and `08` no integer at all.
fn integer(text: &str) -> Option<Number> {
    let (sign, unsigned) = match text.as_bytes() {
        [sign @ (b'+' | b'-'), ..] => (Some(*sign), text.get(1..)?),
        _ => (None, text),
    };
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, unsigned.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, unsigned.get(2..)?),
        // A quirk of kubectl's decoder: here the sign may stand behind the prefix.
        [b'0', b'b', b'+' | b'-', ..] if sign.is_none() => {
            return i64::from_str_radix(unsigned.get(2..)?, 2)
                .ok()
                .map(Number::from);
        }
        [b'0', b'b' | b'B', ..] => (2, unsigned.get(2..)?),
        [b'0', _, ..] => (8, unsigned.get(1..)?),
        _ => (10, unsigned),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    match sign {
        Some(b'-') => 0_i64.checked_sub_unsigned(magnitude).map(Number::from),
        Some(_) => i64::try_from(magnitude).ok().map(Number::from),
        None => Some(magnitude.into()),
    }
}

fn float(text: &str) -> Option<Scalar<'static>> {
    let is_decimal = |byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    if !text.bytes().all(is_decimal) {
        return None;
    }
    // One that is too large for a float is no number.
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(Scalar::Float(number))
}

#[cfg(test)]
mod tests {
    use super::{plain, tagged};

    #[test]
    fn broken_and_odd_tags_are_told_apart() {
        let cases = [
            ("bool", "maybe", None),
            ("int", "1.0", None),
            ("null", "0", None),
            ("binary", "***", None),
            ("binary", "eWVz", Some(r#""yes""#)),
            ("binary", "eW\nVz\n", Some(r#""yes""#)),
            ("bool", "on", Some("true")),
            ("float", "2", Some("2")),
            ("str", "on", Some(r#""on""#)),
            ("timestamp", "2001-01-01", Some(r#""2001-01-01""#)),
        ];
        for (tag, text, want) in cases {
            let found = tagged(tag, text).ok().map(|value| value.to_string());
            assert_eq!(found.as_deref(), want, "!!{tag} {text}");
        }
    }

    #[test]
    fn what_json_cannot_hold_is_refused() {
        for text in [".nan", ".inf", "-.INF", "+.Inf"] {
            assert!(plain(text).is_err(), "{text}");
        }
    }
}
