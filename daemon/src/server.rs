//! A few fixed pages over HTTP, the probes among them. Does I/O.
//!
//! On hyper, which kube brings along: fixed answers need no router, and axum would add a dozen
//! crates to save forty lines.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::failure::StartError;

/// How long a client may take to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// What a program's loop says about itself.
#[derive(Debug, Clone)]
pub struct Vitals {
    /// When it turned last.
    pub beat: Instant,
    /// What it waits for; ready when there is nothing.
    pub awaits: Option<String>,
}

impl Vitals {
    /// Before the loop said anything: alive and not ready.
    #[must_use]
    pub fn starting(now: Instant) -> Self {
        Self {
            beat: now,
            awaits: Some("the start".to_owned()),
        }
    }
}

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// Pages, each at its path.
pub struct Site {
    pages: BTreeMap<&'static str, Box<dyn Fn() -> Answer + Send + Sync>>,
    connections: usize,
}

impl Site {
    /// Without a page so far. More connections at once than these are somebody's mistake and wait.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        Self {
            pages: BTreeMap::new(),
            connections,
        }
    }

    /// With one page more.
    #[must_use]
    pub fn page(
        mut self,
        path: &'static str,
        answer: impl Fn() -> Answer + Send + Sync + 'static,
    ) -> Self {
        self.pages.insert(path, Box::new(answer));
        self
    }

    /// With `/healthz` and `/readyz`. The loop is taken for stuck when it shows no sign of life for
    /// so long.
    #[must_use]
    pub fn probes(self, vitals: watch::Receiver<Vitals>, stuck: Duration) -> Self {
        let alive = vitals.clone();
        self.page("/healthz", move || healthy(&alive.borrow(), stuck))
            .page("/readyz", move || ready(&vitals.borrow(), stuck))
    }

    fn answer(&self, method: &Method, path: &str) -> Answer {
        if method != Method::GET && method != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        }
        self.pages.get(path).map_or_else(
            || {
                let known: Vec<_> = self.pages.keys().copied().collect();
                let message = format!("there is {}\n", known.join(", "));
                text(StatusCode::NOT_FOUND, message)
            },
            |page| page(),
        )
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.pages.keys()).finish()
    }
}

fn healthy(vitals: &Vitals, stuck: Duration) -> Answer {
    let silent = vitals.beat.elapsed();
    if silent < stuck {
        return text(StatusCode::OK, "ok\n");
    }
    let message = format!("the loop has not turned for {silent:?}\n");
    text(StatusCode::INTERNAL_SERVER_ERROR, message)
}

fn ready(vitals: &Vitals, stuck: Duration) -> Answer {
    match &vitals.awaits {
        Some(awaited) => text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for {awaited}\n"),
        ),
        None => healthy(vitals, stuck),
    }
}

/// A plain text.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
}

/// Serves a site until the task is aborted. Gives the address bound, where a port of 0 was replaced
/// by a free one.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(
    address: SocketAddr,
    site: Arc<Site>,
) -> Result<(SocketAddr, JoinHandle<()>), StartError> {
    let failed = |source| StartError::Listen(address, source);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((bound, tokio::spawn(accept(listener, site))))
}

async fn accept(listener: TcpListener, site: Arc<Site>) {
    let slots = Arc::new(Semaphore::new(site.connections));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely; spinning would not free any.
                tracing::warn!(%error, "could not accept a connection");
                sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let answer = site.answer(request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is its own business.
            let _ = connection.await;
            drop(slot);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Method, StatusCode};
    use tokio::sync::watch;
    use tokio::time::{Instant, advance};

    use super::{Site, Vitals, text};

    const STUCK: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_alive_while_it_turns_and_ready_when_nothing_is_awaited() {
        let (vitals_in, vitals) = watch::channel(Vitals::starting(Instant::now()));
        let site = Site::new(1).probes(vitals, STUCK);
        let status = |path| site.answer(&Method::GET, path).status();
        assert_eq!(status("/healthz"), StatusCode::OK);
        assert_eq!(status("/readyz"), StatusCode::SERVICE_UNAVAILABLE);
        let beat = |awaits| {
            let now = Instant::now();
            vitals_in.send_replace(Vitals { beat: now, awaits });
        };
        beat(None);
        assert_eq!(status("/readyz"), StatusCode::OK);
        advance(STUCK).await;
        for path in ["/healthz", "/readyz"] {
            assert_eq!(status(path), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        }
        beat(Some("the first list of Pod".to_owned()));
        assert_eq!(status("/healthz"), StatusCode::OK);
        assert_eq!(status("/readyz"), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn what_is_not_there_is_not_served() {
        let site = Site::new(1).page("/metrics", || text(StatusCode::OK, "one 1\n"));
        for (method, path, want) in [
            (Method::GET, "/metrics", StatusCode::OK),
            (Method::HEAD, "/metrics", StatusCode::OK),
            (Method::POST, "/metrics", StatusCode::METHOD_NOT_ALLOWED),
            (Method::GET, "/", StatusCode::NOT_FOUND),
            (Method::GET, "/healthz", StatusCode::NOT_FOUND),
        ] {
            let status = site.answer(&method, path).status();
            assert_eq!(status, want, "{method} {path}");
        }
    }
}
