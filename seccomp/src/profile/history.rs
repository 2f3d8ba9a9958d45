//! All releases of a runtime and their rules, as differences from one another. Pure.
//!
//! ```text
//! rules HASH
//! extracted VERSION...      releases with these rules, read from their own sources
//! imported VERSION...       releases with these rules, taken over from an earlier extraction
//! from HASH                 the earlier rules that these differ from; the first have none
//! - LINE                    a line of those that is not in these
//! + LINE                    a line of these
//! ```
//!
//! The lines of one call are taken away and added all together, because their order counts.

use std::collections::BTreeMap;

use super::line::{InvalidLine, Line, subject};
use super::version::Version;
use super::{Assumption, Provenance, RuleSet};
use crate::Errno;
use crate::filter::is_carrier;

/// The lines of a rule set, by what they are about.
type Lines = BTreeMap<(&'static str, &'static str), Vec<&'static str>>;

/// Every release of a runtime.
#[derive(Debug)]
pub(super) struct History {
    sets: Vec<Set>,
    /// Oldest first.
    releases: Vec<Release>,
}

/// A release and where its rules are.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) name: &'static str,
    numbers: [u32; 3],
    pub(super) provenance: Provenance,
    set: usize,
}

#[derive(Debug)]
struct Set {
    hash: &'static str,
    lines: Lines,
}

/// Data that are not as they were written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedData {
    /// A line of the file has no meaning where it stands.
    #[error("line {number} has no meaning there: {line:?}")]
    Stray {
        /// Its number, from 1.
        number: usize,
        /// The line.
        line: String,
    },
    /// A line of a rule set cannot be read.
    #[error(transparent)]
    Line(#[from] InvalidLine),
    /// A rule set says nothing about calls that it does not name.
    #[error("the rules {0} have no default")]
    NoDefault(String),
}

impl History {
    pub(super) fn read(text: &'static str) -> Result<Self, MalformedData> {
        let mut history = Self {
            sets: Vec::new(),
            releases: Vec::new(),
        };
        for (at, line) in text.lines().enumerate() {
            history.take(line).ok_or_else(|| MalformedData::Stray {
                number: at + 1,
                line: line.to_owned(),
            })?;
        }
        history.releases.sort_by_key(|release| release.numbers);
        Ok(history)
    }

    fn take(&mut self, line: &'static str) -> Option<()> {
        if line.is_empty() || line.starts_with('#') {
            return Some(());
        }
        let (word, rest) = line.split_once(' ')?;
        if word == "rules" {
            self.sets.push(Set {
                hash: rest,
                lines: Lines::new(),
            });
            return Some(());
        }
        let (current, earlier) = self.sets.split_last_mut()?;
        match word {
            "extracted" | "imported" => {
                let provenance = match word {
                    "extracted" => Provenance::Extracted,
                    _ => Provenance::Imported,
                };
                for name in rest.split(' ') {
                    let Version { numbers, suffix } = name.parse().ok()?;
                    if suffix.is_some() {
                        return None;
                    }
                    self.releases.push(Release {
                        name,
                        numbers,
                        provenance,
                        set: earlier.len(),
                    });
                }
            }
            "from" => {
                let from = earlier.iter().find(|set| set.hash == rest)?;
                current.lines.clone_from(&from.lines);
            }
            "-" => {
                let lines = current.lines.get_mut(&subject(rest))?;
                let at = lines.iter().position(|known| *known == rest)?;
                lines.remove(at);
            }
            "+" => current.lines.entry(subject(rest)).or_default().push(rest),
            _ => return None,
        }
        Some(())
    }

    pub(super) fn releases(&self) -> impl Iterator<Item = &Release> {
        self.releases.iter()
    }

