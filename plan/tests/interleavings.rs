//! Thousands of random histories of one namespace: people, workloads, policies and crashes in any
//! order. After every write of ours it is checked against a record of what really happened, kept
//! here and not by the planner, that nothing was lowered without being asked for, and nothing raised
//! before it was safe.

// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use podfence_plan::{Profile, Unseen};
use podfence_podsecurity::{Level, Version};
use podfence_workload::Kind;
use serde_json::json;
use world::{
    ENFORCE, ENFORCE_VERSION, World, baseline_spec, clean_spec, pod, privileged_spec, profile,
};

/// How many histories are told, unless `PODFENCE_HISTORIES` says otherwise: `make fuzz` tells more.
const HISTORIES: u64 = 400;
const ACTIONS: usize = 60;
const SOAK: SignedDuration = SignedDuration::from_mins(30);

/// `SplitMix64`: small, seeded and the same everywhere, so that a failing history can be told again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).expect("small")).expect("small")
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len())]
    }
}

const PAIRS: [&str; 5] = [
    "baseline:v1.30",
    "baseline:v1.34",
    "restricted:v1.30",
    "restricted:v1.34",
    "privileged:v1.34",
];

/// What a policy of the history says, as far as the record needs it.
#[derive(Debug, Clone)]
struct Said {
    target: &'static str,
    strategy: &'static str,
    conflict: &'static str,
    loosening: &'static str,
    suspend: bool,
    missing: bool,
    matches: bool,
}

/// What really happened.
struct Record {
    random: Random,
    world: World,
    said: Vec<(&'static str, Said)>,
    pods: Vec<(String, Level)>,
    /// When something last violated each of baseline and restricted, or nothing counted.
    dirty: [Timestamp; 2],
    /// Who last changed the enforced pair, and to what; `None` when it was not us.
    raised_by: Option<(String, String)>,
    log: Vec<String>,
}

fn pair(text: &str) -> Option<(Level, Version)> {
    let (level, version) = text.split_once(':').unwrap_or((text, "latest"));
    Some((level.parse().ok()?, version.parse().ok()?))
}

impl Record {
    fn new(seed: u64) -> Self {
        let world = World::new();
        let dirty = [world.now; 2];
        let said = Said {
            target: "restricted:v1.34",
            strategy: "Guarded",
            conflict: "Yield",
            loosening: "OwnOnly",
            suspend: false,
            missing: false,
            matches: true,
        };
        let said = vec![
            ("apps", said.clone()),
            (
                "other",
                Said {
                    matches: false,
                    ..said
                },
            ),
        ];
        let (pods, log) = (Vec::new(), Vec::new());
        let mut record = Self {
            random: Random(seed),
            world,
            said,
            pods,
            dirty,
            raised_by: None,
            log,
        };
        record.publish();
        record
    }

    /// Makes the policies what `said` says.
    fn publish(&mut self) {
        for (name, said) in &self.said {
            let targets = if said.missing {
                Profile::Missing
            } else {
                profile(said.target, "restricted:latest", "restricted:latest")
            };
            let excluded = if said.matches {
                json!([])
            } else {
                json!(["*"])
            };
            self.world.policy(
                name,
                targets,
                json!({
                    "suspend": said.suspend, "conflictPolicy": said.conflict,
                    "excludedNamespaces": excluded,
                    "rollout": {"strategy": said.strategy, "soak": "30m", "loosening": said.loosening},
                }),
            );
        }
    }

    fn winner(&self) -> Option<(&'static str, Said)> {
        self.said.iter().find(|(_, said)| said.matches).cloned()
    }

    /// Whether what is seen now counts for a soak of the winner.
    fn counts(&self) -> bool {
        let idle = |said: &Said| said.suspend || said.missing || said.strategy == "DryRun";
        self.world.unseen.is_empty() && self.winner().is_some_and(|(_, said)| !idle(&said))
    }

