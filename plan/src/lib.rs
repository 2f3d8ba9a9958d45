//! What to write, from what was observed: values in, values out.
//!
//! [`plan_namespace`] makes the plan of one namespace, at most one write; [`plan_status`] the
//! status of one policy. Neither has a client, a clock or an environment, so that every sentence
//! of the rollout's rules can be a row in a table of tests. The checklist of a namespace:
//!
//! 1. `precedence`: which policy decides, if any; `leave` when none does.
//! 2. `policy`: is its profile there, is it suspended, is it a dry run?
//! 3. `workloads`: what do pods and templates violate at the target?
//! 4. `clean`: since when is the namespace clean?
//! 5. `enforce`: is the enforced pair kept, lowered, raised, and how far?
//! 6. `answer`: what does the API server say to that?
//! 7. `apply`: who owns the keys, and what is sent for each?
//! 8. `state`: what is to be remembered on the namespace?

mod answer;
mod apply;
mod clean;
mod conditions;
mod course;
mod enforce;
mod event;
mod governed;
mod keys;
mod leave;
pub mod ledger;
mod namespace;
mod namespace_plan;
mod outcome;
mod ownership;
mod pair;
mod planned;
mod policy;
mod precedence;
pub mod seccomp_default;
mod selector;
mod servers;
mod state;
mod status;
mod verdict;
mod workloads;
mod writing;

pub use answer::Answer;
pub use apply::Apply;
pub use event::{Event, Regarding};
pub use keys::{LABEL_PREFIX, STATE_PREFIX};
pub use leave::left_behind;
pub use ledger::Ledger;
pub use namespace::Namespace;
pub use namespace_plan::{Context, Memory, NamespacePlan, Refused, Step, plan_namespace};
pub use outcome::Outcome;
pub use ownership::{FIELD_MANAGER, Owners, Ownership};
pub use policy::{FINALIZER, Observation, Policy, PolicyError, Profile, Targets};
pub use precedence::{Policies, Unusable};
pub use selector::SelectorError;
pub use servers::{Servers, Unseen};
pub use state::{Corrections, State};
pub use status::{PolicyView, Subject, plan_profile_status, plan_status};
pub use workloads::{Assessment, Evaluation, Finding, News, Tally, Workloads};
