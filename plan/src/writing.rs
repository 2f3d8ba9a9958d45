//! The write that carries a decision out, and what is remembered and told of it. No I/O.

use k8s_openapi::jiff::Timestamp;
use podfence_crd::{Phase, Reason, Strategy};
use podfence_podsecurity::{Level, LevelVersion, Mode};

use crate::answer;
use crate::answer::Ruling;
use crate::apply::{Apply, Wish, annotations_for, labels_for};
use crate::course::Course;
use crate::enforce::{Decision, Standing};
use crate::event::Event;
use crate::governed::Governed;
use crate::namespace_plan::{NamespacePlan, Step};
use crate::pair::Change;
use crate::planned::Planned;
use crate::state::{CleanSince, Corrections, State};
use crate::workloads::{Evaluation, Workloads};

/// The write for a namespace, while it is being composed.
pub(crate) struct Writing<'a, 'b, 'c> {
    planned: &'c Planned<'a, 'b>,
    standing: Standing,
    enforce: Option<LevelVersion>,
    ask: Option<LevelVersion>,
    disagreement: Vec<String>,
    events: Vec<Event>,
}

impl<'a, 'b, 'c> Writing<'a, 'b, 'c> {
    pub(crate) fn new(planned: &'c Planned<'a, 'b>, workloads: &mut Workloads) -> Self {
        let mut writing = Self {
            planned,
            standing: Standing::new(Phase::Enforced, Reason::AtTarget),
            enforce: None,
            ask: None,
            disagreement: Vec::new(),
            events: Vec::new(),
        };
        let live = &planned.governed.live;
        match planned.decision {
            Decision::AtTarget => {
                writing.enforce = planned.target;
                let stored = planned.governed.state.phase.map(|(phase, _)| phase);
                if stored == Some(Phase::Exempt) && planned.target.is_some() {
                    writing.standing = Standing::new(Phase::Exempt, Reason::Exempt);
                }
            }
            Decision::Keep(standing) => {
                writing.standing = standing;
                if standing.phase == Phase::StricterKept && !live.invalid.is_empty() {
                    writing.standing.reason = Reason::InvalidLabel;
                }
            }
            Decision::Write { to, tightens, then } => {
                writing.enforce = Some(to);
                writing.standing = then;
                if tightens && to.level != Level::Privileged {
                    writing.consult(workloads, to);
                }
            }
        }
        writing
    }

    /// Looks at what the API server says about raising enforce to this pair.
    pub(crate) fn consult(&mut self, workloads: &mut Workloads, to: LevelVersion) {
        let Governed {
            context,
            policy,
            memory,
            namespace,
            ..
        } = self.planned.governed;
        let Some(at) = self.planned.at else {
            return;
        };
        let at = Evaluation {
            version: to.version,
            ..at
        };
        let answer = memory.answer.as_ref();
        match answer::rule(answer, namespace, workloads, to, at, context.now) {
            Ruling::Ask => self.ask = Some(to),
            Ruling::Clear => {}
            Ruling::Exempt => self.standing = Standing::new(Phase::Exempt, Reason::Exempt),
            Ruling::Disagrees { lines, .. } if policy.strategy == Strategy::Immediate => {
                self.events.push(Event::admission_warned(
                    self.planned.governed.about(),
                    &lines,
                ));
                // What was said about another version of the namespace permits nothing, but
                // Immediate only reports.
                self.disagreement = lines;
            }
            Ruling::Disagrees { lines, again } => {
                self.enforce = None;
                self.disagreement = lines;
                self.standing = Standing {
                    phase: Phase::Held,
                    reason: Reason::AdmissionDisagrees,
                    due: Some(again),
                };
            }
        }
    }

    pub(crate) fn finish(mut self) -> NamespacePlan {
        let Planned {
            governed, targets, ..
        } = self.planned;
        let courses = [
            governed.course(Mode::Enforce, self.enforce),
            governed.course(Mode::Audit, targets.audit),
            governed.course(Mode::Warn, targets.warn),
        ];
        let managers = self.block(&courses);
        let raises = courses
            .iter()
            .any(|it| it.mode == Mode::Enforce && matches!(it.wish, Wish::Set(_)));
        let corrected = courses.iter().any(|course| course.corrects);
        let state = self.state(&courses, corrected);
        let mut apply = self.apply(&courses, &state);
        let needed = apply.is_needed(governed.namespace);
        if needed {
            self.forget_old_fight(&mut apply);
        }
        let step = match self.ask.filter(|_| raises) {
            _ if !needed => Step::Nothing,
            Some(pair) => Step::Ask(apply, pair),
            None => Step::Apply(apply),
        };
        if matches!(step, Step::Apply(_)) {
            self.tell(raises);
        } else {
            self.events.clear();
        }
        let requeue_at = [
            self.standing.due,
            self.planned.next_expiry(),
            self.quiet_until(),
        ]
        .into_iter()
        .flatten()
        .min();
        let mut outcome = governed.outcome(
            self.standing,
            self.planned.target,
            self.planned.is_at_target(),
            self.planned.assessment.clone(),
        );
        outcome.unseen.clone_from(&self.planned.unseen);
        outcome.managers = managers;
        outcome.disagreement = self.disagreement;
        NamespacePlan {
            step,
            outcome: Some(outcome),
            requeue_at,
            events: self.events,
            interrupts: None,
        }
    }

