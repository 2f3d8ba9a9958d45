//! The evidence on one container as it stands at a moment, and what it comes to. Pure.

use std::collections::BTreeSet;

use super::finding::{self, Finding};
use super::twins::{Comparison, Runs, compare};
use super::{Basis, Certainty, Doubt, Ground, Judgement, Subject, Terms, Verdict};
use crate::evidence::{Coverage, Gap, Health, Known, Sighting, Source};
use crate::signature::{Severity, Signature};
use crate::{Moment, Span};

/// What of the evidence still counts, sorted by what it says.
pub(super) struct Case<'a> {
    subject: &'a Subject<'a>,
    /// Calls that would be lost.
    harmful: Vec<Finding>,
    /// Calls that would be denied and fail already.
    unchanged: Vec<Finding>,
    /// Calls that were denied.
    denied: Vec<Finding>,
    /// Calls that were denied, perhaps by something else. They name no cause.
    ambiguous: Vec<Finding>,
    comparison: Comparison,
    pub(super) coverage: Coverage,
    gap: Option<Gap>,
    /// Since when the loss of which calls is known to have been fatal elsewhere, under the same key;
    /// without names where no denial was seen there.
    fatal_elsewhere: Vec<(Moment, BTreeSet<Box<str>>)>,
}

impl<'a> Case<'a> {
    pub(super) fn of(subject: &'a Subject<'a>, known: &Known, terms: &Terms, now: Moment) -> Self {
        let oldest = now.before(terms.retention);
        let counts = |span: Span| span.last() >= oldest;
        let counting = |(_, seen): &(_, &Sighting)| counts(seen.span);
        let filter = subject.filter;
        let calls = known.calls.iter().filter(|(_, seen)| counts(seen.span));
        let (harmful, unchanged): (Vec<_>, Vec<_>) = calls
            .filter_map(|(call, seen)| Finding::of_call(filter, call, seen))
            .partition(|(_, harmful)| *harmful);
        let plain = |found: Vec<(Finding, bool)>| found.into_iter().map(|(call, _)| call).collect();
        let denials = known.denials.iter().filter(counting);
        let (denied, ambiguous): (Vec<_>, Vec<_>) = denials
            .filter_map(|(denial, seen)| Finding::of_denial(filter, denial, seen))
            .partition(|found| found.certainty == Certainty::Denied);
        let health = || {
            let counting = known.health.iter().filter(|(_, span)| counts(**span));
            counting.map(|(health, span)| (health, *span))
        };
        let compared = |template: &str| {
            let of_template = health().filter(|(health, _)| &*health.template == template);
            compare(of_template, terms.settling, !denied.is_empty())
        };
        let elsewhere = known.elsewhere.iter().filter(|(_, span)| counts(**span));
        let elsewhere = elsewhere.map(|(other, span)| (span.first(), other.calls.clone()));
        // An earlier template of this workload is elsewhere too: its arguments may be others.
        let earlier = other_templates(health().map(|(health, _)| health), subject.template);
        let earlier = earlier.into_iter().filter_map(|template| {
            let failing = compared(template).failing?;
            Some((failing.since, BTreeSet::new()))
        });
        let coverage = Coverage::of(
            known.stretches.iter(),
            known.starts.iter(),
            known.losses.iter(),
            (oldest, now),
        );
        Self {
            subject,
            harmful: plain(harmful),
            unchanged: plain(unchanged),
            comparison: compared(subject.template),
            fatal_elsewhere: elsewhere.chain(earlier).collect(),
            gap: coverage.gap(terms.minimum_observation),
            coverage,
            denied,
            ambiguous,
        }
    }

    /// What runs under `RuntimeDefault` say; none where they say nothing.
    pub(super) fn by_health(&self) -> Option<Judgement> {
        let Comparison {
            failing,
            passing,
            healthy_twins,
        } = &self.comparison;
        let (verdict, since) = match (failing, passing) {
            (Some(failing), Some(passing)) => {
                (Verdict::Conflicting, failing.since.max(passing.since))
            }
            (Some(failing), None) => (Verdict::Failing, failing.since),
            (None, Some(passing)) => (Verdict::Passing, passing.since),
            (None, None) => return None,
        };
        let nodes = |runs: &Option<Runs>| runs.as_ref().map(|runs| runs.nodes.clone());
        let judgement = Judgement {
            basis: Some(if self.denied.is_empty() {
                Basis::Inferred
            } else {
                Basis::Observed
            }),
            since: Some(since),
            failing_on: nodes(failing).unwrap_or_default(),
            passing_on: nodes(passing).unwrap_or_default(),
            healthy_twin_on: nodes(healthy_twins).unwrap_or_default(),
            ..Judgement::bare(verdict)
        };
        let calls = if !self.denied.is_empty() || verdict == Verdict::Passing {
            self.denied.clone()
        } else if !self.harmful.is_empty() {
            self.harmful.clone()
        } else {
            self.suspected()
        };
        let calls = calls.into_iter().chain(self.ambiguous.iter().cloned());
        Some(judgement.resting_on(calls, [Ground::Health]))
    }

