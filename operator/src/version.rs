//! The versions of the API servers behind the address that we use. Does I/O.
//!
//! While a control plane is upgraded, or rolled back, two versions answer in turn. What was seen in
//! the last minutes counts: rules must hold on all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;
use podfence_daemon::cluster::REQUEST_TIMEOUT;
use podfence_plan::Servers;
use podfence_podsecurity::ServerVersion;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::backoff::for_watches;

/// How often the version is asked for.
pub const INTERVAL: Duration = Duration::from_secs(30);

/// How long a version that answered once is taken to be still there. At one request on a fresh
/// connection every 30 s, one of three servers behind a load balancer stays unheard for ten minutes
/// once in three thousand times.
const MEMORY: Duration = Duration::from_secs(600);

/// Why a version is not known.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// The API server refused or was not reached.
    #[error("failed to ask for the version")]
    Request(#[from] kube::Error),
    /// No answer in time.
    #[error("failed to ask for the version in time")]
    Timeout,
    /// The answer names no minor version.
    #[error("failed to read the version from minor {minor:?} and emulationMinor {emulation:?}")]
    Unreadable {
        /// The field `minor`.
        minor: String,
        /// The field `emulationMinor`.
        emulation: String,
    },
}

/// The versions that answered lately, each with when it last did.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<ServerVersion, Instant>);

impl Seen {
    /// Takes in an answer. True when the oldest or the newest version changed by it.
    pub fn note(&mut self, version: ServerVersion, now: Instant) -> bool {
        let before = self.servers();
        self.0.insert(version, now);
        self.0.retain(|_, last| now.duration_since(*last) < MEMORY);
        self.servers() != before
    }

    /// The oldest and the newest; `None` until one has answered. What was seen last counts for as
    /// long as nothing else answers: it is the watches' business to notice that nobody does.
    #[must_use]
    pub fn servers(&self) -> Option<Servers> {
        let rules = |version: &&ServerVersion| version.newest_policy();
        let oldest = self.0.keys().min_by_key(rules)?;
        let newest = self.0.keys().max_by_key(rules)?;
        Some(Servers {
            oldest: *oldest,
            newest: *newest,
        })
    }
}

/// Asks again and again, and sends every answer. `connect` makes a new client each time: a new
/// connection is what finds the other servers behind a load balancer.
pub fn spawn(
    connect: impl Fn() -> Result<Client, kube::Error> + Send + Sync + 'static,
    answers: mpsc::Sender<ServerVersion>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut tick = interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut backoff = for_watches();
        loop {
            tick.tick().await;
            match ask(&connect).await {
                Ok(version) => {
                    backoff.reset();
                    if answers.send(version).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "could not ask for the version of the API server"
                    );
                    tick.reset_after(backoff.pause());
                }
            }
        }
    })
}

async fn ask(
    connect: &(impl Fn() -> Result<Client, kube::Error> + Sync),
) -> Result<ServerVersion, VersionError> {
    let request = http::Request::get("/version").body(Vec::new());
    let request = request.map_err(kube::Error::HttpError)?;
    let client = connect()?;
    let answer = timeout(REQUEST_TIMEOUT, client.request::<Info>(request));
    let info = answer.await.map_err(|_| VersionError::Timeout)??;
    info.version().ok_or_else(|| {
        let Info {
            minor,
            emulation_minor: emulation,
        } = info;
        VersionError::Unreadable { minor, emulation }
    })
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Info {
    minor: String,
    /// The version whose behaviour a newer program imitates; servers before 1.34 do not say.
    emulation_minor: String,
}

impl Info {
    fn version(&self) -> Option<ServerVersion> {
        ServerVersion::read(&self.minor, &self.emulation_minor)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use podfence_podsecurity::ServerVersion;
    use tokio::time::Instant;

    use super::{Info, MEMORY, Seen};

    #[test]
    fn reads_what_servers_say() {
        for (minor, emulation, want) in [
            ("", "", None),
            ("x", "", None),
            ("37", "x", None),
            ("99999", "", None),
            ("34", "", Some(ServerVersion::new(34))),
            ("34+", "", Some(ServerVersion::new(34))),
            ("37", "37", Some(ServerVersion::new(37))),
            ("37", "36", Some(ServerVersion::emulating(37, 36))),
        ] {
            let info = Info {
                minor: minor.into(),
                emulation_minor: emulation.into(),
            };
            assert_eq!(info.version(), want, "{minor:?} {emulation:?}");
        }
    }

    #[test]
    fn rules_decide_which_server_is_the_oldest() {
        let now = Instant::now();
        let mut seen = Seen::default();
        let (imitating, plain) = (ServerVersion::emulating(37, 35), ServerVersion::new(36));
        seen.note(plain, now);
        seen.note(imitating, now);
        let servers = seen.servers().expect("two answered");
        assert_eq!((servers.oldest, servers.newest), (imitating, plain));
    }

    #[test]
    fn a_version_is_remembered_for_a_while() {
        let (old, new) = (ServerVersion::new(34), ServerVersion::new(35));
        let now = Instant::now();
        let mut seen = Seen::default();
        assert!(seen.servers().is_none());
        assert!(seen.note(old, now));
        assert!(!seen.note(old, now + Duration::from_secs(30)));
        assert!(
            seen.note(new, now + Duration::from_secs(60)),
            "an upgrade begins"
        );
        let both = seen
            .servers()
            .map(|servers| (servers.oldest, servers.newest));
        assert_eq!(both, Some((old, new)));
        let later = now + Duration::from_secs(30) + MEMORY;
        assert!(seen.note(new, later), "the old one is gone");
        let one = seen
            .servers()
            .map(|servers| (servers.oldest, servers.newest));
        assert_eq!(one, Some((new, new)));
        assert!(
            !seen.note(new, later + 10 * MEMORY),
            "silence does not end what was seen"
        );
    }
}
