//! The warnings that an API server sends beside its answer, from their HTTP headers. No I/O.
//!
//! RFC 7234, section 5.5: `code agent "text"`, with more than one in a header allowed, separated by
//! commas, and an optional date after the text. Kubernetes only sends code 299.

use http::HeaderMap;
use http::header::WARNING;

/// The code of every warning that Kubernetes sends: miscellaneous and persistent.
const PERSISTENT: &str = "299";

/// The texts of all warnings, in the order in which they were sent. What cannot be parsed is kept
/// as it came: a warning that is not understood must not read as none.
pub fn from_headers(headers: &HeaderMap) -> Vec<String> {
    let mut warnings = Vec::new();
    for value in headers.get_all(WARNING) {
        let value = String::from_utf8_lossy(value.as_bytes());
        let mut rest = value.trim();
        while !rest.is_empty() {
            if let Some((warning, after)) = parse_one(rest) {
                if let Some(text) = warning {
                    warnings.push(text);
                }
                rest = after;
            } else {
                warnings.push(rest.to_owned());
                break;
            }
        }
    }
    warnings
}

/// One warning off the front, and what follows it; no text for a code that is not ours to read.
fn parse_one(input: &str) -> Option<(Option<String>, &str)> {
    let (code, rest) = input.split_once(' ')?;
    let (_agent, rest) = rest.split_once(' ')?;
    let (text, rest) = unquote(rest)?;
    let mut rest = rest.trim_start();
    if rest.starts_with('"') {
        rest = unquote(rest)?.1.trim_start();
    }
    let rest = if rest.is_empty() {
        rest
    } else {
        rest.strip_prefix(',')?.trim_start()
    };
    Some(((code == PERSISTENT).then_some(text), rest))
}

/// A quoted string off the front, without its quotes and escapes.
fn unquote(input: &str) -> Option<(String, &str)> {
    let mut characters = input.strip_prefix('"')?.char_indices();
    let inside = input.get(1..)?;
    let mut text = String::new();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((text, inside.get(at + 1..)?)),
            '\\' => text.push(characters.next()?.1),
            other => text.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header::WARNING};

    use super::from_headers;

    #[test]
    fn reads_every_warning() {
        for (name, lines, want) in [
            ("none", &[][..], &[][..]),
            ("empty", &[""], &[]),
            (
                "escaped quotes",
                &[
                    r#"299 - "existing pods in namespace \"w1\" violate the new PodSecurity enforce level \"restricted:latest\"""#,
                ],
                &[
                    r#"existing pods in namespace "w1" violate the new PodSecurity enforce level "restricted:latest""#,
                ],
            ),
            (
                "a line each",
                &[
                    r#"299 - "first""#,
                    r#"299 - "p0 (and 2 other pods): privileged, hostPath""#,
                ],
                &["first", "p0 (and 2 other pods): privileged, hostPath"],
            ),
            (
                "several in one line, with a comma inside and a date",
                &[r#"299 - "a, \\ b" "Tue, 24 Nov 2026 00:00:00 GMT", 299 agent "c""#],
                &[r"a, \ b", "c"],
            ),
            (
                "another code",
                &[r#"199 - "not ours", 299 - "ours""#],
                &["ours"],
            ),
            ("not a warning", &["299 -"], &["299 -"]),
            ("no end", &[r#"299 - "cut off"#], &[r#"299 - "cut off"#]),
            (
                "a second one broken",
                &[r#"299 - "a", what"#],
                &["a", "what"],
            ),
            ("an escape at the end", &["299 - \"a\\"], &["299 - \"a\\"]),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(
                    WARNING,
                    HeaderValue::from_str(line).expect("a header value"),
                );
            }
            assert_eq!(from_headers(&headers), want, "{name}");
        }
    }
}
