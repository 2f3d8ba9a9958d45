//! What a set of workloads comes to: counts, the worst by name, conditions. No I/O.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use podfence_crd::{
    ConditionType, MAX_WORKLOAD_CALLS, MAX_WORKLOAD_NODES, Reason, SeccompCall, SeccompWorkload,
    VerdictCounts,
};
use podfence_seccomp::evidence::Gap;
use podfence_seccomp::fix::{Fix, Fixes};
use podfence_seccomp::{
    Answer, Basis, Certainty, Container as Held, Doubt, Judgement, Moment, Readiness, Verdict,
    WorkloadJudgement,
};

use super::admission::{Levels, OfTemplate};
use super::assessment::{AssessedWorkload, full_name};
use super::node::KnownNode;
use super::nodes::{GroundId, Nodes};
use super::template::signatures;
use crate::conditions::{Finding, Is, list};
use crate::event::bounded;
use crate::servers::Servers;

/// How many offenders a message names.
const NAMED: usize = 5;

/// The longest text of a fix or a doubt, in bytes; the schema's bound.
const LONGEST_TEXT: usize = 256;

/// What observes system calls.
const OBSERVER: &str = "config/agent-observer";

/// A workload with what is said of it in the place that is spoken of.
#[derive(Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) assessed: &'a AssessedWorkload,
    pub(crate) judgement: &'a WorkloadJudgement,
    pub(crate) ground: Option<GroundId>,
}

/// A set of workloads, worst first.
pub(crate) struct Findings<'a> {
    pub(crate) counts: VerdictCounts,
    said: Vec<Said<'a>>,
}

impl<'a> Findings<'a> {
    pub(crate) fn new(said: impl IntoIterator<Item = Said<'a>>) -> Self {
        let mut counts = VerdictCounts::default();
        let mut worse = Vec::new();
        for said in said {
            *count_of(&mut counts, said.judgement.verdict) += 1;
            if said.judgement.verdict.readiness() != Readiness::Ready {
                worse.push(said);
            }
        }
        worse.sort_by(|one, other| key(one).cmp(&key(other)));
        Self {
            counts,
            said: worse,
        }
    }

    /// Those whose verdict is worse than Unknown: there is something to say of each.
    pub(crate) fn telling(&self) -> impl Iterator<Item = &Said<'a>> {
        let telling = |said: &&Said<'_>| said.judgement.verdict < Verdict::Unknown;
        self.said.iter().filter(telling)
    }

    fn total(&self) -> u32 {
        let VerdictCounts {
            failing,
            conflicting,
            would_fail,
            at_risk,
            suspected,
            unknown,
            would_be_denied,
            no_denial_seen,
            passing,
            not_affected,
        } = self.counts;
        failing
            + conflicting
            + would_fail
            + at_risk
            + suspected
            + unknown
            + would_be_denied
            + no_denial_seen
            + passing
            + not_affected
    }

    /// Those that fail, or would.
    pub(crate) fn not_ready(&self) -> u32 {
        self.counts.failing + self.counts.conflicting + self.counts.would_fail
    }

    /// The condition `SeccompDefaultReady`, as far as the workloads decide it.
    pub(crate) fn ready(&self) -> Finding {
        let say = |is, reason, message: String| {
            Finding::new(ConditionType::SeccompDefaultReady, is, reason, message)
        };
        let named = |readiness: Readiness| {
            let of = |said: &&Said<'_>| said.judgement.verdict.readiness() == readiness;
            let (mut named, mut others) = (Vec::new(), 0);
            for said in self.said.iter().filter(of) {
                if named.len() < NAMED {
                    named.push(describe(said));
                } else {
                    others += 1;
                }
            }
            match others {
                0 => named.join(", "),
                more => format!("{} (and {more} more)", named.join(", ")),
            }
        };
        let (total, counts) = (self.total(), self.counts);
        if self.not_ready() > 0 {
            let failing = counts.failing + counts.conflicting;
            let (reason, what) = if failing > 0 {
                (
                    Reason::WorkloadsFailing,
                    "fail under RuntimeDefault or would",
                )
            } else {
                (
                    Reason::WorkloadsWouldFail,
                    "would fail under RuntimeDefault",
                )
            };
            let count = self.not_ready();
            let named = named(Readiness::NotReady);
            return say(
                Is::False,
                reason,
                format!("{count} of {total} workloads {what}: {named}"),
            );
        }
        let risky = counts.at_risk + counts.suspected;
        if risky + counts.unknown > 0 {
            let named = named(Readiness::Unknown);
            let (reason, message) = if risky > 0 {
                let unknown = counts.unknown;
                let what = "workloads may fail under RuntimeDefault";
                let message = format!("{risky} of {total} {what}, {unknown} are unknown: {named}");
                (Reason::WorkloadsAtRisk, message)
            } else {
                let unknown = counts.unknown;
                let what = "there is not enough evidence on";
                let message = format!("{what} {unknown} of {total} workloads: {named}");
                (Reason::InsufficientEvidence, message)
            };
            return say(Is::Unknown, reason, message);
        }
        let (passing, unaffected) = (counts.passing, counts.not_affected);
        let message = format!(
            "all {total} workloads are ready: {passing} run well under RuntimeDefault, \
             {unaffected} are not affected"
        );
        say(Is::True, Reason::WorkloadsReady, message)
    }
}

