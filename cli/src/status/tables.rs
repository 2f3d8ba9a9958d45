//! What statuses say, as tables for people. Pure.

use std::fmt::Write as _;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;
use podfence_crd::{
    ConditionType, LevelVersion, NamespacePolicyStatus, NamespaceStatus, NodeReportStatus, Phase,
    SeccompCall, SeccompWorkload,
};

use super::{Seen, condition, found, is_current};
use crate::report::table::{aligned, printable};

/// The tables, with an empty line between each two.
pub(crate) fn tables(seen: &Seen) -> String {
    let tables = [
        policies(seen),
        reasons(seen),
        namespaces(seen),
        workloads(seen),
        nodes(seen),
    ];
    let tables: Vec<String> = tables.into_iter().filter(|text| !text.is_empty()).collect();
    if tables.is_empty() {
        return "there are no policies and no reports of nodes\n".to_owned();
    }
    tables.join("\n")
}

/// A table below its columns; nothing without rows.
fn table<const N: usize>(columns: [&str; N], rows: Vec<[String; N]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut all = vec![columns.map(str::to_owned)];
    all.extend(rows.into_iter().map(|row| row.map(|cell| printable(&cell))));
    aligned(&all)
}

fn policies(seen: &Seen) -> String {
    let rows = seen.policies.iter().map(|policy| {
        let status = policy.status.clone().unwrap_or_default();
        let summary = status.summary;
        let is = |of| condition(policy, of).to_owned();
        let enforced = (summary.namespaces_enforced, summary.namespaces_matched);
        [
            policy.name_any(),
            policy.spec.profile_ref.name.clone(),
            is(ConditionType::Ready),
            is(ConditionType::Enforced),
            is(ConditionType::SeccompDefaultReady),
            format!("{}/{}", enforced.0, enforced.1),
            summary.namespaces_soaking.to_string(),
            summary.namespaces_held.to_string(),
            summary.namespaces_conflicting.to_string(),
            summary.workloads_violating.to_string(),
            summary.workloads_would_fail.to_string(),
            summary.workloads_at_risk.to_string(),
            summary.workloads_unknown.to_string(),
        ]
    });
    let columns = [
        "POLICY",
        "PROFILE",
        "READY",
        "ENFORCED",
        "SECCOMP-READY",
        "NAMESPACES",
        "SOAKING",
        "HELD",
        "CONFLICTING",
        "VIOLATING",
        "WOULD-FAIL",
        "AT-RISK",
        "UNKNOWN",
    ];
    table(columns, rows.collect())
}

/// Why a policy or a node is not where it should be, in its own words.
fn reasons(seen: &Seen) -> String {
    let mut rows = Vec::new();
    for policy in &seen.policies {
        let name = format!("policy/{}", policy.name_any());
        if is_current(policy) {
            let status = policy.status.iter();
            rows.extend(said(&name, status.flat_map(|status| &status.conditions)));
        } else {
            let missing = "the operator has not yet seen this specification; is it running?";
            rows.push([
                name,
                ConditionType::Ready.to_string(),
                "Unknown".to_owned(),
                missing.to_owned(),
            ]);
        }
    }
    for node in &seen.nodes {
        let status = node.status.iter();
        let conditions = status.flat_map(|status| &status.conditions);
        rows.extend(said(&format!("node/{}", node.name_any()), conditions));
    }
    table(["OF", "CONDITION", "STATUS", "MESSAGE"], rows)
}

/// The conditions that are not as they should be: Stalled and Reconciling where they are true, all
/// others where they are not.
fn said<'a>(
    name: &str,
    conditions: impl Iterator<Item = &'a Condition>,
) -> impl Iterator<Item = [String; 4]> {
    let is_abnormal = |condition: &&Condition| {
        let negative = [ConditionType::Reconciling, ConditionType::Stalled];
        let is_negative = negative
            .iter()
            .any(|negative| condition.type_ == negative.as_str());
        (condition.status == "True") == is_negative
    };
    conditions.filter(is_abnormal).map(move |condition| {
        [
            name.to_owned(),
            condition.type_.clone(),
            condition.status.clone(),
            format!("{}: {}", condition.reason, condition.message),
        ]
    })
}

