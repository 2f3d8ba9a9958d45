//! A `NamespacePolicy` with its profile, compiled once for all the namespaces it may win. No I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use podfence_crd::{
    Assessment, ConflictPolicy, DeletionPolicy, LabelSelector, Loosening, NamespacePolicy,
    PolicyProfile, SeccompDefault, Strategy, WhileViolating,
};
use podfence_podsecurity::{CheckSet, LevelVersion};

use crate::selector::{Expression, NamePattern, Selector, SelectorError};
use podfence_podsecurity::Mode;

/// The finalizer of policies that remove what they wrote. Policies that retain it have none, so
/// that they can be deleted while no operator runs.
pub const FINALIZER: &str = "podfence.dev/remove-labels";

/// What each mode should be. A mode left out is left to the cluster's default and not touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Targets {
    /// For enforce.
    pub enforce: Option<LevelVersion>,
    /// For audit.
    pub audit: Option<LevelVersion>,
    /// For warn.
    pub warn: Option<LevelVersion>,
}

impl Targets {
    /// The target of one mode.
    #[must_use]
    pub fn of(&self, mode: Mode) -> Option<LevelVersion> {
        match mode {
            Mode::Enforce => self.enforce,
            Mode::Audit => self.audit,
            Mode::Warn => self.warn,
        }
    }

    /// What workloads are evaluated at: what is to be enforced, or else the strictest of what is
    /// only audited or warned about.
    #[must_use]
    pub fn evaluated(&self) -> Option<LevelVersion> {
        self.enforce.or_else(|| self.audit.max_by_level(self.warn))
    }
}

trait Stricter {
    fn max_by_level(self, other: Self) -> Self;
}

impl Stricter for Option<LevelVersion> {
    fn max_by_level(self, other: Self) -> Self {
        match (self, other) {
            (Some(one), Some(two)) => {
                Some(if (two.level, two.version) > (one.level, one.version) {
                    two
                } else {
                    one
                })
            }
            (one, two) => one.or(two),
        }
    }
}

/// What is asked of evidence on SeccompDefault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Whether policies speak of it.
    pub is_assessed: bool,
    /// How long a container must have been observed.
    pub minimum: Duration,
}

/// What is known of the profile that a policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Profile {
    /// It is there, and this is what it says.
    Found(Targets, Observation),
    /// There is no profile of that name: the namespaces stay frozen until there is.
    Missing,
    /// It cannot be read. The text says why.
    Invalid(String),
}

impl Profile {
    /// What a profile says. One that sets no mode at all says nothing, and is invalid.
    pub fn read(profile: &PolicyProfile) -> Self {
        let wanted = &profile.spec.pod_security;
        let targets = Targets {
            enforce: wanted.enforce.map(pair),
            audit: wanted.audit.map(pair),
            warn: wanted.warn.map(pair),
        };
        if targets.evaluated().is_none() {
            return Self::Invalid("spec.podSecurity sets none of enforce, audit and warn".into());
        }
        let SeccompDefault {
            assessment,
            minimum_observation,
        } = &profile.spec.seccomp_default;
        let observation = Observation {
            is_assessed: *assessment == Assessment::Enabled,
            minimum: minimum_observation.length(),
        };
        Self::Found(targets, observation)
    }
}

fn pair(written: podfence_crd::LevelVersion) -> LevelVersion {
    LevelVersion {
        level: written.level,
        version: written.version,
    }
}

/// Workloads that may violate some checks without being called violating.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Its name within the policy.
    pub name: String,
    workloads: Selector,
    namespaces: Option<Selector>,
    checks: CheckSet,
    /// From this instant on it no longer counts.
    pub expires_at: Timestamp,
}

/// A policy that can be used.
#[allow(clippy::struct_excessive_bools)] // Each is a field of the spec, or a fact of the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name; among policies of one priority the lexically first wins.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// When it was created.
    pub created: Timestamp,
    /// Being deleted: it wins nothing any more.
    pub deleting: bool,
    /// Whether our finalizer is on it.
    pub has_finalizer: bool,
    /// The name of its profile.
    pub profile_name: String,
    /// The profile, resolved.
    pub profile: Profile,
    selector: Selector,
    excluded: Vec<NamePattern>,
    include_system: bool,
    /// The highest wins.
    pub priority: i32,
    /// Nothing is written while this is set.
    pub suspend: bool,
    /// `rollout.strategy`.
    pub strategy: Strategy,
    /// `rollout.soak`.
    pub soak: SignedDuration,
    /// `rollout.whileViolating`.
    pub while_violating: WhileViolating,
    /// `rollout.loosening`.
    pub loosening: Loosening,
    /// `conflictPolicy`.
    pub conflict_policy: ConflictPolicy,
    /// `deletionPolicy`.
    pub deletion_policy: DeletionPolicy,
    /// `exceptions`, sorted by name.
    pub exceptions: Vec<Exception>,
}

/// Why a policy cannot be used. The schema refuses such objects, but an API server may have stored
/// one under an older schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A selector does not compile.
    #[error("{field}: {source}")]
    Selector {
        /// The selector's field path.
        field: String,
        /// What is wrong with it.
        source: SelectorError,
    },
    /// Objects that come from an API server have all of these.
    #[error("metadata.{0} is missing")]
    Metadata(&'static str),
}

