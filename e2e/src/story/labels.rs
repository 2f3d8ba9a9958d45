//! Pod Security labels as one line of text, which is how stories compare them. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

const PREFIX: &str = "pod-security.kubernetes.io/";

/// All Pod Security labels of an object: `enforce=restricted:v1.34 audit=restricted:latest`.
///
/// A level without a version has no colon, a version without a level nothing before it, and a label
/// that is none of the six comes last, as it is. So equal texts mean equal labels.
#[must_use]
pub fn pod_security_labels(labels: &BTreeMap<String, String>) -> String {
    let mut rest: BTreeMap<&str, &str> = labels
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value.as_str())))
        .collect();
    let mut text = String::new();
    for mode in ["enforce", "audit", "warn"] {
        let level = rest.remove(mode);
        let version = rest.remove(format!("{mode}-version").as_str());
        if level.is_some() || version.is_some() {
            let version = version
                .map(|version| format!(":{version}"))
                .unwrap_or_default();
            // Writing to a string does not fail.
            let _ = write!(text, " {mode}={}{version}", level.unwrap_or_default());
        }
    }
    for (key, value) in rest {
        let _ = write!(text, " {key}={value}");
    }
    text.trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_out() {
        for (labels, want) in [
            (vec![], ""),
            (
                vec![
                    ("team", "shop"),
                    ("pod-security.kubernetes.io.a/enforce", "x"),
                ],
                "",
            ),
            (
                vec![("pod-security.kubernetes.io/enforce", "baseline")],
                "enforce=baseline",
            ),
            (
                vec![("pod-security.kubernetes.io/warn-version", "v1.30")],
                "warn=:v1.30",
            ),
            (
                vec![
                    ("pod-security.kubernetes.io/audit", "restricted"),
                    ("pod-security.kubernetes.io/enforce", "baseline"),
                    ("pod-security.kubernetes.io/enforce-version", "v1.34"),
                    ("pod-security.kubernetes.io/other", "x"),
                ],
                "enforce=baseline:v1.34 audit=restricted other=x",
            ),
        ] {
            let labels = labels
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            assert_eq!(pod_security_labels(&labels), want);
        }
    }
}