    pub(super) fn oldest(&self) -> &'static str {
        self.releases.first().map_or("", |release| release.name)
    }

    /// The release that a version is, or is taken for; none when all are newer.
    pub(super) fn nearest(&self, asked: &Version) -> Option<(&Release, Option<Assumption>)> {
        let older = self
            .releases
            .partition_point(|release| release.numbers <= asked.numbers);
        let in_line = |release: &&Release| {
            let [major, minor, _] = release.numbers;
            [major, minor] == asked.line()
        };
        let release = match older.checked_sub(1).and_then(|at| self.releases.get(at)) {
            Some(release) => release,
            // Older than all, but perhaps of a line that is known: a candidate of its first.
            None => self.releases.first().filter(in_line)?,
        };
        let assumed = if release.numbers == asked.numbers {
            asked.suffix.clone().map(Assumption::Suffix)
        } else {
            let newer = self.releases.get(older..).unwrap_or_default();
            let line_goes_on = newer.iter().any(|newer| in_line(&newer));
            Some(
                if newer.is_empty() || (in_line(&release) && !line_goes_on) {
                    Assumption::Newer
                } else {
                    Assumption::Unlisted
                },
            )
        };
        Some((release, assumed))
    }

    pub(super) fn rules(&self, release: &Release) -> Result<RuleSet, MalformedData> {
        let no_default = || MalformedData::NoDefault(release.name.to_owned());
        let set = self.sets.get(release.set).ok_or_else(no_default)?;
        let mut default: Option<Errno> = None;
        let (mut rules, mut abis) = (Vec::new(), Vec::new());
        for line in set.lines.values().flatten() {
            match Line::read(line)? {
                Line::Default(errno) => default = Some(errno),
                Line::Abis(architecture, listed) => abis.push((architecture, listed)),
                Line::Rule(rule) => rules.push(rule),
            }
        }
        // Every profile names them before what is called through them where the two contradict each
        // other, and libseccomp refuses contradictions only in the other order. The lines here are
        // sorted by name.
        rules.sort_by_key(|rule| !is_carrier(rule.syscall));
        Ok(RuleSet {
            hash: set.hash,
            default: default.ok_or_else(no_default)?,
            rules,
            abis,
        })
    }

    /// The canonical text of every rule set, with its hash.
    #[cfg(test)]
    fn texts(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.sets.iter().map(|set| {
            let lines: Vec<_> = set.lines.values().flatten().copied().collect();
            (set.hash, lines.join("\n") + "\n")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt::Write as _;

    use sha2::{Digest, Sha256};

    use super::super::Runtime;
    use super::{History, MalformedData};

    #[test]
    fn each_rule_set_has_the_hash_that_names_it() {
        let mut hashes = HashSet::new();
        for runtime in Runtime::ALL {
            let history = runtime.history().expect("it reads");
            for (hash, text) in history.texts() {
                let mut digits = String::new();
                for byte in Sha256::digest(&text) {
                    write!(digits, "{byte:02x}").expect("a string takes it");
                }
                assert_eq!(hash, digits, "{runtime}");
                hashes.insert(hash);
            }
            for release in history.releases() {
                let rules = history.rules(release).expect("every line reads");
                assert!(rules.rules.len() > 300, "{runtime} {}", release.name);
            }
        }
        assert!(hashes.len() > 40, "{}", hashes.len());
    }

    #[test]
    fn each_release_is_there_once() {
        for runtime in Runtime::ALL {
            let mut seen = HashSet::new();
            for release in runtime.history().expect("it reads").releases() {
                assert!(seen.insert(release.numbers), "{runtime} {}", release.name);
            }
        }
    }

    #[test]
    fn damaged_data_are_refused_with_their_line() {
        for (text, number) in [
            ("# a comment\n+ allow read", 2),
            ("rules a\nextracted main", 2),
            ("rules a\nextracted 1.2.3-rc1", 2),
            ("rules a\nfrom b", 2),
            ("rules a\n+ allow read\n- allow write", 3),
            ("rules a\nwhatever", 2),
            ("rules a\nwhat ever", 2),
        ] {
            match History::read(text) {
                Err(MalformedData::Stray { number: at, .. }) => assert_eq!(at, number, "{text:?}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
        let history = History::read("rules a\nextracted 1.2.3\n+ allow read").expect("it reads");
        let release = history.releases().next().expect("there is one");
        assert!(matches!(
            history.rules(release),
            Err(MalformedData::NoDefault(_))
        ));
    }
}
