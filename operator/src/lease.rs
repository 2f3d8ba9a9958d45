//! Which replica may write: leader election by a Lease, after client-go's protocol. Does I/O.
//!
//! A Lease expires for others when *they* saw no change of it for its duration, on their own
//! monotonic clock. No clock of one machine is ever compared with that of another one, so a clock
//! that is hours off is harmless. The holder in turn counts from the moment before it sent the last
//! renewal that succeeded, and stops a good while before anybody else may begin.
//!
//! The Lease also carries the ledger of soaks (`podfence_plan::ledger`), which changes in the same
//! write that takes the Lease: a leader that dies right after that leaves a true one behind.

mod record;

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use podfence_plan::Ledger;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use self::record::{annotation, holder, set_annotation, stamp, taken};
use crate::fence::Fence;

/// Who is elected, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The Lease's name.
    pub name: String,
    /// The Lease's namespace.
    pub namespace: String,
    /// What the holder calls itself; no other process may use it.
    pub identity: String,
    /// How long the Lease of a silent holder is respected. Whole seconds.
    pub duration: Duration,
    /// How long a holder that cannot renew may go on. Shorter than `duration`.
    pub renew_deadline: Duration,
    /// Pause between tries.
    pub retry_period: Duration,
}

/// Adds a random part to a replica's name. Two processes that share a name (a restarted container,
/// a copied manifest) would otherwise both believe that the Lease is theirs.
#[must_use]
pub fn unique_identity(name: &str) -> String {
    format!("{name}_{:016x}", RandomState::new().hash_one(name))
}

