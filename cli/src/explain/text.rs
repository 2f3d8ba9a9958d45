//! Lines of facts, for people. Pure.

use crate::report::table::{aligned, printable};

/// Facts below each other: a name where the first line of a fact begins, and what is to be said.
#[derive(Debug, Default)]
pub(super) struct Facts(Vec<[String; 2]>);

impl Facts {
    /// One fact.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        self.0.push([format!("  {name}"), printable(value)]);
    }

    /// One, where there is something to say.
    pub(super) fn add_some(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.add(name, value);
        }
    }

    /// One of several lines; nothing without lines.
    pub(super) fn add_all(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        let names = std::iter::once(name).chain(std::iter::repeat(""));
        for (name, value) in names.zip(values) {
            self.add(name, &value);
        }
    }

    /// All of them.
    pub(super) fn print(&self) -> String {
        aligned(&self.0)
    }

    /// The same, below something that is itself indented.
    pub(super) fn print_deeper(&self) -> String {
        let deeper = self
            .0
            .iter()
            .map(|[name, value]| [format!("  {name}"), value.clone()]);
        aligned(&deeper.collect::<Vec<_>>())
    }
}

/// A table below its columns; nothing without rows.
pub(super) fn table<const N: usize>(columns: [&str; N], rows: Vec<[String; N]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut all = vec![columns.map(str::to_owned)];
    all.extend(rows.into_iter().map(|row| row.map(|cell| printable(&cell))));
    aligned(&all)
}

/// Names with commas, the first few of many.
pub(super) fn few(names: &[String]) -> String {
    const FEW: usize = 5;
    let first: Vec<&str> = names.iter().take(FEW).map(String::as_str).collect();
    let first = first.join(", ");
    match names.len().saturating_sub(FEW) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// How long something took or is asked to take, in the two largest units.
pub(super) fn length(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut left = seconds;
    let mut words = Vec::new();
    for (unit, size) in units {
        let count = left / size;
        left %= size;
        if count > 0 && words.len() < 2 {
            words.push(format!("{count}{unit}"));
        } else if !words.is_empty() {
            break;
        }
    }
    if words.is_empty() {
        return "0s".to_owned();
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::{few, length};

    #[test]
    fn lengths_are_short() {
        for (seconds, want) in [
            (0, "0s"),
            (59, "59s"),
            (86_400, "1d"),
            (90_061, "1d 1h"),
            (86_460, "1d"),
            (3_661, "1h 1m"),
        ] {
            assert_eq!(length(seconds), want);
        }
    }

    #[test]
    fn of_many_names_few_are_shown() {
        let names = |count: usize| (0..count).map(|it| format!("n{it}")).collect::<Vec<_>>();
        assert_eq!(few(&names(0)), "");
        assert_eq!(few(&names(5)), "n0, n1, n2, n3, n4");
        assert_eq!(few(&names(7)), "n0, n1, n2, n3, n4 and 2 more");
    }
}
