//! Which evidence a verdict rests on. Pure.

use crate::evidence::Source;

/// Evidence of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ground {
    /// What was seen of calls, or that nothing was seen in spite of watching.
    Calls(Source),
    /// How it fares under `RuntimeDefault`, and without.
    Health,
    /// How the same key fares in another workload, or under an earlier template.
    Elsewhere,
    /// What is known of such software.
    Signature,
}

impl Ground {
    /// Its name, as a status says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calls(source) => source.as_str(),
            Self::Health => "Health",
            Self::Elsewhere => "Elsewhere",
            Self::Signature => "Signature",
        }
    }
}
