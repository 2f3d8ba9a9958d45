//! The plan for one namespace: at most one write, how far it is, and when to look again. No I/O.
//!
//! The driver carries a plan's step out and plans again, until there is nothing left to do. So an
//! outcome always speaks of what the API server has, and never of what was meant.

use k8s_openapi::jiff::Timestamp;
use podfence_crd::{ConflictPolicy, Phase, Reason, Strategy};
use podfence_podsecurity::{Level, LevelVersion};

use crate::answer::{self, Answer, Ruling};
use crate::apply::{Apply, Wish, contenders, labels_for};
use crate::clean::Soak;
use crate::enforce::{Decision, Question, Standing, decide, resolve_target};
use crate::event::{Event, Regarding};
use crate::keys::labels_of;
use crate::leave;
use crate::ledger::Ledger;
use crate::namespace::Namespace;
use crate::outcome::Outcome;
use crate::pair::{Change, Live};
use crate::policy::{Policy, Profile, Targets};
use crate::precedence::Policies;
use crate::servers::{Servers, Unseen};
use crate::state::{CleanSince, Corrections, State, whole_seconds};
use crate::workloads::{Assessment, Evaluation, Workloads};
use podfence_podsecurity::Mode;

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
    /// The namespace that the operator runs in.
    pub own_namespace: &'a str,
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
    pub keys: std::collections::BTreeMap<String, Vec<String>>,
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
    /// Send `remove`, if the definition of NamespacePolicy can be read and is not being deleted;
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
}

impl NamespacePlan {
    pub(crate) fn nothing() -> Self {
        Self {
            step: Step::Nothing,
            outcome: None,
            requeue_at: None,
            events: Vec::new(),
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
    let mut matching = context.policies.matching(namespace, context.own_namespace);
    let Some(winner) = matching.next() else {
        workloads.forget_departed();
        return leave::plan(context, namespace);
    };
    let superseded = matching.map(|policy| policy.name.clone()).collect();
    Governed::new(context, namespace, memory, winner, superseded).plan(workloads)
}

/// A namespace and the policy that won it.
struct Governed<'a> {
    context: &'a Context<'a>,
    namespace: &'a Namespace,
    memory: &'a Memory,
    policy: &'a Policy,
    superseded: Vec<String>,
    state: State,
    live: Live,
}

/// What is to become of one mode.
struct Course {
    mode: Mode,
    wish: Wish,
    /// The pair that was wanted, where there is one.
    wanted: Option<LevelVersion>,
    force: bool,
    corrects: bool,
    /// Somebody holds a key and the policy yields, or a fight is being sat out.
    blocked: Option<Phase>,
    managers: Vec<String>,
}

impl<'a> Governed<'a> {
    fn new(
        context: &'a Context<'a>,
        namespace: &'a Namespace,
        memory: &'a Memory,
        policy: &'a Policy,
        superseded: Vec<String>,
    ) -> Self {
        Self {
            context,
            namespace,
            memory,
            policy,
            superseded,
            state: State::parse(&namespace.state, context.now),
            live: Live::read(Mode::Enforce, &namespace.labels),
        }
    }

    fn plan(&self, workloads: &mut Workloads) -> NamespacePlan {
        // An unreadable policy that wrote this namespace may still want it; nobody can tell.
        let claimed = self
            .state
            .policy
            .as_deref()
            .filter(|name| *name != self.policy.name);
        if claimed.is_some_and(|name| self.context.policies.is_unusable(name)) {
            return self.frozen(workloads, Reason::MalformedObject);
        }
        let targets = match &self.policy.profile {
            Profile::Missing => return self.frozen(workloads, Reason::ProfileMissing),
            Profile::Invalid(_) => return self.frozen(workloads, Reason::ProfileInvalid),
            Profile::Found(targets) => targets,
        };
        Planned::new(self, targets, workloads).finish(workloads)
    }

