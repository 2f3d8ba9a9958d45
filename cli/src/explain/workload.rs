//! Why a workload has its verdict. Pure.

use std::fmt::Write as _;

use podfence_crd::{NamespacePolicy, NodeReport, SeccompWorkload};
use podfence_plan::seccomp_default::{
    Admitted, CallSaid, ContainerSaid, Explanation, FixSaid, Levels, Place, PodSaid,
};
use podfence_seccomp::{Readiness, Verdict};
use serde::Serialize;

use super::gather::SeenNamespace;
use super::text::{Facts, few, length, table};
use super::{Answer, WhyError};
use crate::args::Form;
use crate::report::table::printable;

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    #[serde(flatten)]
    explanation: Explanation,
    pod_security: PodSecurity,
    /// The policy that decides on the namespace.
    policy: Option<String>,
    operator: OperatorSaid,
}

/// What the namespace enforces.
#[derive(Debug, Serialize)]
struct PodSecurity {
    /// None where the cluster's default holds.
    now: Option<String>,
    planned: Option<String>,
}

/// What the operator has written of the same workload.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OperatorSaid {
    /// Where.
    source: Option<String>,
    entry: Option<SeccompWorkload>,
    /// Whether its verdict is another one.
    differs: bool,
    /// Why that may be.
    note: Option<&'static str>,
}

