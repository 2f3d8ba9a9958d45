//! The plan for one namespace: at most one write, how far it is, and when to look again. No I/O.
//!
//! The driver carries a plan's step out and plans again, until there is nothing left to do. So an
//! outcome always speaks of what the API server has, and never of what was meant.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use podfence_crd::Phase;
use podfence_podsecurity::LevelVersion;

use crate::answer::Answer;
use crate::apply::Apply;
use crate::event::Event;
use crate::governed::Governed;
use crate::leave;
use crate::ledger::Ledger;
use crate::namespace::Namespace;
use crate::outcome::Outcome;
use crate::precedence::Policies;
use crate::servers::{Servers, Unseen};
use crate::workloads::Workloads;

/// What every namespace is planned with.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The instant of the plan, in whole milliseconds.
    pub now: Timestamp,
    /// All policies.
    pub policies: &'a Policies,
    /// The API servers in use, once one has told its version.
    pub servers: Option<Servers>,
    /// What of the whole cluster cannot be seen.
    pub unseen: &'a [Unseen],
    /// When soaks had to start again.
    pub ledger: &'a Ledger,
    /// The namespaces that Podfence runs in: the operator's and the agents'.
    pub own_namespaces: &'a [String],
}

/// What the driver remembers of a namespace between two plans. All of it may be lost.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// The last answer to a dry run.
    pub answer: Option<Answer>,
    /// The keys that the API server refused at this resourceVersion, with the managers it named.
    pub refused: Option<Refused>,
    /// The phase of the last outcome, and since when.
    pub previous: Option<(Phase, Timestamp)>,
}

/// An apply that was refused for conflicts of ownership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The resourceVersion that it was sent with.
    pub resource_version: String,
    /// The label keys, and who owns each.
    pub keys: BTreeMap<String, Vec<String>>,
}

/// What to do next for a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the outcome holds.
    Nothing,
    /// Send this as a dry run, and plan again with the `Answer` about this pair.
    Ask(Apply, LevelVersion),
    /// Send this.
    Apply(Apply),
    /// Send `remove`, if the definition of `NamespacePolicy` can be read and is not being deleted;
    /// otherwise `retain`.
    Remove {
        /// Leaves out all labels.
        remove: Apply,
        /// Keeps all labels.
        retain: Apply,
    },
}

/// The plan for one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespacePlan {
    /// What to do next.
    pub step: Step,
    /// How far the namespace is once there is nothing to do; `None` when no policy wins it.
    pub outcome: Option<Outcome>,
    /// When to plan again although nothing happened.
    pub requeue_at: Option<Timestamp>,
    /// To be published after the step succeeded.
    pub events: Vec<Event>,
    /// The policy that last wrote this namespace, which is now under one that writes nothing: to be
    /// told to the `Ledger`. `None` wherever the namespace keeps its own record.
    pub interrupts: Option<String>,
}

impl NamespacePlan {
    pub(crate) fn nothing() -> Self {
        Self {
            step: Step::Nothing,
            outcome: None,
            requeue_at: None,
            events: Vec::new(),
            interrupts: None,
        }
    }
}

/// Plans one namespace.
pub fn plan_namespace(
    context: &Context<'_>,
    namespace: &Namespace,
    workloads: &mut Workloads,
    memory: &Memory,
) -> NamespacePlan {
    let mut matching = context.policies.matching(namespace, context.own_namespaces);
    let Some(winner) = matching.next() else {
        workloads.forget_departed();
        return leave::plan(context, namespace);
    };
    let superseded = matching.map(|policy| policy.name.clone()).collect();
    Governed::new(context, namespace, memory, winner, superseded).plan(workloads)
}