    /// Nothing is written while it cannot be known what should be.
    fn frozen(&self, workloads: &mut Workloads, reason: Reason) -> NamespacePlan {
        let phase = if self.policy.suspend {
            Phase::Suspended
        } else {
            Phase::Unknown
        };
        let assessment = workloads.unevaluated();
        let outcome = self.outcome(Standing::new(phase, reason), None, false, assessment);
        NamespacePlan {
            outcome: Some(outcome),
            ..NamespacePlan::nothing()
        }
    }

    fn outcome(
        &self,
        standing: Standing,
        target: Option<LevelVersion>,
        at_target: bool,
        mut assessment: Assessment,
    ) -> Outcome {
        assessment.violating.truncate(Outcome::FINDINGS);
        let invalid_labels: Vec<_> = Mode::ALL
            .into_iter()
            .flat_map(|mode| Live::read(mode, &self.namespace.labels).invalid)
            .collect();
        Outcome {
            policy: self.policy.name.clone(),
            generation: self.policy.generation,
            superseded: self.superseded.clone(),
            phase: standing.phase,
            reason: standing.reason,
            since: self.since(standing.phase),
            next_change: standing.due.filter(|_| standing.phase == Phase::Soaking),
            current: self.live.pair,
            target,
            at_target,
            assessment,
            unseen: Vec::new(),
            managers: Vec::new(),
            invalid_labels,
            disagreement: Vec::new(),
            failure: None,
        }
    }

    /// Since when the namespace is in a phase: as stored, as remembered, or from now on.
    fn since(&self, phase: Phase) -> Timestamp {
        let stored = self.memory.previous.or(self.state.phase);
        let since = stored
            .filter(|(known, _)| *known == phase)
            .map(|(_, since)| since);
        whole_seconds(since.unwrap_or(self.context.now))
    }

    /// Whether Podfence is the only owner of the live enforce labels, and this policy their author.
    fn ours_alone(&self) -> bool {
        let sole = labels_of(Mode::Enforce)
            .into_iter()
            .filter(|key| self.namespace.labels.contains_key(*key))
            .all(|key| {
                let owners = self.namespace.ownership.label(key);
                owners.ours && owners.others.is_empty()
            });
        sole && self
            .live
            .pair
            .is_some_and(|live| self.state.is_author(&self.policy.name, live))
    }

    /// Decides what an apply sends for a mode that should become `wanted`.
    fn course(&self, mode: Mode, wanted: Option<LevelVersion>) -> Course {
        let mut course = Course {
            mode,
            wish: wanted.map_or(Wish::Live, Wish::Set),
            wanted,
            force: false,
            corrects: false,
            blocked: None,
            managers: Vec::new(),
        };
        let Some(wanted) = wanted else {
            return course;
        };
        let none = std::collections::BTreeMap::new();
        let refused = self
            .memory
            .refused
            .as_ref()
            .filter(|refused| refused.resource_version == self.namespace.resource_version)
            .map_or(&none, |refused| &refused.keys);
        let managers = contenders(self.namespace, refused, mode, wanted);
        course.managers = managers.into_iter().map(str::to_owned).collect();
        let contested = !course.managers.is_empty();
        if contested && self.policy.conflict_policy == ConflictPolicy::Yield {
            course.blocked = Some(Phase::Yielded);
        } else if self.was_taken_back(mode, wanted) {
            let wait = self.state.corrections.map(Corrections::next_allowed);
            if wait.is_some_and(|until| until > self.context.now) {
                course.blocked = Some(Phase::Contended);
            } else {
                course.corrects = true;
            }
        }
        if course.blocked.is_some() {
            course.wish = Wish::Live;
        } else {
            course.force = contested;
        }
        course
    }

    /// Whether somebody changed or removed what we had set a mode to.
    fn was_taken_back(&self, mode: Mode, wanted: LevelVersion) -> bool {
        let wanted = wanted.to_string();
        let live = Live::read(mode, &self.namespace.labels)
            .pair
            .map(|pair| pair.to_string());
        self.state.applied.of(mode) == Some(&wanted) && live.as_ref() != Some(&wanted)
    }

