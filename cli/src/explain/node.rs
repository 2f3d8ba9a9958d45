//! What is known of a node, and whether it could be switched. Pure.

use std::fmt::Write as _;

use podfence_crd::{
    ConditionType, NodeReport, NodeReportSpec, NodeReportStatus, Setting, VerdictCounts,
};
use podfence_plan::seccomp_default::Ground;
use serde::Serialize;

use super::gather::SeenNode;
use super::namespace::rows;
use super::text::{Facts, table};
use super::{Answer, WhyError};
use crate::args::{Form, WhyArguments};
use crate::report::table::printable;

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    node: String,
    seccomp_default: Setting,
    /// Where that was read; null where it is Unknown.
    source: Option<String>,
    /// The `RuntimeDefault`, null where it is not known.
    profile: Option<String>,
    /// Why it is not.
    unknown: Option<String>,
    runtime: String,
    kernel: String,
    architecture: String,
    /// What the operator and the agent are missing.
    missing: Vec<&'static str>,
    /// Whether what the agent reports counts: it is at work on this node.
    report_counts: bool,
    /// As the agent wrote it.
    report: Option<NodeReportSpec>,
    /// As the operator wrote it.
    status: Option<NodeReportStatus>,
}

/// What is said of a node.
pub(super) fn answer(seen: SeenNode, arguments: &WhyArguments) -> Result<Answer, WhyError> {
    let SeenNode {
        known,
        report,
        is_watched,
        warnings,
    } = seen;
    let missing = missing(report.as_ref(), is_watched);
    let kubelet = known.report.as_ref().and_then(|it| it.kubelet.as_ref());
    let asked = kubelet.filter(|kubelet| kubelet.seccomp_default != Setting::Unknown);
    let label = arguments.seccomp_default_node_label.as_deref();
    let source = match asked {
        Some(kubelet) => Some(kubelet.source.map_or_else(
            || "the agent".to_owned(),
            |source| format!("the agent, from {}", source.as_str()),
        )),
        None if known.seccomp_default == Setting::Unknown => None,
        None => label.map(|label| format!("the label {label}")),
    };
    let (spec, status) = report.map(|it| (it.spec, it.status)).unzip();
    let said = Said {
        seccomp_default: known.seccomp_default,
        source,
        profile: known.ground.as_ref().ok().map(Ground::name),
        unknown: known.ground.as_ref().err().map(ToString::to_string),
        runtime: known.node.runtime_version,
        kernel: known.node.kernel_version,
        architecture: known.node.architecture,
        node: known.node.name,
        missing,
        report_counts: spec.is_some() && is_watched,
        report: spec,
        status: status.flatten(),
    };
    Ok(Answer {
        fails: said.is_not_ready(),
        text: match arguments.output {
            Form::Json => serde_json::to_string_pretty(&said)? + "\n",
            Form::Text => said.text(),
        },
        warnings,
    })
}

fn missing(report: Option<&NodeReport>, is_watched: bool) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if report.is_none() {
        missing.push(
            "there is no NodeReport of this node: the operator makes one, is it running and are \
             the kinds installed?",
        );
    } else if report.is_some_and(|report| report.status.is_none()) {
        missing.push("the operator has not yet said anything of this node: is it running?");
    }
    if !is_watched {
        missing.push(
            "no agent is at work here, so that what only it can see is not known or does not \
             count: install it, or give --agent-namespace",
        );
    }
    missing
}

impl Said {
    fn is_not_ready(&self) -> bool {
        let conditions = self.status.iter().flat_map(|status| &status.conditions);
        let ready = ConditionType::SeccompDefaultReady.as_str();
        let mut ready = conditions.filter(|condition| condition.type_ == ready);
        ready.any(|condition| condition.status == "False")
    }

