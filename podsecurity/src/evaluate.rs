//! From a template to the checks that it violates, and from these to their words. Pure.

use podfence_workload::Template;

use crate::check::{CheckId, CheckSet, REGISTRY, Revision};
use crate::level::Level;
use crate::message::Finding;
use crate::version::{ServerVersion, Version};

/// The rules that one server applies at one version, for all levels at once.
#[derive(Clone, Debug)]
pub struct Rules {
    server: ServerVersion,
    evaluated: u16,
    /// In the order of messages.
    revisions: Vec<(CheckId, &'static Revision)>,
    baseline: CheckSet,
    restricted: CheckSet,
}

impl Rules {
    /// The rules that `server` applies when a namespace asks for `version`.
    #[must_use]
    pub fn new(version: Version, server: ServerVersion) -> Self {
        let evaluated = server.clamp(version);
        let (mut baseline, mut restricted) = (CheckSet::EMPTY, CheckSet::EMPTY);
        let (mut overridden, mut revisions) = (CheckSet::EMPTY, Vec::new());
        for check in REGISTRY {
            let Some(revision) = check.revision(evaluated, server) else {
                continue;
            };
            revisions.push((check.id, revision));
            match check.id.level() {
                Level::Restricted => restricted.insert(check.id),
                Level::Privileged | Level::Baseline => baseline.insert(check.id),
            }
            if let Some(weaker) = check.overrides {
                overridden.insert(weaker);
            }
        }
        restricted = restricted.union(baseline.without(overridden));
        Self {
            server,
            evaluated,
            revisions,
            baseline,
            restricted,
        }
    }

    /// The version of the rules that are really applied, never newer than the server's own.
    #[must_use]
    pub const fn evaluated_minor(&self) -> u16 {
        self.evaluated
    }

    /// Every check that the template violates, at whatever level; one evaluation answers for
    /// all levels, with [`Self::at_level`].
    #[must_use]
    pub fn violations(&self, template: &Template) -> CheckSet {
        let mut violations = CheckSet::EMPTY;
        for (check, revision) in &self.revisions {
            if (revision.violated)(template, self.server) {
                violations.insert(*check);
            }
        }
        violations
    }

    /// The violations that count at a level: those of its own checks and of the weaker level's,
    /// without the checks that a stricter one replaces.
    #[must_use]
    pub const fn at_level(&self, level: Level, violations: CheckSet) -> CheckSet {
        violations.intersection(self.checks(level))
    }

    /// The checks that a level consists of at this version.
    #[must_use]
    pub const fn checks(&self, level: Level) -> CheckSet {
        match level {
            Level::Privileged => CheckSet::EMPTY,
            Level::Baseline => self.baseline,
            Level::Restricted => self.restricted,
        }
    }

    /// Says why the template violates each of `violations`, in the order of the admission
    /// controller's messages.
    #[must_use]
    pub fn explain(&self, template: &Template, violations: CheckSet) -> Vec<Finding> {
        self.revisions
            .iter()
            .filter(|(check, _)| violations.contains(*check))
            .map(|(check, revision)| {
                let explanation = (revision.explain)(template, self.server);
                Finding {
                    check: *check,
                    reason: explanation.reason,
                    detail: explanation.detail,
                    containers: explanation.containers,
                }
            })
            .collect()
    }
}