    fn about(&self) -> Regarding {
        Regarding::Namespace {
            name: self.namespace.name.clone(),
            uid: self.namespace.uid.clone(),
        }
    }
}

/// The plan of a namespace whose target is known, while it is being made.
struct Planned<'a, 'b> {
    governed: &'b Governed<'a>,
    targets: &'b Targets,
    target: Option<LevelVersion>,
    at: Option<Evaluation>,
    unseen: Vec<Unseen>,
    assessment: Assessment,
    clean: Option<CleanSince>,
    decision: Decision,
}

impl<'a, 'b> Planned<'a, 'b> {
    fn new(governed: &'b Governed<'a>, targets: &'b Targets, workloads: &mut Workloads) -> Self {
        let Governed {
            context,
            policy,
            live,
            namespace,
            ..
        } = governed;
        let lowest = context.servers.map(|servers| servers.lowest_minor());
        let resolve =
            |pair| resolve_target(pair, policy.strategy, live.pair, lowest).unwrap_or(pair);
        let target = targets.enforce.map(resolve);
        let evaluated = target.or_else(|| targets.evaluated());
        let at = context
            .servers
            .zip(evaluated)
            .map(|(servers, pair)| Evaluation {
                version: pair.version,
                servers,
            });
        let assessment = match evaluated.zip(at) {
            Some((pair, at)) => {
                workloads.assess(policy, pair.level, at, &namespace.labels, context.now)
            }
            None => workloads.unevaluated(),
        };
        let mut unseen = Vec::new();
        if at.is_some_and(|at| at.servers.outrun_rules_at(at.version)) {
            unseen.push(Unseen::ServerTooNew);
        }
        if !assessment.malformed.is_empty() {
            unseen.push(Unseen::Malformed {
                objects: assessment.malformed.clone(),
            });
        }
        let mut planned = Self {
            governed,
            targets,
            target,
            at,
            unseen,
            assessment,
            clean: None,
            decision: Decision::AtTarget,
        };
        planned.clean = planned.clean_since();
        if let Some(target) = target {
            planned.decision = decide(&planned.question(target));
        }
        planned
    }

    /// The record of cleanness to store. While something of the cluster is unseen the stored one
    /// stays, since the ledger already says that it does not count; what is unseen of this
    /// namespace alone ends its record.
    fn clean_since(&self) -> Option<CleanSince> {
        let Governed {
            context,
            policy,
            namespace,
            state,
            ..
        } = self.governed;
        let (target, at) = self.target.zip(self.at)?;
        if policy.strategy == Strategy::Immediate || target.level == Level::Privileged {
            return None;
        }
        if !context.unseen.is_empty() {
            return state.clean_since.clone();
        }
        if !self.unseen.is_empty() {
            return None;
        }
        let soak = Soak {
            policy: &policy.name,
            uid: &namespace.uid,
            version: at.version,
            up_to: target.level,
            counted_from: context.ledger.counted_from(&policy.name, context.now),
            now: context.now,
        };
        let Assessment {
            violated, passing, ..
        } = self.assessment;
        Some(soak.continue_from(state.clean_since.as_ref(), violated, passing))
    }

    fn question(&self, target: LevelVersion) -> Question<'_> {
        const NEVER: &CleanSince = &CleanSince::never();
        let Governed {
            context,
            policy,
            live,
            ..
        } = self.governed;
        let unseen = context
            .unseen
            .first()
            .or(self.unseen.first())
            .map(Unseen::reason);
        Question {
            live: live.pair,
            target,
            strategy: policy.strategy,
            soak: policy.soak,
            while_violating: policy.while_violating,
            loosening: policy.loosening,
            ours_alone: self.governed.ours_alone(),
            unseen: unseen.or_else(|| self.at.is_none().then_some(Reason::ListFailed)),
            clean: self.clean.as_ref().unwrap_or(NEVER),
            born_clean: self.is_born_clean(),
            now: context.now,
        }
    }

