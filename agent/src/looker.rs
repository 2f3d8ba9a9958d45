//! One look at the node: everything that is read from files. Does file I/O, and is called where
//! that may block.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use podfence_seccomp::{Container, KernelVersion, Profile};

use crate::args::{Functions, Places};
use crate::in_force::{Compared, compare};
use crate::inspect::{Given, Inspected, inspect};
use crate::look::bundles::{self, Bundles};
use crate::look::profiles::Profiles;
use crate::look::{apparmor, kernel};
use crate::observe::context::Told;
use crate::oci::{self, RulesDigest};
use crate::pod::Pod;
use crate::problem::{Problem, Subject};
use crate::report::Sight;

/// What the look depends on.
#[derive(Debug, Clone)]
pub struct Question {
    /// The pods of the node.
    pub pods: Vec<Arc<Pod>>,
    /// The profile of the node's runtime; none where it is not known.
    pub profile: Option<Arc<Profile>>,
    /// Whether containers are looked at.
    pub containers: bool,
}

/// Looks, and remembers what need not be read again.
#[derive(Debug)]
pub struct Looker {
    functions: Functions,
    places: Places,
    bundles: Bundles,
    profiles: Profiles,
    compared: HashMap<Key, Compared>,
    /// Since when containers that run have had no bundle.
    unseen: HashMap<Box<str>, Instant>,
}

/// How long the API server may say that a container runs whose bundle is gone: the kubelet tells it
/// within seconds.
const GRACE: Duration = Duration::from_secs(30);

/// What the outcome of a comparison depends on.
type Key = (RulesDigest, &'static str, Container);

impl Looker {
    /// Has not looked yet.
    #[must_use]
    pub fn new(functions: Functions, places: Places) -> Self {
        Self {
            functions,
            places,
            bundles: Bundles::default(),
            profiles: Profiles::default(),
            compared: HashMap::new(),
            unseen: HashMap::new(),
        }
    }

    /// What the runtime was told about its containers, by id, as it was read at the last look.
    #[must_use]
    pub fn told(&self) -> HashMap<Box<str>, Told> {
        let bundles = self.bundles.all().into_iter();
        bundles
            .map(|(id, bundle)| (id.into(), Told::of(bundle)))
            .collect()
    }

    /// Looks.
    pub fn look(&mut self, question: &Question) -> Sight {
        let mut sight = Sight::default();
        if self.functions.kernel {
            match kernel::look(&self.places.proc) {
                Ok((facts, problem)) => {
                    sight.kernel = Some(facts);
                    sight.problems.extend(problem);
                }
                Err(problem) => sight.problems.push(problem),
            }
        }
        if self.functions.apparmor {
            match apparmor::look(&self.places.sys) {
                Ok(facts) => sight.app_armor = Some(facts),
                Err(problem) => sight.problems.push(problem),
            }
        }
        if self.functions.seccomp_profiles {
            let (files, problems) = self.profiles.look(&self.places.seccomp_folder);
            sight.profiles = Some(files);
            sight.problems.extend(problems);
        }
        if question.containers {
            self.look_at_containers(question, &mut sight);
        }
        sight
    }

    fn look_at_containers(&mut self, question: &Question, sight: &mut Sight) {
        let runtime = question.profile.as_ref().map(|profile| profile.runtime);
        let problem = self.bundles.look(&self.places, runtime);
        let inspected = inspect(&question.pods, &self.bundles.all(), runtime);
        let unseen = self.unseen(&inspected, Instant::now());
        sight.containers_problem = problem.or(unseen);
        if self.functions.runtime
            && let Some(profile) = &question.profile
        {
            match self.compare_all(&inspected.given, profile) {
                Ok(compared) => sight.compared = compared,
                Err(problem) => sight.problems.push(problem),
            }
        }
        sight.containers = Some(inspected);
    }

    /// That containers have no bundle where bundles should be, if so.
    fn unseen(&mut self, inspected: &Inspected, now: Instant) -> Option<String> {
        let since = |id: &str| *self.unseen.get(id).unwrap_or(&now);
        let unseen = inspected.unseen.iter();
        self.unseen = unseen.map(|id| (id.clone(), since(id))).collect();
        let mut lasting = self.unseen.values();
        lasting.any(|since| now - *since >= GRACE).then(|| {
            "containers run whose configurations are not where the runtime keeps them by default; \
             mount that folder, and name it by --containerd-bundles or --cri-o-bundles"
                .to_owned()
        })
    }

    /// What became of comparing each with what is known.
    fn compare_all(
        &mut self,
        given: &[Given],
        profile: &Profile,
    ) -> Result<BTreeSet<Compared>, Problem> {
        let kernel = kernel::version(&self.places.proc)?;
        let not_known = |error: &dyn std::fmt::Display| {
            Problem::new(
                Subject::Runtime,
                format!("profiles of this node are not known: {error}"),
            )
        };
        let kernel: KernelVersion = kernel.parse().map_err(|error| not_known(&error))?;
        let architecture = kernel::architecture();
        let architecture = architecture.parse().map_err(|error| not_known(&error))?;
        let mut outcomes = BTreeSet::new();
        let mut compared = HashMap::new();
        for given in given {
            let container = Container {
                architecture,
                bounding: given.bounding,
                kernel,
            };
            let Some(rules) = given.rules else {
                outcomes.insert(Compared::Absent);
                continue;
            };
            let key = (rules, profile.rules.hash, container);
            let known = self.compared.remove(&key);
            let Some(outcome) = known.or_else(|| self.compare(given, profile, container)) else {
                continue;
            };
            outcomes.insert(outcome.clone());
            compared.insert(key, outcome);
        }
        // Those that no container needs any more are forgotten.
        self.compared = compared;
        Ok(outcomes)
    }

    /// None when the container is gone meanwhile.
    fn compare(&self, given: &Given, profile: &Profile, container: Container) -> Option<Compared> {
        let text = bundles::text(&self.places, profile.runtime, &given.id)?;
        let rules = oci::rules(&text).ok()??;
        Some(compare(rules, profile, container))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use clap::Parser;

    use super::Looker;
    use crate::args::Args;
    use crate::inspect::Inspected;

    #[test]
    fn a_container_that_stays_unseen_is_said() {
        let args = ["podfence-agent", "--node-name=a", "--runtime"];
        let config = Args::try_parse_from(args).expect("parses").resolve();
        let config = config.expect("resolves");
        let mut looker = Looker::new(config.functions, config.places);
        let unseen = |ids: &[&str]| Inspected {
            unseen: ids.iter().map(|id| (*id).into()).collect(),
            ..Inspected::default()
        };
        let start = Instant::now();
        let mut is_said = |ids, seconds| {
            let now = start + Duration::from_secs(seconds);
            looker.unseen(&unseen(ids), now).is_some()
        };
        assert!(!is_said(&[], 0));
        assert!(!is_said(&["1"], 1));
        // One that ended, and another one that came and ended.
        assert!(!is_said(&["2"], 31));
        assert!(!is_said(&["2", "3"], 60));
        assert!(is_said(&["2", "3"], 61));
        assert!(!is_said(&["3"], 62));
        assert!(!is_said(&[], 100));
    }
}
