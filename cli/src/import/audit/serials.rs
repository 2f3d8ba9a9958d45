//! What a log has lost: audit records are numbered, across all types, from each boot on. Pure.

use std::collections::BTreeMap;

use podfence_seccomp::Span;

use super::line::Stamp;
use super::span;

/// The numbers in a log, by node.
#[derive(Default)]
pub(crate) struct Serials {
    nodes: BTreeMap<Option<String>, Vec<Boot>>,
    /// When the last record was made before each message that some were lost, and the first after.
    lost: Vec<(Option<u64>, Option<u64>)>,
    last: Option<u64>,
}

/// The numbers since a node's start.
#[derive(Default)]
struct Boot {
    /// By number, when the record was made.
    seconds: BTreeMap<u64, u64>,
}

impl Serials {
    /// A record, in the order of the log.
    pub(crate) fn add(&mut self, stamp: Stamp) {
        let Stamp {
            node,
            seconds,
            serial,
        } = stamp;
        self.last = Some(seconds);
        for (_, after) in self.lost.iter_mut().rev() {
            if after.is_some() {
                break;
            }
            *after = Some(seconds);
        }
        let boots = self.nodes.entry(node).or_default();
        // Within one boot time and number grow together. So a lower number at a later time is that of
        // another boot; at an earlier time it is only another order of the log.
        let belongs = |boot: &&mut Boot| {
            let before = boot.seconds.range(..=serial).next_back();
            let after = boot.seconds.range(serial..).next();
            before.is_none_or(|(_, earlier)| *earlier <= seconds + 1)
                && after.is_none_or(|(_, later)| seconds <= *later + 1)
        };
        if let Some(boot) = boots.iter_mut().rev().find(belongs) {
            boot.seconds.insert(serial, seconds);
        } else {
            let seconds = [(serial, seconds)].into();
            boots.push(Boot { seconds });
        }
    }

    /// The kernel says here that records were lost.
    pub(crate) fn lost(&mut self) {
        self.lost.push((self.last, None));
    }

    /// When something was lost, and that said.
    pub(crate) fn losses(self) -> (Vec<Span>, Vec<String>) {
        let (mut losses, mut said) = (Vec::new(), Vec::new());
        let (mut missing, mut places) = (0_u64, 0_usize);
        for boot in self.nodes.into_values().flatten() {
            let next = boot.seconds.iter().skip(1);
            for ((serial, before), (next, after)) in boot.seconds.iter().zip(next) {
                let between = next - serial - 1;
                if between > 0 {
                    losses.push(span(*before, *after));
                    missing += between;
                    places += 1;
                }
            }
        }
        if places > 0 {
            said.push(format!(
                "audit records missing by their numbers: {missing}, gaps: {places}. They were lost, or \
                 the log is not whole; this is recorded as a loss"
            ));
        }
        let told = self.lost.len();
        let when = self.lost.into_iter();
        let when = when.filter_map(|(before, after)| {
            let (one, other) = (before.or(after)?, after.or(before)?);
            Some(span(one, other))
        });
        losses.extend(when);
        if told > 0 {
            said.push(format!(
                "messages of the kernel that it lost audit records: {told}; this is recorded as a loss"
            ));
        }
        (losses, said)
    }
}

#[cfg(test)]
mod tests {
    use super::{Serials, Stamp, span};

    fn stamp(serial: u64, seconds: u64) -> Stamp {
        Stamp {
            node: None,
            seconds,
            serial,
        }
    }

    #[test]
    fn what_is_missing_was_lost() {
        for (name, stamps, want) in [
            ("nothing", vec![], vec![]),
            ("one", vec![(7, 10)], vec![]),
            ("whole", vec![(7, 10), (8, 10), (9, 12)], vec![]),
            (
                "several of one event",
                vec![(7, 10), (7, 10), (8, 11)],
                vec![],
            ),
            ("a gap", vec![(7, 10), (9, 12)], vec![span(10, 12)]),
            ("another order", vec![(9, 12), (8, 11), (7, 10)], vec![]),
            (
                "older files later",
                vec![(9, 50), (10, 60), (7, 10), (8, 40)],
                vec![],
            ),
            (
                "another boot",
                vec![(7, 10), (8, 11), (1, 90), (2, 91)],
                vec![],
            ),
            (
                "the same numbers",
                vec![(7, 10), (8, 11), (7, 90), (8, 91)],
                vec![],
            ),
            (
                "a gap after a boot",
                vec![(7, 10), (1, 90), (4, 95), (8, 99)],
                vec![span(90, 95), span(95, 99)],
            ),
        ] {
            let mut serials = Serials::default();
            for (serial, seconds) in stamps {
                serials.add(stamp(serial, seconds));
            }
            assert_eq!(serials.losses().0, want, "{name}");
        }
    }

    #[test]
    fn nodes_count_by_themselves() {
        let mut serials = Serials::default();
        for (node, serial) in [("a", 1), ("b", 3), ("a", 2), ("b", 4)] {
            let node = Some(node.to_owned());
            let stamp = stamp(serial, 10);
            serials.add(Stamp { node, ..stamp });
        }
        assert_eq!(serials.losses(), (vec![], vec![]));
    }

    #[test]
    fn what_the_kernel_says_is_lost_was_lost_in_between() {
        let mut serials = Serials::default();
        serials.lost();
        serials.add(stamp(7, 10));
        serials.lost();
        serials.lost();
        serials.add(stamp(8, 15));
        serials.lost();
        let want = vec![span(10, 10), span(10, 15), span(10, 15), span(15, 15)];
        assert_eq!(serials.losses().0, want);
    }
}
