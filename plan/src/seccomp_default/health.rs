//! How the containers of pods fare, from what the kubelet says of them. No I/O.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use podfence_seccomp::evidence::{Confinement, Fact, Health, Key, Observation, RunState};
use podfence_seccomp::{Moment, Span};
use podfence_workload::{
    Container, ContainerKind, End, Object, RestartPolicy, Run, RunState as State, Template,
};

/// Ends with these reasons have another cause than a denied call: the kernel or the kubelet ended
/// the container for its memory, or the node for its own sake.
const EXCUSED: [&str; 3] = ["OOMKilled", "Evicted", "ContainerStatusUnknown"];

/// The longest that a container without probes may take from its start until it is said to be
/// ready: the kubelet's own delays on a busy node.
const KUBELET_DELAY: Duration = Duration::from_secs(60);

/// Longer than any init container or Job is waited for: how long these run says nothing.
const NO_LIMIT: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The pod that a run is in, and what it ran under.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) pod: &'a Object,
    pub(super) template: &'a Template,
    pub(super) template_id: &'a str,
    pub(super) confinement: Confinement,
}

/// How a container fares, and since when; none where nothing can be said, as before its first start
/// or when it was ended for its memory. `settling` is how long a run must have lasted to count as a
/// good one.
pub(super) fn of_run(
    place: Place<'_>,
    container: &Container,
    run: &Run,
    settling: Duration,
    now: Moment,
) -> Option<(Health, Span)> {
    let moment = |seconds: Option<i64>| {
        let seconds = u64::try_from(seconds?).ok()?;
        Some(Moment::from_unix_seconds(seconds))
    };
    let ready_since = place
        .pod
        .status
        .as_ref()
        .and_then(|status| status.ready_since);
    let is_once = container.kind == ContainerKind::Init && !container.is_sidecar;
    let last_started = run.last_end.as_ref().and_then(|end| moment(end.started));
    let (state, started) = match &run.state {
        State::Running { since } => {
            let started = moment(*since)?;
            let state = if run.ready {
                let since = moment(ready_since).map_or(started, |ready| ready.max(started));
                RunState::Ready { since }
            } else {
                RunState::NotReady
            };
            (state, started)
        }
        // Before the first start nothing is known of the program.
        State::Waiting { .. } => (RunState::NotReady, last_started?),
        State::Ended(end) => (ended(end, is_once, place.template)?, moment(end.started)?),
    };
    let current = match &run.state {
        State::Ended(end) => Some(end),
        State::Running { .. } | State::Waiting { .. } => None,
    };
    let ends: Vec<&End> = run.last_end.iter().chain(current).collect();
    if ends.last().is_some_and(|end| is_excused(end)) {
        return None;
    }
    let first = ends.first().and_then(|end| moment(end.finished));
    let is_patient = is_once || place.template.restart_policy != RestartPolicy::Always;
    let health = Health {
        template: place.template_id.into(),
        confinement: place.confinement,
        pod: place.pod.meta.name.clone(),
        node: place.pod.node_name.as_deref().unwrap_or_default().into(),
        failures: failures(run, current, settling),
        exit_codes: ends.iter().map(|end| end.code).collect::<BTreeSet<_>>(),
        state,
        started,
        time_to_start: if is_patient {
            NO_LIMIT
        } else {
            Duration::from_secs(container.startup_seconds.into()).saturating_add(KUBELET_DELAY)
        },
    };
    let first = match state {
        RunState::Ready { since } => since,
        _ => first.unwrap_or(started),
    };
    Some((health, Span::new(first.min(now), now)))
}

/// What an end means; none where its cause is another one.
fn ended(end: &End, is_once: bool, template: &Template) -> Option<RunState> {
    let is_final = match template.restart_policy {
        RestartPolicy::Always => false,
        RestartPolicy::OnFailure => end.code == 0,
        RestartPolicy::Never => true,
    };
    if is_excused(end) {
        None
    } else if end.code == 0 && (is_once || is_final) {
        Some(RunState::Completed)
    } else if is_final {
        Some(RunState::Ended)
    } else {
        Some(RunState::NotReady)
    }
}

fn is_excused(end: &End) -> bool {
    EXCUSED.contains(&&*end.reason)
}

