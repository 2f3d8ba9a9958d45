//! Names that somebody may have meant. Pure.

/// Names that are offered at most.
const MOST: usize = 3;

/// What to add to an error about a name that is not known: those that are most like it, if any are.
pub(crate) fn nearest(typed: &str, known: impl Iterator<Item = &'static str>) -> String {
    let typed = typed.to_lowercase();
    // A third of the letters may be wrong, and one of a short name.
    let most = (typed.len() / 3).max(1);
    let mut close: Vec<(usize, &str)> = known
        .map(|name| {
            let distance = strsim::damerau_levenshtein(&typed, &name.to_lowercase());
            (distance, name)
        })
        .filter(|(distance, _)| *distance <= most)
        .collect();
    close.sort_unstable();
    close.truncate(MOST);
    let names: Vec<&str> = close.into_iter().map(|(_, name)| name).collect();
    match names.as_slice() {
        [] => String::new(),
        [name] => format!("; did you mean {name}?"),
        names => format!("; did you mean one of {}?", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_what_is_alike_is_offered() {
        let known = || ["unshare", "read", "readv", "SYS_ADMIN"].into_iter();
        for (typed, want) in [
            ("", ""),
            ("xyzzy", ""),
            ("unshar", "; did you mean unshare?"),
            ("UNSHARE", "; did you mean unshare?"),
            ("raed", "; did you mean read?"),
            ("readw", "; did you mean one of read, readv?"),
            ("SYS_ADMN", "; did you mean SYS_ADMIN?"),
        ] {
            assert_eq!(nearest(typed, known()), want, "{typed:?}");
        }
    }
}
