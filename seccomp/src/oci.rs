//! Profiles as files that containerd and CRI-O load (`LinuxSeccomp` of the OCI runtime specification).
//! Pure.
//!
//! Such a file has no conditions on containers: containerd leaves `includes` and `excludes` out
//! without a word. So it is flat, and right for one set of capabilities, architecture and kernel.

mod read;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::filter::is_carrier;
use crate::{Abi, Action, Architecture, Condition, Errno, Operator, Rule};

pub use read::{MalformedProfile, ReadProfile};

/// Rules that are all there for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlatProfile {
    /// The node's architecture, which says in which order bytes are.
    pub architecture: Architecture,
    /// The ABIs that the filter is made for. The node's own is always among them.
    pub abis: Vec<Abi>,
    /// What happens to a call that no rule matches.
    pub default: Errno,
    /// In the order that counts.
    pub rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Seccomp {
    default_action: &'static str,
    default_errno_ret: u16,
    architectures: Vec<String>,
    syscalls: Vec<Syscall>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Syscall {
    names: Vec<&'static str>,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno_ret: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<Argument>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(skip_serializing_if = "is_zero")]
    value_two: u64,
    op: &'static str,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference.
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// What the rules of a call do, in their order.
type Behaviour = Vec<(Action, Box<[Condition]>)>;

impl FlatProfile {
    /// The file, the same for equal rules: calls with equal rules stand together, sorted by name.
    ///
    /// The order is kept where it counts, which is among the rules of one call, and of calls that
    /// others are made through, which come first.
    ///
    /// # Errors
    ///
    /// When the serializer fails.
    pub fn write(&self) -> Result<String, serde_json::Error> {
        let Self {
            architecture,
            abis,
            default,
            rules,
        } = self;
        let profile = Seccomp {
            default_action: "SCMP_ACT_ERRNO",
            default_errno_ret: default.number(),
            architectures: abis
                .iter()
                .map(|abi| name_of_abi(*abi, *architecture))
                .collect(),
            syscalls: grouped(rules),
        };
        let mut text = serde_json::to_string_pretty(&profile)?;
        text.push('\n');
        Ok(text)
    }
}

/// The name of an ABI in a file.
fn name_of_abi(abi: Abi, architecture: Architecture) -> String {
    let is_big = matches!(
        architecture,
        Architecture::Mips | Architecture::Mips64 | Architecture::Ppc64 | Architecture::S390x
    );
    let name = match abi {
        Abi::Ppc64 if !is_big => "PPC64LE".to_owned(),
        Abi::Mips if !is_big => "MIPSEL".to_owned(),
        Abi::Mips64 if !is_big => "MIPSEL64".to_owned(),
        Abi::Mips64n32 if !is_big => "MIPSEL64N32".to_owned(),
        other => other.as_str().to_uppercase(),
    };
    format!("SCMP_ARCH_{name}")
}

fn grouped(rules: &[Rule]) -> Vec<Syscall> {
    let mut calls = BTreeMap::<&'static str, Behaviour>::new();
    for rule in rules {
        let behaviour = calls.entry(rule.syscall).or_default();
        let line = (rule.action, rule.conditions.clone());
        // A rule that is there twice does nothing the second time.
        if !behaviour.contains(&line) {
            behaviour.push(line);
        }
    }
    let mut groups: Vec<(Vec<&'static str>, Behaviour)> = Vec::new();
    for (name, behaviour) in calls {
        let same = groups.iter_mut().find(|(names, known)| {
            *known == behaviour
                && names
                    .iter()
                    .all(|other| is_carrier(other) == is_carrier(name))
        });
        match same {
            Some((names, _)) => names.push(name),
            None => groups.push((vec![name], behaviour)),
        }
    }
    // Stable: by name within each kind.
    groups.sort_by_key(|(names, behaviour)| {
        let plain = match behaviour.as_slice() {
            [(action, conditions)] if conditions.is_empty() => Some(*action),
            _ => None,
        };
        let through = !names.iter().any(|name| is_carrier(name));
        (through, plain.is_none(), plain)
    });
    let entries = groups.into_iter().flat_map(|(names, behaviour)| {
        behaviour
            .into_iter()
            .map(move |(action, conditions)| entry(names.clone(), action, &conditions))
    });
    entries.collect()
}

fn entry(names: Vec<&'static str>, action: Action, conditions: &[Condition]) -> Syscall {
    let (action, errno_ret) = match action {
        Action::Allow => ("SCMP_ACT_ALLOW", None),
        Action::Errno(errno) => ("SCMP_ACT_ERRNO", Some(errno.number())),
        Action::KillThread => ("SCMP_ACT_KILL_THREAD", None),
    };
    Syscall {
        names,
        action,
        errno_ret,
        args: conditions.iter().map(argument).collect(),
    }
}

fn argument(condition: &Condition) -> Argument {
    let (op, value, value_two) = match condition.operator {
        Operator::NotEqual(value) => ("SCMP_CMP_NE", value, 0),
        Operator::Less(value) => ("SCMP_CMP_LT", value, 0),
        Operator::LessOrEqual(value) => ("SCMP_CMP_LE", value, 0),
        Operator::Equal(value) => ("SCMP_CMP_EQ", value, 0),
        Operator::GreaterOrEqual(value) => ("SCMP_CMP_GE", value, 0),
        Operator::Greater(value) => ("SCMP_CMP_GT", value, 0),
        Operator::MaskedEqual { mask, value } => ("SCMP_CMP_MASKED_EQ", mask, value),
    };
    Argument {
        index: condition.index,
        value,
        value_two,
        op,
    }
}
