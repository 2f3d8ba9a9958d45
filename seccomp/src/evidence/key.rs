//! What evidence is bound to. Pure.

use podfence_workload::CapabilityMask;

use crate::{Architecture, Container, KernelVersion, RuleSet};

/// What decides which calls a program makes and what `RuntimeDefault` does with them. When any of it
/// changes, what was seen before says nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The image by digest. A tag is not enough: it moves, and the program with it. What has never
    /// run has no digest yet; nothing is bound then to whatever stands here.
    pub image: Box<str>,
    /// The hash of the rules, [`RuleSet::hash`].
    pub profile: Box<str>,
    /// The container's bounding set, which the rules ask for.
    pub bounding: CapabilityMask,
    /// The node's architecture.
    pub architecture: Architecture,
    /// The newest kernel that some rule asks for and that the node's is at least; none where no
    /// rule asks, or the node's is older than all of them.
    pub kernel: Option<KernelVersion>,
}

/// The digest in what a runtime says of an image: `docker.io/library/nginx@sha256:…`.
#[must_use]
pub fn image_digest(image: &str) -> &str {
    image.rsplit_once('@').map_or(image, |(_, digest)| digest)
}

impl Key {
    /// The key of an image in a container under a profile.
    ///
    /// Kernels between which no rule tells a difference have one key, so that a node's update does
    /// not throw its evidence away.
    #[must_use]
    pub fn of(image: &str, container: Container, profile: &RuleSet) -> Self {
        let asked = profile
            .rules
            .iter()
            .filter_map(|rule| rule.applicability.minimum_kernel);
        Self {
            image: image.into(),
            profile: profile.hash.into(),
            bounding: container.bounding,
            architecture: container.architecture,
            kernel: asked.filter(|minimum| *minimum <= container.kernel).max(),
        }
    }
}
