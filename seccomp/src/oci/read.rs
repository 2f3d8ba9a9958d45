//! From a profile's file back to its rules. Pure.
//!
//! What the runtimes would leave out without a word is named, and what cannot be judged here is an
//! error: a profile must not be taken for another one than the kernel gets.

use serde_json::{Map, Value};

use super::FlatProfile;
use crate::{Abi, Action, Applicability, Architecture, Condition, Errno, Operator, Rule, syscalls};

/// Fields of the runtime specification at the top of the file. Those that are not read here decide
/// about no call, as long as no action of the profile hands calls over to another program.
const TOP: [&str; 7] = [
    "defaultAction",
    "defaultErrnoRet",
    "architectures",
    "flags",
    "listenerPath",
    "listenerMetadata",
    "syscalls",
];
const SYSCALL: [&str; 4] = ["names", "action", "errnoRet", "args"];
const ARGUMENT: [&str; 4] = ["index", "value", "valueTwo", "op"];

/// A profile of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadProfile {
    /// The rules.
    pub profile: FlatProfile,
    /// Fields that the runtime specification does not have, with their paths: containerd ignores them,
    /// and CRI-O looks at some of them.
    pub ignored: Vec<String>,
    /// Calls that no ABI has as far as is known here. Runtimes leave out those that their libseccomp
    /// does not know.
    pub unknown_calls: Vec<String>,
}

/// A file that is no profile, or one that cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedProfile {
    /// It is not JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// A field has a value that it cannot have.
    #[error("{field}: {value} is not {expected}")]
    Field {
        /// The path of the field.
        field: String,
        /// What stands there.
        value: String,
        /// What could.
        expected: &'static str,
    },
    /// A field must be there.
    #[error("{0} is missing")]
    Missing(String),
    /// Go reads the name of a field in any case, and nobody else does.
    #[error("{field}: write it as {name}")]
    Spelling {
        /// The path of the field.
        field: String,
        /// Its name.
        name: &'static str,
    },
    /// An action that is not judged here.
    #[error("{field}: {action} is not judged here; SCMP_ACT_ALLOW and SCMP_ACT_ERRNO are")]
    Action {
        /// The path of the field.
        field: String,
        /// What stands there.
        action: String,
    },
}

type Read<T> = Result<T, MalformedProfile>;

impl FlatProfile {
    /// Reads a file for nodes of an architecture.
    ///
    /// # Errors
    ///
    /// When a runtime would refuse the file, or when it cannot be told what becomes of calls under it.
    pub fn read(text: &str, architecture: Architecture) -> Read<ReadProfile> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| MalformedProfile::Json(error.to_string()))?;
        let mut ignored = Vec::new();
        let top = Object::of(&value, String::new(), &TOP, &mut ignored)?;
        let own = architecture.native_abi();
        let mut abis = vec![own];
        for (path, name) in top.list("architectures")? {
            let abi = abi(&path, name)?;
            if !abis.contains(&abi) {
                abis.push(abi);
            }
        }
        let default = match action(&top, "defaultAction", "defaultErrnoRet")? {
            Action::Errno(errno) => errno,
            Action::Allow | Action::KillThread => {
                return Err(top.not_judged("defaultAction"));
            }
        };
        let (mut rules, mut unknown_calls) = (Vec::new(), Vec::new());
        for (path, value) in top.list("syscalls")? {
            let entry = Object::of(value, path, &SYSCALL, &mut ignored)?;
            let action = action(&entry, "action", "errnoRet")?;
            let mut conditions = Vec::new();
            for (path, value) in entry.list("args")? {
                let argument = Object::of(value, path, &ARGUMENT, &mut ignored)?;
                conditions.push(condition(&argument)?);
            }
            for (path, value) in entry.list("names")? {
                let name = value.as_str().filter(|name| !name.is_empty());
                let name = name.ok_or_else(|| wrong(&path, value, "the name of a call"))?;
                match syscalls::names().binary_search(&name) {
                    Ok(at) => rules.extend(syscalls::names().get(at).map(|name| Rule {
                        syscall: name,
                        action,
                        conditions: conditions.clone().into(),
                        applicability: Applicability::default(),
                    })),
                    Err(_) => unknown_calls.push(name.to_owned()),
                }
            }
        }
        Ok(ReadProfile {
            profile: Self {
                architecture,
                abis,
                default,
                rules,
            },
            ignored,
            unknown_calls,
        })
    }
}

