//! `spec.rollout` of a NamespacePolicy: how a namespace gets from its present level to the target.
//! No I/O.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::GoDuration;

/// How enforcement is brought to the namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// How careful enforcement is. Guarded tightens a namespace only when every running pod and
    /// every pod template in it passes and has passed for the soak; Immediate tightens at once;
    /// DryRun writes nothing and reports what Guarded would do. Labels audit and warn are written
    /// at once under Guarded and Immediate. Defaults to Guarded.
    #[serde(default)]
    pub strategy: Strategy,

    /// How long a namespace must be clean before enforce tightens under Guarded, as a Go duration
    /// such as 90s, 30m or 24h, at most 8760h. 0s tightens as soon as it is clean. A violating pod,
    /// even if it is gone again, starts the soak anew. Defaults to 24h.
    #[serde(default = "GoDuration::day")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('8760h')")
        .message("soak must be at most 8760h (a year); to wait longer, use strategy DryRun or \
                  suspend"))]
    pub soak: GoDuration,

    /// What Guarded enforces while workloads violate the target. StrictestPassing enforces the
    /// strictest level that has been clean for the soak; Hold leaves enforce as it is until the
    /// target itself is clean. Defaults to StrictestPassing.
    #[serde(default)]
    pub while_violating: WhileViolating,

    /// When a live enforce level that is stricter than the target may be lowered. OwnOnly lowers it
    /// only when this policy set it and nobody else owns the label; Always lowers it also when
    /// somebody else set it, as far as conflictPolicy allows. Otherwise the stricter level stays
    /// and the namespace is reported as StricterKept. Defaults to OwnOnly.
    #[serde(default)]
    pub loosening: Loosening,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            soak: GoDuration::day(),
            while_violating: WhileViolating::default(),
            loosening: Loosening::default(),
        }
    }
}

/// How careful enforcement is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Strategy {
    /// Nothing is written; everything is reported.
    DryRun,
    /// Enforce tightens where it breaks nothing.
    #[default]
    Guarded,
    /// Enforce goes to the target at once.
    Immediate,
}

/// What Guarded enforces while workloads violate the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum WhileViolating {
    /// The strictest level that was clean for the soak.
    #[default]
    StrictestPassing,
    /// What is there, until the target itself is clean.
    Hold,
}

/// Whose enforce level may be lowered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Loosening {
    /// Only one that this policy set itself.
    #[default]
    OwnOnly,
    /// Any.
    Always,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rules::check_policies;

    #[test]
    fn left_out_fields_have_their_defaults() {
        let empty: Rollout = serde_json::from_value(json!({})).expect("a rollout");
        assert_eq!(empty, Rollout::default());
        assert_eq!(
            json!(empty),
            json!({
                "strategy": "Guarded",
                "soak": "24h",
                "whileViolating": "StrictestPassing",
                "loosening": "OwnOnly",
            })
        );
    }

    #[test]
    fn a_soak_is_a_year_at_most() {
        check_policies(
            "/rollout/soak",
            &[
                (json!("8760h0m1s"), "soak must be at most 8760h"),
                (json!("8760h"), ""),
                (json!("90s"), ""),
                (json!("0"), ""),
            ],
        );
    }
}
