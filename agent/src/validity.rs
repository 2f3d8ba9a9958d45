//! Whether a runtime can load a file as a seccomp profile. Pure.
//!
//! containerd and CRI-O decode it with Go's `encoding/json`, which ignores fields that it does not
//! know and the case of letters in the names of those that it does; runc and crun then refuse
//! actions, operators and architectures of other names. What becomes of calls under the profile is
//! no question here: a profile that allows everything is a valid one.

use serde_json::{Map, Value};

const ACTIONS: [&str; 9] = [
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
];

const OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

/// As the runtime specification lists them.
const ARCHITECTURES: [&str; 20] = [
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64",
];

/// Calls have this many arguments.
const ARGUMENTS: u64 = 6;

/// Whether a file with this content is a profile that a runtime can load.
#[must_use]
pub fn is_profile(content: &[u8]) -> bool {
    let profile: Option<Value> = serde_json::from_slice(content).ok();
    profile.as_ref().and_then(checked).is_some()
}

/// None when something is wrong.
fn checked(profile: &Value) -> Option<()> {
    let profile = profile.as_object()?;
    // The one field that the specification requires.
    named(profile, "defaultAction", &ACTIONS)?;
    unsigned(profile, "defaultErrnoRet", u64::from(u32::MAX))?;
    for architecture in list(profile, "architectures")? {
        let known = ARCHITECTURES.contains(&architecture.as_str()?);
        known.then_some(())?;
    }
    for entry in list(profile, "syscalls")? {
        let entry = entry.as_object()?;
        let names = list(entry, "names")?;
        names.iter().all(Value::is_string).then_some(())?;
        named(entry, "action", &ACTIONS)?;
        unsigned(entry, "errnoRet", u64::from(u32::MAX))?;
        for argument in list(entry, "args")? {
            let argument = argument.as_object()?;
            unsigned(argument, "index", ARGUMENTS - 1)?;
            unsigned(argument, "value", u64::MAX)?;
            unsigned(argument, "valueTwo", u64::MAX)?;
            named(argument, "op", &OPERATORS)?;
        }
    }
    Some(())
}

/// A field by its name in any case; null is as good as absent.
fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let mut fields = object.iter();
    let found = fields.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found
        .map(|(_, value)| value)
        .filter(|value| !value.is_null())
}

fn named(object: &Map<String, Value>, name: &str, known: &[&str]) -> Option<()> {
    let value = field(object, name)?.as_str()?;
    known.contains(&value).then_some(())
}

fn list<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a [Value]> {
    match field(object, name) {
        None => Some(&[]),
        Some(value) => value.as_array().map(Vec::as_slice),
    }
}

fn unsigned(object: &Map<String, Value>, name: &str, most: u64) -> Option<()> {
    match field(object, name) {
        None => Some(()),
        Some(value) => value.as_u64().filter(|value| *value <= most).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::is_profile;

    #[test]
    fn what_no_runtime_loads_is_no_profile() {
        for content in [
            &b""[..],
            b"\xff\xfe",
            b"nonsense",
            b"[]",
            b"{}",
            br#"{"defaultAction":"SCMP_ACT_NONSENSE"}"#,
            br#"{"defaultAction":7}"#,
            br#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["amd64"]}"#,
            br#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":{}}"#,
            br#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":[1],"action":"SCMP_ACT_LOG"}]}"#,
            br#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"]}]}"#,
            br#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}]}"#,
            br#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG","args":[{"index":0,"op":"=="}]}]}"#,
            br#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG","args":[{"value":-1,"op":"SCMP_CMP_EQ"}]}]}"#,
        ] {
            let text = String::from_utf8_lossy(content);
            assert!(!is_profile(content), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(!is_profile(deep.as_bytes()));
    }

    #[test]
    fn what_runtimes_load_is_a_profile() {
        for content in [
            r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#,
            r#"{"DEFAULTACTION":"SCMP_ACT_LOG","syscalls":null}"#,
            r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"extra":[1],
                "architectures":["SCMP_ARCH_X86_64"],
                "syscalls":[{"names":["clone"],"action":"SCMP_ACT_ALLOW","includes":{},
                    "args":[{"index":0,"value":18446744073709551615,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#,
        ] {
            assert!(is_profile(content.as_bytes()), "{content}");
        }
    }
}
