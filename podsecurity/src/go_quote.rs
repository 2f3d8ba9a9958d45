//! Quotes text as Go's `%q` does, which the admission controller uses for annotations. Pure.

mod printable;

use std::fmt::Write;

use printable::PRINTABLE;

/// The text in double quotes, with Go's escapes.
pub(crate) fn go_quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        let escape = match character {
            '"' => r#"\""#,
            '\\' => r"\\",
            '\u{7}' => r"\a",
            '\u{8}' => r"\b",
            '\u{c}' => r"\f",
            '\n' => r"\n",
            '\r' => r"\r",
            '\t' => r"\t",
            '\u{b}' => r"\v",
            printable if is_printable(printable) => {
                quoted.push(printable);
                continue;
            }
            other => {
                let code = u32::from(other);
                // Writing to a string cannot fail.
                let _ = match code {
                    0..0x80 => write!(quoted, r"\x{code:02x}"),
                    0x80..0x1_0000 => write!(quoted, r"\u{code:04x}"),
                    _ => write!(quoted, r"\U{code:08x}"),
                };
                continue;
            }
        };
        quoted.push_str(escape);
    }
    quoted.push('"');
    quoted
}

fn is_printable(character: char) -> bool {
    let code = u32::from(character);
    if code < 0x80 {
        return (0x20..0x7f).contains(&code);
    }
    let next = PRINTABLE.partition_point(|(first, _)| *first <= code);
    next.checked_sub(1)
        .and_then(|index| PRINTABLE.get(index))
        .is_some_and(|(_, last)| code <= *last)
}

#[cfg(test)]
mod tests {
    use super::{PRINTABLE, go_quote};

    #[test]
    fn escapes_are_those_of_go() {
        // Each result was printed by Go.
        let cases = [
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("\"\\'", r#""\"\\'""#),
            ("\u{7}\u{8}\u{c}\n\r\t\u{b}", r#""\a\b\f\n\r\t\v""#),
            ("\0\u{1f}\u{7f}", r#""\x00\x1f\x7f""#),
            (
                "\u{80}\u{a0}\u{ad}\u{2028}\u{feff}",
                r#""\u0080\u00a0\u00ad\u2028\ufeff""#,
            ),
            ("é世\u{1f600}", "\"é世\u{1f600}\""),
            (
                "\u{e000}\u{f0000}\u{10ffff}",
                r#""\ue000\U000f0000\U0010ffff""#,
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(go_quote(text), expected);
        }
    }

    #[test]
    fn the_ranges_rise() {
        assert!(PRINTABLE.iter().all(|(first, last)| first <= last));
        assert!(PRINTABLE.is_sorted_by(|(_, last), (first, _)| last < first));
    }
}
