//! Rules as an OCI configuration has them (`linux.seccomp`), written and read. No I/O.

use anyhow::{Context, Result, bail};
use podfence_seccomp::{Abi, Action, Condition, Errno, Operator, Rule};
use serde::Deserialize;
use serde_json::{Value, json};

/// A profile without conditions on the container: what a runtime hands to runc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciProfile {
    /// What happens to a call that no rule matches.
    pub default: Errno,
    /// The ABIs of the filter; none is the node's own.
    pub abis: Vec<Abi>,
    /// The rules in their order, a call at a time.
    pub rules: Vec<ListedRule>,
}

/// What to do with one call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListedRule {
    /// The name of the call, which need not be one that we know.
    pub syscall: String,
    /// What happens to it.
    pub action: Action,
    /// What must hold of its arguments.
    pub conditions: Vec<Condition>,
}

impl From<&Rule> for ListedRule {
    fn from(rule: &Rule) -> Self {
        Self {
            syscall: rule.syscall.to_owned(),
            action: rule.action,
            conditions: rule.conditions.to_vec(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    names: Vec<String>,
    action: String,
    errno_ret: Option<u16>,
    #[serde(default)]
    args: Vec<Argument>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    op: String,
    value: u64,
    #[serde(default)]
    value_two: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    default_action: String,
    default_errno_ret: Option<u16>,
    #[serde(default)]
    architectures: Vec<String>,
    syscalls: Vec<Entry>,
}

impl OciProfile {
    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let architectures: Vec<String> = self.abis.iter().map(|abi| name_of(*abi)).collect();
        json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": self.default.number(),
            "architectures": architectures,
            "syscalls": self.rules.iter().map(ListedRule::to_json).collect::<Vec<_>>(),
        })
    }

    /// Reads JSON.
    ///
    /// # Errors
    ///
    /// When it says what no `RuntimeDefault` does.
    pub fn read(json: &Value) -> Result<Self> {
        let configuration = Configuration::deserialize(json)?;
        let mut rules = Vec::new();
        for entry in &configuration.syscalls {
            let action = action(&entry.action, entry.errno_ret)?;
            let conditions = entry.args.iter().map(Argument::condition);
            let conditions = conditions.collect::<Result<Vec<_>>>()?;
            rules.extend(entry.names.iter().map(|name| ListedRule {
                syscall: name.clone(),
                action,
                conditions: conditions.clone(),
            }));
        }
        let default = configuration.default_errno_ret;
        let Action::Errno(default) = action(&configuration.default_action, default)? else {
            bail!("everything is allowed that no rule names");
        };
        let abis = configuration.architectures.iter().map(|name| {
            let mut all = Abi::ALL.iter().copied();
            all.find(|abi| name_of(*abi) == *name || big_endian_name_of(*abi) == *name)
                .with_context(|| format!("unknown ABI {name:?}"))
        });
        Ok(Self {
            default,
            abis: abis.collect::<Result<_>>()?,
            rules,
        })
    }
}

impl ListedRule {
    fn to_json(&self) -> Value {
        let (action, errno) = match self.action {
            Action::Errno(errno) => ("SCMP_ACT_ERRNO", Some(errno.number())),
            Action::Allow | Action::KillThread => ("SCMP_ACT_ALLOW", None),
        };
        let conditions = self.conditions.iter().map(|condition| {
            let (operator, value, second) = match condition.operator {
                Operator::NotEqual(value) => ("NE", value, 0),
                Operator::Less(value) => ("LT", value, 0),
                Operator::LessOrEqual(value) => ("LE", value, 0),
                Operator::Equal(value) => ("EQ", value, 0),
                Operator::GreaterOrEqual(value) => ("GE", value, 0),
                Operator::Greater(value) => ("GT", value, 0),
                Operator::MaskedEqual { mask, value } => ("MASKED_EQ", mask, value),
            };
            json!({
                "index": condition.index, "op": format!("SCMP_CMP_{operator}"),
                "value": value, "valueTwo": second,
            })
        });
        let conditions: Vec<Value> = conditions.collect();
        json!({
            "names": [self.syscall], "action": action, "errnoRet": errno, "args": conditions,
        })
    }
}

impl Argument {
    fn condition(&self) -> Result<Condition> {
        let value = self.value;
        let operator = match self.op.as_str() {
            "SCMP_CMP_NE" => Operator::NotEqual(value),
            "SCMP_CMP_LT" => Operator::Less(value),
            "SCMP_CMP_LE" => Operator::LessOrEqual(value),
            "SCMP_CMP_EQ" => Operator::Equal(value),
            "SCMP_CMP_GE" => Operator::GreaterOrEqual(value),
            "SCMP_CMP_GT" => Operator::Greater(value),
            "SCMP_CMP_MASKED_EQ" => Operator::MaskedEqual {
                mask: value,
                value: self.value_two,
            },
            other => bail!("unknown comparison {other:?}"),
        };
        Ok(Condition {
            index: self.index,
            operator,
        })
    }
}

fn action(name: &str, errno: Option<u16>) -> Result<Action> {
    match name {
        "SCMP_ACT_ALLOW" => Ok(Action::Allow),
        // Without a number, runc and crun take EPERM.
        "SCMP_ACT_ERRNO" => Ok(Action::Errno(errno.map_or(Errno::EPERM, Errno::new))),
        other => bail!("unknown action {other:?}"),
    }
}

/// The name of an ABI, little-endian where there are two.
fn name_of(abi: Abi) -> String {
    match abi {
        Abi::Ppc64 => "SCMP_ARCH_PPC64LE".to_owned(),
        Abi::Mips => "SCMP_ARCH_MIPSEL".to_owned(),
        Abi::Mips64 => "SCMP_ARCH_MIPSEL64".to_owned(),
        Abi::Mips64n32 => "SCMP_ARCH_MIPSEL64N32".to_owned(),
        other => big_endian_name_of(other),
    }
}

fn big_endian_name_of(abi: Abi) -> String {
    format!("SCMP_ARCH_{}", abi.as_str().to_uppercase())
}
