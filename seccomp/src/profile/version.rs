//! The version of a runtime. Pure.

use std::str::FromStr;

/// A release's numbers, and what a distributor put behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) numbers: [u32; 3],
    pub(super) suffix: Option<String>,
}

impl Version {
    /// The line of releases that it belongs to: its first two numbers.
    pub(super) fn line(&self) -> [u32; 2] {
        let [major, minor, _] = self.numbers;
        [major, minor]
    }
}

impl FromStr for Version {
    type Err = ();

    /// Reads `2.3.7`, `v2.3.7`, `1.7.24~ds1`, `2.0.5-k3s1`, `1.6.20+gke`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text
            .find(|character: char| !character.is_ascii_digit() && character != '.')
            .unwrap_or(text.len());
        let (numbers, suffix) = text.split_at_checked(end).ok_or(())?;
        let mut words = numbers.split('.').map(str::parse);
        let (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(());
        };
        Ok(Self {
            numbers: [major, minor, patch],
            suffix: (!suffix.is_empty()).then(|| suffix.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn versions_are_three_numbers_and_a_suffix() {
        for wrong in [
            "", "2", "2.3", "2.3.x", "2.3.4.5", "main", "2..3", ".2.3.4", "-1.2.3",
        ] {
            assert_eq!(wrong.parse::<Version>(), Err(()), "{wrong:?}");
        }
        for (text, numbers, suffix) in [
            ("2.3.7", [2, 3, 7], None),
            ("v1.7.24", [1, 7, 24], None),
            ("1.7.24~ds1", [1, 7, 24], Some("~ds1")),
            ("2.0.5-k3s1", [2, 0, 5], Some("-k3s1")),
            ("1.6.20+gke.0", [1, 6, 20], Some("+gke.0")),
            ("2.3.0-rc.1", [2, 3, 0], Some("-rc.1")),
        ] {
            let version: Version = text.parse().expect("a version");
            assert_eq!(version.numbers, numbers, "{text}");
            assert_eq!(version.suffix.as_deref(), suffix, "{text}");
        }
    }
}