/// Why the Lease could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The API server refused or was not reached.
    #[error("failed to {0} the Lease")]
    Request(&'static str, #[source] Box<kube::Error>),
    /// No answer in time.
    #[error("failed to {0} the Lease in time")]
    Timeout(&'static str),
}

impl LeaseError {
    fn has_code(&self, code: u16) -> bool {
        // The code and not the reason: a proxy's answer has no reason.
        matches!(self, Self::Request(_, source)
            if matches!(&**source, kube::Error::Api(status) if status.code == code))
    }
}

/// What the election tells the driver.
#[derive(Debug)]
pub enum Change {
    /// The Lease is ours, and so is this ledger.
    Leading(Ledger),
    /// The Lease is lost. The process must end: whatever it knows may be outdated.
    Lost,
}

/// What the driver asks of the election.
#[derive(Debug)]
enum Request {
    Campaign,
    Record {
        annotation: String,
        done: oneshot::Sender<()>,
    },
    Release {
        done: oneshot::Sender<()>,
    },
}

/// The driver's end of the election.
#[derive(Debug)]
pub struct Handle {
    fence: Fence,
    changes: mpsc::Receiver<Change>,
    requests: mpsc::Sender<Request>,
}

impl Handle {
    /// The fence that every write asks.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// The next change; never resolves once the election has ended.
    pub async fn changed(&mut self) -> Change {
        match self.changes.recv().await {
            Some(change) => change,
            None => std::future::pending().await,
        }
    }

    /// Starts to compete. Not before every kind was listed: the ledger is taken over by the write
    /// that takes the Lease, and the absence that it measures ends with the first full list.
    pub fn campaign(&self) {
        self.request(Request::Campaign);
    }

    /// Writes the ledger. The receiver resolves when it is stored, and fails when the Lease is
    /// lost before that.
    #[must_use]
    pub fn record(&self, ledger: &Ledger) -> oneshot::Receiver<()> {
        let (done, stored) = oneshot::channel();
        self.request(Request::Record {
            annotation: ledger.to_annotation(),
            done,
        });
        stored
    }

    fn request(&self, request: Request) {
        // A closed channel means that the election ended, which `changed` has said or will say. A
        // full one cannot be: whoever records waits for the answer before the next one.
        if let Err(error) = self.requests.try_send(request) {
            tracing::debug!(%error, "the election does not listen");
        }
    }

    /// Gives the Lease back, if it is ours, so that the next replica need not wait. Ends when that
    /// is done or `patience` is over.
    pub async fn release(self, patience: Duration) {
        let (done, released) = oneshot::channel();
        if self.requests.send(Request::Release { done }).await.is_ok() {
            let _ = timeout(patience, released).await;
        }
    }
}

/// Starts the election. `wall_clock` gives the times that people read in the Lease; nothing else
/// depends on it but how long nobody led, which the ledger treats with suspicion.
pub fn spawn(client: Client, settings: Settings, wall_clock: fn() -> Timestamp) -> Handle {
    let (requests, receiver) = mpsc::channel(16);
    let (changes_sender, changes) = mpsc::channel(4);
    let (fence_sender, fence) = watch::channel(None);
    let election = Election {
        api: Api::namespaced(client, &settings.namespace),
        settings,
        wall_clock,
        fence: fence_sender,
        seen: None,
        waiting: Vec::new(),
    };
    tokio::spawn(election.run(receiver, changes_sender));
    Handle {
        fence: Fence::controlled(fence),
        changes,
        requests,
    }
}

/// The Lease as last seen, and when it last changed.
struct Seen {
    lease: Lease,
    since: Instant,
}

struct Election {
    api: Api<Lease>,
    settings: Settings,
    wall_clock: fn() -> Timestamp,
    fence: watch::Sender<Option<Instant>>,
    seen: Option<Seen>,
    /// Who waits for the ledger to be stored.
    waiting: Vec<oneshot::Sender<()>>,
}

/// How a term ended.
enum End {
    Lost,
    Released,
}

impl Election {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>, changes: mpsc::Sender<Change>) {
        loop {
            match requests.recv().await {
                Some(Request::Campaign) => break,
                Some(Request::Record { .. }) => {}
                Some(Request::Release { .. }) | None => return,
            }
        }
        let ledger = loop {
            match self.try_acquire().await {
                Ok(Some(ledger)) => break ledger,
                Ok(None) => {}
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not look at the lease"
                ),
            }
            tokio::select! {
                () = sleep(self.settings.retry_period) => {}
                request = requests.recv() => match request {
                    Some(Request::Release { .. }) | None => return,
                    Some(Request::Campaign | Request::Record { .. }) => {}
                }
            }
        };
        tracing::info!(identity = %self.settings.identity, "leading");
        if changes.send(Change::Leading(ledger)).await.is_err() {
            return;
        }
        match self.lead(&mut requests).await {
            End::Released => tracing::info!("gave the lease back"),
            End::Lost => {
                tracing::error!("lost the lease");
                let _ = changes.send(Change::Lost).await;
            }
        }
        self.fence.send_replace(None);
    }

    /// Takes the Lease if it is free, and with it the ledger.
    async fn try_acquire(&mut self) -> Result<Option<Ledger>, LeaseError> {
        let found = match self.get().await {
            Ok(lease) => Some(lease),
            Err(error) if error.has_code(404) => None,
            Err(error) => return Err(error),
        };
        if let Some(lease) = found {
            self.observe(lease);
        } else {
            self.seen = None;
        }
        if !self.is_free() {
            return Ok(None);
        }
        let now = (self.wall_clock)();
        let old = self.seen.as_ref().map(|seen| &seen.lease);
        let ledger = Ledger::take_over(
            old.and_then(annotation),
            old.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref())
                .map(|time| time.0),
            now,
        );
        let wanted = taken(old, &self.settings, &ledger, now);
        let sent = Instant::now();
        let taken = if old.is_some() {
            self.replace(&wanted).await
        } else {
            self.create(&wanted).await
        };
        match taken {
            Ok(lease) => {
                self.renewed(lease, sent);
                Ok(Some(ledger))
            }
            // Somebody was quicker.
            Err(error) if error.has_code(409) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Renews until the Lease is lost or given back.
    async fn lead(&mut self, requests: &mut mpsc::Receiver<Request>) -> End {
        let mut next = Instant::now() + self.settings.retry_period;
        loop {
            let release = tokio::select! {
                () = sleep_until(next) => None,
                request = requests.recv() => match request {
                    Some(Request::Campaign) => continue,
                    Some(Request::Record { annotation, done }) => {
                        if let Some(seen) = &mut self.seen {
                            set_annotation(&mut seen.lease, annotation);
                        }
                        self.waiting.push(done);
                        None
                    }
                    Some(Request::Release { done }) => Some(done),
                    // The driver is gone, and with it everything that writes.
                    None => return End::Released,
                }
            };
            if let Some(done) = release {
                self.give_back().await;
                let _ = done.send(());
                return End::Released;
            }
            if !self.renew().await {
                return End::Lost;
            }
            next = Instant::now() + self.settings.retry_period;
        }
    }

    /// Renews, trying until the deadline. False when the Lease is lost.
    async fn renew(&mut self) -> bool {
        loop {
            let Some(until) = *self.fence.borrow() else {
                return false;
            };
            if Instant::now() >= until {
                return false;
            }
            let Ok(renewed) = timeout_at(until, self.try_renew()).await else {
                return false;
            };
            match renewed {
                Ok(true) => {
                    for done in self.waiting.drain(..) {
                        let _ = done.send(());
                    }
                    return true;
                }
                Ok(false) => return false,
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not renew the lease"
                ),
            }
            sleep(self.settings.retry_period.min(Duration::from_secs(1))).await;
        }
    }

    /// One renewal. `Ok(false)` when somebody else holds the Lease, or when it came too late.
    async fn try_renew(&mut self) -> Result<bool, LeaseError> {
        let Some(mut wanted) = self.seen.as_ref().map(|seen| seen.lease.clone()) else {
            return Ok(false);
        };
        stamp(&mut wanted, (self.wall_clock)());
        let sent = Instant::now();
        match self.replace(&wanted).await {
            Ok(lease) => Ok(self.renewed(lease, sent)),
            Err(error) if error.has_code(409) => {
                // Somebody annotated it, or an earlier renewal succeeded unheard, or it is not ours
                // any more. What we know of the ledger is what counts.
                let mut lease = self.get().await?;
                if holder(&lease) != Some(&self.settings.identity) {
                    return Ok(false);
                }
                if let Some(text) = annotation(&wanted) {
                    set_annotation(&mut lease, text.to_owned());
                }
                stamp(&mut lease, (self.wall_clock)());
                let sent = Instant::now();
                let lease = self.replace(&lease).await?;
                Ok(self.renewed(lease, sent))
            }
            Err(error) if error.has_code(404) => {
                // Deleted. Whoever creates it first has it; the API server decides.
                wanted.metadata.resource_version = None;
                wanted.metadata.uid = None;
                let sent = Instant::now();
                match self.create(&wanted).await {
                    Ok(lease) => Ok(self.renewed(lease, sent)),
                    Err(error) if error.has_code(409) => Ok(false),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Clears the holder. The renewal time stays true, so that the next leader knows how long
    /// nobody led.
    async fn give_back(&mut self) {
        self.fence.send_replace(None);
        let Some(mut lease) = self.seen.take().map(|seen| seen.lease) else {
            return;
        };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
        }
        stamp(&mut lease, (self.wall_clock)());
        if let Err(error) = self.replace(&lease).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not give the lease back"
            );
        }
    }

    /// Takes in a Lease that is ours, and moves the fence. False when the fence had closed: what was
    /// to be written since was given up, and nobody would take it up again.
    ///
    /// INVARIANT: in one term a fence that has closed never opens.
    fn renewed(&mut self, lease: Lease, sent: Instant) -> bool {
        self.seen = Some(Seen { lease, since: sent });
        let until = sent + self.settings.renew_deadline;
        self.fence.send_if_modified(|held| {
            let is_open = held.is_none_or(|held| Instant::now() < held);
            if is_open {
                *held = Some(until);
            }
            is_open
        })
    }

    fn observe(&mut self, lease: Lease) {
        // Only the record counts, not the resourceVersion: somebody who annotates a dead leader's
        // Lease does not bring it back to life.
        let since = match &self.seen {
            Some(seen) if seen.lease.spec == lease.spec => seen.since,
            _ => Instant::now(),
        };
        self.seen = Some(Seen { lease, since });
    }

    fn is_free(&self) -> bool {
        let Some(Seen { lease, since }) = &self.seen else {
            return true;
        };
        match holder(lease) {
            None => true,
            // Our own write that was committed although its answer was lost.
            Some(identity) if identity == self.settings.identity => true,
            Some(_) => since.elapsed() > record::duration(lease).unwrap_or(self.settings.duration),
        }
    }

    async fn get(&self) -> Result<Lease, LeaseError> {
        self.request("get", self.api.get(&self.settings.name)).await
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        self.request("create", self.api.create(&PostParams::default(), lease))
            .await
    }

    /// Replaces exactly the version that was seen: the body carries its resourceVersion.
    async fn replace(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        let parameters = PostParams::default();
        self.request(
            "update",
            self.api.replace(&self.settings.name, &parameters, lease),
        )
        .await
    }

    /// Half of the deadline for each request, so that a lost one leaves time for another.
    async fn request(
        &self,
        verb: &'static str,
        call: impl Future<Output = Result<Lease, kube::Error>>,
    ) -> Result<Lease, LeaseError> {
        match timeout(self.settings.renew_deadline / 2, call).await {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(source)) => Err(LeaseError::Request(verb, Box::new(source))),
            Err(_) => Err(LeaseError::Timeout(verb)),
        }
    }
}
