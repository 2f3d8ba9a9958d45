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
    let length = findings
        .iter()
        .map(|one| one.reason.len() + one.detail.len() + 5)
        .sum();
    let mut text = String::with_capacity(length);
    for Finding { reason, detail, .. } in findings {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(reason);
        // A sysctl without a name leaves nothing to say.
        if !detail.is_empty() {
            text.push_str(" (");
            text.push_str(detail);
            text.push(')');
        }
    }
    text
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
    let mut text = String::with_capacity(USUAL_LENGTH);
    push_quoted(&mut text, items);
    text
}

/// Longer than nearly every detail, which is then written without moving it.
const USUAL_LENGTH: usize = 160;

fn push_quoted<'a>(text: &mut String, items: impl IntoIterator<Item = &'a str>) {
    for (index, item) in items.into_iter().enumerate() {
        text.push_str(if index == 0 { "\"" } else { ", \"" });
        text.push_str(item);
        text.push('"');
    }
}

/// Names, or values in a set, sorted as the admission controller sorts them: by their bytes.
pub(crate) type Sorted<'a> = BTreeSet<&'a str>;

/// The singular for exactly one, as the admission controller has it.
pub(crate) fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// `container "a"`, `containers "a", "b"`.
pub(crate) fn containers(names: &[&str]) -> String {
    let mut text = String::with_capacity(USUAL_LENGTH);
    push_containers(&mut text, names);
    text
}

fn push_containers(text: &mut String, names: &[&str]) {
    text.push_str(plural(names.len(), "container ", "containers "));
    push_quoted(text, names.iter().copied());
}

/// `pod`, `container "a"`, `pod and containers "a", "b"`: who sets something.
pub(crate) fn setters(pod: bool, names: &[&str]) -> String {
    let mut text = String::with_capacity(USUAL_LENGTH);
    if pod {
        text.push_str(if names.is_empty() { "pod" } else { "pod and " });
    }
    if !names.is_empty() {
        push_containers(&mut text, names);
    }
    text
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
