//! The kubelet's seccompDefault, as containers show it. Pure.

use std::time::SystemTime;

/// A running container that asks for no profile, and what it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// When the runtime was told about it.
    pub created: SystemTime,
    /// Whether it runs under a filter.
    pub confined: bool,
}

/// The setting under which the newest of them was created: older ones may be older than its last
/// change. None without any, and where two of the same moment contradict each other.
#[must_use]
pub fn shown_by(witnesses: &[Witness]) -> Option<bool> {
    let newest = witnesses.iter().map(|witness| witness.created).max()?;
    let mut latest = witnesses.iter().filter(|witness| witness.created == newest);
    let confined = latest.next()?.confined;
    latest
        .all(|witness| witness.confined == confined)
        .then_some(confined)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{Witness, shown_by};

    #[test]
    fn the_newest_container_tells() {
        for (name, containers, want) in [
            ("none", &[][..], None),
            (
                "two of one moment that differ",
                &[(5, true), (5, false)],
                None,
            ),
            ("two of one moment", &[(5, true), (5, true)], Some(true)),
            (
                "before and after a switch",
                &[(9, true), (5, false)],
                Some(true),
            ),
            (
                "before and after going back",
                &[(5, true), (9, false)],
                Some(false),
            ),
        ] {
            let witnesses: Vec<_> = containers
                .iter()
                .map(|(seconds, confined)| Witness {
                    created: SystemTime::UNIX_EPOCH + Duration::from_secs(*seconds),
                    confined: *confined,
                })
                .collect();
            assert_eq!(shown_by(&witnesses), want, "{name}");
        }
    }
}