    /// A key that somebody holds, or a fight, comes before everything that the labels would say.
    pub(crate) fn block(&mut self, courses: &[Course]) -> Vec<String> {
        let Governed { context, state, .. } = self.planned.governed;
        let blocked = courses.iter().filter(|course| course.blocked.is_some());
        let mut managers: Vec<_> = blocked
            .clone()
            .flat_map(|course| course.managers.iter().cloned())
            .collect();
        managers.sort_unstable();
        managers.dedup();
        let fights = |corrections: &Corrections| {
            corrections.count > 1 && corrections.forgotten_at() > context.now
        };
        let phases = blocked.filter_map(|course| course.blocked);
        let lingering = state.corrections.filter(fights).map(|_| Phase::Contended);
        match phases.chain(lingering).min() {
            Some(Phase::Contended) => {
                let due = state.corrections.map(Corrections::next_allowed);
                self.standing = Standing {
                    phase: Phase::Contended,
                    reason: Reason::Contended,
                    due: due.filter(|due| *due > context.now),
                };
            }
            Some(phase) => self.standing = Standing::new(phase, Reason::Yielded),
            None => {}
        }
        managers
    }

    pub(crate) fn quiet_until(&self) -> Option<Timestamp> {
        let Governed { context, state, .. } = self.planned.governed;
        let over = state.corrections.map(Corrections::forgotten_at);
        over.filter(|over| self.standing.phase == Phase::Contended && *over > context.now)
    }

    pub(crate) fn state(&self, courses: &[Course], corrected: bool) -> State {
        let Governed {
            context,
            policy,
            state,
            live,
            ..
        } = self.planned.governed;
        let live_text = live.pair.map(|pair| pair.to_string());
        let still_ours = state.applied.enforce.is_some() && state.applied.enforce == live_text;
        let mut next = State {
            policy: Some(policy.name.clone()),
            phase: Some((
                self.standing.phase,
                self.planned.governed.since(self.standing.phase),
            )),
            author: state.author.clone().filter(|_| still_ours),
            applied: state.applied.clone(),
            clean_since: self
                .planned
                .clean
                .clone()
                .filter(CleanSince::says_something),
            previous_enforce: state.previous_enforce.clone(),
            corrections: state.corrections,
        };
        for course in courses {
            match (course.wish, course.wanted) {
                (Wish::Set(pair), _) => next.applied.set(course.mode, Some(pair.to_string())),
                // What we meant is kept, so that a fight is known for one.
                (Wish::Live, Some(_)) => {}
                (Wish::Live, None)
                    if course.mode == Mode::Enforce && self.planned.target.is_some() => {}
                (Wish::Live, None) => next.applied.set(course.mode, None),
            }
            if let (Mode::Enforce, Wish::Set(pair)) = (course.mode, course.wish)
                && live.pair != Some(pair)
            {
                next.author = Some(policy.name.clone());
                next.previous_enforce = Some(live_text.clone().unwrap_or_else(|| "unset".into()));
            }
        }
        if corrected {
            let recent = state
                .corrections
                .filter(|it| it.forgotten_at() > context.now);
            let count = recent.map_or(1, |it| it.count.saturating_add(1));
            next.corrections = Some(Corrections {
                count,
                last: context.now,
            });
        }
        next
    }

    pub(crate) fn apply(&self, courses: &[Course], state: &State) -> Apply {
        let namespace = self.planned.governed.namespace;
        let annotations = annotations_for(namespace, state.to_annotations());
        // Nobody else may write our state. Where somebody did, forcing takes nothing but that: the
        // contested labels that we yield are not in the apply, and the resourceVersion pins what
        // is there.
        let refused = self.planned.governed.refused();
        let usurped = annotations.iter().any(|(key, value)| {
            // Some owners appear in no managedFields entry, and only the refusal names them.
            let told = refused.is_some_and(|keys| keys.contains_key(key));
            namespace.state.get(key).is_some_and(|live| live != value)
                && (told || !namespace.ownership.annotation(key).others.is_empty())
        });
        Apply {
            name: namespace.name.clone(),
            uid: namespace.uid.clone(),
            resource_version: namespace.resource_version.clone(),
            labels: courses
                .iter()
                .flat_map(|course| labels_for(namespace, course.mode, course.wish))
                .collect(),
            annotations,
            force: usurped || courses.iter().any(|course| course.force),
        }
    }

    /// Drops corrections that are over from a write that is made anyway.
    pub(crate) fn forget_old_fight(&self, apply: &mut Apply) {
        let Governed { context, state, .. } = self.planned.governed;
        let over = state
            .corrections
            .is_some_and(|it| it.forgotten_at() <= context.now);
        if over && self.standing.phase != Phase::Contended {
            let mut remembered = State::parse(&apply.annotations, context.now);
            if remembered.corrections == state.corrections {
                remembered.corrections = None;
                apply.annotations = remembered.to_annotations();
            }
        }
    }

    /// The events of a write that is about to be made.
    pub(crate) fn tell(&mut self, writes_enforce: bool) {
        let Governed {
            policy,
            state,
            live,
            memory,
            ..
        } = self.planned.governed;
        let about = || self.planned.governed.about();
        if let Some(to) = self.enforce.filter(|_| writes_enforce) {
            let change = Change::between(live.pair, to);
            if change.loosens {
                self.events
                    .push(Event::loosened(about(), &policy.name, live.pair, to));
            } else if change.tightens {
                self.events
                    .push(Event::tightened(about(), &policy.name, live.pair, to));
            }
        }
        let known = memory.previous.or(state.phase).map(|(phase, _)| phase);
        let Standing { phase, reason, .. } = self.standing;
        if known != Some(phase) && phase != Phase::Unknown {
            self.events
                .push(Event::phase(about(), &policy.name, phase, reason));
        }
    }
}