impl Policy {
    /// Compiles a policy as the API server returned it.
    ///
    /// # Errors
    /// When a selector does not compile or an object without an identity is given.
    pub fn compile(policy: &NamespacePolicy, profile: Profile) -> Result<Self, PolicyError> {
        let metadata = &policy.metadata;
        let spec = &policy.spec;
        let required = |field: &'static str, value: &Option<String>| {
            value.clone().ok_or(PolicyError::Metadata(field))
        };
        let mut exceptions = spec
            .exceptions
            .iter()
            .map(compile_exception)
            .collect::<Result<Vec<_>, _>>()?;
        exceptions.sort_by(|one, two| one.name.cmp(&two.name));
        let created = metadata.creation_timestamp.as_ref().map(|time| time.0);
        Ok(Self {
            name: required("name", &metadata.name)?,
            uid: required("uid", &metadata.uid)?,
            generation: metadata.generation.unwrap_or_default(),
            created: created.ok_or(PolicyError::Metadata("creationTimestamp"))?,
            deleting: metadata.deletion_timestamp.is_some(),
            has_finalizer: metadata
                .finalizers
                .iter()
                .flatten()
                .any(|name| name == FINALIZER),
            profile_name: spec.profile_ref.name.clone(),
            profile,
            selector: compile_selector("spec.namespaceSelector", &spec.namespace_selector)?,
            excluded: spec
                .excluded_namespaces
                .iter()
                .map(NamePattern::new)
                .collect(),
            include_system: spec.include_system_namespaces,
            priority: spec.priority,
            suspend: spec.suspend,
            strategy: spec.rollout.strategy,
            soak: SignedDuration::try_from(spec.rollout.soak.length())
                .unwrap_or(SignedDuration::MAX),
            while_violating: spec.rollout.while_violating,
            loosening: spec.rollout.loosening,
            conflict_policy: spec.conflict_policy,
            deletion_policy: spec.deletion_policy,
            exceptions,
        })
    }

    /// Whether the policy selects a namespace and does not exclude it. `own` are the namespaces that
    /// Podfence runs in.
    #[must_use]
    pub fn matches(&self, name: &str, labels: &BTreeMap<String, String>, own: &[String]) -> bool {
        !self.deleting
            && (self.include_system || !is_system(name, own))
            && self.selector.matches(labels)
            && !self.excluded.iter().any(|pattern| pattern.matches(name))
    }

    /// Whether namespaces that this policy wins are only looked at, so that nothing they show
    /// counts for a soak.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.suspend
            || self.strategy == Strategy::DryRun
            || !matches!(self.profile, Profile::Found(..))
    }

    /// Whether it says who would fail under SeccompDefault. As long as its profile does not say
    /// otherwise, it does.
    #[must_use]
    pub fn assesses_seccomp(&self) -> bool {
        match self.profile {
            Profile::Found(_, observation) => observation.is_assessed,
            Profile::Missing | Profile::Invalid(_) => true,
        }
    }

    /// How long a container in its namespaces must have been observed; none where its profile does
    /// not say.
    #[must_use]
    pub fn minimum_observation(&self) -> Option<Duration> {
        match self.profile {
            Profile::Found(_, observation) => Some(observation.minimum),
            Profile::Missing | Profile::Invalid(_) => None,
        }
    }

    /// Whether the policy asks for its labels to be removed where it no longer wins.
    #[must_use]
    pub fn removes(&self) -> bool {
        self.deletion_policy == DeletionPolicy::Remove
    }

    /// The checks that are excepted for pods with these labels in this namespace, now.
    #[must_use]
    pub fn excepted(
        &self,
        pod: &podfence_workload::Labels,
        namespace: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> CheckSet {
        self.exceptions
            .iter()
            .filter(|exception| now < exception.expires_at)
            .filter(|exception| {
                exception
                    .namespaces
                    .as_ref()
                    .is_none_or(|selector| selector.matches(namespace))
            })
            .filter(|exception| exception.workloads.matches(pod))
            .fold(CheckSet::EMPTY, |checks, exception| {
                checks.union(exception.checks)
            })
    }

    /// When the next exception expires: until then their effect does not change with time.
    #[must_use]
    pub fn next_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        self.exceptions
            .iter()
            .map(|it| it.expires_at)
            .filter(|expiry| *expiry > now)
            .min()
    }
}

/// Namespaces that a policy leaves alone unless it says `includeSystemNamespaces`.
fn is_system(name: &str, own: &[String]) -> bool {
    matches!(name, "kube-system" | "kube-public" | "kube-node-lease")
        || own.iter().any(|own| own == name)
}

fn compile_exception(exception: &podfence_crd::Exception) -> Result<Exception, PolicyError> {
    let field = |which: &str| format!("spec.exceptions[{}].{which}", exception.name);
    Ok(Exception {
        name: exception.name.clone(),
        workloads: compile_selector(field("workloadSelector"), &exception.workload_selector)?,
        namespaces: exception
            .namespace_selector
            .as_ref()
            .map(|selector| compile_selector(field("namespaceSelector"), selector))
            .transpose()?,
        checks: exception.checks.iter().copied().collect(),
        expires_at: exception.expires_at.0,
    })
}

fn compile_selector(
    field: impl Into<String>,
    selector: &LabelSelector,
) -> Result<Selector, PolicyError> {
    let expressions = selector
        .match_expressions
        .iter()
        .map(|requirement| Expression {
            key: &requirement.key,
            operator: requirement.operator.as_str(),
            values: &requirement.values,
        });
    Selector::compile(&selector.match_labels, expressions).map_err(|source| PolicyError::Selector {
        field: field.into(),
        source,
    })
}
