//! The warnings of a namespace update: which ones to expect, and what one of them says. Pure.
//!
//! When enforce tightens, the API server evaluates the pods of the namespace, finished ones
//! included, and answers with warnings. Here the same lines are made from the pods that are
//! known, so that the operator can tell whether finished pods alone explain the answer.

use std::collections::{BTreeMap, BTreeSet};

use crate::level::LevelVersion;

/// Characters that all warnings of one response have together before each is cut.
const MAX_TOTAL: usize = 4 * 1_024;
/// Characters that are left of each warning then.
const MAX_CUT: usize = 256;

/// The reasons that can stand in a line about a pod.
const REASONS: [&str; 19] = [
    "allowPrivilegeEscalation != false",
    "forbidden AppArmor profile",
    "forbidden AppArmor profiles",
    "forbidden sysctls",
    "host namespaces",
    "hostPath volumes",
    "hostPort",
    "hostProcess",
    "non-default capabilities",
    "privileged",
    "probe or lifecycle host",
    "procMount",
    "restricted volume types",
    "runAsNonRoot != true",
    "runAsUser=0",
    "seLinuxOptions",
    "seccompProfile",
    "unknown forbidden reason",
    "unrestricted capabilities",
];

/// The lines that the API server answers with when `namespace` comes to enforce `policy` and
/// `pods`, by name and with the text of [`crate::reasons`], are those that violate it. It names
/// one pod for each text and counts the others. Of more than 3,000 pods, or when a second is
/// over, it leaves some out and says so in a line that is not made here.
#[must_use]
pub fn existing_pods_warnings<'a>(
    namespace: &str,
    policy: LevelVersion,
    pods: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<String> {
    let mut names_by_reasons: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for (name, reasons) in pods {
        let (first, count) = names_by_reasons.entry(reasons).or_insert((name, 0));
        *first = name.min(first);
        *count += 1;
    }
    if names_by_reasons.is_empty() {
        return Vec::new();
    }
    let lines: BTreeSet<String> = names_by_reasons
        .into_iter()
        .map(|(reasons, (name, count))| match count {
            1 => format!("{name}: {reasons}"),
            2 => format!("{name} (and 1 other pod): {reasons}"),
            _ => format!("{name} (and {} other pods): {reasons}", count - 1),
        })
        .collect();
    let summary = format!(
        "existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level \"{policy}\""
    );
    std::iter::once(summary).chain(lines).collect()
}

/// The lines as they reach the client. An API server that has too much to say in one response
/// cuts every line, and in the end drops lines.
#[must_use]
pub fn as_sent(lines: &[String]) -> Vec<String> {
    let total: usize = lines.iter().map(|line| line.chars().count()).sum();
    if total <= MAX_TOTAL {
        return lines.to_vec();
    }
    let mut written = 0;
    let mut sent = Vec::new();
    for line in lines {
        if written >= MAX_TOTAL {
            break;
        }
        let cut: String = line.chars().take(MAX_CUT).collect();
        written += cut.chars().count();
        sent.push(cut);
    }
    sent
}

/// What a warning says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WarningLine {
    /// Pods violate the new level; lines about them follow.
    ExistingPodsViolate,
    /// One or more pods violate it.
    PodLine {
        /// The pod that is named.
        pod: String,
        /// How many other pods have the same reasons.
        others: u64,
        /// The reasons, as text.
        reasons: String,
    },
    /// Not all pods were checked.
    Truncated {
        /// How many were.
        checked: u64,
        /// How many there are.
        total: u64,
    },
    /// The namespace is exempt; its labels have no effect.
    Exempt,
    /// The API server could not list the pods.
    ListFailed,
    /// Anything else, from whomever it comes.
    Other,
}

/// Reads one warning. Only lines that the admission controller writes are recognised; a line
/// about a pod only by reasons that it is known to give.
#[must_use]
pub fn parse_warning(line: &str) -> WarningLine {
    if line == "failed to list pods while checking new PodSecurity enforce level" {
        return WarningLine::ListFailed;
    }
    if line.starts_with("existing pods in namespace \"")
        && line.contains("\" violate the new PodSecurity enforce level")
    {
        return WarningLine::ExistingPodsViolate;
    }
    if line.starts_with("namespace \"")
        && line.contains("\" is exempt from Pod Security, and the policy (")
    {
        return WarningLine::Exempt;
    }
    parse_truncated(line)
        .or_else(|| parse_pod(line))
        .unwrap_or(WarningLine::Other)
}

fn parse_truncated(line: &str) -> Option<WarningLine> {
    let numbers = line
        .strip_prefix("new PodSecurity enforce level only checked against the first ")?
        .strip_suffix(" existing pods")?;
    let (checked, total) = numbers.split_once(" of ")?;
    Some(WarningLine::Truncated {
        checked: checked.parse().ok()?,
        total: total.parse().ok()?,
    })
}

