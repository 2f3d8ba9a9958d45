//! What is said of all workloads of a namespace. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use podfence_crd::SeccompWorkload;
use podfence_seccomp::{Readiness, Verdict};
use serde::Serialize;

use super::gather::SeenNamespace;
use super::text::table;
use super::{Answer, WhyError};
use crate::args::Form;
use crate::status::tables::call;

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    namespace: String,
    /// How many have which verdict, the worst first.
    verdicts: BTreeMap<Verdict, usize>,
    workloads: Vec<SeccompWorkload>,
}

/// What is said of a namespace.
pub(super) fn answer(seen: SeenNamespace, form: Form) -> Result<Answer, WhyError> {
    let workloads = seen.look.all();
    let mut verdicts: BTreeMap<Verdict, usize> = BTreeMap::new();
    for workload in &workloads {
        *verdicts.entry(workload.verdict).or_default() += 1;
    }
    let not_ready =
        |workload: &SeccompWorkload| workload.verdict.readiness() == Readiness::NotReady;
    let said = Said {
        namespace: seen.name,
        verdicts,
        workloads,
    };
    Ok(Answer {
        fails: said.workloads.iter().any(not_ready),
        text: match form {
            Form::Json => serde_json::to_string_pretty(&said)? + "\n",
            Form::Text => text(&said),
        },
        warnings: seen.warnings,
    })
}

fn text(said: &Said) -> String {
    let Said {
        namespace,
        verdicts,
        workloads,
    } = said;
    let mut text = String::new();
    let counts: Vec<String> = verdicts
        .iter()
        .map(|(verdict, count)| format!("{count} {verdict}"))
        .collect();
    let counts = match &*counts {
        [] => "there are no workloads".to_owned(),
        counts => counts.join(", "),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "namespace {namespace}: {counts}");
    let rows = rows(workloads);
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&rows);
    }
    text
}

/// One line a workload.
pub(super) fn rows(workloads: &[SeccompWorkload]) -> String {
    let rows = workloads.iter().map(|workload| {
        let calls: Vec<String> = workload.calls.iter().map(call).collect();
        [
            workload.verdict.to_string(),
            workload.namespace.clone(),
            format!("{}/{}", workload.kind, workload.name),
            workload.container.clone(),
            workload.profile.clone().unwrap_or_default(),
            calls.join(", "),
            workload.failing_on.join(","),
            workload.healthy_on.join(","),
            workload.fix.clone().unwrap_or_default(),
            workload.doubt.clone().unwrap_or_default(),
        ]
    });
    let columns = [
        "VERDICT",
        "NAMESPACE",
        "WORKLOAD",
        "CONTAINER",
        "PROFILE",
        "CALLS",
        "FAILING-ON",
        "HEALTHY-ON",
        "FIX",
        "DOUBT",
    ];
    table(columns, rows.collect())
}
