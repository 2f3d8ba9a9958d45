//! The truth table of conditions: what each says in which situation, and in which words. No I/O.
//!
//! `docs/conditions.md` shows the same table to people; a test keeps the two together.

use podfence_crd::{ConditionType, Phase, Reason, Strategy, Summary};

use crate::conditions::{Finding, Is, list};
use crate::outcome::Outcome;
use crate::policy::{Policy, Profile};
use crate::servers::Unseen;
use crate::status::{PolicyView, Subject};

/// How many offenders a message names.
const NAMED: usize = 5;

/// What the conditions of one policy are computed from.
pub(crate) struct Verdict<'a> {
    view: &'a PolicyView<'a>,
    /// Worst phase first.
    won: &'a [(&'a str, &'a Outcome)],
    lost: &'a [(&'a str, &'a str)],
    summary: &'a Summary,
    unseen: Vec<Unseen>,
}

/// Why the policy as a whole cannot proceed.
struct Obstacle {
    reason: Reason,
    message: String,
}

impl<'a> Verdict<'a> {
    pub(crate) fn new(
        view: &'a PolicyView<'a>,
        won: &'a [(&'a str, &'a Outcome)],
        lost: &'a [(&'a str, &'a str)],
        summary: &'a Summary,
    ) -> Self {
        let own = won.iter().flat_map(|(_, outcome)| outcome.unseen.iter());
        let mut unseen: Vec<_> = view.unseen.iter().chain(own).cloned().collect();
        unseen.sort();
        unseen.dedup();
        Self {
            view,
            won,
            lost,
            summary,
            unseen,
        }
    }

    /// All conditions; `seccomp` are those that its part on SeccompDefault has found.
    pub(crate) fn conditions(&self, seccomp: Vec<Finding>) -> Vec<Finding> {
        let mut conditions = self.ready();
        conditions.push(self.enforced());
        conditions.push(self.compliant());
        conditions.extend(
            seccomp
                .into_iter()
                .map(|finding| self.of_workloads(finding)),
        );
        conditions.push(self.complete());
        conditions
    }

    /// What is found of workloads speaks of those of the matched namespaces. While it is not settled
    /// which these are, only what is bad about them is said.
    fn of_workloads(&self, finding: Finding) -> Finding {
        if finding.is == Is::False {
            return finding;
        }
        if let Some(unevaluated) = self.unevaluated(finding.kind) {
            return unevaluated;
        }
        match self.nothing_matched() {
            Some((reason, message)) => Finding::new(finding.kind, Is::True, reason, message),
            None => finding,
        }
    }

    fn obstacle(&self) -> Option<Obstacle> {
        let policy = match self.view.subject {
            Subject::Policy(policy) => policy,
            Subject::Unusable(unusable) => {
                let message = format!(
                    "the policy cannot be used: {}; its namespaces stay as they are",
                    unusable.error
                );
                return Some(Obstacle {
                    reason: Reason::PolicyInvalid,
                    message,
                });
            }
        };
        let name = &policy.profile_name;
        let (reason, message) = match &policy.profile {
            Profile::Found(..) => return None,
            Profile::Missing => (
                Reason::ProfileMissing,
                format!(
                    "PolicyProfile {name} does not exist; create it or change spec.profileRef.name. Until then the namespaces stay as they are"
                ),
            ),
            Profile::Invalid(why) => (
                Reason::ProfileInvalid,
                format!(
                    "PolicyProfile {name} cannot be used: {why}. The namespaces stay as they are"
                ),
            ),
        };
        Some(Obstacle { reason, message })
    }