    /// A namespace that is younger than its policy, was never written, and in which nothing was
    /// ever seen: there is no past to wait for.
    fn is_born_clean(&self) -> bool {
        let Governed {
            context,
            policy,
            namespace,
            state,
            ..
        } = self.governed;
        let counted_from = context.ledger.counted_from(&policy.name, context.now);
        state.is_empty()
            && self.assessment.empty
            && !self.assessment.passing.restricted
            && namespace.created > policy.created
            && counted_from.is_none_or(|from| namespace.created >= from)
    }

    fn finish(self, workloads: &mut Workloads) -> NamespacePlan {
        let policy = self.governed.policy;
        if policy.suspend {
            return self.idle(Standing::new(Phase::Suspended, Reason::Suspended));
        }
        if policy.strategy == Strategy::DryRun {
            let violating = self.assessment.all_violating() > 0;
            let reason = if violating {
                Reason::ViolatingWorkloads
            } else {
                Reason::DryRun
            };
            return self.idle(Standing::new(Phase::DryRun, reason));
        }
        Writing::new(&self, workloads).finish()
    }

    /// Reports without writing.
    fn idle(self, standing: Standing) -> NamespacePlan {
        let requeue_at = self.next_expiry();
        let at_target = self.is_at_target();
        let mut outcome = self
            .governed
            .outcome(standing, self.target, at_target, self.assessment);
        outcome.unseen = self.unseen;
        NamespacePlan {
            outcome: Some(outcome),
            requeue_at,
            ..NamespacePlan::nothing()
        }
    }

    fn next_expiry(&self) -> Option<Timestamp> {
        self.governed.policy.next_expiry(self.governed.context.now)
    }

    /// Whether the labels, as they are, are what the profile asks for.
    fn is_at_target(&self) -> bool {
        let labels = &self.governed.namespace.labels;
        let others = [Mode::Audit, Mode::Warn].into_iter().all(|mode| {
            self.targets
                .of(mode)
                .is_none_or(|pair| Live::read(mode, labels).pair == Some(pair))
        });
        let enforce = self.target.is_none_or(|target| {
            let change = Change::between(self.governed.live.pair, target);
            !change.tightens
        });
        others && enforce
    }
}

/// The write for a namespace, while it is being composed.
struct Writing<'a, 'b, 'c> {
    planned: &'c Planned<'a, 'b>,
    standing: Standing,
    enforce: Option<LevelVersion>,
    ask: Option<LevelVersion>,
    disagreement: Vec<String>,
    events: Vec<Event>,
}

impl<'a, 'b, 'c> Writing<'a, 'b, 'c> {
    fn new(planned: &'c Planned<'a, 'b>, workloads: &mut Workloads) -> Self {
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
    fn consult(&mut self, workloads: &mut Workloads, to: LevelVersion) {
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

    fn finish(mut self) -> NamespacePlan {
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
        let mut apply = self.apply(&courses, state);
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
        }
    }

    /// A key that somebody holds, or a fight, comes before everything that the labels would say.
    fn block(&mut self, courses: &[Course]) -> Vec<String> {
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

    fn quiet_until(&self) -> Option<Timestamp> {
        let Governed { context, state, .. } = self.planned.governed;
        let over = state.corrections.map(Corrections::forgotten_at);
        over.filter(|over| self.standing.phase == Phase::Contended && *over > context.now)
    }

    fn state(&self, courses: &[Course], corrected: bool) -> State {
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

    fn apply(&self, courses: &[Course], state: State) -> Apply {
        let namespace = self.planned.governed.namespace;
        let annotations = state.to_annotations();
        // Nobody else may write our state. Where somebody did, forcing takes nothing but that: the
        // contested labels that we yield are not in the apply, and the resourceVersion pins what
        // is there.
        let usurped = annotations.iter().any(|(key, value)| {
            namespace.state.get(key).is_some_and(|live| live != value)
                && !namespace.ownership.annotation(key).others.is_empty()
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
    fn forget_old_fight(&self, apply: &mut Apply) {
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
    fn tell(&mut self, writes_enforce: bool) {
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
