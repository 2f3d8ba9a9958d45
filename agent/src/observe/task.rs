//! The observer's loop: look, make notes, ask whose they are, write. Does I/O.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use futures::stream;
use kube::Client;
use podfence_daemon::failure::described;
use podfence_seccomp::{Moment, Profile};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::books::{Books, RecordId};
use super::context::{Context, Holder, Told};
use super::ledger::Ledger;
use super::owner::{OwnerError, Workload, workload_of};
use super::publish::{PublishError, Written, publish};
use super::sight::{Sight, SpaceId};
use crate::cluster::Node;
use crate::pod::Pod;

/// How often the kernel is asked what was seen.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the rest is written for when the agent is to end. Kubernetes gives it five seconds.
const FAREWELL: Duration = Duration::from_secs(3);

/// Records that are written at once then.
const AT_ONCE: usize = 8;

/// How long nobody is watched before calls are no longer seen to return, and how long after news of a
/// container it takes until it is known at most.
const HOLD: Duration = Duration::from_secs(60);

/// How soon eyes that could not be opened are tried again: what they lack seldom comes by itself.
const REOPEN: Duration = Duration::from_secs(60);

/// Failures in a row after which they are said: the API server was restarted meanwhile.
const SAID_AFTER: u32 = 8;

/// What sees system calls.
pub trait Eyes {
    /// Why it cannot look, in words that stay the same.
    type Error: std::error::Error + 'static;

    /// Sees from now on what these rules may deny, and has seen everything else.
    ///
    /// # Errors
    /// When it can see nothing. It is asked again later.
    fn adapt(&mut self, context: &Context) -> Result<(), Self::Error>;

    /// What was seen since the last time.
    ///
    /// # Errors
    /// When the kernel does not say. What was seen meanwhile counts as lost.
    fn look(&mut self) -> Result<Sight, Self::Error>;

    /// Nothing more is to be said of this space.
    ///
    /// # Errors
    /// When the kernel cannot be told, and goes on to say it.
    fn ignore(&mut self, space: SpaceId) -> Result<(), Self::Error>;

    /// This space is gone.
    ///
    /// # Errors
    /// When the kernel cannot be told, and keeps it.
    fn forget(&mut self, space: SpaceId) -> Result<(), Self::Error>;

    /// Whether anybody needs to know what comes of calls. As long as nobody does, they cost less.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn follow_returns(&mut self, needed: bool) -> Result<(), Self::Error>;

    /// Comes when a container may be about to start.
    fn news(&mut self) -> impl Future<Output = ()> + Send;
}

/// What the agent's loop tells the observer.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The Node, once it is known.
    pub node: Option<Node>,
    /// The profile of its runtime.
    pub profile: Option<Arc<Profile>>,
    /// Its pods, once they were listed.
    pub pods: Option<Arc<[Arc<Pod>]>>,
    /// What the runtime was told about its containers.
    pub told: Arc<HashMap<Box<str>, Told>>,
}

/// What the observer tells the agent's loop, for the report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Since when it observes; none where it does not.
    pub since: Option<Moment>,
    /// Why it does not, or not all of it.
    pub problem: Option<String>,
}

/// Observes the system calls of a node's containers.
#[allow(missing_debug_implementations)] // Nor has the client one.
pub struct Observer<E> {
    eyes: E,
    client: Client,
    node: Arc<str>,
    /// Since when the eyes have been open; none before.
    since: Option<Moment>,
    /// What they go by.
    rules: Option<Context>,
    reopen: Option<Instant>,
    /// When somebody was watched last.
    needed: Instant,
    ledger: Option<Ledger>,
    books: Books,
    /// Whether something is lost that the ledger does not know of.
    is_lost: bool,
    failures: u32,
    problems: Problems,
    /// At most one task, and what it is about.
    work: JoinSet<Done>,
    doing: Option<Doing>,
}

/// What is done beside the loop.
enum Doing {
    Asking(Holder),
    Writing(RecordId),
}

/// What stands in the way, each in words that stay the same.
#[derive(Debug, Default)]
struct Problems {
    context: Option<String>,
    eyes: Option<String>,
    owners: Option<String>,
    records: Option<String>,
}

/// What was done beside the loop.
#[derive(Debug)]
enum Done {
    Asked(Holder, Result<Workload, OwnerError>),
    Wrote(RecordId, Result<Written, PublishError>),
}