/// The namespaces that are not at their target, and what stands in the way.
fn namespaces(seen: &Seen) -> String {
    let mut rows = Vec::new();
    let mut omitted = String::new();
    for policy in &seen.policies {
        let status = policy.status.clone().unwrap_or_default();
        let NamespacePolicyStatus {
            namespaces,
            truncated,
            ..
        } = status;
        let waiting = namespaces
            .iter()
            .filter(|namespace| namespace.phase != Phase::Enforced);
        rows.extend(waiting.map(|namespace| {
            let NamespaceStatus {
                name,
                phase,
                reason,
                current,
                target,
                since,
                next_change_time,
                ..
            } = namespace;
            [
                policy.name_any(),
                name.clone(),
                phase.to_string(),
                reason.to_string(),
                pair(current.as_ref()),
                pair(target.as_ref()),
                time(since.as_ref()),
                time(next_change_time.as_ref()),
                in_the_way(namespace),
            ]
        }));
        if truncated.namespaces > 0 {
            let name = policy.name_any();
            // Writing to a string cannot fail.
            let _ = writeln!(
                omitted,
                "{name}: and {} more namespaces",
                truncated.namespaces
            );
        }
    }
    let columns = [
        "POLICY",
        "NAMESPACE",
        "PHASE",
        "REASON",
        "CURRENT",
        "TARGET",
        "SINCE",
        "NEXT-CHANGE",
        "VIOLATING",
    ];
    table(columns, rows) + &omitted
}

fn pair(pair: Option<&LevelVersion>) -> String {
    pair.map(|pair| format!("{}:{}", pair.level, pair.version))
        .unwrap_or_default()
}

fn time(time: Option<&Time>) -> String {
    time.map(|time| time.0.to_string()).unwrap_or_default()
}

/// The workloads that violate the target, each with the checks that it fails.
fn in_the_way(namespace: &NamespaceStatus) -> String {
    let mut named: Vec<String> = namespace
        .worst
        .iter()
        .map(|workload| {
            let checks: Vec<&str> = workload.checks.iter().map(|check| check.as_str()).collect();
            format!("{}/{} ({})", workload.kind, workload.name, checks.join(","))
        })
        .collect();
    let listed = u32::try_from(named.len()).unwrap_or(u32::MAX);
    let more = namespace.violating_workloads.saturating_sub(listed);
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named.join(", ")
}

/// Who would fail under SeccompDefault.
fn workloads(seen: &Seen) -> String {
    let mut rows = Vec::new();
    let mut omitted = String::new();
    for policy in &seen.policies {
        let status = policy.status.clone().unwrap_or_default();
        let seccomp = status.seccomp_default.unwrap_or_default();
        rows.extend(seccomp.workloads.iter().map(workload));
        let more = status.truncated.workloads;
        if more > 0 {
            let _ = writeln!(omitted, "{}: and {more} more workloads", policy.name_any());
        }
    }
    // Two policies can speak of one namespace only if it has changed hands in between.
    rows.dedup();
    let columns = [
        "VERDICT",
        "NAMESPACE",
        "WORKLOAD",
        "CONTAINER",
        "PROFILE",
        "CALLS",
        "EVIDENCE",
        "FIX",
        "DOUBT",
    ];
    table(columns, rows) + &omitted
}

fn workload(workload: &SeccompWorkload) -> [String; 9] {
    let SeccompWorkload {
        namespace,
        kind,
        name,
        container,
        verdict,
        basis: _,
        profile,
        since: _,
        calls,
        evidence,
        failing_on: _,
        healthy_on: _,
        fix,
        doubt,
    } = workload;
    let calls: Vec<String> = calls.iter().map(call).collect();
    [
        verdict.to_string(),
        namespace.clone(),
        format!("{kind}/{name}"),
        container.clone(),
        profile.clone().unwrap_or_default(),
        calls.join(", "),
        evidence.join(","),
        fix.clone().unwrap_or_default(),
        doubt.clone().unwrap_or_default(),
    ]
}

