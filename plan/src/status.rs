//! The status of a policy, computed from how far its namespaces are. No I/O.
//!
//! Equal input gives equal bytes, in whatever order it comes, and never more than 64 KiB.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use podfence_crd::{
    LevelVersion as WrittenPair, MAX_STATUS_NAMESPACES, NamespacePolicyStatus, NamespaceStatus,
    Phase, PolicyProfileStatus, Summary, Truncated, ViolatingWorkload,
};
use podfence_podsecurity::LevelVersion;

use crate::conditions::stamp;
use crate::outcome::Outcome;
use crate::policy::Policy;
use crate::precedence::Unusable;
use crate::seccomp_default::SeccompView;
use crate::servers::Unseen;
use crate::verdict::{Verdict, profile_conditions};

/// What the list of namespaces may take, serialised. With 20 KiB of workloads and nine messages of
/// 1 KiB, and escapes, the whole stays below 64 KiB.
const NAMESPACES_BYTES: usize = 26 * 1024;

/// What an entry without workloads takes at most: a name of 63 characters, two pairs, two times.
const BARE_ENTRY_BYTES: usize = 448;

/// A policy as the status sees it.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// One that can be used.
    Policy(&'a Policy),
    /// One that cannot.
    Unusable(&'a Unusable),
}

/// Everything that a policy's status is made from.
#[derive(Debug, Clone, Copy)]
pub struct PolicyView<'a> {
    /// The instant, for transition times.
    pub now: Timestamp,
    /// The policy.
    pub subject: Subject<'a>,
    /// The namespaces that it won and how far they are, in any order.
    pub won: &'a [(&'a str, &'a Outcome)],
    /// The namespaces that it matches and lost, with the winner, in any order.
    pub lost: &'a [(&'a str, &'a str)],
    /// How many namespaces that it matches have work left, for longer than a status may wait.
    pub pending: usize,
    /// What of the whole cluster cannot be seen.
    pub unseen: &'a [Unseen],
    /// What is known of its namespaces' workloads under SeccompDefault.
    pub seccomp: SeccompView<'a>,
    /// The status as it is now.
    pub previous: Option<&'a NamespacePolicyStatus>,
}

impl PolicyView<'_> {
    fn generation(&self) -> i64 {
        match self.subject {
            Subject::Policy(policy) => policy.generation,
            Subject::Unusable(unusable) => unusable.generation,
        }
    }

    /// Whether its profile wants it to speak of SeccompDefault.
    fn assesses_seccomp(&self) -> bool {
        match self.subject {
            Subject::Policy(policy) => policy.assesses_seccomp(),
            Subject::Unusable(_) => true,
        }
    }
}

/// The status that a policy should have. The caller writes it if it differs from what is there.
#[must_use]
pub fn plan_status(view: &PolicyView<'_>) -> NamespacePolicyStatus {
    let mut won = view.won.to_vec();
    won.sort_by(|one, two| (one.1.phase, one.0).cmp(&(two.1.phase, two.0)));
    let mut lost = view.lost.to_vec();
    lost.sort_unstable();
    let mut summary = summarize(&won);
    let seccomp = view
        .seccomp
        .of_policy(view.assesses_seccomp(), &mut summary);
    let verdict = Verdict::new(view, &won, &lost, &summary);
    let conditions = verdict.conditions(seccomp.conditions);
    let previous: &[Condition] = view.previous.map_or(&[], |status| &status.conditions);
    let namespaces = list_namespaces(&won);
    let truncated = won.len().saturating_sub(namespaces.len());
    NamespacePolicyStatus {
        observed_generation: view.generation(),
        conditions: stamp(conditions, previous, view.generation(), view.now),
        summary,
        namespaces,
        truncated: Truncated {
            namespaces: count(truncated),
            workloads: seccomp.omitted,
        },
        seccomp_default: seccomp.status,
    }
}

/// The status that a profile should have.
#[must_use]
pub fn plan_profile_status(
    generation: i64,
    problem: Option<&str>,
    used_by: usize,
    previous: Option<&PolicyProfileStatus>,
    now: Timestamp,
) -> PolicyProfileStatus {
    let known: &[Condition] = previous.map_or(&[], |status| &status.conditions);
    PolicyProfileStatus {
        observed_generation: generation,
        conditions: stamp(profile_conditions(problem), known, generation, now),
        used_by: count(used_by),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The counts. The four counts of namespaces add up to those matched.
fn summarize(won: &[(&str, &Outcome)]) -> Summary {
    let mut summary = Summary {
        namespaces_matched: count(won.len()),
        ..Summary::default()
    };
    for (_, outcome) in won {
        *match outcome.phase {
            Phase::Enforced | Phase::StricterKept => &mut summary.namespaces_enforced,
            Phase::Soaking => &mut summary.namespaces_soaking,
            Phase::Yielded | Phase::Contended => &mut summary.namespaces_conflicting,
            Phase::Held | Phase::Exempt | Phase::DryRun | Phase::Suspended | Phase::Unknown => {
                &mut summary.namespaces_held
            }
        } += 1;
        let assessment = &outcome.assessment;
        summary.workloads_checked += assessment.workloads;
        summary.workloads_violating += assessment.violating_workloads;
        summary.workloads_excepted += assessment.excepted;
    }
    summary
}

/// The worst namespaces. Where space runs short, a namespace is listed with fewer of its workloads
/// rather than not at all.
fn list_namespaces(won: &[(&str, &Outcome)]) -> Vec<NamespaceStatus> {
    let shown = won.len().min(MAX_STATUS_NAMESPACES);
    let mut left = NAMESPACES_BYTES;
    let mut listed = Vec::with_capacity(shown);
    for (at, (name, outcome)) in won.iter().take(shown).enumerate() {
        let reserved = (shown - at - 1) * BARE_ENTRY_BYTES;
        let mut entry = namespace_status(name, outcome);
        let mut bytes = serialized(&entry);
        while bytes + reserved > left && entry.worst.pop().is_some() {
            bytes = serialized(&entry);
        }
        left = left.saturating_sub(bytes);
        listed.push(entry);
    }
    listed
}

fn serialized(entry: &NamespaceStatus) -> usize {
    // A comma follows each entry.
    serde_json::to_vec(entry).map_or(usize::MAX, |bytes| bytes.len() + 1)
}

fn namespace_status(name: &str, outcome: &Outcome) -> NamespaceStatus {
    NamespaceStatus {
        name: name.to_owned(),
        phase: outcome.phase,
        reason: outcome.reason,
        current: outcome.current.map(written),
        target: outcome.target.map(written),
        since: Some(Time(outcome.since)),
        next_change_time: outcome
            .next_change
            .map(|time| Time(crate::state::whole_seconds(time))),
        violating_workloads: outcome.assessment.all_violating(),
        worst: outcome
            .assessment
            .violating
            .iter()
            .map(|finding| ViolatingWorkload {
                kind: finding.workload.kind.as_str().to_owned(),
                name: finding.workload.name.to_string(),
                checks: finding.checks.iter().collect(),
            })
            .collect(),
    }
}

fn written(pair: LevelVersion) -> WrittenPair {
    WrittenPair {
        level: pair.level,
        version: pair.version,
    }
}
