//! Conditions as the Kubernetes API conventions want them: set by type, in one order, with a
//! transition time that moves only when the status does. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use podfence_crd::{ConditionType, Reason};

use crate::event::bounded;
use crate::state::whole_seconds;

/// Enough to name the worst offenders and what to do. Far below the 32,768 that the API takes,
/// because seven messages and fifty namespaces have to fit into a status of 64 KiB.
const LONGEST_MESSAGE: usize = 1024;

/// `status` of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Is {
    True,
    False,
    Unknown,
}

impl Is {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// One condition before it is stamped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) kind: ConditionType,
    pub(crate) is: Is,
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn new(
        kind: ConditionType,
        is: Is,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            is,
            reason,
            message: message.into(),
        }
    }
}

/// Stamps the conditions: sorted by type in the order of `ConditionType`, all with one generation.
/// A type that is not among the findings is left out, whatever `previous` says.
pub(crate) fn stamp(
    mut findings: Vec<Finding>,
    previous: &[Condition],
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    findings.sort_by_key(|finding| finding.kind);
    findings
        .into_iter()
        .map(
            |Finding {
                 kind,
                 is,
                 reason,
                 message,
             }| {
                let unchanged = previous
                    .iter()
                    .find(|old| old.type_ == kind.as_str() && old.status == is.as_str());
                Condition {
                    type_: kind.as_str().to_owned(),
                    status: is.as_str().to_owned(),
                    reason: reason.as_str().to_owned(),
                    message: bounded(message, LONGEST_MESSAGE),
                    observed_generation: Some(generation),
                    last_transition_time: unchanged.map_or_else(
                        || Time(whole_seconds(now)),
                        |old| old.last_transition_time.clone(),
                    ),
                }
            },
        )
        .collect()
}

/// Joins at most so many of the items, and says how many more there are.
pub(crate) fn list(items: &[String], most: usize) -> String {
    let shown = items
        .iter()
        .take(most)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match items.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} (and {more} more)"),
    }
}
