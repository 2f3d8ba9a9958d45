//! What Podfence remembers on a namespace, as `state.podfence.dev/*` annotations. No I/O.
//!
//! `kubectl describe namespace` shows it, and a restart forgets nothing. Whatever does not parse is
//! as good as absent: an unreadable memory must never be the reason to lower or tighten a level.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use podfence_crd::Phase;
use podfence_podsecurity::{Level, LevelVersion, Version};
use serde::{Deserialize, Serialize};

use podfence_podsecurity::Mode;

const POLICY: &str = "state.podfence.dev/policy";
const PHASE: &str = "state.podfence.dev/phase";
const SINCE: &str = "state.podfence.dev/since";
const AUTHOR: &str = "state.podfence.dev/author";
const APPLIED: &str = "state.podfence.dev/applied";
const CLEAN_SINCE: &str = "state.podfence.dev/clean-since";
const PREVIOUS_ENFORCE: &str = "state.podfence.dev/previous-enforce";
const CORRECTIONS: &str = "state.podfence.dev/corrections";

/// Our memory of one namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The policy that won the namespace at the last write.
    pub policy: Option<String>,
    /// The phase at the last write, and since when.
    pub phase: Option<(Phase, Timestamp)>,
    /// The policy that last changed the enforced pair. Keeping a value never changes its author.
    pub author: Option<String>,
    /// What we last meant each mode to be: how a value taken back from us is told from one that
    /// we never set.
    pub applied: Applied,
    /// Since when the namespace is clean.
    pub clean_since: Option<CleanSince>,
    /// What was enforced before the last change that we made; `unset` when nothing was.
    pub previous_enforce: Option<String>,
    /// How often, and when last, we took back a value.
    pub corrections: Option<Corrections>,
}

/// The pair that we last applied for each mode.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// For enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforce: Option<String>,
    /// For audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<String>,
    /// For warn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn: Option<String>,
}

impl Applied {
    /// What a mode was meant to be.
    pub fn of(&self, mode: Mode) -> Option<&String> {
        match mode {
            Mode::Enforce => self.enforce.as_ref(),
            Mode::Audit => self.audit.as_ref(),
            Mode::Warn => self.warn.as_ref(),
        }
    }

    /// Notes what a mode is meant to be.
    pub fn set(&mut self, mode: Mode, pair: Option<String>) {
        match mode {
            Mode::Enforce => self.enforce = pair,
            Mode::Audit => self.audit = pair,
            Mode::Warn => self.warn = pair,
        }
    }
}

/// Since when no pod and no template violates a level, for one version, winner and namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanSince {
    /// The winner. Under another policy the soak starts again.
    pub policy: String,
    /// The namespace's uid. A namespace created anew starts again.
    pub uid: String,
    /// The version that the namespace was evaluated at.
    pub version: Version,
    /// Clean at baseline since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Timestamp>,
    /// Clean at restricted since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restricted: Option<Timestamp>,
}

impl CleanSince {
    /// A record that says that nothing was ever clean.
    pub(crate) const fn never() -> Self {
        Self {
            policy: String::new(),
            uid: String::new(),
            version: Version::Latest,
            baseline: None,
            restricted: None,
        }
    }

    /// Whether there is anything worth storing.
    pub(crate) fn says_something(&self) -> bool {
        self.baseline.is_some() || self.restricted.is_some()
    }

    /// Since when the namespace is clean at a level; everything is clean at privileged, which
    /// needs no time at all.
    pub fn at(&self, level: Level) -> Option<Timestamp> {
        match level {
            Level::Privileged => Some(Timestamp::MIN),
            Level::Baseline => self.baseline,
            Level::Restricted => self.restricted,
        }
    }
}

/// Values that we took back from somebody who had changed or removed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corrections {
    /// How many, each within `Corrections::MEMORY` of the one before.
    pub count: u32,
    /// When the last was made.
    pub last: Timestamp,
}