    /// What the calls say, as long as no run under `RuntimeDefault` says more.
    pub(super) fn by_calls(&self) -> Judgement {
        let lost = || {
            let certain = self.harmful.iter().chain(&self.denied);
            certain.chain(&self.ambiguous)
        };
        if let Some(since) = lost().filter_map(first_seen).min() {
            let fatal = self.fatal();
            let (verdict, since) = match fatal.iter().map(|(since, _)| *since).min() {
                Some(fatal) => (Verdict::WouldFail, fatal.max(since)),
                None => (Verdict::AtRisk, since),
            };
            let grounds = fatal.into_iter().map(|(_, ground)| ground);
            let judgement = Judgement {
                since: Some(since),
                ..Judgement::bare(verdict)
            };
            return judgement.resting_on(lost().cloned(), grounds);
        }
        if let Some(gap) = self.gap {
            let suspected = self.suspected();
            let judgement = Judgement {
                doubt: Some(Doubt::Evidence(gap)),
                ..Judgement::bare(if suspected.is_empty() {
                    Verdict::Unknown
                } else {
                    Verdict::Suspected
                })
            };
            return judgement.resting_on(suspected, []);
        }
        let verdict = if self.unchanged.is_empty() {
            Verdict::NoDenialSeen
        } else {
            Verdict::WouldBeDenied
        };
        let judgement = Judgement {
            since: self.coverage.since,
            ..Judgement::bare(verdict)
        };
        let watched = [Ground::Calls(Source::Observer)];
        judgement.resting_on(self.unchanged.iter().cloned(), watched)
    }

    /// Since when it is known that losing one of the calls is fatal, and from what; nothing where that
    /// is not known. Of an ambiguous denial it is not even known that the call is lost.
    fn fatal(&self) -> Vec<(Moment, Ground)> {
        let lost = || self.harmful.iter().chain(&self.denied);
        let elsewhere = self.fatal_elsewhere.iter().filter(|(_, calls)| {
            calls.is_empty() || lost().any(|found| calls.contains(&found.name))
        });
        let by_signature = lost().filter(|found| {
            let mut fatal = self.signatures(Severity::Fatal);
            fatal.any(|signature| {
                let mut calls = signature.calls.iter();
                calls.any(|call| call.is_made_by(found.abi, &found.name, &found.arguments))
            })
        });
        let elsewhere = elsewhere.map(|(since, _)| (*since, Ground::Elsewhere));
        let by_signature = by_signature
            .filter_map(first_seen)
            .map(|since| (since, Ground::Signature));
        elsewhere.chain(by_signature).collect()
    }

    /// The calls that such software is known to miss, and that this profile would deny.
    fn suspected(&self) -> Vec<Finding> {
        let signatures = self.signatures(Severity::Degraded);
        signatures
            .flat_map(|signature| Finding::of_signature(self.subject.filter, signature))
            .collect()
    }

    /// The signatures that are at least this severe. One that is tolerated gives no suspicion.
    fn signatures(&self, least: Severity) -> impl Iterator<Item = &'a Signature> {
        let signatures = self.subject.signatures.iter().copied();
        signatures.filter(move |signature| signature.severity <= least)
    }
}

fn first_seen(finding: &Finding) -> Option<Moment> {
    finding.seen.as_ref().map(|seen| seen.span.first())
}

fn other_templates<'h>(
    health: impl Iterator<Item = &'h Health>,
    current: &str,
) -> BTreeSet<&'h str> {
    health
        .map(|health| &*health.template)
        .filter(|template| *template != current)
        .collect()
}

impl Judgement {
    /// The same with what it rests on: these calls, and other grounds.
    fn resting_on(
        self,
        calls: impl IntoIterator<Item = Finding>,
        others: impl IntoIterator<Item = Ground>,
    ) -> Self {
        let calls = finding::merge(calls);
        let seen = calls.iter().flat_map(|call| &call.sources);
        let suspected = calls
            .iter()
            .filter(|call| call.certainty == Certainty::Suspected)
            .map(|_| Ground::Signature);
        Self {
            grounds: seen
                .map(|source| Ground::Calls(*source))
                .chain(suspected)
                .chain(others)
                .collect(),
            calls,
            ..self
        }
    }
}
