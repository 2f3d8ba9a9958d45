//! One look at the node: everything that is read from files. Does file I/O, and is called where
//! that may block.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use podfence_seccomp::{Container, KernelVersion, Profile};

use crate::args::{Functions, Places};
use crate::in_force::{Compared, compare};
use crate::inspect::{Given, inspect};
use crate::look::bundles::{self, Bundles};
use crate::look::profiles::Profiles;
use crate::look::{apparmor, kernel};
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
}

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
        }
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
        sight.containers_problem = self.bundles.look(&self.places, runtime);
        let inspected = inspect(&question.pods, &self.bundles.all(), runtime);
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
