//! Ours and Kubernetes' own library on the same pods: nanoseconds per pod, and the ratios.
//!
//! Half of the pods are as an API server returns them, half as clients write them. Nothing is
//! kept between two pods. Both sides take the fastest of many runs: the one that no other program
//! disturbed, nor, in Go, the collector.

use std::hint::black_box;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podfence_e2e::oracle;
use podfence_e2e::pods::{Generator, as_served};
use podfence_podsecurity::{Level, Rules, ServerVersion, Version, message};
use podfence_workload::{Defaulting, Kind, Object, decode};
use serde::Deserialize;

const PODS: usize = 1_000;
/// Pods that are timed at once: few, so that many a run is not interrupted.
const SLICE: usize = 20;
/// How long each measurement takes on each side.
const SECONDS: f64 = 3.0;

/// The bars of the design: how many times as fast as the library.
const EVALUATE_BAR: f64 = 10.0;
const FROM_JSON_BAR: f64 = 5.0;

/// Nanoseconds per pod of the library, and how many pods it forbids.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Library {
    violating: f64,
    evaluate: f64,
    evaluate_with_text: f64,
    #[serde(rename = "fromJSON")]
    from_json: f64,
    #[serde(rename = "fromJSONWithEncodingJSON")]
    from_json_with_encoding_json: f64,
}

fn main() -> Result<()> {
    let lines = pods();
    let bytes: usize = lines.iter().map(String::len).sum();
    println!(
        "{PODS} pods of {} bytes on the average, at restricted:latest",
        bytes / PODS
    );
    let rules = Rules::new(Version::Latest, ServerVersion::NEWEST);
    let objects: Vec<Object> = lines.iter().map(|line| read(line)).collect::<Result<_>>()?;
    let violations = |object: &Object| {
        let template = object.template.as_deref();
        template.map_or_else(Default::default, |template| {
            rules.at_level(Level::Restricted, rules.violations(template))
        })
    };
    let violating = objects
        .iter()
        .filter(|object| !violations(object).is_empty())
        .count();

    let evaluate = measure(&objects, |object| violations(object).len() as usize);
    let evaluate_with_text = measure(&objects, |object| {
        object.template.as_deref().map_or(0, |template| {
            message(&rules.explain(template, violations(object))).len()
        })
    });
    let from_json = measure(&lines, |line| {
        read(line).map_or(0, |object| violations(&object).len() as usize)
    });
    let library = library(&lines)?;
    #[allow(clippy::cast_precision_loss)] // A thousand pods.
    let agree = (library.violating - violating as f64).abs() < 0.5;
    ensure!(
        agree,
        "ours forbids {violating} pods, the library {}",
        library.violating
    );

    println!("{violating} of them violate, both say\n");
    println!(
        "{:<28} {:>10} {:>10} {:>8}  bar",
        "ns per pod", "ours", "library", "ratio"
    );
    row("evaluate", evaluate, library.evaluate, Some(EVALUATE_BAR));
    row(
        "evaluate with text",
        evaluate_with_text,
        library.evaluate_with_text,
        None,
    );
    row(
        "from JSON",
        from_json,
        library.from_json,
        Some(FROM_JSON_BAR),
    );
    row(
        "from JSON, encoding/json",
        from_json,
        library.from_json_with_encoding_json,
        None,
    );
    ensure!(
        library.evaluate >= EVALUATE_BAR * evaluate,
        "evaluation is below its bar"
    );
    ensure!(
        library.from_json >= FROM_JSON_BAR * from_json,
        "decoding is below its bar"
    );
    Ok(())
}

fn row(name: &str, ours: f64, library: f64, bar: Option<f64>) {
    let bar = bar.map_or_else(String::new, |bar| format!("{bar}"));
    println!(
        "{name:<28} {ours:>10.0} {library:>10.0} {:>8.1}  {bar}",
        library / ours
    );
}

/// One line of JSON each, every second as an API server returns it.
fn pods() -> Vec<String> {
    let mut generator = Generator::new(42);
    (0..PODS)
        .map(|number| {
            let pod = generator.pod();
            let pod = if number % 2 == 0 {
                pod
            } else {
                as_served(&pod, number)
            };
            pod.to_string()
        })
        .collect()
}

fn read(line: &str) -> Result<Object> {
    Ok(decode(Kind::Pod, line.as_bytes(), Defaulting::AsServed)?)
}

/// Nanoseconds per pod. Of each slice of the pods the fastest run counts, as in the oracle.
fn measure<T>(pods: &[T], one: impl Fn(&T) -> usize) -> f64 {
    let started = Instant::now();
    let mut fastest = vec![Duration::MAX; pods.len().div_ceil(SLICE)];
    while started.elapsed().as_secs_f64() < SECONDS {
        for (slice, fastest) in pods.chunks(SLICE).zip(&mut fastest) {
            let before = Instant::now();
            for pod in slice {
                black_box(one(black_box(pod)));
            }
            *fastest = before.elapsed().min(*fastest);
        }
    }
    let total: Duration = fastest.iter().sum();
    #[allow(clippy::cast_precision_loss)] // A thousand pods.
    let pods = pods.len() as f64;
    total.as_secs_f64() * 1e9 / pods
}

fn library(lines: &[String]) -> Result<Library> {
    let mut process = Command::new(oracle::build("podsecurity")?)
        .args(["bench", "-seconds", &SECONDS.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start the oracle")?;
    let mut pipe = process
        .stdin
        .take()
        .context("the oracle has no standard input")?;
    for line in lines {
        writeln!(pipe, "{line}")?;
    }
    drop(pipe);
    let output = process.wait_with_output()?;
    ensure!(
        output.status.success(),
        "the oracle failed: {}",
        output.status
    );
    serde_json::from_slice(&output.stdout).context("failed to read the oracle's figures")
}
