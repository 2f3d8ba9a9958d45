//! How deeply JSON is nested, found without parsing it. Pure.

/// Whether arrays and objects are nested deeper than `limit`.
///
/// The parser skips what is not read without recursion and needs no such bound; it is here so
/// that no reader of the same object is asked to go deeper than an API server would.
pub(super) fn exceeds(json: &[u8], limit: usize) -> bool {
    // Nearly every object ends here: too short to be nested that deeply.
    if json.len() <= limit
        || json
            .iter()
            .filter(|byte| matches!(byte, b'{' | b'['))
            .count()
            <= limit
    {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::exceeds;

    #[test]
    fn only_real_nesting_counts() {
        let cases = [
            (String::new(), false),
            ("[[[]]]".to_owned(), false),
            ("[[[[]]]]".to_owned(), true),
            ("[[[{".to_owned(), true),
            ("[{},{},{},{},[]]".to_owned(), false),
            (r#"["[[[[[["]"#.to_owned(), false),
            (r#"["\"[[[[[["]"#.to_owned(), false),
            (r#"["\\",[[[]]]]"#.to_owned(), true),
            ("]]]][[[".to_owned(), false),
        ];
        for (json, expected) in cases {
            assert_eq!(exceeds(json.as_bytes(), 3), expected, "{json}");
        }
    }
}