/// How often the container ended in failure since it was last well. The kubelet keeps the last end
/// only: where that came after a good run it is the first failure again, else all restarts are
/// taken for alike.
fn failures(run: &Run, current: Option<&End>, settling: Duration) -> u32 {
    let lasted = |end: &End| {
        let seconds = end
            .finished
            .zip(end.started)
            .map(|(last, first)| last - first);
        u64::try_from(seconds.unwrap_or_default()).unwrap_or_default() >= settling.as_secs()
    };
    let fails = |end: &End| end.code != 0 && !is_excused(end);
    // A container that waits has ended once more than it was started anew.
    let ends = match run.state {
        State::Waiting { .. } => run.restarts.saturating_add(1),
        State::Running { .. } | State::Ended(_) => run.restarts.max(1),
    };
    let before = match &run.last_end {
        Some(end) if !fails(end) => 0,
        Some(end) if lasted(end) => 1,
        Some(_) => ends,
        None => 0,
    };
    match current {
        Some(end) if !fails(end) => before,
        Some(end) if lasted(end) => 1,
        Some(_) => before.saturating_add(1),
        None => before,
    }
}

/// Runs that are remembered of one template under one profile. Enough to compare, and a crash loop
/// of pods leaves no more than these.
const REMEMBERED_RUNS: usize = 8;

/// How a workload's containers fared in pods that may be gone by now.
///
/// Of each pod what was seen last counts: one that recovered by itself had another trouble than a
/// profile, which stays as it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(HashMap<Remembered, (Health, Span)>);

/// Runs that are alike: key, template and confinement.
type Group = (Key, Box<str>, Confinement);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Remembered {
    key: Key,
    template: Box<str>,
    confinement: Confinement,
    pod: Box<str>,
}

impl Memory {
    /// Notes how a container fares. What is too early to say does not replace what is known.
    pub(super) fn note(&mut self, key: &Key, health: Health, seen: Span, settling: Duration) {
        let name = Remembered {
            key: key.clone(),
            template: health.template.clone(),
            confinement: health.confinement,
            pod: health.pod.clone(),
        };
        let fares = health.fares(seen, settling);
        let known = self.0.get(&name);
        let known_fares = known.and_then(|(health, seen)| health.fares(*seen, settling));
        if fares.is_none() && known_fares.is_some() {
            return;
        }
        let seen = match known {
            // What goes on is one stretch, so that its beginning stays.
            Some((_, before)) if known_fares == fares => before.join(seen),
            _ => seen,
        };
        self.0.insert(name, (health, seen));
    }

    /// Forgets what is older, and of each template and confinement all but the latest runs.
    pub(super) fn tidy(&mut self, oldest: Moment) {
        self.0.retain(|_, (_, seen)| seen.last() >= oldest);
        let mut groups: HashMap<Group, Vec<(Moment, Box<str>)>> = HashMap::new();
        for (name, (_, seen)) in &self.0 {
            groups
                .entry((name.key.clone(), name.template.clone(), name.confinement))
                .or_default()
                .push((seen.last(), name.pod.clone()));
        }
        for ((key, template, confinement), mut pods) in groups {
            pods.sort_unstable_by(|one, other| other.cmp(one));
            for (_, pod) in pods.into_iter().skip(REMEMBERED_RUNS) {
                self.0.remove(&Remembered {
                    key: key.clone(),
                    template: template.clone(),
                    confinement,
                    pod,
                });
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The template seen last.
    pub(super) fn last_template(&self) -> Option<&str> {
        let runs = self.0.iter();
        let seen = runs.map(|(name, (_, seen))| (seen.last(), &*name.template));
        seen.max().map(|(_, template)| template)
    }

    /// The images of runs of a template, by digest.
    pub(super) fn images(&self, template: &str) -> impl Iterator<Item = &str> {
        let names = self.0.keys();
        names
            .filter(move |name| &*name.template == template)
            .map(|name| &*name.key.image)
    }

    /// All of it as facts.
    pub(super) fn facts(&self) -> impl Iterator<Item = Fact> {
        self.0.iter().map(|(name, (health, seen))| Fact {
            key: name.key.clone(),
            observation: Observation::Health(health.clone(), *seen),
        })
    }

    /// When time alone changes what the runs come to: at the end of a time to settle or to start.
    pub(super) fn next_change(&self, settling: Duration, now: Moment) -> Option<Moment> {
        let ends = self
            .0
            .values()
            .filter_map(|(health, _)| match health.state {
                RunState::Ready { since } => Some(since.after(settling)),
                // It takes a moment more than the time that it is given.
                RunState::NotReady => Some(
                    health
                        .started
                        .after(health.time_to_start)
                        .after(Duration::from_secs(1)),
                ),
                RunState::Completed | RunState::Ended => None,
            });
        ends.filter(|end| *end > now).min()
    }
}
