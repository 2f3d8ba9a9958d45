//! Known breakages: software that is known to miss a call under `RuntimeDefault`, and how it is
//! recognised. Pure; the data are `data/signatures.txt`, whose grammar is in its first lines.
//!
//! A signature is a suspicion with a reason and a remedy. It says nothing about software that it does
//! not name, and what it names may have been mended since.

mod reader;

use std::fmt;
use std::sync::LazyLock;

use podfence_workload::{CapabilityMask, CapabilitySet};

use crate::evidence::Arguments;
use crate::{Abi, argument};

pub use reader::{MalformedSignatures, SignatureProblem, parse};

/// A known breakage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The software, as people call it.
    pub software: &'static str,
    recognition: Recognition,
    /// The calls that it misses.
    pub calls: Vec<SignatureCall>,
    /// The capabilities each of which lets these calls through in containerd's profiles; none where
    /// none does.
    pub unlocked_by: CapabilityMask,
    /// What that does to it.
    pub severity: Severity,
    /// What one sees.
    pub symptom: &'static str,
    /// What makes the software do without the call; none where nothing is known to.
    pub fix: Option<&'static str>,
    /// Where it was reported.
    pub sources: Vec<&'static str>,
}

/// What the loss of a call does to software. The order is that of severity, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// It does not start, or ends.
    Fatal,
    /// Something that it does fails.
    Degraded,
    /// It says so, if anything, and goes on another way.
    Tolerated,
}

/// A call that software is known to miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureCall {
    /// Its name.
    pub name: &'static str,
    /// The argument that it is denied for.
    argument: Option<u64>,
}

/// How software is recognised. Patterns may have `*` for anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Recognition {
    images: Vec<&'static str>,
    commands: Vec<&'static str>,
    arguments: Vec<&'static str>,
    without: Vec<&'static str>,
    adds: Vec<&'static str>,
}

/// What can be seen of a container before it runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Appearance<'a> {
    /// The image as written.
    pub image: &'a str,
    /// `command` and `args`, one after the other.
    pub command: &'a [&'a str],
    /// The capabilities added, as written.
    pub added: Option<&'a CapabilitySet>,
}

impl Signature {
    /// All that are known.
    ///
    /// # Errors
    ///
    /// When the data of this program are damaged.
    pub fn all() -> Result<&'static [Self], MalformedSignatures> {
        static ALL: LazyLock<Result<Vec<Signature>, MalformedSignatures>> =
            LazyLock::new(|| parse(include_str!("../data/signatures.txt")));
        ALL.as_deref().map_err(Clone::clone)
    }

    /// Whether a container looks like this software.
    #[must_use]
    pub fn recognises(&self, container: Appearance<'_>) -> bool {
        let Recognition {
            images,
            commands,
            arguments,
            without,
            adds,
        } = &self.recognition;
        let says = |patterns: &[&str]| {
            let mut words = words(container.command);
            words.any(|word| patterns.iter().any(|pattern| matches(pattern, word)))
        };
        let runs = || {
            words(container.command).any(|word| {
                let program = word.rsplit('/').next().unwrap_or(word);
                commands.iter().any(|pattern| matches(pattern, program))
            })
        };
        let is_named = (images.is_empty() && commands.is_empty())
            || images
                .iter()
                .any(|pattern| is_image(pattern, container.image))
            || runs();
        let has_added = |name: &&str| {
            let added = container.added;
            added.is_some_and(|added| added.contains(name))
        };
        is_named
            && (arguments.is_empty() || says(arguments))
            && !says(without)
            && (adds.is_empty() || adds.iter().any(has_added))
    }
}

impl SignatureCall {
    /// The value that it is denied for, of the argument that counts on this ABI; none where any is.
    #[must_use]
    pub const fn argument(self) -> Option<u64> {
        self.argument
    }

    /// The arguments that it is denied for; unrecorded where they do not matter.
    pub(crate) fn arguments(self, abi: Abi) -> Arguments {
        match self.argument {
            Some(value) => Arguments::recorded([(argument::position(abi, self.name), value)]),
            None => Arguments::UNRECORDED,
        }
    }

    /// Whether a call that was seen can be this one.
    pub(crate) fn is_made_by(self, abi: Abi, name: &str, arguments: &Arguments) -> bool {
        name == self.name
            && match (self.argument, arguments.at(argument::position(abi, name))) {
                (Some(asked), Some(value)) => argument::includes(name, value, asked),
                // Nobody recorded what it was made for, and it was denied or would be.
                (None, _) | (_, None) => true,
            }
    }
}

impl Severity {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Degraded => "degraded",
            Self::Tolerated => "tolerated",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The words of a command, those within the scripts of a shell among them.
fn words<'a>(command: &[&'a str]) -> impl Iterator<Item = &'a str> {
    let is_between = |character: char| character.is_whitespace() || "\"';|&()`".contains(character);
    command
        .iter()
        .flat_map(move |part| part.split(is_between))
        .filter(|word| !word.is_empty())
}

/// Whether the last parts of an image's path are those of the pattern: `mysql` is
/// `docker.io/library/mysql:8` too.
fn is_image(pattern: &str, image: &str) -> bool {
    let without_digest = image.split('@').next().unwrap_or(image);
    // A colon before the last slash is a registry's port.
    let path = match without_digest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => path,
        _ => without_digest,
    };
    let mut parts = path.rsplit('/');
    pattern
        .rsplit('/')
        .all(|wanted| parts.next().is_some_and(|part| matches(wanted, part)))
}

/// Whether a text is of the pattern, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::{is_image, matches, words};

    #[test]
    fn patterns() {
        for (pattern, text, want) in [
            ("", "", true),
            ("", "a", false),
            ("mysql", "mysql", true),
            ("mysql", "mysqld", false),
            ("mysql*", "mysqld", true),
            ("*chrome*", "headless-chrome-1", true),
            ("*chrome*", "chromium", false),
            ("a*a", "a", false),
            ("a*b*c", "a-c-b", false),
            ("*=io_uring", "io_method=io_uring", true),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn images_are_told_by_the_end_of_their_path() {
        for (pattern, image, want) in [
            ("mysql", "", false),
            ("mysql", "mysql", true),
            ("mysql", "mysql:8.4", true),
            ("mysql", "docker.io/library/mysql:8.4@sha256:00ff", true),
            ("mysql", "registry.example:5000/mysql", true),
            ("mysql", "registry.example:5000/mysql/exporter", false),
            ("mysql", "mysql-exporter", false),
            ("moby/buildkit", "docker.io/moby/buildkit:rootless", true),
            ("moby/buildkit", "buildkit", false),
        ] {
            assert_eq!(is_image(pattern, image), want, "{pattern:?} {image:?}");
        }
    }

    #[test]
    fn scripts_have_words() {
        let command = ["sh", "-c", "exec /usr/bin/bwrap --ro-bind / /;'true'"];
        let got: Vec<_> = words(&command).collect();
        let want = [
            "sh",
            "-c",
            "exec",
            "/usr/bin/bwrap",
            "--ro-bind",
            "/",
            "/",
            "true",
        ];
        assert_eq!(got, want);
    }
}
