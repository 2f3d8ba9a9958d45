//! Our verdicts and texts against those of Kubernetes' own library, on pods made at random.
//!
//! `PODFENCE_PODS` says how many pods (20,000 without it), `PODFENCE_SECONDS` how long to go on
//! instead, `PODFENCE_SEED` where to begin. A difference is reduced to a pod that has nothing
//! left to remove.

#[path = "differential/reduce.rs"]
mod reduce;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use podfence_e2e::oracle::{Answer, Change, Oracle};
use podfence_e2e::pods::Generator;
use podfence_podsecurity::{
    CheckId, CheckSet, Level, LevelVersion, Mode, NEWEST_RULES, Policy, Rules, ServerVersion,
    Version, existing_pods_warnings, message, policy_from_labels, reasons,
};
use podfence_workload::{Defaulting, Kind, Template, decode};
use serde::Deserialize;
use serde_json::{Value, json};

/// Pods on the way to the oracle at once.
const BATCH: usize = 5_000;

/// Every version at which a rule changes, and the one before it.
const MINORS: [u64; 22] = [
    0, 7, 8, 18, 19, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37,
];

/// The rules of each version, with the version as it is asked for.
struct Subject {
    rules: Vec<(Version, Rules)>,
}

impl Subject {
    fn new(server: ServerVersion) -> Self {
        let minors = MINORS.into_iter().map(Version::Minor);
        let future = [Version::Minor(u64::from(NEWEST_RULES) + 1), Version::Latest];
        let rules = minors
            .chain(future)
            .map(|version| (version, Rules::new(version, server)));
        Self {
            rules: rules.collect(),
        }
    }

    fn versions(&self) -> String {
        let versions: Vec<_> = self
            .rules
            .iter()
            .map(|(version, _)| version.to_string())
            .collect();
        versions.join(",")
    }

    /// What we say, in the form in which the oracle answers.
    fn answer(&self, template: &Template) -> Answer {
        let mut answer = Answer::new();
        for (version, rules) in &self.rules {
            let violations = rules.violations(template);
            for level in Level::ALL {
                let findings = rules.explain(template, rules.at_level(level, violations));
                let text = message(&findings);
                let changes = answer.entry(level.to_string()).or_default();
                if changes.last().is_none_or(|change| change.text != text) {
                    changes.push(Change {
                        version: version.to_string(),
                        text,
                    });
                }
            }
        }
        answer
    }
}

fn template(pod: &str) -> Result<Template> {
    let object = decode(Kind::Pod, pod.as_bytes(), Defaulting::AsServed)
        .with_context(|| format!("failed to decode {pod}"))?;
    Ok(object
        .template
        .context("a pod has a template")?
        .as_ref()
        .clone())
}

/// The number in an environment variable.
fn number(variable: &str, default: u64) -> Result<u64> {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .with_context(|| format!("{variable} is no number: {text:?}")),
        Err(_) => Ok(default),
    }
}

/// How many pods failed only one check, by check and version.
type Lone = BTreeMap<(CheckId, Version), u32>;

fn count_lone(lone: &mut Lone, subject: &Subject, template: &Template) {
    for (version, rules) in &subject.rules {
        let violations = rules.violations(template);
        for level in [Level::Baseline, Level::Restricted] {
            let at_level = rules.at_level(level, violations);
            let mut checks = at_level.iter().filter(|check| check.level() == level);
            if let (1, Some(check)) = (at_level.len(), checks.next()) {
                *lone.entry((check, *version)).or_default() += 1;
            }
        }
    }
}

/// Every check must have been the only one to forbid a pod, at every version that has it: else
/// its rule may be wrong without a difference in any verdict.
fn assert_each_was_alone(lone: &Lone, subject: &Subject) {
    for (version, rules) in &subject.rules {
        let active: CheckSet = [Level::Baseline, Level::Restricted]
            .iter()
            .flat_map(|level| rules.checks(*level).iter())
            .collect();
        let counts: Vec<_> = active
            .iter()
            .map(|check| {
                (
                    check,
                    lone.get(&(check, *version)).copied().unwrap_or_default(),
                )
            })
            .collect();
        let text: Vec<_> = counts
            .iter()
            .map(|(check, count)| format!("{check} {count}"))
            .collect();
        println!("{version}: {}", text.join(", "));
        for (check, count) in counts {
            assert!(count > 0, "no pod failed only {check} at {version}");
        }
    }
}

#[test]
fn verdicts_and_texts_are_those_of_kubernetes() -> Result<()> {
    let subject = Subject::new(ServerVersion::NEWEST);
    let pods = number("PODFENCE_PODS", 20_000)?;
    let seconds = number("PODFENCE_SECONDS", 0)?;
    let seed = number("PODFENCE_SEED", 1)?;
    let mut generator = Generator::new(seed);
    let versions = subject.versions();
    let arguments = ["evaluate", "-versions", &versions];
    let mut oracle = Oracle::start("podsecurity", &arguments)?;
    let mut lone = Lone::new();
    let (started, mut done, mut allowed) = (Instant::now(), 0_u64, 0_u64);
    while done < pods || started.elapsed() < Duration::from_secs(seconds) {
        let batch: Vec<String> = (0..BATCH).map(|_| generator.pod().to_string()).collect();
        let mut different = None;
        let outcome = oracle.stream(&batch, |pod, expected: Answer| {
            let template = template(pod)?;
            if subject.answer(&template) != expected {
                different = Some(pod.to_owned());
                bail!("found a difference");
            }
            count_lone(&mut lone, &subject, &template);
            let newest = subject.rules.last().context("there are versions")?;
            allowed += u64::from(
                newest
                    .1
                    .at_level(Level::Restricted, newest.1.violations(&template))
                    .is_empty(),
            );
            Ok(())
        });
        if let Some(pod) = different {
            report(
                &subject,
                &mut Oracle::start("podsecurity", &arguments)?,
                &pod,
            )?;
        }
        outcome?;
        done += BATCH as u64;
    }
    println!(
        "{done} pods from seed {seed} at {} versions and every level: no difference; {allowed} allowed at restricted:latest; {:.1} s",
        subject.rules.len(),
        started.elapsed().as_secs_f64()
    );
    assert_each_was_alone(&lone, &subject);
    Ok(())
}

