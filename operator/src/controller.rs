//! The driver: one task that owns everything observed, plans, and hands writes to other tasks.
//! Does I/O.
//!
//! Planning is pure and takes microseconds, so it happens right here; only requests are spawned,
//! each under a timeout, and what came of them is another input. So nothing is shared, nothing is
//! locked, and no two plans of a namespace ever overlap.

mod bookkeeping;
mod finalizers;
mod leaving;
mod reports;
mod rounds;
mod seccomp;
mod statuses;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use podfence_daemon::server::Vitals;
use podfence_plan::{Ledger, Unseen};
use podfence_podsecurity::ServerVersion;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::backoff::Backoffs;
use crate::call::{CallError, Caller, Reply};
use crate::crd_state::CrdState;
use crate::events::Publisher;
use crate::lease;
use crate::metrics::{Metrics, WatchRestart};
use crate::observe::health::{GRACE, Health};
use crate::observe::index::Index;
use crate::observe::source::{Malformed, Observed};
use crate::observe::watch::{Failure, News, Report};
use crate::outcomes::Outcomes;
use crate::queue::Queue;
use crate::version;
use finalizers::Finalizers;
use rounds::Round;
use seccomp::Seccomp;
pub use seccomp::SeccompSettings;
use statuses::Statuses;

/// Reports taken in at once. Between two batches plans are made and writes started.
const BATCH: usize = 128;

/// How often the driver shows that it is alive and looks at what only time changes.
const TICK: Duration = Duration::from_secs(1);

/// How long writes that are under way may take to end at a shutdown. With the time to give the
/// Lease back, it is below the ten seconds that a shutdown may take.
const FINISH: Duration = Duration::from_secs(5);

/// How long giving the Lease back may take.
const RELEASE: Duration = Duration::from_secs(3);

/// What the driver listens to.
#[derive(Debug)]
pub struct Inputs {
    /// What the watches see.
    pub reports: mpsc::Receiver<Report>,
    /// What the API servers say their version is.
    pub versions: mpsc::Receiver<ServerVersion>,
    /// Who leads.
    pub election: lease::Handle,
}

/// What the driver speaks through.
pub struct Outputs {
    /// Sends writes.
    pub caller: Caller,
    /// Publishes events.
    pub publisher: Publisher,
    /// Counts.
    pub metrics: Metrics,
    /// Shows that the driver is alive.
    pub vitals: watch::Sender<Vitals>,
}

/// Why the driver ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was asked to; nothing is under way and the Lease is given back.
    Shutdown,
    /// Another replica leads, or nobody could be asked. Nothing more was written.
    LeaseLost,
}

/// Where we stand in the election.
enum Term {
    /// Not everything was listed yet.
    Settling,
    /// Another replica leads.
    Standby,
    /// We lead.
    Leading {
        ledger: Ledger,
        /// The ledger differs from what was stored last.
        changed: bool,
        /// Resolves when the ledger as it is now is stored. No plan is made before that.
        recording: Option<oneshot::Receiver<()>>,
    },
}

/// What a spawned request came to.
enum Done {
    Round(Arc<str>, rounds::StepDone),
    Status(statuses::Key, statuses::StatusDone),
    Finalizer(String, Result<Reply, CallError>),
    Report(String, Result<Reply, CallError>),
}

/// The driver.
pub struct Driver {
    out: Outputs,
    /// Requests under way at most.
    concurrency: usize,
    started: Instant,
    index: Index,
    outcomes: Outcomes,
    health: Health,
    versions: version::Seen,
    unseen: Vec<Unseen>,
    term: Term,
    namespaces: Queue<Arc<str>>,
    rounds: HashMap<Arc<str>, Round>,
    /// Namespaces whose last round did not end well and will be repeated.
    unsettled: HashSet<Arc<str>>,
    backoffs: Backoffs<Arc<str>>,
    statuses: Statuses,
    seccomp: Seccomp,
    finalizers: Finalizers,
    /// The definition of `NamespacePolicy` as read last, and when that was begun.
    crd: Option<(Instant, CrdState)>,
    calls: JoinSet<Done>,
}

impl Driver {
    /// A driver that knows nothing yet.
    #[must_use]
    pub fn new(
        out: Outputs,
        own_namespace: String,
        seccomp: SeccompSettings,
        concurrency: usize,
    ) -> Self {
        Self {
            out,
            concurrency: concurrency.max(1),
            started: Instant::now(),
            index: Index::new(own_namespace, seccomp.agent_namespace.clone()),
            outcomes: Outcomes::default(),
            health: Health::default(),
            versions: version::Seen::default(),
            unseen: Vec::new(),
            term: Term::Settling,
            namespaces: Queue::default(),
            rounds: HashMap::new(),
            unsettled: HashSet::new(),
            backoffs: Backoffs::default(),
            statuses: Statuses::default(),
            seccomp: Seccomp::new(seccomp),
            finalizers: Finalizers::default(),
            crd: None,
            calls: JoinSet::new(),
        }
    }