    fn note_dirt(&mut self) {
        let all = !self.counts();
        let now = self.world.now;
        let worst = self
            .pods
            .iter()
            .map(|(_, passes)| *passes)
            .min()
            .unwrap_or(Level::Restricted);
        if all || worst < Level::Baseline {
            self.dirty[0] = now;
        }
        if all || worst < Level::Restricted {
            self.dirty[1] = now;
        }
    }

    /// The driver tells the ledger whose policies are idle, before it plans.
    fn keep_ledger(&mut self) {
        let now = self.world.now;
        for (name, said) in &self.said {
            if said.suspend || said.missing || said.strategy == "DryRun" {
                self.world.ledger.pause(name);
            } else {
                self.world.ledger.resume(name, now);
            }
        }
        if self.world.unseen.is_empty() {
            self.world.ledger.resume_everything(now);
        } else {
            self.world.ledger.pause_everything();
        }
    }

    fn act(&mut self) {
        let kind = self.random.below(13);
        self.note_dirt();
        match kind {
            0..=2 => {
                let minutes = [1, 7, 29, 31, 120][self.random.below(5)];
                self.log.push(format!("{minutes} minutes pass"));
                self.world.minutes(minutes);
            }
            3 | 4 => self.start_pod(),
            5 => {
                if !self.pods.is_empty() {
                    let at = self.random.below(self.pods.len());
                    let (name, _) = self.pods.swap_remove(at);
                    self.log.push(format!("pod {name} goes"));
                    self.world.remove(Kind::Pod, &name);
                }
            }
            6 => self.meddle(),
            7 => {
                self.log.push("the operator is killed".into());
                self.world.restart();
            }
            8 => {
                let blind = self.world.unseen.is_empty();
                self.log.push(format!("blind: {blind}"));
                self.world.unseen = if blind {
                    vec![Unseen::WatchLost {
                        resource: "pods".into(),
                    }]
                } else {
                    Vec::new()
                };
            }
            _ => self.edit(),
        }
        self.note_dirt();
        self.keep_ledger();
    }

    fn start_pod(&mut self) {
        let name = format!("pod-{}", self.random.below(1_000_000));
        let (spec, passes) = match self.random.below(4) {
            0 => (privileged_spec(), Level::Privileged),
            1 => (baseline_spec(), Level::Baseline),
            _ => (clean_spec(), Level::Restricted),
        };
        self.log.push(format!("pod {name} comes, passes {passes}"));
        self.world.add(pod(&name, spec));
        self.pods.push((name, passes));
    }

    /// Somebody else writes the enforce labels.
    fn meddle(&mut self) {
        let manager = self.random.pick(&["kubectl-label", "kustomize-controller"]);
        let before = self.world.enforced();
        if self.random.below(3) == 0 {
            self.world.namespace.set_label(manager, ENFORCE, None);
            self.world
                .namespace
                .set_label(manager, ENFORCE_VERSION, None);
        } else {
            let (level, version) = self.random.pick(&PAIRS).split_once(':').expect("a pair");
            self.world
                .namespace
                .set_label(manager, ENFORCE, Some(level));
            self.world
                .namespace
                .set_label(manager, ENFORCE_VERSION, Some(version));
        }
        let after = self.world.enforced();
        self.log.push(format!("{manager} sets enforce to {after}"));
        if before != after {
            self.raised_by = None;
        }
    }

    fn edit(&mut self) {
        let which = self.random.below(2);
        let target = self.random.pick(&PAIRS);
        let strategy = self
            .random
            .pick(&["Guarded", "Guarded", "Guarded", "Immediate", "DryRun"]);
        let conflict = self.random.pick(&["Yield", "TakeOver"]);
        let loosening = self.random.pick(&["OwnOnly", "OwnOnly", "Always"]);
        let field = self.random.below(7);
        let (name, said) = &mut self.said[which];
        match field {
            0 | 1 => said.target = target,
            2 => said.strategy = strategy,
            3 => said.conflict = conflict,
            4 => said.loosening = loosening,
            5 => said.suspend = !said.suspend && strategy == "DryRun",
            _ => said.matches = !said.matches,
        }
        self.log.push(format!("policy {name} becomes {said:?}"));
        self.publish();
    }

