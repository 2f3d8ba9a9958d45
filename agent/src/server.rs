//! Serves `/healthz` and `/readyz`. Does I/O.

use std::convert::Infallible;
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

/// The loop is taken for stuck when it shows no sign of life for this long. A look takes
/// milliseconds; the kubelet and the API server may each take their timeout.
const STUCK: Duration = Duration::from_secs(60);

/// Connections at once: the kubelet's probes. More are somebody's mistake and wait.
const CONNECTIONS: usize = 8;

/// How long a client may take to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// What the driver says about itself.
#[derive(Debug, Clone)]
pub struct Vitals {
    /// When its loop turned last.
    pub beat: Instant,
    /// What its report waits for; ready when there is nothing.
    pub awaits: Option<String>,
}

impl Vitals {
    /// Before the driver said anything: alive and not ready.
    #[must_use]
    pub fn starting(now: Instant) -> Self {
        Self {
            beat: now,
            awaits: Some("the first look".to_owned()),
        }
    }
}

/// Why an address cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}")]
pub struct ServeError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Serves an address until the task is aborted. Gives the address bound, where a port of 0 was
/// replaced by a free one.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(
    address: SocketAddr,
    vitals: watch::Receiver<Vitals>,
) -> Result<(SocketAddr, JoinHandle<()>), ServeError> {
    let failed = |source| ServeError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((bound, tokio::spawn(accept(listener, vitals))))
}

async fn accept(listener: TcpListener, vitals: watch::Receiver<Vitals>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
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
        let vitals = vitals.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = respond(request.method(), request.uri().path(), &vitals.borrow());
                async move { Ok::<_, Infallible>(response) }
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

fn respond(method: &Method, path: &str, vitals: &Vitals) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    let silent = vitals.beat.elapsed();
    let is_stuck = silent >= STUCK;
    match (path, &vitals.awaits) {
        ("/healthz" | "/readyz", _) if is_stuck => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the loop has not turned for {silent:?}\n"),
        ),
        ("/readyz", Some(awaited)) => text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for {awaited}\n"),
        ),
        ("/healthz" | "/readyz", _) => text(StatusCode::OK, "ok\n"),
        _ => text(StatusCode::NOT_FOUND, "there are /healthz and /readyz\n"),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};
    use tokio::time::{Instant, advance};

    use super::{STUCK, Vitals, respond};

    #[tokio::test(start_paused = true)]
    async fn says_what_is_wrong() {
        let mut vitals = Vitals::starting(Instant::now());
        let status = |vitals: &Vitals, path| respond(&Method::GET, path, vitals).status();
        assert_eq!(
            respond(&Method::POST, "/healthz", &vitals).status(),
            StatusCode::METHOD_NOT_ALLOWED
        );
        assert_eq!(status(&vitals, "/"), StatusCode::NOT_FOUND);
        assert_eq!(status(&vitals, "/healthz"), StatusCode::OK);
        assert_eq!(status(&vitals, "/readyz"), StatusCode::SERVICE_UNAVAILABLE);
        vitals.awaits = None;
        assert_eq!(status(&vitals, "/readyz"), StatusCode::OK);
        advance(STUCK).await;
        for path in ["/healthz", "/readyz"] {
            assert_eq!(
                status(&vitals, path),
                StatusCode::INTERNAL_SERVER_ERROR,
                "{path}"
            );
        }
    }
}