impl Corrections {
    /// At most one correction in this time. Slow enough that a fight with another controller costs
    /// nobody anything, quick enough that a value removed by mistake is soon back.
    pub const INTERVAL: SignedDuration = SignedDuration::from_mins(5);

    /// A fight is over when nobody took anything back for two intervals.
    pub const MEMORY: SignedDuration = SignedDuration::from_mins(10);

    /// When the next correction may be made.
    #[must_use]
    pub fn next_allowed(self) -> Timestamp {
        self.last
            .saturating_add(Self::INTERVAL)
            .unwrap_or(Timestamp::MAX)
    }

    /// When a fight that stays quiet is over.
    #[must_use]
    pub fn forgotten_at(self) -> Timestamp {
        self.last
            .saturating_add(Self::MEMORY)
            .unwrap_or(Timestamp::MAX)
    }
}

impl State {
    /// Whether nothing at all is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the annotations. A time that is not over yet is not believed.
    #[must_use]
    pub fn parse(annotations: &BTreeMap<String, String>, now: Timestamp) -> Self {
        let text = |key: &str| {
            annotations
                .get(key)
                .filter(|value| !value.is_empty())
                .cloned()
        };
        let past = |time: &Timestamp| *time <= now;
        let since = text(SINCE).and_then(|time| time.parse().ok()).filter(past);
        let phase = text(PHASE).and_then(|text| {
            Phase::ALL
                .iter()
                .copied()
                .find(|phase| phase.as_str() == text)
        });
        let mut clean_since: Option<CleanSince> = parse_json(text(CLEAN_SINCE));
        if let Some(clean) = &mut clean_since {
            clean.baseline = clean.baseline.filter(past);
            clean.restricted = clean.restricted.filter(past);
        }
        Self {
            policy: text(POLICY),
            phase: phase.zip(since),
            author: text(AUTHOR),
            applied: parse_json(text(APPLIED)).unwrap_or_default(),
            clean_since,
            previous_enforce: text(PREVIOUS_ENFORCE),
            corrections: parse_json(text(CORRECTIONS)).filter(|it: &Corrections| past(&it.last)),
        }
    }

    /// The annotations that hold this state, all of them: what is left out of an apply is removed.
    pub fn to_annotations(&self) -> BTreeMap<String, String> {
        let Self {
            policy,
            phase,
            author,
            applied,
            clean_since,
            previous_enforce,
            corrections,
        } = self;
        let mut annotations = BTreeMap::new();
        let mut put = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                annotations.insert(key.to_owned(), value);
            }
        };
        put(POLICY, policy.clone());
        put(PHASE, phase.map(|(phase, _)| phase.as_str().to_owned()));
        put(
            SINCE,
            phase.map(|(_, since)| whole_seconds(since).to_string()),
        );
        put(AUTHOR, author.clone());
        put(
            APPLIED,
            Some(applied)
                .filter(|it| **it != Applied::default())
                .and_then(to_json),
        );
        put(CLEAN_SINCE, clean_since.as_ref().and_then(to_json));
        put(PREVIOUS_ENFORCE, previous_enforce.clone());
        put(CORRECTIONS, corrections.as_ref().and_then(to_json));
        annotations
    }

    /// Whether this policy changed the enforced pair to what it is now. A value that was changed
    /// since, or that we merely kept, has no author among our policies.
    #[must_use]
    pub fn is_author(&self, policy: &str, live: LevelVersion) -> bool {
        self.author.as_deref() == Some(policy)
            && self.applied.enforce.as_deref() == Some(live.to_string().as_str())
    }
}

/// Cuts to whole seconds, which is what Kubernetes keeps of a time.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn parse_json<T: serde::de::DeserializeOwned>(text: Option<String>) -> Option<T> {
    text.and_then(|text| serde_json::from_str(&text).ok())
}

fn to_json<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_string(value).ok()
}