/// What is said of a workload of the namespace.
pub(super) fn answer(
    mut seen: SeenNamespace,
    kind: &str,
    name: &str,
    form: Form,
) -> Result<Answer, WhyError> {
    let workload = seen.look.find(kind, name).cloned();
    let explanation = workload.and_then(|workload| seen.look.explain(&workload));
    let explanation = explanation.ok_or_else(|| WhyError::NoWorkload {
        namespace: seen.name.clone(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    })?;
    let said = Said {
        operator: operator(&explanation, seen.policy.as_ref(), &seen.reports),
        pod_security: PodSecurity::of(seen.levels),
        policy: seen.policy.and_then(|policy| policy.metadata.name),
        explanation,
    };
    Ok(Answer {
        fails: said.explanation.verdict.readiness() == Readiness::NotReady,
        text: match form {
            Form::Json => serde_json::to_string_pretty(&said)? + "\n",
            Form::Text => text(&said),
        },
        warnings: seen.warnings,
    })
}

impl PodSecurity {
    fn of(levels: Levels) -> Self {
        Self {
            now: levels.now.map(|pair| pair.to_string()),
            planned: levels.planned.map(|pair| pair.to_string()),
        }
    }
}

/// The entry of the policy's status, or of a node's report; a policy says it of wherever it lands.
fn operator(
    explanation: &Explanation,
    policy: Option<&NamespacePolicy>,
    reports: &[NodeReport],
) -> OperatorSaid {
    let mut of_policy = policy.into_iter().flat_map(|policy| {
        let status = policy.status.iter();
        let seccomp = status.filter_map(|status| status.seccomp_default.as_ref());
        let name = policy.metadata.name.as_deref().unwrap_or_default();
        seccomp
            .flat_map(|seccomp| &seccomp.workloads)
            .map(move |entry| (format!("policy/{name}"), entry))
    });
    let of_nodes = reports.iter().flat_map(|report| {
        let name = report.metadata.name.as_deref().unwrap_or_default();
        let worst = report.status.iter().flat_map(|status| &status.worst);
        worst.map(move |entry| (format!("nodereport/{name}"), entry))
    });
    let is_meant = |(_, entry): &(String, &SeccompWorkload)| {
        (&entry.namespace, &entry.kind, &entry.name)
            == (&explanation.namespace, &explanation.kind, &explanation.name)
    };
    // A policy speaks of the worst place; of several nodes the worst does.
    let found = of_policy
        .find(is_meant)
        .or_else(|| of_nodes.filter(is_meant).min_by_key(|(_, it)| it.verdict));
    let said = found.as_ref().map(|(_, entry)| entry.verdict);
    // What is no worse than Unknown is not listed.
    let differs = match said {
        Some(said) => said != explanation.verdict,
        None => explanation.verdict < Verdict::Unknown,
    };
    let note = match (said, differs) {
        (_, false) => None,
        (Some(_), true) => Some(
            "the operator also remembers pods that are gone and knows what fails in other \
             namespaces, or has not yet seen what is new",
        ),
        (None, true) if policy.is_none() && reports.is_empty() => {
            Some("no policy decides on this namespace, and no node has a report")
        }
        (None, true) => Some(
            "the operator has not yet seen it, or its lists had no room, or the profile asks for \
             no assessment",
        ),
    };
    OperatorSaid {
        source: found.as_ref().map(|(source, _)| source.clone()),
        entry: found.map(|(_, entry)| entry.clone()),
        differs,
        note,
    }
}

fn text(said: &Said) -> String {
    let Said {
        explanation,
        pod_security,
        policy,
        operator,
    } = said;
    let Explanation {
        namespace,
        kind,
        name,
        verdict,
        places,
        pods: all_pods,
    } = explanation;
    let mut text = String::new();
    let named = printable(&format!("{kind}/{name} in {namespace}"));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{named}: {verdict}");
    for place in places {
        text.push('\n');
        text.push_str(&place_text(place));
    }
    let pods = pods(all_pods);
    if !pods.is_empty() {
        text.push('\n');
        text.push_str(&pods);
    }
    let mut facts = Facts::default();
    let now = pod_security.now.as_deref();
    let now = now.unwrap_or("the cluster's default");
    let planned = match (&pod_security.planned, policy) {
        (Some(planned), Some(policy)) => format!("; {planned} is planned by policy {policy}"),
        (None, Some(policy)) => format!("; policy {policy} plans nothing"),
        (_, None) => "; no policy decides on the namespace".to_owned(),
    };
    facts.add("pod security", &format!("{now}{planned}"));
    facts.add("the operator", &operator_text(operator));
    let _ = write!(text, "\nNAMESPACE AND OPERATOR\n{}", facts.print());
    text
}

fn operator_text(said: &OperatorSaid) -> String {
    let what = match (&said.source, &said.entry) {
        (Some(source), Some(entry)) if said.differs => {
            format!(
                "{source} says {} of container {}",
                entry.verdict, entry.container
            )
        }
        (Some(source), _) => format!("{source} says the same"),
        (None, _) if said.differs => "does not list it".to_owned(),
        (None, _) => "lists nothing that is no worse than this".to_owned(),
    };
    match said.note {
        Some(note) => format!("{what}: {note}"),
        None => what,
    }
}

fn place_text(place: &Place) -> String {
    let Place {
        profile,
        rules,
        architecture,
        kernel,
        nodes,
        unknown,
        containers,
    } = place;
    let mut text = String::new();
    let on = match nodes.len() {
        0 => "no node that it can land on".to_owned(),
        1 => format!("1 node: {}", few(nodes)),
        count => format!("{count} nodes: {}", few(nodes)),
    };
    let under = match (profile, rules) {
        (Some(profile), Some(rules)) => {
            let short = rules.get(..12).unwrap_or(rules);
            let architecture = architecture.unwrap_or_default();
            let kernel = kernel.as_deref().unwrap_or_default();
            format!("{profile} (rules {short}, {architecture}, kernel {kernel})")
        }
        _ => "an unknown RuntimeDefault".to_owned(),
    };
    let _ = writeln!(text, "UNDER {} ON {}", printable(&under), printable(&on));
    for why in unknown {
        let _ = writeln!(text, "  {}", printable(why));
    }
    for container in containers {
        text.push_str(&container_text(container));
    }
    text
}

fn container_text(said: &ContainerSaid) -> String {
    let ContainerSaid {
        container,
        verdict,
        basis,
        since,
        calls,
        evidence,
        coverage,
        failing_on,
        passing_on,
        healthy_twin_on,
        doubt,
        exempt,
        fixes,
    } = said;
    let mut head = format!("container {container}: {verdict}");
    if let Some(basis) = basis {
        let _ = write!(head, ", {}", basis.as_str());
    }
    if let Some(since) = since {
        let _ = write!(head, ", since {}", since.0);
    }
    let mut facts = Facts::default();
    facts.add_some("fails under it on", &few(failing_on));
    facts.add_some("runs well under it on", &few(passing_on));
    facts.add_some("runs well without it on", &few(healthy_twin_on));
    facts.add_all("calls", calls.iter().map(call));
    facts.add_some("evidence", &evidence.join(", "));
    if *verdict != Verdict::NotAffected {
        let asked = length(coverage.asked_seconds);
        let seen = if coverage.observed_seconds == 0 && coverage.starts == 0 {
            "nothing".to_owned()
        } else {
            let observed = length(coverage.observed_seconds);
            format!("{observed} and {} starts", coverage.starts)
        };
        let lost = if coverage.lost { ", some was lost" } else { "" };
        let asked = format!("{seen}{lost}; {asked} and a start are asked for");
        facts.add("calls were observed", &asked);
    }
    facts.add_some("doubt", doubt.as_deref().unwrap_or_default());
    facts.add_some("not affected", exempt.as_deref().unwrap_or_default());
    facts.add_all("what helps", fixes.iter().map(fix));
    format!("  {}\n{}", printable(&head), facts.print_deeper())
}

fn call(said: &CallSaid) -> String {
    let CallSaid {
        call,
        unlocked_by,
        sources,
    } = said;
    let argument = call.argument.as_deref();
    let argument = argument.map_or_else(String::new, |it| format!("({it})"));
    let errno = call.errno.as_deref().unwrap_or("kills it");
    let mut text = format!("{}{argument} {errno}, {}", call.name, call.certainty);
    if !sources.is_empty() {
        let _ = write!(text, " by {}", sources.join(", "));
    }
    if !unlocked_by.is_empty() {
        let _ = write!(text, "; unlocked by {}", unlocked_by.join(" or "));
    }
    text
}

fn fix(said: &FixSaid) -> String {
    let but = match said.admitted {
        Admitted::Offered => "",
        Admitted::PlannedLevelForbids => " (the planned level forbids it)",
        Admitted::LevelForbids => " (the level forbids it)",
    };
    format!("{}{but}", said.fix)
}

fn pods(pods: &[PodSaid]) -> String {
    let rows = pods.iter().flat_map(|pod| {
        let name = if pod.over {
            format!("{} (over)", pod.name)
        } else {
            pod.name.clone()
        };
        let node = pod.node.clone().unwrap_or_default();
        pod.containers.iter().map(move |container| {
            let ended = match (container.last_exit_code, &container.last_exit_reason) {
                (Some(code), Some(reason)) => format!("{code} {reason}"),
                (Some(code), None) => code.to_string(),
                (None, _) => String::new(),
            };
            [
                name.clone(),
                node.clone(),
                container.container.clone(),
                container.under.as_str().to_owned(),
                container.fares.as_str().to_owned(),
                if container.ready { "yes" } else { "no" }.to_owned(),
                container.restarts.to_string(),
                container.state.clone(),
                ended,
            ]
        })
    });
    let columns = [
        "POD",
        "NODE",
        "CONTAINER",
        "UNDER",
        "FARES",
        "READY",
        "RESTARTS",
        "STATE",
        "LAST-EXIT",
    ];
    table(columns, rows.collect())
}

#[cfg(test)]
mod tests;