    /// Lets the operator work: all the way, or until it is killed after some step.
    fn operate(&mut self) {
        let steps = if self.random.below(4) == 0 {
            self.random.below(3)
        } else {
            8
        };
        for _ in 0..steps {
            let before = self.world.enforced();
            let sole = self.world.namespace.owners(ENFORCE) == ["podfence"]
                && self.world.namespace.owners(ENFORCE_VERSION) == ["podfence"];
            let writes = self.world.writes.len();
            let settled = self.world.step();
            self.check(&before, sole, writes);
            if settled.is_some() {
                return;
            }
        }
        assert!(steps < 8, "the plan does not settle\n{}", self.story());
        self.log.push("the operator is killed in between".into());
        self.world.restart();
    }

    fn check(&mut self, before: &str, sole: bool, writes: usize) {
        let after = self.world.enforced();
        if self.world.writes.len() > writes {
            self.log
                .push(format!("we write enforce {before} -> {after}"));
        }
        let winner = self.winner();
        let idle = winner
            .as_ref()
            .is_some_and(|(_, said)| said.suspend || said.missing || said.strategy == "DryRun");
        assert!(
            !idle || self.world.writes.len() == writes,
            "an idle write\n{}",
            self.story()
        );
        if before == after {
            return;
        }
        let (name, said) = winner.unwrap_or_else(|| panic!("nobody asked\n{}", self.story()));
        let (level, version) = pair(&after).expect("we write valid pairs");
        let live = pair(before);
        let target = pair(said.target).expect("a pair");
        let lowers =
            live.is_some_and(|(had, at)| level < had || (version < at && had > Level::Privileged));
        let raises = live.is_none_or(|(had, at)| level > had || version > at);
        if lowers {
            assert_eq!(
                (level, version),
                target,
                "lowered on the way\n{}",
                self.story()
            );
            let author = Some((name.to_owned(), before.to_owned()));
            let ours = sole && self.raised_by == author;
            assert!(
                ours || said.loosening == "Always",
                "silently lowered\n{}",
                self.story()
            );
        }
        if raises {
            assert!(
                self.world.unseen.is_empty(),
                "raised while blind\n{}",
                self.story()
            );
            assert!(
                level <= target.0,
                "raised beyond the target\n{}",
                self.story()
            );
        }
        if raises && said.strategy == "Guarded" && level > Level::Privileged {
            let dirty = self.dirty[usize::from(level == Level::Restricted)];
            let clean = self.world.now.duration_since(dirty);
            let violated = self.pods.iter().any(|(_, passes)| *passes < level);
            assert!(
                !violated && clean >= SOAK,
                "raised too early: {clean}\n{}",
                self.story()
            );
        }
        self.raised_by = Some((name.to_owned(), after));
    }

    fn story(&self) -> String {
        self.log.join("\n")
    }
}

#[test]
fn no_history_lowers_or_raises_what_it_must_not() {
    let mut raised = 0_usize;
    let mut lowered = 0_usize;
    let histories = std::env::var("PODFENCE_HISTORIES").map_or(HISTORIES, |number| {
        number.parse().expect("PODFENCE_HISTORIES is a number")
    });
    for seed in 0..histories {
        let mut record = Record::new(seed);
        record.log.push(format!("seed {seed}"));
        record.keep_ledger();
        for _ in 0..ACTIONS {
            record.operate();
            record.act();
        }
        record.world.settle();
        let reasons = record.world.event_reasons();
        raised += reasons
            .iter()
            .filter(|reason| **reason == "Tightened")
            .count();
        lowered += reasons
            .iter()
            .filter(|reason| **reason == "Loosened")
            .count();
        // A restart in the end state finds nothing to do.
        let writes = record.world.writes.len();
        record.world.restart();
        record.world.settle();
        assert_eq!(
            record.world.writes.len(),
            writes,
            "a restart writes\n{}",
            record.story()
        );
    }
    // Or the test would prove nothing.
    assert!(
        raised > 100 && lowered > 10,
        "raised {raised}, lowered {lowered}"
    );
}