    fn policy(&self) -> Option<&'a Policy> {
        match self.view.subject {
            Subject::Policy(policy) => Some(policy),
            Subject::Unusable(_) => None,
        }
    }

    /// Ready, with Reconciling or Stalled where they are true.
    fn ready(&self) -> Vec<Finding> {
        use ConditionType::{Ready, Reconciling, Stalled};
        let both = |other, is, reason, other_reason, message: String| {
            vec![
                Finding::new(Ready, is, reason, message.clone()),
                Finding::new(other, Is::True, other_reason, message),
            ]
        };
        if let Some(Obstacle { reason, message }) = self.obstacle() {
            return both(Stalled, Is::False, reason, reason, message);
        }
        if self.policy().is_some_and(|policy| policy.deleting) {
            let message = "the policy is being deleted".to_owned();
            return both(
                Reconciling,
                Is::False,
                Reason::Terminating,
                Reason::Terminating,
                message,
            );
        }
        let failed = self.names(|outcome| outcome.failure.is_some());
        if !failed.is_empty() {
            let why = self
                .won
                .iter()
                .find_map(|(_, outcome)| outcome.failure.as_deref());
            let message = format!(
                "writing failed and is tried again in {}: {}",
                list(&failed, NAMED),
                why.unwrap_or_default()
            );
            let retry = Reason::ProgressingWithRetry;
            return both(Reconciling, Is::False, Reason::ApplyFailed, retry, message);
        }
        if self.view.pending > 0 {
            let message = format!("{} namespaces are being worked on", self.view.pending);
            let reason = Reason::Progressing;
            return both(Reconciling, Is::Unknown, reason, reason, message);
        }
        let (is, reason, mut message) = self.settled();
        if let Some(labels) = self.invalid_labels() {
            message = format!("{message}; {labels}");
        }
        vec![Finding::new(Ready, is, reason, message)]
    }

    /// Labels that the API server would refuse today. It acts on each as on the strictest (enforce)
    /// or on none (audit, warn), so whoever wrote them should know.
    fn invalid_labels(&self) -> Option<String> {
        let labelled = self
            .won
            .iter()
            .filter(|(_, outcome)| !outcome.invalid_labels.is_empty());
        let named: Vec<_> = labelled
            .map(|(name, outcome)| format!("{name} ({})", outcome.invalid_labels.join(", ")))
            .collect();
        (!named.is_empty()).then(|| format!("invalid labels in {}", list(&named, NAMED)))
    }

    /// Ready, when nothing is under way.
    fn settled(&self) -> (Is, Reason, String) {
        if let Some((reason, message)) = self.conflict() {
            return (Is::False, reason, message);
        }
        let Summary {
            namespaces_matched: matched,
            namespaces_enforced: enforced,
            ..
        } = *self.summary;
        if self.policy().is_some_and(|policy| policy.suspend) {
            let message = format!(
                "suspended: none of {matched} namespaces is written; set spec.suspend to false to go on"
            );
            return (Is::True, Reason::Suspended, message);
        }
        if self
            .policy()
            .is_some_and(|policy| policy.strategy == Strategy::DryRun)
        {
            let message = format!("dry run: none of {matched} namespaces is written");
            return (Is::True, Reason::DryRun, message);
        }
        if let Some((reason, message)) = self.nothing_matched() {
            return (Is::True, reason, message);
        }
        let mut message = vec![format!("{enforced} of {matched} namespaces enforced")];
        let rest = [
            (self.summary.namespaces_soaking, "soaking"),
            (self.summary.namespaces_held, "held"),
        ];
        for (number, what) in rest.into_iter().filter(|(number, _)| *number > 0) {
            message.push(format!("{number} {what}"));
        }
        if !self.lost.is_empty() {
            message.push(self.superseded());
        }
        (Is::True, Reason::Succeeded, message.join(", "))
    }

    /// Yielded and Contended namespaces are the only findings that keep Ready from being true: there
    /// the labels are not what was planned.
    fn conflict(&self) -> Option<(Reason, String)> {
        let mut managers: Vec<String> = self
            .won
            .iter()
            .flat_map(|(_, outcome)| outcome.managers.iter().cloned())
            .collect();
        managers.sort_unstable();
        managers.dedup();
        let who = if managers.is_empty() {
            "a manager that left no trace".to_owned()
        } else {
            list(&managers, NAMED)
        };
        let contended = self.names(|outcome| outcome.phase == Phase::Contended);
        if !contended.is_empty() {
            let message = format!(
                "{who} takes labels back again and again in {}; make one of the two stop",
                list(&contended, NAMED)
            );
            return Some((Reason::Contended, message));
        }
        let yielded = self.names(|outcome| outcome.phase == Phase::Yielded);
        if yielded.is_empty() {
            return None;
        }
        let message = format!(
            "{who} owns labels in {}; remove them there, or set spec.conflictPolicy to TakeOver",
            list(&yielded, NAMED)
        );
        Some((Reason::Yielded, message))
    }

    fn nothing_matched(&self) -> Option<(Reason, String)> {
        if !self.won.is_empty() {
            return None;
        }
        if self.lost.is_empty() {
            return Some((
                Reason::NoNamespacesMatched,
                "no namespace is matched".to_owned(),
            ));
        }
        Some((Reason::Superseded, self.superseded()))
    }

    fn superseded(&self) -> String {
        let lost: Vec<_> = self
            .lost
            .iter()
            .map(|(name, winner)| format!("{name} (by {winner})"))
            .collect();
        format!("superseded in {}", list(&lost, NAMED))
    }

    fn enforced(&self) -> Finding {
        let say = |is, reason, message: String| {
            Finding::new(ConditionType::Enforced, is, reason, message)
        };
        if let Some(finding) = self.unevaluated(ConditionType::Enforced) {
            return finding;
        }
        if let Some((reason, message)) = self.nothing_matched() {
            return say(Is::True, reason, message);
        }
        let behind: Vec<_> = self
            .won
            .iter()
            .filter(|(_, outcome)| !is_enforced(outcome))
            .collect();
        let Some((_, worst)) = behind.first() else {
            let message = format!(
                "all {} matched namespaces are at their target",
                self.won.len()
            );
            return say(Is::True, Reason::AtTarget, message);
        };
        let named: Vec<_> = behind
            .iter()
            .map(|(name, outcome)| format!("{name} ({})", explain(outcome)))
            .collect();
        let message = format!(
            "{} of {} namespaces are not at their target: {}",
            behind.len(),
            self.won.len(),
            list(&named, NAMED)
        );
        say(Is::False, worst.reason, message)
    }

    fn compliant(&self) -> Finding {
        let kind = ConditionType::PodSecurityCompliant;
        let say = |is, reason, message: String| Finding::new(kind, is, reason, message);
        let violating = self.summary.workloads_violating;
        if violating > 0 {
            let message = format!(
                "{violating} of {} workloads violate the target: {}",
                self.summary.workloads_checked,
                list(&self.worst_workloads(), NAMED)
            );
            return say(Is::False, Reason::ViolatingWorkloads, message);
        }
        if let Some(finding) = self.unevaluated(kind) {
            return finding;
        }
        if let Some(unseen) = self.unseen.first() {
            let message = format!("no violation was found, but {}", self.describe_unseen());
            return say(Is::Unknown, unseen.reason(), message);
        }
        if let Some((reason, message)) = self.nothing_matched() {
            return say(Is::True, reason, message);
        }
        let mut message = vec![format!("{} workloads pass", self.summary.workloads_checked)];
        if self.summary.workloads_excepted > 0 {
            let excepted = self.summary.workloads_excepted;
            message.push(format!(
                "{excepted} of them only by exception, and enforcing would block those"
            ));
        }
        let newest: u32 = self
            .won
            .iter()
            .map(|(_, outcome)| outcome.assessment.newest_only)
            .sum();
        if newest > 0 {
            message.push(format!(
                "{newest} would violate the newest version that the API servers know"
            ));
        }
        say(Is::True, Reason::Compliant, message.join(", "))
    }

    fn complete(&self) -> Finding {
        let kind = ConditionType::ReportComplete;
        let mut unseen = self.unseen.clone();
        unseen.extend_from_slice(self.view.seccomp.unseen);
        if let Some(first) = unseen.first() {
            return Finding::new(kind, Is::False, first.reason(), describe_all(&unseen));
        }
        if let Some(finding) = self.unevaluated(kind) {
            return finding;
        }
        Finding::new(
            kind,
            Is::True,
            Reason::Complete,
            "everything that matters could be seen",
        )
    }

    /// What every condition says of namespaces that were not looked at.
    fn unevaluated(&self, kind: ConditionType) -> Option<Finding> {
        if let Some(Obstacle { reason, message }) = self.obstacle() {
            return Some(Finding::new(kind, Is::Unknown, reason, message));
        }
        if self.policy().is_some_and(|policy| policy.deleting) {
            let message = "the policy is being deleted";
            return Some(Finding::new(
                kind,
                Is::Unknown,
                Reason::Terminating,
                message,
            ));
        }
        if self.view.pending > 0 {
            let message = format!("{} namespaces are being worked on", self.view.pending);
            return Some(Finding::new(
                kind,
                Is::Unknown,
                Reason::Progressing,
                message,
            ));
        }
        None
    }

    fn names(&self, wanted: impl Fn(&Outcome) -> bool) -> Vec<String> {
        self.won
            .iter()
            .filter(|(_, outcome)| wanted(outcome))
            .map(|(name, _)| (*name).to_owned())
            .collect()
    }

    fn worst_workloads(&self) -> Vec<String> {
        self.won
            .iter()
            .flat_map(|(namespace, outcome)| {
                outcome.assessment.violating.iter().map(move |finding| {
                    let checks: Vec<_> = finding
                        .checks
                        .iter()
                        .map(|check| check.as_str().to_owned())
                        .collect();
                    format!("{namespace}/{} ({})", finding.workload, checks.join(", "))
                })
            })
            .collect()
    }

    fn describe_unseen(&self) -> String {
        describe_all(&self.unseen)
    }
}

