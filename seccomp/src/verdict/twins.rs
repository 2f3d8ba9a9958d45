//! Whether a template fares worse under `RuntimeDefault` than without. Pure.
//!
//! A run under `RuntimeDefault` that fares badly is held against unconfined runs of the same template.
//! What fares badly without a profile too, at the same time, has another cause.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::evidence::{CRASH_LOOP, Confinement, Fared, Health};
use crate::{Moment, Span};

/// Runs that agree on something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Runs {
    /// Since when.
    pub(super) since: Moment,
    /// Where.
    pub(super) nodes: BTreeSet<Box<str>>,
}

/// What comparing a template's runs comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Runs under `RuntimeDefault` that fare badly where others without fare well.
    pub(super) failing: Option<Runs>,
    /// Runs under `RuntimeDefault` that fare well.
    pub(super) passing: Option<Runs>,
    /// Unconfined runs that fare well.
    pub(super) healthy_twins: Option<Runs>,
}

struct Run<'a> {
    health: &'a Health,
    during: Span,
    failures: u32,
}

/// Compares the runs of one template.
///
/// Where denials were seen, one bad run is enough; where only the twins speak, it takes a crash loop,
/// because a single end in failure happens to every program.
pub(super) fn compare<'a>(
    health: impl Iterator<Item = (&'a Health, Span)>,
    settling: Duration,
    denials_seen: bool,
) -> Comparison {
    let (mut well, mut badly) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for (health, seen) in health {
        let (side, during, failures) = match health.fared(seen, settling) {
            Fared::Well(during) => (&mut well, during, 0),
            Fared::Badly(failures) => (&mut badly, seen, failures),
            Fared::TooEarly => continue,
        };
        let [confined, unconfined] = side;
        let runs = match health.confinement {
            Confinement::RuntimeDefault => confined,
            Confinement::Unconfined => unconfined,
        };
        runs.push(Run {
            health,
            during,
            failures,
        });
    }
    let [passing, healthy_twins] = well;
    let [suspects, bad_twins] = badly;
    let meets = |run: &Run<'_>, twins: &[Run<'_>]| {
        twins.iter().any(|twin| twin.during.overlaps(run.during))
    };
    // A twin that is well at the same time settles it. One that was well at another time does too,
    // unless a twin is unwell together with the run: then something else has changed meanwhile.
    let failing: Vec<_> = suspects
        .into_iter()
        .filter(|run| {
            meets(run, &healthy_twins) || (!healthy_twins.is_empty() && !meets(run, &bad_twins))
        })
        .collect();
    let is_enough = denials_seen || failures(&failing) >= CRASH_LOOP;
    Comparison {
        failing: is_enough.then(|| runs(&failing)).flatten(),
        passing: runs(&passing),
        healthy_twins: runs(&healthy_twins),
    }
}

/// How often the runs ended in failure. Of one pod the most that was seen counts, because what was
/// seen later holds what was seen before.
fn failures(runs: &[Run<'_>]) -> u32 {
    let mut by_pod = BTreeMap::<&str, u32>::new();
    for run in runs {
        let most = by_pod.entry(&run.health.pod).or_default();
        *most = run.failures.max(*most);
    }
    by_pod.into_values().fold(0, u32::saturating_add)
}

fn runs(runs: &[Run<'_>]) -> Option<Runs> {
    Some(Runs {
        since: runs.iter().map(|run| run.during.first()).min()?,
        nodes: runs.iter().map(|run| run.health.node.clone()).collect(),
    })
}