fn key<'a>(said: &Said<'a>) -> (Verdict, &'a str, &'a podfence_workload::WorkloadRef) {
    (
        said.judgement.verdict,
        said.namespace,
        &said.assessed.workload,
    )
}

fn count_of(counts: &mut VerdictCounts, verdict: Verdict) -> &mut u32 {
    match verdict {
        Verdict::Failing => &mut counts.failing,
        Verdict::Conflicting => &mut counts.conflicting,
        Verdict::WouldFail => &mut counts.would_fail,
        Verdict::AtRisk => &mut counts.at_risk,
        Verdict::Suspected => &mut counts.suspected,
        Verdict::Unknown => &mut counts.unknown,
        Verdict::WouldBeDenied => &mut counts.would_be_denied,
        Verdict::NoDenialSeen => &mut counts.no_denial_seen,
        Verdict::Passing => &mut counts.passing,
        Verdict::NotAffected => &mut counts.not_affected,
    }
}

/// A workload with its verdict and the reason in a few words.
pub(crate) fn describe(said: &Said<'_>) -> String {
    let name = full_name(said.namespace, &said.assessed.workload);
    let judgement = &said.judgement.judgement;
    let verdict = judgement.verdict;
    let why = match verdict {
        Verdict::Failing | Verdict::Conflicting => {
            let on = |nodes: &BTreeSet<Box<str>>| names(nodes).join(", ");
            let healthy = if verdict == Verdict::Failing {
                format!(
                    "well without a profile on {}",
                    on(&judgement.healthy_twin_on)
                )
            } else {
                format!("well on {}", on(&judgement.passing_on))
            };
            let (denied, called) = (
                call_names(judgement, |certainty| certainty == Certainty::Denied),
                call_names(judgement, |certainty| certainty == Certainty::Observed),
            );
            let seen = match (judgement.basis, &*denied, &*called) {
                (Some(Basis::Observed), denied, _) => format!(", denied {denied}"),
                (_, _, "") => ", no denial was seen".to_owned(),
                (_, _, called) => format!(", calls {called}, no denial was seen"),
            };
            format!(" on {}, {healthy}{seen}", on(&judgement.failing_on))
        }
        Verdict::WouldFail | Verdict::AtRisk | Verdict::Suspected => {
            format!(": {}", call_names(judgement, |_| true))
        }
        _ => doubt(judgement)
            .map(|doubt| format!(": {doubt}"))
            .unwrap_or_default(),
    };
    format!("{name} ({verdict}{why})")
}

/// The first calls that are known like this, with their arguments.
fn call_names(judgement: &Judgement, is_known_so: impl Fn(Certainty) -> bool) -> String {
    let calls = judgement.calls.iter();
    let calls = calls.filter(|call| is_known_so(call.certainty));
    let calls = calls.map(|call| match call.argument() {
        Some(argument) => format!("{} {argument}", call.name),
        None => call.name.to_string(),
    });
    list(&calls.collect::<Vec<_>>(), 3)
}

fn names(nodes: &BTreeSet<Box<str>>) -> Vec<String> {
    let names = nodes.iter().map(ToString::to_string);
    names.take(MAX_WORKLOAD_NODES).collect()
}

