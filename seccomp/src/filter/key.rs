//! What a container's filter depends on. Pure.

use super::{Container, Loader};
use crate::RuleSet;

/// What a container's filter depends on: two containers with equal keys have equal filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FilterKey {
    /// The hash of the profile's rules.
    pub profile: &'static str,
    /// What the rules ask of the container.
    pub container: Container,
    /// Who loads them.
    pub loader: Loader,
}

impl FilterKey {
    /// The key of a container under a profile.
    #[must_use]
    pub const fn of(profile: &RuleSet, container: Container, loader: Loader) -> Self {
        Self {
            profile: profile.hash,
            container,
            loader,
        }
    }
}