/// A JSON object and where it stands.
struct Object<'a> {
    path: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    fn of(
        value: &'a Value,
        path: String,
        known: &[&'static str],
        ignored: &mut Vec<String>,
    ) -> Read<Self> {
        let fields = value
            .as_object()
            .ok_or_else(|| wrong(&path, value, "an object"))?;
        let object = Self { path, fields };
        for name in fields.keys() {
            if known.contains(&name.as_str()) {
                continue;
            }
            let meant = known.iter().find(|known| known.eq_ignore_ascii_case(name));
            if let Some(meant) = meant {
                return Err(MalformedProfile::Spelling {
                    field: object.at(name),
                    name: meant,
                });
            }
            ignored.push(object.at(name));
        }
        Ok(object)
    }

    fn at(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// The value of a field; null is as good as absent.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn list(&self, name: &str) -> Read<Vec<(String, &'a Value)>> {
        let path = self.at(name);
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        let list = value
            .as_array()
            .ok_or_else(|| wrong(&path, value, "a list"))?;
        let numbered = list.iter().enumerate();
        Ok(numbered
            .map(|(at, value)| (format!("{path}[{at}]"), value))
            .collect())
    }

    fn number(&self, name: &str, most: u64, expected: &'static str) -> Read<Option<u64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = value.as_u64().filter(|number| *number <= most);
        let number = number.ok_or_else(|| wrong(&self.at(name), value, expected))?;
        Ok(Some(number))
    }

    fn text(&self, name: &str) -> Read<&'a str> {
        let value = self.get(name);
        let value = value.ok_or_else(|| MalformedProfile::Missing(self.at(name)))?;
        value
            .as_str()
            .ok_or_else(|| wrong(&self.at(name), value, "a text"))
    }

    fn not_judged(&self, name: &str) -> MalformedProfile {
        let action = self.get(name).and_then(Value::as_str).unwrap_or_default();
        MalformedProfile::Action {
            field: self.at(name),
            action: action.to_owned(),
        }
    }
}

fn wrong(field: &str, value: &Value, expected: &'static str) -> MalformedProfile {
    let field = if field.is_empty() { "the file" } else { field };
    MalformedProfile::Field {
        field: field.to_owned(),
        value: value.to_string(),
        expected,
    }
}

fn abi(path: &str, value: &Value) -> Read<Abi> {
    let name = value
        .as_str()
        .and_then(|name| name.strip_prefix("SCMP_ARCH_"))
        .filter(|name| !name.contains(|character: char| character.is_ascii_lowercase()));
    name.and_then(|name| Abi::of_profile(&name.to_ascii_lowercase()))
        .ok_or_else(|| wrong(path, value, "an architecture such as SCMP_ARCH_X86_64"))
}

fn action(object: &Object<'_>, name: &str, errno: &str) -> Read<Action> {
    // What libseccomp takes.
    let number = object.number(errno, 4095, "an errno")?;
    match object.text(name)? {
        "SCMP_ACT_ALLOW" => Ok(Action::Allow),
        "SCMP_ACT_ERRNO" => {
            let number = number.and_then(|number| u16::try_from(number).ok());
            Ok(Action::Errno(number.map_or(Errno::EPERM, Errno::new)))
        }
        _ => Err(object.not_judged(name)),
    }
}

fn condition(argument: &Object<'_>) -> Read<Condition> {
    let index = argument.number("index", 5, "the number of an argument, 0 to 5")?;
    // What is left out is 0, as in Go.
    let index = u8::try_from(index.unwrap_or_default()).unwrap_or_default();
    let unsigned = "an unsigned number of 64 bits";
    let value = argument
        .number("value", u64::MAX, unsigned)?
        .unwrap_or_default();
    let second = argument
        .number("valueTwo", u64::MAX, unsigned)?
        .unwrap_or_default();
    let operator = match argument.text("op")? {
        "SCMP_CMP_NE" => Operator::NotEqual(value),
        "SCMP_CMP_LT" => Operator::Less(value),
        "SCMP_CMP_LE" => Operator::LessOrEqual(value),
        "SCMP_CMP_EQ" => Operator::Equal(value),
        "SCMP_CMP_GE" => Operator::GreaterOrEqual(value),
        "SCMP_CMP_GT" => Operator::Greater(value),
        "SCMP_CMP_MASKED_EQ" => Operator::MaskedEqual {
            mask: value,
            value: second,
        },
        other => {
            let expected = "an operator such as SCMP_CMP_EQ";
            let value = Value::String(other.to_owned());
            return Err(wrong(&argument.at("op"), &value, expected));
        }
    };
    Ok(Condition { index, operator })
}
