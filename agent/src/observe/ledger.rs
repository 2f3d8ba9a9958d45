//! From what the kernel saw to notes on containers. Pure: the instant is given.
//!
//! Three things must never be lost without a note: a call, that something was lost, and that a
//! container was not seen. So what cannot be placed is kept for a while, and is a loss after that.

mod waiting;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use podfence_seccomp::evidence::{Call, Denial, Example, Phase, Sighting, Start};
use podfence_seccomp::{Moment, Span};

use super::context::{Context, Seat};
use super::groups::{container_of, pod_of};
use super::judged::{Confined, Filters, Judged, judged};
use super::sight::{SeenCall, Sight, Space, SpaceId};
use super::watched::{Seen, Since, Watched};
use crate::pod::{Pod, Run};
use waiting::{Lost, Waiting};

/// How long a space stays of which the container has ended: what its last programs did comes with
/// the next look.
const LINGER: Duration = Duration::from_secs(30);

/// How long after the kubelet's start of a container its first program may seem to be executed: both
/// are rounded to seconds. What begins later is a space of its programs' own.
const START_SLACK: Duration = Duration::from_secs(2);

/// Something to be kept of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Of which.
    pub seat: Arc<Seat>,
    /// What.
    pub what: What,
}

/// What is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A call that an unconfined program made, and how often.
    Call(Call, Sighting, u64),
    /// A call that was denied, and how often.
    Denial(Denial, Sighting, u64),
    /// It was started.
    Start(Start),
    /// Nothing escaped during this time.
    Watched(Span),
    /// Something was lost during this time.
    Loss(Span),
    /// It ran at this moment already, when the observer came.
    Older(Moment),
}

/// What a sight comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// What is to be kept.
    pub notes: Vec<Note>,
    /// Spaces that nobody wants to hear of any more.
    pub ignored: Vec<SpaceId>,
    /// Spaces that are gone.
    pub gone: Vec<SpaceId>,
}

/// What is known of the node's containers.
#[derive(Debug)]
pub struct Ledger {
    since: Since,
    looked: Moment,
    context: Context,
    filters: Filters,
    /// The container of each space that counts, and since when that has ended.
    spaces: HashMap<SpaceId, (Box<str>, Option<Moment>)>,
    waiting: Waiting,
    /// Whether control groups of this node's containers name their pods.
    names_pods: bool,
    /// By the id of a run.
    runs: HashMap<Box<str>, Ran>,
    /// By the uid of a pod and the name of a container.
    watches: BTreeMap<(Box<str>, Box<str>), Watch>,
}

/// A run that a pod's status names.
#[derive(Debug)]
struct Ran {
    pod: Arc<Pod>,
    run: Run,
    /// None where no switch affects it.
    seat: Option<Arc<Seat>>,
    begun: Option<Moment>,
    /// The filters of its first program.
    filters: Option<u32>,
    blind: bool,
    was_ready: bool,
}

/// A container of a pod.
#[derive(Debug)]
struct Watch {
    seat: Arc<Seat>,
    watched: Watched,
}

/// Where a space belongs.
enum Place {
    /// To a container that counts.
    Counted(Box<str>),
    /// To nothing that counts.
    Nowhere,
    /// To a container that nobody has named yet.
    Unknown,
}

impl Ledger {
    /// A ledger of an observer that sees everything from this moment on.
    #[must_use]
    pub fn new(context: Context, since: Moment) -> Self {
        Self {
            since: Since {
                observer: since,
                rules: since,
            },
            looked: since,
            context,
            filters: Filters::default(),
            spaces: HashMap::new(),
            waiting: Waiting::default(),
            names_pods: false,
            runs: HashMap::new(),
            watches: BTreeMap::new(),
        }
    }