/// A call as people say it: `unshare(CLONE_NEWUSER) EPERM`.
pub(crate) fn call(call: &SeccompCall) -> String {
    let SeccompCall {
        name,
        argument,
        errno,
        certainty: _,
    } = call;
    let argument = argument.as_ref().map(|argument| format!("({argument})"));
    let errno = errno.as_ref().map(|errno| format!(" {errno}"));
    format!(
        "{name}{}{}",
        argument.unwrap_or_default(),
        errno.unwrap_or_default()
    )
}

fn nodes(seen: &Seen) -> String {
    let rows = seen.nodes.iter().map(|node| {
        let status = node.status.clone().unwrap_or_default();
        let NodeReportStatus {
            observed_generation: _,
            conditions,
            seccomp_default,
            profile,
            workloads,
            containers_before_switch,
            worst: _,
            omitted: _,
        } = status;
        let ready = found(&conditions, ConditionType::SeccompDefaultReady);
        [
            node.name_any(),
            seccomp_default.to_string(),
            profile.unwrap_or_default(),
            ready.map_or("Unknown", |ready| &ready.status).to_owned(),
            (workloads.failing + workloads.conflicting).to_string(),
            workloads.would_fail.to_string(),
            (workloads.at_risk + workloads.suspected).to_string(),
            workloads.unknown.to_string(),
            containers_before_switch.to_string(),
        ]
    });
    let columns = [
        "NODE",
        "SECCOMP-DEFAULT",
        "PROFILE",
        "SECCOMP-READY",
        "FAILING",
        "WOULD-FAIL",
        "AT-RISK",
        "UNKNOWN",
        "BEFORE-SWITCH",
    ];
    table(columns, rows.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Seen;
    use super::tables;

    fn read<T: serde::de::DeserializeOwned>(object: Value) -> T {
        serde_json::from_value(object).expect("an object of ours")
    }

    fn condition(of: &str, status: &str, message: &str) -> Value {
        json!({ "type": of, "status": status, "reason": "Because", "message": message,
            "lastTransitionTime": "2026-11-20T10:00:00Z" })
    }

    fn policy(name: &str, generation: i64, status: &Value) -> Value {
        json!({
            "apiVersion": "podfence.dev/v1alpha1", "kind": "NamespacePolicy",
            "metadata": { "name": name, "generation": generation },
            "spec": { "profileRef": { "name": "restricted" }, "namespaceSelector": {} },
            "status": status,
        })
    }

    fn good(name: &str) -> Value {
        policy(
            name,
            3,
            &json!({
                "observedGeneration": 3,
                "conditions": [condition("Enforced", "True", ""), condition("Ready", "True", "")],
                "summary": { "namespacesMatched": 2, "namespacesEnforced": 2 },
                "namespaces": [{ "name": "blog", "phase": "Enforced", "reason": "AtTarget" }],
            }),
        )
    }

    fn held() -> Value {
        policy(
            "apps",
            3,
            &json!({
                "observedGeneration": 3,
                "conditions": [
                    condition("Enforced", "False", "1 of 2 namespaces is held back"),
                    condition("Ready", "True", ""),
                    condition("Reconciling", "True", "waiting"),
                    condition("SeccompDefaultReady", "False", "1 would fail"),
                ],
                "summary": { "namespacesMatched": 2, "namespacesEnforced": 1, "namespacesHeld": 1,
                    "workloadsViolating": 3, "workloadsWouldFail": 1, "workloadsUnknown": 4 },
                "namespaces": [{ "name": "shop", "phase": "Held", "reason": "ViolatingWorkloads",
                    "current": { "level": "baseline", "version": "v1.34" },
                    "target": { "level": "restricted", "version": "v1.34" },
                    "since": "2026-11-20T10:00:00Z", "violatingWorkloads": 3,
                    "worst": [{ "kind": "Deployment", "name": "web",
                        "checks": ["runAsNonRoot", "seccompProfile_restricted"] }] }],
                "seccompDefault": { "workloads": [{ "namespace": "shop", "kind": "Deployment",
                    "name": "web\u{1b}[2J", "container": "app", "verdict": "WouldFail",
                    "profile": "containerd/2.3.7", "evidence": ["Observer", "Signature"],
                    "calls": [{ "name": "unshare", "argument": "CLONE_NEWUSER", "errno": "EPERM",
                        "certainty": "Observed" }, { "name": "keyctl", "certainty": "Observed" }],
                    "fix": "LocalhostProfile" }] },
                "truncated": { "namespaces": 7, "workloads": 2 },
            }),
        )
    }

    fn node() -> Value {
        json!({
            "apiVersion": "podfence.dev/v1alpha1", "kind": "NodeReport",
            "metadata": { "name": "node-1" }, "spec": {},
            "status": { "observedGeneration": 1, "seccompDefault": "Disabled",
                "profile": "containerd/2.3.7",
                "conditions": [condition("SeccompDefaultReady", "Unknown", "4 are not known")],
                "workloads": { "failing": 1, "conflicting": 1, "wouldFail": 2, "suspected": 3,
                    "unknown": 4 },
                "containersBeforeSwitch": 5 },
        })
    }

    #[test]
    fn a_cluster_without_anything_says_so() {
        let nothing = Seen::default();
        assert_eq!(
            tables(&nothing),
            "there are no policies and no reports of nodes\n"
        );
        assert!(nothing.is_done());
    }

    #[test]
    fn what_is_done_is_one_line() {
        let seen = Seen {
            policies: vec![read(good("base"))],
            ..Seen::default()
        };
        let text = tables(&seen);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("base     restricted   True    True       <none>          2/2"));
        assert!(seen.is_done());
    }

    #[test]
    fn what_is_held_back_is_named_with_who_holds_it() {
        let seen = Seen {
            policies: vec![read(held()), read(good("base"))],
            nodes: vec![read(node())],
            ..Seen::default()
        };
        let want = include_str!("../../tests/fixtures/status.txt");
        assert_eq!(tables(&seen), want);
        assert!(!seen.is_done());
    }

    #[test]
    fn a_status_of_an_older_specification_says_nothing() {
        let statuses = [
            json!({ "observedGeneration": 2, "conditions": [condition("Ready", "True", ""),
                condition("Enforced", "True", "")] }),
            json!({ "observedGeneration": -1 }),
            Value::Null,
        ];
        for status in statuses {
            let seen = Seen {
                policies: vec![read(policy("apps", 3, &status))],
                ..Seen::default()
            };
            let text = tables(&seen);
            assert!(
                text.contains("restricted   Unknown   Unknown"),
                "{status}: {text}"
            );
            assert!(
                text.contains("has not yet seen this specification"),
                "{text}"
            );
            assert!(!seen.is_done(), "{status}");
        }
    }

    #[test]
    fn one_thing_is_enough_not_to_be_done() {
        for (of, status, want) in [
            ("Ready", "False", false),
            ("Ready", "Unknown", false),
            ("Enforced", "False", false),
            ("SeccompDefaultReady", "False", false),
            ("SeccompDefaultReady", "Unknown", true),
            ("PodSecurityCompliant", "False", true),
        ] {
            let mut policy = good("base");
            let conditions = policy["status"]["conditions"].as_array_mut().expect("some");
            conditions.retain(|condition| condition["type"] != of);
            conditions.push(condition(of, status, ""));
            let seen = Seen {
                policies: vec![read(policy)],
                ..Seen::default()
            };
            assert_eq!(seen.is_done(), want, "{of} {status}");
        }
    }
}