    /// Runs until `shutdown` resolves or the Lease is lost.
    pub async fn run(mut self, mut inputs: Inputs, shutdown: impl Future<Output = ()>) -> End {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            self.turn(&inputs.election);
            let alarm = self.next_alarm();
            tokio::select! {
                () = &mut shutdown => return self.finish(inputs.election).await,
                change = inputs.election.changed() => match change {
                    lease::Change::Leading(ledger) => self.begin_term(ledger),
                    lease::Change::Lost => return End::LeaseLost,
                },
                stored = recorded(&mut self.term) => if !self.note_recorded(stored) {
                    return End::LeaseLost;
                },
                _ = inputs.reports.recv_many(&mut batch, BATCH) => {
                    batch.drain(..).for_each(|report| self.take_in(report));
                }
                Some(version) = inputs.versions.recv() => self.note_version(version),
                Some(done) = self.calls.join_next() => self.note_done(done),
                () = sleep_until(alarm) => {}
                _ = tick.tick() => self.tick(),
            }
        }
    }

    /// Everything that follows from the inputs so far.
    fn turn(&mut self, election: &lease::Handle) {
        let now = Instant::now();
        self.show_vitals(now);
        self.look_at_health(now);
        self.look_at_seccomp_health(now);
        self.take_marks(now);
        self.namespaces.ring(now);
        self.statuses.ring(now);
        if matches!(self.term, Term::Settling) && self.is_settled(now) {
            tracing::info!("every kind was listed");
            election.campaign();
            self.term = Term::Standby;
        }
        self.keep_ledger(election);
        if self.may_plan() {
            self.tend_finalizers(now);
            if self.health.is_all_settled(now) {
                self.judge(now);
            }
            if self.may_say(now) {
                self.write_statuses(now);
            }
            self.start_rounds();
            self.end_patience(now);
        }
    }

    fn take_in(&mut self, Report { source, news }: Report) {
        let fails_anew = self.health.note(source, &news, Instant::now());
        match news {
            News::Started => self.index.begin_list(source),
            News::Listed => self.index.finish_list(source),
            News::Established => {}
            News::Applied(observed) => {
                log_malformed(&observed);
                self.index.apply(observed);
            }
            News::Deleted { namespace, name } => self.index.delete(source, &namespace, &name),
            News::Failed(Failure { cause, message }) => {
                let (resource, cause) = (source.resource_name(), cause.label());
                // Every few seconds while it lasts; once is enough to read.
                if fails_anew {
                    tracing::warn!(resource, cause, error = message, "a list or watch failed");
                } else {
                    tracing::debug!(resource, cause, error = message, "a list or watch failed");
                }
                let labels = WatchRestart {
                    kind: source.kind(),
                    reason: cause,
                };
                self.out.metrics.watch_restarts.get_or_create(&labels).inc();
            }
        }
    }

    fn note_done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Round(name, done)) => self.note_step(name, done),
            Ok(Done::Status(key, done)) => self.note_status(&key, done),
            Ok(Done::Finalizer(name, result)) => self.note_finalizer(&name, result),
            Ok(Done::Report(name, result)) => self.note_report(name, result),
            // Nothing aborts a request but the end of the process, so this is a panic, which is a
            // mistake of ours. Its namespace is locked until a restart, and the log says so.
            Err(error) => tracing::error!(%error, "a request panicked"),
        }
    }

    /// Ends what is under way and gives the Lease back.
    async fn finish(mut self, election: lease::Handle) -> End {
        tracing::info!(under_way = self.calls.len(), "shutting down");
        let all = async { while self.calls.join_next().await.is_some() {} };
        if timeout(FINISH, all).await.is_err() {
            tracing::warn!(left = self.calls.len(), "writes did not end in time");
        }
        election.release(RELEASE).await;
        End::Shutdown
    }

    fn may_plan(&self) -> bool {
        matches!(
            self.term,
            Term::Leading {
                recording: None,
                ..
            }
        )
    }

    /// Whether a status would speak of everything that has changed.
    fn may_say(&self, now: Instant) -> bool {
        self.health.is_all_settled(now) && self.seccomp.is_done()
    }

    fn has_room(&self) -> bool {
        self.calls.len() < self.concurrency
    }

    /// When `turn` has something to do without an input. Work that is ready and was only put off,
    /// so that inputs are heard in between, is due at once.
    fn next_alarm(&self) -> Instant {
        let now = Instant::now();
        let has_ready = || self.has_ready_round() || (self.may_say(now) && self.has_ready_status());
        if self.may_plan() && self.has_room() && has_ready() {
            return now;
        }
        let judges = self.may_plan() && self.health.is_all_settled(now);
        let alarms = [
            self.namespaces.next_alarm(),
            self.statuses.next_alarm(),
            // Only a leader tends finalizers; on a standby the alarm would ring for ever.
            self.finalizers.next_look().filter(|_| self.may_plan()),
            self.seccomp.next_alarm().filter(|_| judges),
            self.health.next_change(now),
            (self.started + GRACE > now).then_some(self.started + GRACE),
        ];
        // The tick comes earlier than an alarm that is far away.
        alarms.into_iter().flatten().min().unwrap_or(now + TICK)
    }
}

fn log_malformed(observed: &Observed) {
    if let Some(Malformed {
        name,
        namespace,
        error,
        ..
    }) = observed.malformed()
    {
        let kind = observed.kind();
        tracing::warn!(kind, namespace, name, error, "cannot read an object");
    }
}

/// Resolves when the ledger is stored, with false when it cannot be any more; never while none is
/// being stored.
async fn recorded(term: &mut Term) -> bool {
    match term {
        Term::Leading {
            recording: Some(stored),
            ..
        } => stored.await.is_ok(),
        _ => std::future::pending().await,
    }
}

/// The wall clock, as plans read it.
fn wall_clock() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