/// Reduces a pod on which the two differ, and fails with it.
fn report(subject: &Subject, oracle: &mut Oracle, pod: &str) -> Result<()> {
    let mut differs = |pod: &Value| -> Result<bool> {
        let line = pod.to_string();
        // A pod that one of them cannot decode is another difference than the one looked for.
        let Ok(template) = template(&line) else {
            return Ok(false);
        };
        let Ok(expected) = oracle.ask::<Answer>(&line) else {
            bail!("the oracle refused {line}")
        };
        Ok(subject.answer(&template) != expected)
    };
    let smallest = reduce::smallest(serde_json::from_str(pod)?, &mut differs)?;
    let line = smallest.to_string();
    bail!(
        "{line}\nours:   {:?}\nexpected: {:?}",
        subject.answer(&template(&line)?),
        oracle.ask::<Answer>(&line)?
    )
}

#[test]
fn a_server_that_emulates_an_older_one_is_clamped() -> Result<()> {
    for emulated in [30, 31, 33, 34, 36] {
        let subject = Subject::new(ServerVersion::emulating(NEWEST_RULES, emulated));
        let (versions, emulate) = (subject.versions(), format!("v1.{emulated}"));
        let mut oracle = Oracle::start(
            "podsecurity",
            &["evaluate", "-versions", &versions, "-emulate", &emulate],
        )?;
        let mut generator = Generator::new(emulated.into());
        let pods: Vec<String> = (0..500).map(|_| generator.pod().to_string()).collect();
        oracle.stream(&pods, |pod, expected: Answer| {
            assert_eq!(
                subject.answer(&template(pod)?),
                expected,
                "v1.{emulated}: {pod}"
            );
            Ok(())
        })?;
    }
    Ok(())
}

#[derive(Deserialize)]
struct Resolved {
    policy: [String; 3],
    errors: Vec<String>,
}

#[test]
fn labels_resolve_as_in_kubernetes() -> Result<()> {
    const LEVELS: [&str; 6] = [
        "privileged",
        "baseline",
        "restricted",
        "",
        "Baseline",
        "foo",
    ];
    const VERSIONS: [&str; 7] = [
        "latest",
        "v1.0",
        "v1.30",
        "v1.99999999999",
        "v1.9223372036854775808",
        "v1.01",
        "1.30",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let mut oracle = Oracle::start("podsecurity", &["policy"])?;
    for _ in 0..5_000 {
        let mut labels = BTreeMap::new();
        for mode in Mode::ALL {
            for (key, values) in [
                (mode.level_label(), &LEVELS[..]),
                (mode.version_label(), &VERSIONS[..]),
            ] {
                if random.bool() {
                    labels.insert(key, values[random.usize(0..values.len())]);
                }
            }
        }
        let mut default = || LevelVersion {
            level: Level::ALL[random.usize(0..3)],
            version: [Version::Latest, Version::Minor(25)][random.usize(0..2)],
        };
        let defaults = Policy {
            enforce: default(),
            audit: default(),
            warn: default(),
        };
        let texts = Mode::ALL.map(|mode| defaults.mode(mode).to_string());
        let question = json!({"labels": labels, "defaults": texts});
        let expected: Resolved = oracle.ask(&question.to_string())?;

        let (policy, errors) = policy_from_labels(|key| labels.get(key).copied(), defaults);
        assert_eq!(
            Mode::ALL.map(|mode| policy.mode(mode).to_string()),
            expected.policy,
            "{question}"
        );
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected.errors, "{question}");
    }
    Ok(())
}

#[test]
fn the_warnings_of_a_namespace_are_those_of_kubernetes() -> Result<()> {
    let policy = LevelVersion {
        level: Level::Restricted,
        version: Version::Latest,
    };
    let rules = Rules::new(policy.version, ServerVersion::NEWEST);
    let mut oracle = Oracle::start("podsecurity", &["warnings", "-policy", &policy.to_string()])?;
    let mut generator = Generator::new(3);
    for pods in 0..120 {
        let pods: Vec<Value> = (0..pods)
            .map(|number| {
                let mut pod = generator.pod();
                pod["metadata"]["name"] = json!(format!("pod-{}", number * 7_919 % 100));
                pod
            })
            .collect();
        let mut violating = Vec::new();
        for pod in &pods {
            let template = template(&pod.to_string())?;
            let violations = rules.at_level(policy.level, rules.violations(&template));
            if !violations.is_empty() {
                let name = pod["metadata"]["name"].as_str().context("a name")?;
                violating.push((name, reasons(&rules.explain(&template, violations))));
            }
        }
        let ours = existing_pods_warnings(
            "shop",
            policy,
            violating.iter().map(|(name, reasons)| (*name, &**reasons)),
        );
        let question = json!({"namespace": "shop", "pods": pods});
        assert_eq!(ours, oracle.ask::<Vec<String>>(&question.to_string())?);
    }
    Ok(())
}