/// Why a verdict is no better.
pub(super) fn doubt(judgement: &Judgement) -> Option<String> {
    Some(match judgement.doubt? {
        Doubt::Evidence(Gap::NothingObserved) => {
            "nothing was observed of it, and it does not run under RuntimeDefault anywhere".into()
        }
        Doubt::Evidence(Gap::Lost) => "observations were lost".into(),
        Doubt::Evidence(Gap::NoStart) => "no start of it was observed".into(),
        Doubt::Evidence(Gap::TooShort) => "it was not observed for long enough".into(),
        Doubt::Profile(reason) => reason.to_string(),
    })
}

/// What entries of a status are made with.
#[derive(Clone, Copy)]
pub(crate) struct Telling<'a> {
    pub(crate) nodes: &'a Nodes,
    pub(crate) levels: &'a dyn Fn(&str) -> Levels,
    pub(crate) servers: Option<Servers>,
}

impl Telling<'_> {
    /// A workload as a status lists it.
    pub(crate) fn entry(&self, said: &Said<'_>) -> SeccompWorkload {
        let judgement = &said.judgement.judgement;
        let healthy = match judgement.verdict {
            Verdict::Failing => &judgement.healthy_twin_on,
            _ => &judgement.passing_on,
        };
        let ground = said.ground.and_then(|id| self.nodes.ground(id));
        SeccompWorkload {
            namespace: said.namespace.to_owned(),
            kind: said.assessed.workload.kind.to_string(),
            name: said.assessed.workload.name.to_string(),
            container: said.judgement.container.to_string(),
            verdict: judgement.verdict,
            basis: judgement.basis,
            profile: ground.map(super::node::Ground::name),
            since: judgement.since.and_then(time),
            calls: calls(judgement),
            evidence: judgement
                .grounds
                .iter()
                .map(|ground| ground.as_str().to_owned())
                .collect(),
            failing_on: names(&judgement.failing_on),
            healthy_on: names(healthy),
            fix: self.fix(said).map(|text| bounded(text, LONGEST_TEXT)),
            doubt: self
                .doubt(said.assessed, judgement)
                .map(|text| bounded(text, LONGEST_TEXT)),
        }
    }

    /// Why a verdict is no better, and what could be done about it.
    pub(super) fn doubt(
        &self,
        assessed: &AssessedWorkload,
        judgement: &Judgement,
    ) -> Option<String> {
        let doubt = doubt(judgement)?;
        let mut nodes = assessed.landing.nodes.iter();
        let observed = nodes.any(|name| {
            let node = self.nodes.get(name);
            node.is_some_and(KnownNode::observes_system_calls)
        });
        let nothing = judgement.doubt == Some(Doubt::Evidence(Gap::NothingObserved));
        Some(if nothing && !observed {
            format!("{doubt}; no node that it can land on observes system calls: {OBSERVER} does")
        } else {
            doubt
        })
    }

    /// What helps with the least privilege.
    fn fix(&self, said: &Said<'_>) -> Option<String> {
        let (_, fixes) = self.fixes(said)?;
        let best = fixes.offered.first()?;
        let blocking = fixes.blocking.iter().map(Fix::as_str);
        let blocking: Vec<_> = blocking.map(str::to_owned).collect();
        let mut text = word(best);
        if !blocking.is_empty() {
            let blocking = blocking.join(", ");
            text = format!("{text} (not {blocking}: the planned level forbids it)");
        }
        Some(text)
    }

    /// Everything that would help, least privilege first, and what of it Pod Security admits.
    pub(super) fn fixes(&self, said: &Said<'_>) -> Option<(Vec<Fix>, Fixes)> {
        let template = &*said.assessed.template;
        let (container, held) = self.held(said)?;
        let admission = OfTemplate {
            template,
            container: &said.judgement.container,
            levels: (self.levels)(said.namespace),
            servers: self.servers,
        };
        let judgement = &said.judgement.judgement;
        let remedies = self
            .nodes
            .remedies(said.ground?, held, judgement, &signatures(container));
        let fixes = Fixes::admitted(remedies.clone(), &admission);
        Some((remedies, fixes))
    }

    /// The container that is spoken of, and what of it the rules ask for.
    pub(super) fn held<'s>(
        &self,
        said: &Said<'s>,
    ) -> Option<(&'s podfence_workload::Container, Held)> {
        let template = &*said.assessed.template;
        let name = &*said.judgement.container;
        let container = template.containers.iter().find(|it| &*it.name == name)?;
        let ground = self.nodes.ground(said.ground?)?;
        let capabilities =
            podfence_seccomp::Capabilities::of(ground.profile.runtime, template, container);
        let held = Held {
            architecture: ground.architecture,
            bounding: capabilities.ok()??.bounding,
            kernel: ground.kernel,
        };
        Some((container, held))
    }
}