impl<E: Eyes> Observer<E> {
    /// An observer of this node, whose eyes are opened when it is known what they go by, and which in
    /// the long run writes once in so long a time.
    #[must_use]
    pub fn new(eyes: E, client: Client, node: &str, pace: Duration) -> Self {
        Self {
            eyes,
            client,
            node: node.into(),
            since: None,
            rules: None,
            reopen: None,
            needed: Instant::now(),
            ledger: None,
            books: Books::new(Instant::now(), pace),
            is_lost: false,
            failures: 0,
            problems: Problems::default(),
            work: JoinSet::new(),
            doing: None,
        }
    }

    /// Goes on until it is asked to end, and writes what is left then.
    pub async fn run(
        mut self,
        view: watch::Receiver<View>,
        said: watch::Sender<Said>,
        shutdown: impl Future<Output = ()>,
    ) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                _ = ticks.tick() => {
                    let view = view.borrow().clone();
                    self.look(&view, now());
                }
                () = self.eyes.news() => {
                    self.needed = Instant::now();
                    self.follow_returns();
                }
                Some(done) = self.work.join_next() => match done {
                    Ok(done) => self.take(done),
                    // It is a mistake of ours, and tried again as any other failure.
                    Err(error) => {
                        tracing::error!(%error, "a write panicked");
                        self.retry();
                    }
                },
            }
            self.begin();
            self.say(&said);
        }
        let last = view.borrow().clone();
        self.look(&last, now());
        if timeout(FAREWELL, self.finish()).await.is_err() {
            tracing::warn!("ended with records unwritten");
        }
    }

    /// Looks, and makes notes of what was seen.
    fn look(&mut self, view: &View, now: Moment) {
        let (Some(node), Some(pods)) = (&view.node, &view.pods) else {
            // What is seen meanwhile stays in the kernel.
            return;
        };
        let profile = view.profile.clone();
        let context = match Context::of(&self.node, node, profile, Arc::clone(&view.told)) {
            Ok(context) => context,
            Err(problem) => {
                self.problems.context = Some(problem);
                return;
            }
        };
        self.problems.context = None;
        if !self.open(&context, now) {
            return;
        }
        let mut sight = match self.eyes.look() {
            Ok(sight) => sight,
            Err(error) => {
                self.problems.eyes = Some(unseen(&error));
                self.is_lost = true;
                return;
            }
        };
        self.problems.eyes = None;
        sight.lost += u64::from(std::mem::take(&mut self.is_lost));
        let since = self.since.unwrap_or(now);
        let ledger = self
            .ledger
            .get_or_insert_with(|| Ledger::new(context.clone(), since));
        let taken = ledger.take(sight, pods, &context, now);
        let at = Instant::now();
        if ledger.is_watching() {
            self.needed = at;
        }
        let mut told = Ok(());
        for space in taken.ignored {
            told = told.and(self.eyes.ignore(space));
        }
        for space in taken.gone {
            told = told.and(self.eyes.forget(space));
        }
        if let Err(error) = told {
            // It says more than it need, and its tables may fill, which it says as well.
            tracing::warn!(
                error = described(&error),
                "could not tell the kernel what is over"
            );
        }
        self.follow_returns();
        for note in taken.notes {
            // Where there is no place for it, it was somebody's, and the next look says so.
            self.is_lost |= !self.books.take(note, now, at);
        }
    }

    /// Opens the eyes, or opens them anew for other rules. Says whether they are open.
    fn open(&mut self, context: &Context, now: Moment) -> bool {
        let known = self.rules.as_ref();
        if known.is_some_and(|known| known.judges_as(context)) {
            return true;
        }
        if self.reopen.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        self.rules = None;
        if let Err(error) = self.eyes.adapt(context) {
            self.problems.eyes = Some(unseen(&error));
            tracing::warn!(error = described(&error), "system calls cannot be observed");
            self.reopen = Some(Instant::now() + REOPEN);
            // Those of before have seen nothing since.
            self.is_lost = self.ledger.is_some();
            return false;
        }
        self.is_lost |= self.ledger.is_some();
        self.rules = Some(context.clone());
        self.reopen = None;
        self.since.get_or_insert(now);
        true
    }

    /// Sees calls return as long as that matters to anybody.
    fn follow_returns(&mut self) {
        if self.rules.is_none() {
            return;
        }
        let is_needed = Instant::now() - self.needed < HOLD;
        if let Err(error) = self.eyes.follow_returns(is_needed) {
            self.problems.eyes = Some(unseen(&error));
            self.is_lost = true;
        }
    }

    /// Begins what is to be done next: one question and one write at a time.
    fn begin(&mut self) {
        if !self.work.is_empty() {
            return;
        }
        let now = Instant::now();
        let client = self.client.clone();
        if let Some(holder) = self.books.to_ask(now) {
            self.doing = Some(Doing::Asking(holder.clone()));
            self.work.spawn(async move {
                let answer = workload_of(&client, &holder).await;
                Done::Asked(holder, answer)
            });
        } else if let Some(id) = self.books.to_write(now)
            && let Some((workload, facts)) = self.books.facts(&id)
        {
            self.doing = Some(Doing::Writing(id.clone()));
            self.work.spawn(async move {
                let written = publish(&client, &workload, &facts, self::now()).await;
                Done::Wrote(id, written)
            });
        }
    }

    fn retry(&mut self) {
        let now = Instant::now();
        match self.doing.take() {
            Some(Doing::Asking(holder)) => self.books.unsettled(&holder, now),
            Some(Doing::Writing(id)) => self.books.failed(&id, now),
            None => {}
        }
    }

    fn take(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Asked(holder, Ok(workload)) => {
                self.books.settle(&holder, workload, now);
                // As long as one is not known, it may be for the same reason.
                if self.books.unknown().is_empty() {
                    self.problems.owners = None;
                }
            }
            Done::Asked(holder, Err(error)) => {
                tracing::warn!(%error, "could not find a workload");
                if matches!(error, OwnerError::Forbidden(..)) {
                    self.problems.owners = Some(
                        "the workloads of pods are not known; the agent's account needs get on \
                         replicasets and jobs, see config/agent-observer"
                            .to_owned(),
                    );
                }
                self.books.unsettled(&holder, now);
            }
            Done::Wrote(id, Ok(_)) => {
                self.failures = 0;
                self.problems.records = None;
                self.books.wrote(&id, self::now(), now);
            }
            Done::Wrote(id, Err(PublishError::Ending(_))) => self.books.drop(&id),
            Done::Wrote(id, Err(error)) => {
                tracing::warn!(%error, "could not write a record");
                self.failures = self.failures.saturating_add(1);
                self.problems.records = problem_of(&error, self.failures)
                    .map(str::to_owned)
                    .or_else(|| self.problems.records.take());
                self.books.failed(&id, now);
            }
        }
    }

    /// Tells what the report is to say, if that is something else than before.
    fn say(&self, said: &watch::Sender<Said>) {
        let Problems {
            context,
            eyes,
            owners,
            records,
        } = &self.problems;
        let problems = [context, eyes, owners, records];
        let now = Said {
            since: self.rules.as_ref().and(self.since),
            problem: problems.into_iter().flatten().next().cloned(),
        };
        said.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        });
    }

    /// Writes all that is left, each record once.
    async fn finish(&mut self) {
        self.work.abort_all();
        let client = self.client.clone();
        let asked = stream::iter(self.books.unknown()).map(async |holder| {
            let workload = workload_of(&client, &holder).await;
            (holder, workload)
        });
        let asked: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
        let now = Instant::now();
        for (holder, workload) in asked {
            if let Ok(workload) = workload {
                self.books.settle(&holder, workload, now);
            }
        }
        let rest = self.books.rest();
        let rest = rest.into_iter().filter_map(|id| self.books.facts(&id));
        let written = stream::iter(rest).for_each_concurrent(AT_ONCE, async |(workload, facts)| {
            if let Err(error) = publish(&client, &workload, &facts, self::now()).await {
                tracing::warn!(%error, "could not write a record at the end");
            }
        });
        written.await;
    }
}

/// What a report says where nothing is seen.
fn unseen(error: &(dyn std::error::Error + 'static)) -> String {
    format!("system calls cannot be observed: {}", described(error))
}

/// What a report says of records that cannot be written; none where that may pass.
fn problem_of(error: &PublishError, failures: u32) -> Option<&'static str> {
    match error {
        PublishError::Forbidden { .. } => Some(
            "what was observed cannot be written: the agent's account needs get, create and \
             update on syscallrecords, see config/agent-observer",
        ),
        PublishError::Absent(_) => Some(
            "what was observed cannot be written: the cluster has no syscallrecords, apply \
             config/crd",
        ),
        _ if failures >= SAID_AFTER => Some(
            "what was observed cannot be written: the API server takes no syscallrecords; the \
             agent's log says why",
        ),
        _ => None,
    }
}

/// The node's time.
fn now() -> Moment {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Moment::from_unix_seconds(since.unwrap_or_default().as_secs())
}
