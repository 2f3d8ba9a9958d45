//! A proxy between a client and a lab's API server that counts writes and fails on demand. Listens
//! and connects.
//!
//! A client that is given [`FaultProxy::url`] speaks to the proxy under a certificate of the lab's
//! authority, and the proxy passes its bearer token on: the API server sees the same user. Only
//! HTTP/1.1 is spoken, and no upgrades.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use podfence_e2e::{fault_proxy::{FaultProxy, Moment}, lab::{Lab, Process}};
//! # async fn story(lab: Lab, operator: Process) -> anyhow::Result<()> {
//! let proxy = FaultProxy::start(&lab).await?;
//! // ... the operator is started with proxy.service_account_kubeconfig(...) ...
//! let mut trap = proxy.trap(3, Moment::AfterCommit);
//! let write = trap.sprung(Duration::from_secs(30)).await?;
//! operator.kill();
//! drop(trap);
//! # Ok(())
//! # }
//! ```
//!
//! Between the moment a trap springs and its end nothing passes, so that the write it names is the
//! last one of a client that is killed then.

mod connection;
mod request;
mod state;
mod watch_stream;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

pub use self::request::ProxiedRequest;
use self::state::{ArmedTrap, State};
use crate::lab::{Credential, Lab};

/// When a trap springs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The API server never sees the write.
    BeforeForwarding,
    /// The API server has answered it, and the client does not hear.
    AfterCommit,
}

/// An answer of the proxy's own, as the API server would give it.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The HTTP status code.
    pub code: u16,
    /// The reason in the Status object, such as `TooManyRequests` or `Expired`.
    pub reason: String,
    /// The `Retry-After` header.
    pub retry_after_seconds: Option<u32>,
    /// How many requests get it; the later ones pass.
    pub times: usize,
}

impl Refusal {
    /// A refusal of one request.
    #[must_use]
    pub fn new(code: u16, reason: &str) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            retry_after_seconds: None,
            times: 1,
        }
    }
}

/// A running proxy; it ends, and all its connections with it, when this value is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    listener: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy in front of the lab's API server. It runs on the runtime that starts it.
    ///
    /// # Errors
    ///
    /// When it cannot listen, or the lab's certificates are of no use to it.
    pub async fn start(lab: &Lab) -> anyhow::Result<Self> {
        let tls = connection::acceptor(&lab.authority().server()?)?;
        let upstream = lab.anonymous_client()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(watch::Sender::new(State::default()));
        let listener = tokio::spawn(connection::listen(
            listener,
            tls,
            upstream,
            Arc::clone(&state),
        ));
        Ok(Self {
            address,
            state,
            listener,
        })
    }

    /// What to give to a client in place of the API server's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// As [`Lab::service_account_kubeconfig`], but through the proxy.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn service_account_kubeconfig(
        &self,
        lab: &Lab,
        namespace: &str,
        name: &str,
    ) -> anyhow::Result<PathBuf> {
        let token = lab.service_account_token(namespace, name).await?;
        lab.kubeconfig_for(&self.url(), &Credential::Token(&token))
    }

    /// The writes that came in and were not refused, those of Leases apart, in their order.
    #[must_use]
    pub fn writes(&self) -> Vec<ProxiedRequest> {
        self.state.borrow().writes.clone()
    }

    /// How many writes of Leases came in.
    #[must_use]
    pub fn lease_writes(&self) -> usize {
        self.state.borrow().lease_writes
    }

    /// Waits for the `nth` write from now on, 1 being the next, Leases apart. A trap set before is
    /// let go.
    #[must_use]
    pub fn trap(&self, nth: usize, moment: Moment) -> Trap {
        let (sprung, told) = oneshot::channel();
        self.state.send_modify(|state| {
            state.release();
            state.trap = Some(ArmedTrap {
                moment,
                remaining: nth,
                sprung,
            });
        });
        Trap {
            told,
            state: Arc::clone(&self.state),
        }
    }

    /// Answers the next `refusal.times` requests that `selects` chooses, in place of the API
    /// server.
    pub fn refuse(
        &self,
        refusal: Refusal,
        selects: impl Fn(&ProxiedRequest) -> bool + Send + Sync + 'static,
    ) {
        if refusal.times > 0 {
            self.state
                .send_modify(|state| state.refusals.push((Box::new(selects), refusal)));
        }
    }

    /// Lets no change of a resource through any watch, present or future, until the returned value
    /// is dropped; the changes then come late.
    #[must_use]
    pub fn hold_watches(&self, resource: &str) -> HeldWatches {
        self.state.send_modify(|state| {
            state.held_watches.insert(resource.to_owned());
        });
        HeldWatches {
            resource: resource.to_owned(),
            state: Arc::clone(&self.state),
        }
    }

    /// Ends every present watch of a resource as the API server does when it has forgotten the
    /// version that the client is at: with an ERROR of code 410.
    pub fn expire_watches(&self, resource: &str) {
        self.state.send_modify(|state| {
            *state.expirations.entry(resource.to_owned()).or_default() += 1;
        });
    }

    /// Resets every present connection, as when a load balancer in between is restarted.
    pub fn cut_connections(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// A trap that is set, or has sprung. Dropping it lets everything pass again; whoever was held is
/// cut off unanswered.
pub struct Trap {
    told: oneshot::Receiver<ProxiedRequest>,
    state: Arc<watch::Sender<State>>,
}

impl Trap {
    /// Waits until the trap has sprung, and returns the write.
    ///
    /// # Errors
    ///
    /// When it has not after `limit`: there were not as many writes.
    pub async fn sprung(&mut self, limit: Duration) -> anyhow::Result<ProxiedRequest> {
        if let Ok(told) = timeout(limit, &mut self.told).await {
            return told.context("another trap was set meanwhile");
        }
        let writes = self.state.borrow().writes.len();
        bail!("no write sprung the trap within {limit:?}; {writes} came in since the start");
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.told.close();
        self.state.send_modify(State::release);
    }
}

/// Watches that stand still. Dropping it lets them go on.
pub struct HeldWatches {
    resource: String,
    state: Arc<watch::Sender<State>>,
}

impl Drop for HeldWatches {
    fn drop(&mut self) {
        self.state.send_modify(|state| {
            state.held_watches.remove(&self.resource);
        });
    }
}
