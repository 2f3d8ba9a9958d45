//! The rules of a filter as they stand in an OCI configuration, and as ours say them, in words that
//! can be compared. Pure.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use podfence_seccomp::{
    Abi, Action, Architecture, Condition, Container, Errno, Operator, Rule, RuleSet,
};
use serde_json::Value;

/// What happens to which calls.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    default: Errno,
    abis: Vec<String>,
    by_call: ByCall,
}

/// The rules for each call, in the order that counts.
type ByCall = BTreeMap<String, Vec<(Action, Vec<Condition>)>>;

impl Rules {
    fn new(default: Errno, mut abis: Vec<String>, mut by_call: ByCall) -> Self {
        abis.sort();
        for (_, conditions) in by_call.values_mut().flatten() {
            conditions.sort();
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

    /// Of a release, those that are there for a container.
    pub(crate) fn of_release(rules: &RuleSet, container: Container) -> Self {
        let mut by_call = ByCall::new();
        for Rule {
            syscall,
            action,
            conditions,
            ..
        } in rules.active(container)
        {
            let rules = by_call.entry((*syscall).to_owned()).or_default();
            rules.push((*action, conditions.to_vec()));
        }
        let abis = rules.abis(container.architecture);
        let abis = abis.iter().map(|abi| oci_name(*abi)).collect();
        Self::new(rules.default, abis, by_call)
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
        ensure!(seccomp["defaultAction"] == "SCMP_ACT_ERRNO", "{seccomp}");
        let mut by_call = ByCall::new();
        for entry in list(&seccomp["syscalls"]) {
            let action = match entry["action"].as_str() {
                Some("SCMP_ACT_ALLOW") => Action::Allow,
                Some("SCMP_ACT_ERRNO") => Action::Errno(errno(&entry["errnoRet"])?),
                other => bail!("the action {other:?} is not known"),
            };
            let conditions = list(&entry["args"]).iter().map(condition);
            let conditions: Vec<Condition> = conditions.collect::<anyhow::Result<_>>()?;
            for name in list(&entry["names"]) {
                let name = name.as_str().context("a name is no text")?.to_owned();
                by_call
                    .entry(name)
                    .or_default()
                    .push((action, conditions.clone()));
            }
        }
        let names = list(&seccomp["architectures"]).iter();
        let abis = names.filter_map(Value::as_str).map(String::from).collect();
        let default = errno(&seccomp["defaultErrnoRet"])?;
        Ok(Self::new(default, abis, by_call))
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

fn oci_name(abi: Abi) -> String {
    format!("SCMP_ARCH_{}", abi.as_str().to_uppercase())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Without a number it is EPERM.
fn errno(number: &Value) -> anyhow::Result<Errno> {
    let Some(number) = number.as_u64() else {
        return Ok(Errno::EPERM);
    };
    Ok(Errno::new(number.try_into()?))
}

fn condition(argument: &Value) -> anyhow::Result<Condition> {
    let index = argument["index"].as_u64().context("no index")?.try_into()?;
    let value = argument["value"].as_u64().context("no value")?;
    let operator = match argument["op"].as_str() {
        Some("SCMP_CMP_NE") => Operator::NotEqual(value),
        Some("SCMP_CMP_LT") => Operator::Less(value),
        Some("SCMP_CMP_LE") => Operator::LessOrEqual(value),
        Some("SCMP_CMP_EQ") => Operator::Equal(value),
        Some("SCMP_CMP_GE") => Operator::GreaterOrEqual(value),
        Some("SCMP_CMP_GT") => Operator::Greater(value),
        Some("SCMP_CMP_MASKED_EQ") => Operator::MaskedEqual {
            mask: value,
            value: argument["valueTwo"].as_u64().unwrap_or(0),
        },
        other => bail!("the comparison {other:?} is not known"),
    };
    Ok(Condition { index, operator })
}
