//! The rules of a filter as they stand in an OCI configuration, and as ours say them, in an order in
//! which they can be compared. Pure.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use podfence_e2e::oci_profile::{ListedRule, OciProfile};
use podfence_seccomp::{Abi, Action, Architecture, Condition, Container, Errno, RuleSet};
use serde_json::Value;

/// What happens to which calls.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    default: Errno,
    abis: Vec<Abi>,
    by_call: ByCall,
}

/// The rules for each call, in the order that counts.
type ByCall = BTreeMap<String, Vec<(Action, Vec<Condition>)>>;

impl From<OciProfile> for Rules {
    fn from(profile: OciProfile) -> Self {
        let OciProfile {
            default,
            mut abis,
            rules,
        } = profile;
        abis.sort();
        let mut by_call = ByCall::new();
        for rule in rules {
            let ListedRule {
                syscall,
                action,
                mut conditions,
            } = rule;
            conditions.sort();
            by_call
                .entry(syscall)
                .or_default()
                .push((action, conditions));
        }
        // Which of two rules comes first counts only where they do different things.
        for rules in by_call.values_mut() {
            for alike in rules.chunk_by_mut(|(one, _), (other, _)| one == other) {
                alike.sort();
            }
        }
        Self {
            default,
            abis,
            by_call,
        }
    }
}

impl Rules {
    /// Of a release, those that are there for a container.
    pub(crate) fn of_release(rules: &RuleSet, container: Container) -> Self {
        Self::from(OciProfile {
            default: rules.default,
            abis: rules.abis(container.architecture),
            rules: rules.active(container).map(ListedRule::from).collect(),
        })
    }

    /// Of `linux.seccomp`. Fields that say more than ours can are refused, for they would be
    /// overlooked.
    pub(crate) fn of_configuration(seccomp: &Value) -> anyhow::Result<Self> {
        for field in seccomp.as_object().context("no rules")?.keys() {
            let known = [
                "defaultAction",
                "defaultErrnoRet",
                "architectures",
                "syscalls",
            ];
            ensure!(known.contains(&field.as_str()), "{field} is there");
        }
        Ok(Self::from(OciProfile::read(seccomp)?))
    }

    /// Says where two differ.
    pub(crate) fn must_equal(&self, other: &Self) -> anyhow::Result<()> {
        let calls = self.by_call.keys().chain(other.by_call.keys());
        for call in calls {
            let (one, two) = (self.by_call.get(call), other.by_call.get(call));
            ensure!(one == two, "of {call} we say {one:?}, the node {two:?}");
        }
        ensure!(
            self == other,
            "we say {:?}, the node {:?}",
            self.abis,
            other.abis
        );
        Ok(())
    }
}

/// The architecture of this machine.
pub(crate) fn architecture() -> anyhow::Result<Architecture> {
    let name = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Ok(name.parse()?)
}