    /// Whether anybody is watched, or may turn out to be somebody to watch.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        !self.watches.is_empty() || !self.spaces.is_empty() || !self.waiting.is_empty()
    }

    /// Takes in what was seen since the last time.
    pub fn take(
        &mut self,
        sight: Sight,
        pods: &[Arc<Pod>],
        context: &Context,
        now: Moment,
    ) -> Taken {
        let mut taken = Taken::default();
        let window = Span::new(self.looked.min(now), now);
        self.looked = now;
        let changed = !context.judges_as(&self.context);
        if changed {
            // What the rules before let through was not kept.
            self.since.rules = now;
        }
        self.context = context.clone();
        self.note_runs(pods, changed, &mut taken);
        let Sight {
            mut spaces,
            calls,
            lost,
        } = sight;
        // Of a container's spaces its own comes before those that its programs make.
        spaces.sort_by_key(|space| (space.seen, space.id));
        self.spaces_seen(&spaces, window, now, &mut taken);
        for call in calls {
            if let Some((id, _)) = self.spaces.get(&call.space) {
                let id = id.clone();
                self.call(&id, &call, &mut taken);
            } else {
                self.waiting.call(call);
            }
        }
        let mut is_lost = lost > 0;
        for lost in self.waiting.give_up(now, &mut taken.ignored) {
            is_lost |= !self.lost_in_pod(&lost, now, &mut taken);
        }
        if is_lost {
            self.lose(window, |_| true, &mut taken);
        }
        self.watch(pods, now, &mut taken);
        taken
    }

    /// Takes in which runs there are.
    fn note_runs(&mut self, pods: &[Arc<Pod>], changed: bool, taken: &mut Taken) {
        let mut named = HashSet::new();
        for pod in pods {
            // Whose image is not known yet is as good as not named.
            for run in pod.runs.iter().filter(|run| !run.image.is_empty()) {
                named.insert(&*run.id);
                let known = self.runs.get_mut(&run.id);
                if let Some(ran) = known {
                    if !changed && Arc::ptr_eq(&ran.pod, pod) {
                        continue;
                    }
                    ran.was_ready |= run.ready;
                    ran.pod = Arc::clone(pod);
                    ran.run = run.clone();
                    let seat = self.context.seat(pod, run);
                    if ran.seat.as_deref() != seat.as_ref() {
                        ran.seat = seat.map(Arc::new);
                    }
                    continue;
                }
                let ran = Ran {
                    pod: Arc::clone(pod),
                    run: run.clone(),
                    seat: self.context.seat(pod, run).map(Arc::new),
                    begun: None,
                    filters: None,
                    blind: false,
                    was_ready: run.ready,
                };
                if let Some(seat) = &ran.seat
                    && run.is_running
                    && ran.seen().is_older(self.since)
                {
                    taken.notes.push(Note {
                        seat: Arc::clone(seat),
                        what: What::Older(self.since.observer),
                    });
                }
                self.runs.insert(run.id.clone(), ran);
            }
        }
        self.runs.retain(|id, _| named.contains(&**id));
    }

    /// Takes in which spaces there are and what of each was lost.
    fn spaces_seen(&mut self, spaces: &[Space], window: Span, now: Moment, taken: &mut Taken) {
        let seen: HashSet<SpaceId> = spaces.iter().map(|space| space.id).collect();
        self.spaces.retain(|id, _| seen.contains(id));
        self.waiting.retain(&seen);
        for space in spaces {
            if !self.spaces.contains_key(&space.id) {
                match self.place(space) {
                    Place::Nowhere => {
                        self.waiting.remove(space.id);
                        taken.ignored.push(space.id);
                        continue;
                    }
                    Place::Unknown => {
                        self.waiting.space(space, now);
                        continue;
                    }
                    Place::Counted(id) => self.settle(space, &id, window, taken),
                }
            }
            self.space_lost(space, window, taken);
            self.linger(space.id, now, taken);
        }
    }

    fn place(&self, space: &Space) -> Place {
        let Some(id) = container_of(&space.groups) else {
            return Place::Nowhere;
        };
        match self.runs.get(id) {
            Some(ran) if ran.seat.is_some() => Place::Counted(id.into()),
            Some(_) => Place::Nowhere,
            None => match self.context.told.get(id) {
                Some(told) if told.is_sandbox => Place::Nowhere,
                _ => Place::Unknown,
            },
        }
    }

    /// A space belongs to a run from now on, with all that was seen of it before.
    fn settle(&mut self, space: &Space, id: &str, window: Span, taken: &mut Taken) {
        let start = self.runs.get_mut(id).and_then(|ran| {
            let begun = space.begun?;
            let started = ran.run.started;
            let is_first = started.is_none_or(|at| begun.at <= at.after(START_SLACK));
            let fewest = ran
                .filters
                .map_or(begun.filters, |known| known.min(begun.filters));
            ran.filters = Some(fewest);
            if ran.begun.is_some() || !is_first {
                return None;
            }
            ran.begun = Some(begun.at);
            let start = Start {
                at: begun.at,
                pod: ran.pod.name.clone(),
            };
            let seat = ran.seat.clone()?;
            // Under these rules it was not seen to start.
            (begun.at >= self.since.rules).then_some(Note {
                seat,
                what: What::Start(start),
            })
        });
        taken.notes.extend(start);
        self.names_pods |= pod_of(&space.groups).is_some();
        self.spaces.insert(space.id, (id.into(), None));
        let Some(waited) = self.waiting.remove(space.id) else {
            return;
        };
        for call in &waited.calls {
            self.call(id, call, taken);
        }
        if waited.is_lost {
            let span = Span::new(waited.since.min(window.first()), window.last());
            self.run_lost(id, span, taken);
        }
    }

    fn space_lost(&mut self, space: &Space, window: Span, taken: &mut Taken) {
        let Some((id, _)) = self.spaces.get(&space.id) else {
            return;
        };
        let id = id.clone();
        let was_blind = self.runs.get(&id).is_none_or(|ran| ran.blind);
        if space.lost > 0 || (space.blind && !was_blind) {
            self.run_lost(&id, window, taken);
        }
        if let Some(ran) = self.runs.get_mut(&id) {
            ran.blind |= space.blind;
        }
    }

    /// Lets go of a space a while after its container has ended.
    fn linger(&mut self, id: SpaceId, now: Moment, taken: &mut Taken) {
        let Some((container, ended)) = self.spaces.get_mut(&id) else {
            return;
        };
        let ran = self.runs.get(container);
        if ran.is_some_and(|ran| ran.run.is_running) {
            *ended = None;
            return;
        }
        let since = *ended.get_or_insert(now);
        if now.since(since) >= LINGER {
            self.spaces.remove(&id);
            taken.gone.push(id);
        }
    }

    /// Takes in a call of a run.
    fn call(&mut self, id: &str, call: &SeenCall, taken: &mut Taken) {
        let Some(ran) = self.runs.get(id) else {
            return;
        };
        let Some(seat) = &ran.seat else {
            return;
        };
        let note = |what| Note {
            seat: Arc::clone(seat),
            what,
        };
        let seen = Span::new(call.first, call.last);
        let Some(filter) = self.filters.get(&self.context.profile, seat.filter) else {
            taken.notes.push(note(What::Loss(seen)));
            return;
        };
        let mut sighting = Sighting::at(call.first).by(&call.executable);
        sighting.span = seen;
        sighting.phases = [ran.phase(seat)].into();
        sighting.example = Some(Example {
            pod: ran.pod.name.clone(),
            node: (*self.context.node).into(),
        });
        let what = match judged(&filter, call, self.confined(id, ran)) {
            Judged::Nothing => return,
            Judged::Call(made) => What::Call(made, sighting, call.count),
            Judged::Denial(denial) => What::Denial(denial, sighting, call.count),
            Judged::Lost => What::Loss(seen),
        };
        taken.notes.push(note(what));
    }

    /// What is known to confine a run. The runtime's own word counts first: a program may have
    /// inherited a filter of the runtime's service, which is no `RuntimeDefault`.
    fn confined(&self, id: &str, ran: &Ran) -> Confined {
        let told = self.context.told.get(id).map(|told| told.confined);
        match (told, ran.filters) {
            (Some(false), _) | (None, Some(0)) => Confined::No,
            (_, Some(filters)) => Confined::By(filters.max(1)),
            (Some(true), None) => Confined::By(1),
            (None, None) => Confined::Unknown,
        }
    }

    /// Something was lost of a run.
    fn run_lost(&self, id: &str, span: Span, taken: &mut Taken) {
        let seat = self.runs.get(id).and_then(|ran| ran.seat.clone());
        taken.notes.extend(seat.map(|seat| Note {
            seat,
            what: What::Loss(span),
        }));
    }

    /// Whether it is known whose it was that was lost: a pod's, of which a note is made then where it
    /// is one of this node's, or nobody's that is spoken of here. What says nothing of its pod where
    /// others do is no container of a pod.
    fn lost_in_pod(&self, lost: &Lost, now: Moment, taken: &mut Taken) -> bool {
        let Some(uid) = &lost.pod else {
            return self.names_pods;
        };
        let span = Span::new(lost.since.min(now), now);
        self.lose(span, |of| *of == **uid, taken);
        true
    }

    /// Something was lost of all containers of these pods.
    fn lose(&self, span: Span, of: impl Fn(&str) -> bool, taken: &mut Taken) {
        let mut noted: Vec<&Arc<Seat>> = Vec::new();
        for ran in self.runs.values().filter(|ran| of(&ran.pod.uid)) {
            if let Some(seat) = &ran.seat
                && !noted.contains(&seat)
            {
                noted.push(seat);
            }
        }
        taken.notes.extend(noted.into_iter().map(|seat| Note {
            seat: Arc::clone(seat),
            what: What::Loss(span),
        }));
    }

    /// What was watched since the last time.
    fn watch(&mut self, pods: &[Arc<Pod>], now: Moment, taken: &mut Taken) {
        let mut before = std::mem::take(&mut self.watches);
        for pod in pods {
            let mut containers: BTreeMap<&str, Vec<&Ran>> = BTreeMap::new();
            for run in &pod.runs {
                if let Some(ran) = self.runs.get(&run.id) {
                    containers.entry(&run.container).or_default().push(ran);
                }
            }
            for (name, runs) in containers {
                let Some(seat) = runs.last().and_then(|ran| ran.seat.clone()) else {
                    continue;
                };
                let seen: Vec<Seen> = runs.iter().map(|ran| ran.seen()).collect();
                let key = (pod.uid.clone(), name.into());
                let known = before.remove(&key).filter(|watch| watch.seat == seat);
                let mut watched = known.map(|watch| watch.watched).unwrap_or_default();
                let stretch = watched.turn(&seen, self.since, now);
                taken.notes.extend(stretch.map(|span| Note {
                    seat: Arc::clone(&seat),
                    what: What::Watched(span),
                }));
                self.watches.insert(key, Watch { seat, watched });
            }
        }
    }
}

impl Ran {
    fn seen(&self) -> Seen {
        Seen {
            started: self.run.started,
            begun: self.begun,
            blind: self.blind,
            is_running: self.run.is_running,
        }
    }

    fn phase(&self, seat: &Seat) -> Phase {
        if self.pod.deleting {
            Phase::Stop
        } else if self.was_ready && !seat.is_once {
            Phase::Steady
        } else {
            Phase::Start
        }
    }
}