fn parse_pod(line: &str) -> Option<WarningLine> {
    let (pods, reasons) = line.split_once(": ")?;
    let (pod, others) = match pods.split_once(" (and ") {
        None => (pods, 0),
        Some((pod, others)) => {
            let others = others
                .strip_suffix(" other pod)")
                .or(others.strip_suffix(" other pods)"));
            (pod, others?.parse().ok()?)
        }
    };
    let is_name = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    if pod.is_empty() || !pod.bytes().all(is_name) {
        return None;
    }
    // Only the last reason can be cut, and only where the API server cuts.
    let (whole, last) = reasons
        .rsplit_once(", ")
        .map_or((None, reasons), |(w, l)| (Some(w), l));
    let is_cut = line.chars().count() == MAX_CUT;
    let is_known = |reason: &str| REASONS.contains(&reason);
    let is_begun = |reason: &str| {
        let begun = reason.trim_end_matches(',');
        is_cut && REASONS.iter().any(|known| known.starts_with(begun))
    };
    let whole_is_known = whole.is_none_or(|whole| whole.split(", ").all(is_known));
    if !whole_is_known || !(is_known(last) || is_begun(last)) {
        return None;
    }
    Some(WarningLine::PodLine {
        pod: pod.to_owned(),
        others,
        reasons: reasons.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{REASONS, WarningLine, as_sent, existing_pods_warnings, parse_warning};
    use crate::{Level, LevelVersion, Rules, ServerVersion, Version};

    const POLICY: LevelVersion = LevelVersion {
        level: Level::Restricted,
        version: Version::Latest,
    };

    #[test]
    fn lines_are_grouped_by_reasons_and_sorted() {
        assert_eq!(
            existing_pods_warnings("ns", POLICY, []),
            Vec::<String>::new()
        );
        let pods = [
            ("web-2", "runAsNonRoot != true"),
            ("b", "hostPort"),
            ("web-1", "runAsNonRoot != true"),
            ("web-3", "runAsNonRoot != true"),
            ("a2", "host namespaces, hostPort"),
            ("a1", "host namespaces, hostPort"),
        ];
        assert_eq!(
            existing_pods_warnings("ns", POLICY, pods),
            [
                r#"existing pods in namespace "ns" violate the new PodSecurity enforce level "restricted:latest""#,
                "a1 (and 1 other pod): host namespaces, hostPort",
                "b: hostPort",
                "web-1 (and 2 other pods): runAsNonRoot != true",
            ]
        );
    }

    #[test]
    fn each_line_is_recognised() {
        let pod = |pod: &str, others, reasons: &str| WarningLine::PodLine {
            pod: pod.to_owned(),
            others,
            reasons: reasons.to_owned(),
        };
        let cases = [
            ("", WarningLine::Other),
            (": hostPort", WarningLine::Other),
            (
                "metadata.name: this is used in the Pod's hostname",
                WarningLine::Other,
            ),
            ("spec.template: hostPort is odd", WarningLine::Other),
            ("a: hostPort, nonsense", WarningLine::Other),
            ("a b: hostPort", WarningLine::Other),
            ("a (and x other pods): hostPort", WarningLine::Other),
            (
                "would violate PodSecurity \"restricted:latest\": hostPort",
                WarningLine::Other,
            ),
            ("a: hostPort", pod("a", 0, "hostPort")),
            (
                "a.b-1 (and 1 other pod): privileged",
                pod("a.b-1", 1, "privileged"),
            ),
            (
                "a (and 12 other pods): seccompProfile, runAsUser=0",
                pod("a", 12, "seccompProfile, runAsUser=0"),
            ),
            (
                "new PodSecurity enforce level only checked against the first 3000 of 3001 existing pods",
                WarningLine::Truncated {
                    checked: 3000,
                    total: 3001,
                },
            ),
            (
                r#"namespace "x" is exempt from Pod Security, and the policy (enforce=restricted:v1.0) will be ignored"#,
                WarningLine::Exempt,
            ),
            (
                "failed to list pods while checking new PodSecurity enforce level",
                WarningLine::ListFailed,
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(parse_warning(line), expected, "{line:?}");
        }
    }

    #[test]
    fn what_is_made_here_is_recognised_here() {
        let long = "x".repeat(250);
        let lines = existing_pods_warnings(
            "ns",
            POLICY,
            [(&*long, "seccompProfile"), ("a", "hostPort")],
        );
        assert_eq!(parse_warning(&lines[0]), WarningLine::ExistingPodsViolate);
        assert!(matches!(
            parse_warning(&lines[1]),
            WarningLine::PodLine { .. }
        ));
        let cut: String = lines[2].chars().take(256).collect();
        assert!(
            matches!(parse_warning(&cut), WarningLine::PodLine { .. }),
            "{cut}"
        );
        assert_eq!(
            parse_warning(&cut[..255]),
            WarningLine::Other,
            "not where it would be cut"
        );
    }

    #[test]
    fn every_reason_that_a_check_gives_is_known() {
        let template = crate::check::violates_everything();
        for minor in 0..=crate::NEWEST_RULES {
            let rules = Rules::new(Version::Minor(minor.into()), ServerVersion::NEWEST);
            let findings = rules.explain(&template, rules.violations(&template));
            for finding in findings {
                assert!(REASONS.contains(&finding.reason), "{finding:?}");
            }
        }
    }

    #[test]
    fn too_many_lines_are_cut_and_dropped() {
        let short: Vec<String> = vec!["é".repeat(1024); 4];
        assert_eq!(as_sent(&short), short);
        let long: Vec<String> = vec!["é".repeat(1024); 20];
        let sent = as_sent(&long);
        assert_eq!(sent.len(), 16);
        assert!(sent.iter().all(|line| *line == "é".repeat(256)));
    }
}