    fn text(&self) -> String {
        let mut text = format!("node {}\n", self.node);
        text.push_str(&self.facts().print());
        if let Some(status) = &self.status {
            let conditions = status.conditions.iter().map(|condition| {
                [
                    condition.type_.clone(),
                    condition.status.clone(),
                    format!("{}: {}", condition.reason, condition.message),
                ]
            });
            let conditions = table(["CONDITION", "STATUS", "MESSAGE"], conditions.collect());
            let _ = write!(text, "\n{conditions}");
            let _ = write!(
                text,
                "\nworkloads that can land here: {}\n",
                counts(&status.workloads)
            );
            let worst = rows(&status.worst);
            if !worst.is_empty() {
                let _ = write!(text, "\n{worst}");
            }
            if status.omitted > 0 {
                let _ = writeln!(text, "and {} more workloads", status.omitted);
            }
        }
        text
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        let source = self.source.as_deref();
        let source = source.map_or_else(
            || "nobody says".to_owned(),
            |source| format!("says {source}"),
        );
        let setting = format!("{}, {source}", self.seccomp_default);
        facts.add("seccompDefault", &setting);
        let profile = match (&self.profile, &self.unknown) {
            (Some(profile), _) => profile.clone(),
            (None, Some(why)) => format!("not known: {why}"),
            (None, None) => String::new(),
        };
        facts.add("RuntimeDefault", &profile);
        facts.add("runtime", &self.runtime);
        facts.add("kernel", &format!("{}, {}", self.kernel, self.architecture));
        if let Some(report) = &self.report {
            reported(&mut facts, report, self.report_counts);
        }
        facts.add_all("missing", self.missing.iter().map(ToString::to_string));
        facts
    }
}

/// What only an agent can see.
fn reported(facts: &mut Facts, report: &NodeReportSpec, counts: bool) {
    if let Some(runtime) = &report.runtime {
        facts.add_some("OCI runtime", runtime.oci_runtime.as_deref().unwrap_or(""));
        let mut found = runtime.profile.to_string();
        if let Some(message) = &runtime.message {
            let _ = write!(found, ": {message}");
        }
        facts.add("profile in force", &found);
    }
    if let Some(observer) = &report.system_calls {
        let since = observer.since.0;
        facts.add("system calls", &format!("observed since {since}"));
    }
    if let Some(apparmor) = &report.app_armor {
        facts.add("AppArmor", apparmor.state.as_str());
    }
    if let Some(files) = &report.seccomp_profiles {
        let count = files.files.len();
        let more = match files.omitted {
            0 => String::new(),
            more => format!(" and {more} that are not listed"),
        };
        facts.add("profile files", &format!("{count}{more}"));
    }
    let before = report.deviations.iter().map(|it| {
        let how = if it.confined {
            "under a filter"
        } else {
            "unconfined"
        };
        format!("{}/{} {}, {how}", it.namespace, it.pod, it.container)
    });
    facts.add_all("running as before the switch", before);
    let problems = report.problems.iter();
    let problems = problems.map(|problem| format!("{}: {}", problem.subject, problem.message));
    facts.add_all("problems", problems);
    if !counts {
        facts.add("the report", "does not count: no agent keeps it true");
    }
}

