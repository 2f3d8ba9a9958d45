//! The words of the admission controller. Pure.

use std::collections::BTreeSet;

use crate::check::CheckId;
use crate::level::LevelVersion;

/// Why one check forbids a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check.
    pub check: CheckId,
    /// The admission controller's short reason, the only part that a namespace warning shows.
    pub reason: &'static str,
    /// The admission controller's detail.
    pub detail: String,
    /// The containers that set what is forbidden, or do not set what is required, in the order
    /// of the detail. Empty where the pod itself does, or a volume.
    pub containers: Vec<Box<str>>,
}

/// `reason (detail), reason (detail)`, as for a single pod; a reason without detail stands alone.
#[must_use]
pub fn message(findings: &[Finding]) -> String {
    let parts: Vec<_> = findings
        .iter()
        .map(|Finding { reason, detail, .. }| match detail.as_str() {
            // A sysctl without a name leaves nothing to say.
            "" => (*reason).to_owned(),
            detail => format!("{reason} ({detail})"),
        })
        .collect();
    parts.join(", ")
}

/// `reason, reason`, as for the pods of a namespace.
#[must_use]
pub fn reasons(findings: &[Finding]) -> String {
    let parts: Vec<_> = findings.iter().map(|finding| finding.reason).collect();
    parts.join(", ")
}

/// What the API server says after `pods "name" is forbidden: `.
#[must_use]
pub fn forbidden_text(policy: LevelVersion, findings: &[Finding]) -> String {
    format!("violates PodSecurity \"{policy}\": {}", message(findings))
}

/// The items in double quotes and with commas in between. Nothing in them is escaped.
pub(crate) fn quoted<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for item in items {
        text.push_str(if text.is_empty() { "\"" } else { ", \"" });
        text.push_str(item);
        text.push('"');
    }
    text
}

/// Names, or values in a set, sorted as the admission controller sorts them: by their bytes.
pub(crate) type Sorted<'a> = BTreeSet<&'a str>;

/// The singular for exactly one, as the admission controller has it.
pub(crate) fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// `container "a"`, `containers "a", "b"`.
pub(crate) fn containers(names: &[&str]) -> String {
    let word = plural(names.len(), "container", "containers");
    format!("{word} {}", quoted(names.iter().copied()))
}

/// `pod`, `container "a"`, `pod and containers "a", "b"`: who sets something.
pub(crate) fn setters(pod: bool, names: &[&str]) -> String {
    match (pod, names) {
        (true, []) => "pod".to_owned(),
        (true, _) => format!("pod and {}", containers(names)),
        (false, _) => containers(names),
    }
}

#[cfg(test)]
mod tests {
    use super::{containers, quoted, setters};

    #[test]
    fn lists_are_written_as_upstream_writes_them() {
        assert_eq!(quoted([]), "");
        assert_eq!(quoted([""]), r#""""#);
        assert_eq!(quoted(["", "b\"c"]), r#""", "b"c""#);
        assert_eq!(containers(&["a"]), r#"container "a""#);
        assert_eq!(setters(true, &[]), "pod");
        assert_eq!(setters(true, &["a"]), r#"pod and container "a""#);
        assert_eq!(setters(false, &["a", "b"]), r#"containers "a", "b""#);
    }
}