fn calls(judgement: &Judgement) -> Vec<SeccompCall> {
    let calls = judgement.calls.iter().take(MAX_WORKLOAD_CALLS);
    calls.map(call).collect()
}

/// A call as a status lists it.
pub(super) fn call(call: &podfence_seccomp::Finding) -> SeccompCall {
    SeccompCall {
        name: call.name.to_string(),
        argument: call.argument(),
        errno: match call.answer {
            Answer::Errno(errno) => Some(errno.to_string()),
            Answer::Killed | Answer::ByArguments => None,
        },
        certainty: match call.certainty {
            Certainty::Denied => "Denied",
            Certainty::Observed => "Observed",
            Certainty::Ambiguous => "Ambiguous",
            Certainty::Suspected => "Suspected",
        }
        .to_owned(),
    }
}

/// A fix with what it takes.
pub(super) fn word(fix: &Fix) -> String {
    match fix {
        Fix::ApplicationFlag { software, setting } => {
            format!("{}: {software}: {setting}", fix.as_str())
        }
        Fix::AddCapabilities(capabilities) => {
            let names: Vec<_> = capabilities.names().collect();
            format!("{}: {}", fix.as_str(), names.join(", "))
        }
        Fix::LocalhostProfile(calls) => {
            let names: BTreeSet<_> = calls.iter().map(|call| &*call.name).collect();
            let names: Vec<_> = names.into_iter().collect();
            format!("{}: RuntimeDefault with {}", fix.as_str(), names.join(", "))
        }
        Fix::Tolerate | Fix::Unconfined | Fix::NodesWithoutSeccompDefault => {
            fix.as_str().to_owned()
        }
    }
}

pub(super) fn time(moment: Moment) -> Option<Time> {
    let seconds = i64::try_from(moment.unix_seconds()).ok()?;
    Timestamp::from_second(seconds).ok().map(Time)
}

/// The condition `ProfilesAvailable` over the nodes that `on` names of a workload's landing.
pub(crate) fn profiles<'a>(
    nodes: &Nodes,
    workloads: impl Iterator<Item = (&'a str, &'a AssessedWorkload)>,
    on: impl Fn(&str) -> bool,
) -> Finding {
    let (mut missing, mut unknown, mut chosen) = (BTreeSet::new(), BTreeSet::new(), 0_u32);
    for (namespace, assessed) in workloads {
        for (_, path) in &assessed.files {
            chosen += 1;
            let places = assessed.landing.nodes.iter().filter(|name| on(name));
            for node in places.filter_map(|name| nodes.get(name)) {
                let name = &node.node.name;
                match node.has_profile(path) {
                    Some(true) => {}
                    Some(false) => {
                        let workload = full_name(namespace, &assessed.workload);
                        missing.insert(format!("{workload} ({path} on {name})"));
                    }
                    None => {
                        unknown.insert(name.clone());
                    }
                }
            }
        }
    }
    let say = |is, reason, message: String| {
        Finding::new(ConditionType::ProfilesAvailable, is, reason, message)
    };
    let (missing, unknown): (Vec<_>, Vec<_>) =
        (missing.into_iter().collect(), unknown.into_iter().collect());
    if !missing.is_empty() {
        let named = list(&missing, NAMED);
        let message = format!(
            "workloads choose profile files that are missing or cannot be loaded on nodes that \
             they can land on: {named}"
        );
        return say(Is::False, Reason::ProfilesMissing, message);
    }
    if !unknown.is_empty() {
        let named = list(&unknown, NAMED);
        let message = format!("nobody says which profile files there are on {named}");
        return say(Is::Unknown, Reason::ProfilesUnknown, message);
    }
    let message = match chosen {
        0 => "no workload chooses a profile file".to_owned(),
        _ => "every profile file that is chosen is there".to_owned(),
    };
    say(Is::True, Reason::ProfilesPresent, message)
}