/// How many workloads have which verdict, the worst first.
fn counts(counts: &VerdictCounts) -> String {
    let VerdictCounts {
        failing,
        conflicting,
        would_fail,
        at_risk,
        suspected,
        unknown,
        would_be_denied,
        no_denial_seen,
        passing,
        not_affected,
    } = counts;
    let all = [
        (failing, "Failing"),
        (conflicting, "Conflicting"),
        (would_fail, "WouldFail"),
        (at_risk, "AtRisk"),
        (suspected, "Suspected"),
        (unknown, "Unknown"),
        (would_be_denied, "WouldBeDenied"),
        (no_denial_seen, "NoDenialSeen"),
        (passing, "Passing"),
        (not_affected, "NotAffected"),
    ];
    let some = all.iter().filter(|(count, _)| **count > 0);
    let some: Vec<String> = some.map(|(count, of)| format!("{count} {of}")).collect();
    printable(&some.join(", "))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use podfence_crd::NodeReport;
    use podfence_plan::seccomp_default::KnownNode;
    use serde_json::{Value, json};

    use super::super::gather::SeenNode;
    use super::{Answer, answer};
    use crate::args::{Arguments, Command};

    fn told(form: &str, report: Option<Value>, is_watched: bool) -> Answer {
        let typed = [
            "podfence",
            "explain",
            "node/on",
            "-o",
            form,
            "--seccomp-default-node-label=stated",
        ];
        let Command::Explain(arguments) = Arguments::parse_from(typed).command else {
            unreachable!("that was typed");
        };
        let node = json!({
            "metadata": { "name": "on", "uid": "u", "labels": { "stated": "false" } },
            "status": { "nodeInfo": {
                "containerRuntimeVersion": "containerd://2.3.7", "architecture": "amd64",
                "kernelVersion": "6.18.0", "operatingSystem": "linux",
            } },
        });
        let node = serde_json::from_value(node).expect("a node");
        let report: Option<NodeReport> =
            report.map(|report| serde_json::from_value(report).expect("a report"));
        let counted = report.as_ref().filter(|_| is_watched);
        let known = KnownNode::new(node, counted.map(|it| it.spec.clone()), Some("stated"));
        let seen = SeenNode {
            known,
            report,
            is_watched,
            warnings: Vec::new(),
        };
        answer(seen, &arguments).expect("an answer")
    }

    fn report(ready: &str) -> Value {
        json!({
            "apiVersion": "podfence.dev/v1alpha1", "kind": "NodeReport",
            "metadata": { "name": "on" },
            "spec": {
                "kubelet": { "seccompDefault": "Enabled", "source": "Configz" },
                "runtime": { "version": "containerd://2.3.7", "ociRuntime": "runc 1.3.0",
                    "profile": "Different", "message": "ptrace is denied" },
                "appArmor": { "state": "Enabled" },
                "seccompProfiles": { "files": [], "omitted": 2 },
                "deviations": [{ "namespace": "shop", "pod": "web-1", "container": "app",
                    "containerId": "c", "confined": false }],
                "problems": [{ "subject": "Kernel", "message": "no such file" }],
            },
            "status": {
                "conditions": [{ "type": "SeccompDefaultReady", "status": ready,
                    "reason": "WorkloadsFailing", "message": "1 of 3 workloads",
                    "lastTransitionTime": "2026-11-20T10:00:00Z" }],
                "seccompDefault": "Enabled",
                "workloads": { "failing": 1, "passing": 2 },
                "worst": [{ "namespace": "shop", "kind": "Deployment", "name": "web",
                    "container": "app", "verdict": "Failing", "failingOn": ["on"],
                    "healthyOn": ["off"], "fix": "Unconfined" }],
                "omitted": 3,
            },
        })
    }

    #[test]
    fn a_node_is_told_in_full() {
        let answer = told("text", Some(report("False")), true);
        assert!(answer.fails);
        assert_eq!(
            answer.text,
            include_str!("../../tests/fixtures/explain-node.txt")
        );
    }

    #[test]
    fn what_is_missing_is_told() {
        let mut silent = report("True");
        silent["status"] = Value::Null;
        for (report, is_watched, want) in [
            (None, false, &["there is no NodeReport", "no agent is"][..]),
            (Some(silent), true, &["has not yet said anything"][..]),
            (Some(report("True")), false, &["does not count"][..]),
            (
                Some(report("True")),
                false,
                &["Disabled, says the label stated"][..],
            ),
        ] {
            let answer = told("text", report, is_watched);
            assert!(!answer.fails);
            for want in want {
                assert!(answer.text.contains(want), "{want}: {}", answer.text);
            }
        }
    }

    #[test]
    fn machines_are_told_the_same() {
        let answer = told("json", Some(report("Unknown")), true);
        assert!(!answer.fails, "that too little is known is no failure");
        let said: Value = serde_json::from_str(&answer.text).expect("JSON");
        assert_eq!(said["seccompDefault"], "Enabled");
        assert_eq!(said["source"], "the agent, from Configz");
        assert_eq!(said["profile"], "containerd/2.3.7");
        assert_eq!(said["reportCounts"], true);
        assert_eq!(said["status"]["workloads"]["failing"], 1);
        assert_eq!(said["missing"], json!([]));
    }
}
