//! Writes down what came out of the programs. Pure.

use std::fmt::Write as _;

use super::{Bars, Call, Match, Outcome, Report};

/// Longer last lines of a log say no more in a table.
const SAID_CHARACTERS: usize = 100;

/// Where the programs ran.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The runtime and its version, as a Node says it.
    pub runtime: String,
    /// The kernel, as `uname -r` prints it.
    pub kernel: String,
}

/// The whole page of the documentation.
#[must_use]
pub fn page(reports: &[Report], ground: &Ground) -> String {
    let bars = Bars::of(reports);
    let Ground { runtime, kernel } = ground;
    let mut page = format!(
        "# Real programs under `RuntimeDefault`\n\n\
         Written by `make corpus`, which runs every program of `e2e/corpus/programs.txt` twice: first on a node without\n\
         SeccompDefault, where the agent's observer watches it, then on one with it ({runtime}, Linux {kernel}). The\n\
         verdict is the one from the first node alone, before the program ever ran on the second. What was expected was\n\
         written down before the first run.\n\n"
    );
    page.push_str(&summary(&bars));
    page.push_str(
        "\n| program | verdict from the node without | calls | on the node with SeccompDefault | \
         verdict | wrong expectations |\n|---|---|---|---|---|---|\n",
    );
    for report in reports {
        page.push_str(&row(report));
    }
    page.push_str(
        "\nA call in *italics* failed without a filter too. `cautious`: it works, and a call that succeeds without\n\
         a filter is denied, so that nobody could know.\n",
    );
    page
}

/// What the bars came to, and what they miss.
#[must_use]
pub fn summary(bars: &Bars) -> String {
    let mut text = format!(
        "- {} programs fail; {} of them were `AtRisk` or worse, {} were said to be ready.\n\
         - {} programs work; {} of them were said to fail, {} were `AtRisk` because a call that would be\n  denied had \
         succeeded, {} without such a call, and of {} nothing was known.\n",
        bars.failing,
        bars.foreboded(),
        bars.failing_though_ready.len(),
        bars.working,
        bars.working_though_failing.len(),
        bars.working_cautious.len(),
        bars.working_accused.len(),
        bars.working_unknown.len(),
    );
    let missed = bars.missed();
    if missed.is_empty() {
        text.push_str("- No bar is missed.\n");
    }
    for line in missed {
        // A string takes any text.
        let _ = writeln!(text, "- Missed: {line}.");
    }
    text
}

/// A line of the table.
fn row(report: &Report) -> String {
    let (verdict, calls) = match &report.observed {
        None => ("not observed".to_owned(), String::new()),
        Some(observed) => {
            let mut verdict = format!("`{}`", observed.verdict.as_str());
            if observed.verdict == podfence_seccomp::Verdict::WouldFail {
                let known = if observed.fatal.is_empty() {
                    "the same key failed elsewhere".to_owned()
                } else {
                    format!("known breakage: {}", observed.fatal.join(", "))
                };
                let _ = write!(verdict, " ({known})");
            }
            let calls: Vec<_> = observed.calls.iter().map(call).collect();
            (verdict, calls.join(", "))
        }
    };
    let happened = match (&report.on, &report.off) {
        (Some(on), _) => outcome(&on.outcome),
        (None, off) => format!("not run: without it, {}", outcome(off)),
    };
    let matched = match report.matches() {
        Match::Agrees => "right",
        Match::Cautious => "cautious",
        Match::Misses => "**wrong**",
        Match::Nothing => "",
    };
    format!(
        "| {} | {verdict} | {calls} | {happened} | {matched} | {} |\n",
        report.program.name,
        report.wrong_expectations().join("; ")
    )
}

fn call(call: &Call) -> String {
    let argument = call.argument.as_deref().unwrap_or_default();
    let text = format!(
        "`{}`",
        escaped(format!("{} {argument}", call.name).trim_end())
    );
    if call.has_succeeded {
        text
    } else {
        format!("*{text}*")
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => "works".to_owned(),
        Outcome::Failed { exit, said } => format!("fails with {exit}: {}", short(said)),
        Outcome::Hung { said } => format!("hangs: {}", short(said)),
    }
}

/// A line of a log as it may stand in a table.
fn short(said: &str) -> String {
    let said: String = said
        .chars()
        .map(|it| if it.is_control() { ' ' } else { it })
        .take(SAID_CHARACTERS)
        .collect();
    escaped(said.trim())
        .replace('<', "&lt;")
        .replace('*', "\\*")
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{Happened, Observed, parse};
    use podfence_seccomp::Verdict;

    #[test]
    fn hostile_logs_break_no_table() {
        let text = "program a\n| true\non fails\nverdict at-risk-or-worse\ncall mount\nbecause b\n";
        let report = Report {
            program: parse(text).unwrap().remove(0),
            off: Outcome::Done,
            observed: Some(Observed {
                verdict: Verdict::WouldFail,
                calls: vec![Call {
                    name: "mount".to_owned(),
                    argument: Some("A|B".to_owned()),
                    has_succeeded: false,
                }],
                fatal: vec!["bubblewrap".to_owned()],
            }),
            on: Some(Happened {
                outcome: Outcome::Failed {
                    exit: 1,
                    said: format!("a|b\r\x1b[1m<td>*{}", "x".repeat(200)),
                },
                verdict: None,
            }),
        };
        let row = row(&report);
        let want = "| a | `WouldFail` (known breakage: bubblewrap) | *`mount A\\|B`* | fails with 1: a\\|b  [1m&lt;td>\\*";
        assert!(row.starts_with(want), "{row}");
        assert!(row.ends_with("x | right |  |\n"), "{row}");
        assert_eq!(row.lines().count(), 1);
        let unescaped = row.replace("\\|", "").matches('|').count();
        assert_eq!(unescaped, 7, "{row}");
    }
}
