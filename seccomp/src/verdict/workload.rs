//! From the verdicts of containers to that of their workload. Pure.

use super::{Judgement, Verdict};
use crate::evidence::Coverage;

/// What is said of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadJudgement {
    /// The verdict of its worst container.
    pub verdict: Verdict,
    /// That container; of several the first by name.
    pub container: Box<str>,
    /// What is said of that container.
    pub judgement: Judgement,
    /// The weakest coverage of all containers that a switch affects: a workload was observed no
    /// better than the container of it that was observed least. None where it affects none.
    pub coverage: Option<Coverage>,
}

impl WorkloadJudgement {
    /// The judgement on a workload, from those on its containers, init containers among them. A
    /// container that runs under several keys (nodes of two architectures, an update under way) is
    /// given once for each. None where there is no container.
    #[must_use]
    pub fn of(containers: impl IntoIterator<Item = (Box<str>, Judgement)>) -> Option<Self> {
        let mut containers: Vec<_> = containers.into_iter().collect();
        // By all of it, so that the order in which they are given makes no difference.
        containers.sort_by(|(name, judgement), (other_name, other)| {
            let verdicts = judgement.verdict.cmp(&other.verdict);
            verdicts.then_with(|| (name, judgement).cmp(&(other_name, other)))
        });
        let affected = containers
            .iter()
            .filter(|(_, judgement)| judgement.verdict != Verdict::NotAffected)
            .map(|(_, judgement)| judgement.coverage);
        let coverage = affected.reduce(Coverage::weaker);
        let (container, judgement) = containers.into_iter().next()?;
        Some(Self {
            verdict: judgement.verdict,
            container,
            judgement,
            coverage,
        })
    }
}