/// What cannot be seen, in words.
pub(crate) fn describe_all(unseen: &[Unseen]) -> String {
    let described: Vec<_> = unseen.iter().map(describe).collect();
    list(&described, NAMED)
}

/// Whether a namespace has what the policy wants. An exempt one has labels without effect.
fn is_enforced(outcome: &Outcome) -> bool {
    let blocked = matches!(
        outcome.phase,
        Phase::Yielded | Phase::Contended | Phase::Exempt | Phase::Held | Phase::Soaking
    );
    outcome.at_target && !blocked && outcome.failure.is_none()
}

/// Why a namespace is not at its target, in a few words.
fn explain(outcome: &Outcome) -> String {
    let reason = outcome.reason.as_str();
    match outcome.assessment.violating.first() {
        Some(finding) if outcome.phase == Phase::Held => format!("{reason}: {}", finding.workload),
        _ if !outcome.invalid_labels.is_empty() => {
            format!("{reason}: {}", outcome.invalid_labels.join(", "))
        }
        _ if !outcome.disagreement.is_empty() => {
            format!("{reason}: {}", outcome.disagreement.join("; "))
        }
        _ => reason.to_owned(),
    }
}

fn describe(unseen: &Unseen) -> String {
    match unseen {
        Unseen::Forbidden { resource } => {
            format!("{resource} may not be listed; grant list and watch to the operator")
        }
        Unseen::ListFailed { resource } => format!("{resource} could not be listed"),
        Unseen::WatchLost { resource } => format!("the watch of {resource} is interrupted"),
        Unseen::ServerVersionUnknown => "no API server has told its version".to_owned(),
        Unseen::ServerTooNew => {
            "the API server knows newer rules than this release of Podfence; upgrade Podfence or pin the version".to_owned()
        }
        Unseen::Malformed { objects } => format!("unreadable objects: {}", list(objects, NAMED)),
    }
}

/// The conditions of a profile: it can be used, or not.
pub(crate) fn profile_conditions(problem: Option<&str>) -> Vec<Finding> {
    use ConditionType::{Ready, Stalled};
    match problem {
        None => vec![Finding::new(
            Ready,
            Is::True,
            Reason::Succeeded,
            "the profile can be used",
        )],
        Some(why) => vec![
            Finding::new(Ready, Is::False, Reason::ProfileInvalid, why),
            Finding::new(Stalled, Is::True, Reason::ProfileInvalid, why),
        ],
    }
}
