//! Real programs on a node without SeccompDefault and on one with it: what is said of them from the
//! first node alone, held against what happens on the second. Starts a lab with two nodes, as root.
//!
//! Five programs, or with `PODFENCE_CORPUS=all` all of `e2e/corpus/programs.txt`; with
//! `PODFENCE_CORPUS=NAME,...` these. `PODFENCE_WRITE_TABLE` writes docs/reference/corpus.md anew.

// A story that panics has failed, and says where.
#![allow(clippy::indexing_slicing)]

mod burden;
mod ground;
mod images;
mod look;
mod observed;
mod runs;

use std::{collections::BTreeSet, env, fs, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, stream};
use podfence_e2e::{
    corpus::{Bars, Happened, Outcome, Program, Report, parse, table},
    harness::{Case, Shared, tell},
};

use ground::Ground;

/// Which programs are run.
const CHOICE: &str = "PODFENCE_CORPUS";
/// Says that the table of the documentation is to be written anew.
const WRITE_TABLE: &str = "PODFENCE_WRITE_TABLE";
/// Eighty programs, each of which is watched for half a minute and then run again, and the root file
/// system of all of them, which is built once.
const LONGEST: Duration = Duration::from_secs(5400);
/// Programs at once: they wait most of the time, and the machine may have two cores.
const AT_ONCE: usize = 5;

fn main() -> ExitCode {
    tell(vec![
        Case::new(programs_fail_as_was_said_before).within(LONGEST),
        Case::new(observed::what_the_runtime_does_is_not_the_containers),
        Case::new(observed::a_container_that_ends_at_once_is_seen),
        Case::new(observed::what_is_denied_is_recorded),
        Case::new(burden::many_containers_are_little_to_hold).within(LONGEST),
        Case::new(burden::a_storm_is_lost_and_nothing_is_known).within(LONGEST),
        Case::new(observed::an_agent_that_was_away_is_a_loss).within(LONGEST),
    ])
}

async fn programs_fail_as_was_said_before(shared: Shared<Ground>) -> anyhow::Result<()> {
    let programs = chosen()?;
    let ground = shared.get().await?;
    let _bustle = ground.bustle.read().await;
    ground.import(&programs).await?;
    let runs = programs.into_iter().map(|program| run(&ground, program));
    let runs = stream::iter(runs).buffered(AT_ONCE);
    let runs: Vec<anyhow::Result<Report>> = runs.collect().await;
    let reports = runs.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let page = table::page(&reports, &ground.facts);
    print!("{page}");
    if env::var_os(WRITE_TABLE).is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/corpus.md");
        fs::write(&file, &page).with_context(|| format!("failed to write {}", file.display()))?;
    }
    let missed = Bars::of(&reports).missed();
    ensure!(missed.is_empty(), "{}", missed.join("\n"));
    Ok(())
}

/// The programs that were asked for.
fn chosen() -> anyhow::Result<Vec<Program>> {
    let programs = parse(include_str!("../../corpus/programs.txt"))?;
    let Ok(choice) = env::var(CHOICE) else {
        return Ok(programs.into_iter().filter(|it| it.is_short).collect());
    };
    if choice == "all" {
        return Ok(programs);
    }
    let names: BTreeSet<&str> = choice.split(',').collect();
    let programs: Vec<_> = programs
        .into_iter()
        .filter(|program| names.contains(&*program.name))
        .collect();
    ensure!(
        programs.len() == names.len(),
        "{CHOICE} names a program that is not in the table: {choice}"
    );
    Ok(programs)
}

/// Runs a program on the one node, hears what is said of it, and runs it on the other.
async fn run(ground: &Ground, program: Program) -> anyhow::Result<Report> {
    let name = program.name.clone();
    let told = async {
        let (off, started) = ground.goes(&program, &ground.off).await?;
        let observed = match &off {
            Outcome::Done => Some(ground.observed(&program, started.elapsed()).await?),
            Outcome::Failed { .. } | Outcome::Hung { .. } => None,
        };
        let on = match &off {
            Outcome::Done => {
                let (outcome, _) = ground.goes(&program, &ground.on).await?;
                let verdict = ground.verdict_on(&program).await?;
                Some(Happened { outcome, verdict })
            }
            Outcome::Failed { .. } | Outcome::Hung { .. } => None,
        };
        ground.clear(&program).await?;
        let report = Report {
            program,
            off,
            observed,
            on,
        };
        anyhow::Ok(report)
    };
    let report = told.await.with_context(|| format!("program {name}"))?;
    // Whoever waits for the table reads what there is.
    eprintln!(
        "{name}: {:?}, then {:?}; without it {:?}; wrong: {:?}",
        report.observed,
        report.on,
        report.off,
        report.wrong_expectations()
    );
    Ok(report)
}
