//! What is to become of one mode, given who owns its keys and who took them back. No I/O.

use std::collections::BTreeMap;

use podfence_crd::{ConflictPolicy, Phase};
use podfence_podsecurity::{LevelVersion, Mode};

use crate::apply::{Wish, contenders};
use crate::governed::Governed;
use crate::pair::Live;
use crate::state::Corrections;

/// What is to become of one mode.
pub(crate) struct Course {
    pub(crate) mode: Mode,
    pub(crate) wish: Wish,
    /// The pair that was wanted, where there is one.
    pub(crate) wanted: Option<LevelVersion>,
    pub(crate) force: bool,
    pub(crate) corrects: bool,
    /// Somebody holds a key and the policy yields, or a fight is being sat out.
    pub(crate) blocked: Option<Phase>,
    pub(crate) managers: Vec<String>,
}

impl Governed<'_> {
    /// The keys that the API server refused to take from others, for the namespace as it is.
    pub(crate) fn refused(&self) -> Option<&BTreeMap<String, Vec<String>>> {
        let refused = self.memory.refused.as_ref()?;
        let current = refused.resource_version == self.namespace.resource_version;
        current.then_some(&refused.keys)
    }

    /// Decides what an apply sends for a mode that should become `wanted`.
    pub(crate) fn course(&self, mode: Mode, wanted: Option<LevelVersion>) -> Course {
        let mut course = Course {
            mode,
            wish: wanted.map_or(Wish::Live, Wish::Set),
            wanted,
            force: false,
            corrects: false,
            blocked: None,
            managers: Vec::new(),
        };
        let Some(wanted) = wanted else {
            return course;
        };
        let none = BTreeMap::new();
        let refused = self.refused().unwrap_or(&none);
        let managers = contenders(self.namespace, refused, mode, wanted);
        course.managers = managers.into_iter().map(str::to_owned).collect();
        let contested = !course.managers.is_empty();
        if contested && self.policy.conflict_policy == ConflictPolicy::Yield {
            course.blocked = Some(Phase::Yielded);
        } else if self.was_taken_back(mode, wanted) {
            let wait = self.state.corrections.map(Corrections::next_allowed);
            if wait.is_some_and(|until| until > self.context.now) {
                course.blocked = Some(Phase::Contended);
            } else {
                course.corrects = true;
            }
        }
        if course.blocked.is_some() {
            course.wish = Wish::Live;
        } else {
            course.force = contested;
        }
        course
    }

    /// Whether somebody changed or removed what we had set a mode to.
    pub(crate) fn was_taken_back(&self, mode: Mode, wanted: LevelVersion) -> bool {
        let wanted = wanted.to_string();
        let live = Live::read(mode, &self.namespace.labels)
            .pair
            .map(|pair| pair.to_string());
        self.state.applied.of(mode) == Some(&wanted) && live.as_ref() != Some(&wanted)
    }
}
