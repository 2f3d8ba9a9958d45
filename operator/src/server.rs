//! Serves `/healthz`, `/readyz` and `/metrics`. Does I/O.
//!
//! On hyper, which kube brings along: three fixed answers need no router, and axum would add a
//! dozen crates to save forty lines.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// The event loop is taken for stuck when it shows no sign of life for this long. A whole plan of
/// ten thousand namespaces takes a fraction of it.
const STUCK: Duration = Duration::from_secs(30);

/// Connections at once: probes and a few scrapers. More are somebody's mistake and wait.
const CONNECTIONS: usize = 64;

/// How long a client may take to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// What the driver says about itself.
#[derive(Debug, Clone)]
pub struct Vitals {
    /// When its loop turned last.
    pub beat: Instant,
    /// The kinds that were not listed yet; ready when empty, on a standby as well.
    pub awaited: Vec<&'static str>,
}

impl Vitals {
    /// Before the driver said anything: alive and not ready.
    #[must_use]
    pub fn starting(now: Instant) -> Self {
        Self {
            beat: now,
            awaited: vec!["everything"],
        }
    }
}

/// Everything that is served.
#[derive(Debug, Clone)]
pub struct Served {
    /// The driver's last word.
    pub vitals: watch::Receiver<Vitals>,
    /// The metrics.
    pub registry: Arc<Registry>,
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
    served: Served,
) -> Result<(SocketAddr, JoinHandle<()>), ServeError> {
    let failed = |source| ServeError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((bound, tokio::spawn(accept(listener, served))))
}

async fn accept(listener: TcpListener, served: Served) {
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
        let served = served.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = respond(request.method(), request.uri().path(), &served);
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

fn respond(method: &Method, path: &str, served: &Served) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    match path {
        "/healthz" => {
            let silent = served.vitals.borrow().beat.elapsed();
            if silent < STUCK {
                text(StatusCode::OK, "ok\n")
            } else {
                let message = format!("the event loop has not turned for {silent:?}\n");
                text(StatusCode::INTERNAL_SERVER_ERROR, message)
            }
        }
        "/readyz" => {
            let awaited = served.vitals.borrow().awaited.join(", ");
            if awaited.is_empty() {
                text(StatusCode::OK, "ok\n")
            } else {
                let message = format!("waiting for the first list of {awaited}\n");
                text(StatusCode::SERVICE_UNAVAILABLE, message)
            }
        }
        "/metrics" => metrics(&served.registry),
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /healthz, /readyz and /metrics\n",
        ),
    }
}

fn metrics(registry: &Registry) -> Response<Full<Bytes>> {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut body = String::new();
    if prometheus_client::encoding::text::encode(&mut body, registry).is_err() {
        return text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "failed to encode the metrics\n",
        );
    }
    let mut response = text(StatusCode::OK, body);
    let content_type = header::HeaderValue::from_static(OPEN_METRICS);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{Method, StatusCode};
    use prometheus_client::registry::Registry;
    use tokio::sync::watch;
    use tokio::time::{Instant, advance};

    use super::{STUCK, Served, Vitals, respond};

    #[tokio::test(start_paused = true)]
    async fn says_what_is_wrong() {
        let awaited = vec!["Pod", "CronJob"];
        let (vitals, receiver) = watch::channel(Vitals {
            beat: Instant::now(),
            awaited,
        });
        let served = Served {
            vitals: receiver,
            registry: Arc::new(Registry::default()),
        };
        let status = |method: Method, path: &str| respond(&method, path, &served).status();
        assert_eq!(status(Method::GET, "/healthz"), StatusCode::OK);
        assert_eq!(
            status(Method::GET, "/readyz"),
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(status(Method::GET, "/metrics"), StatusCode::OK);
        assert_eq!(status(Method::GET, "/"), StatusCode::NOT_FOUND);
        assert_eq!(
            status(Method::POST, "/healthz"),
            StatusCode::METHOD_NOT_ALLOWED
        );
        advance(STUCK).await;
        assert_eq!(
            status(Method::GET, "/healthz"),
            StatusCode::INTERNAL_SERVER_ERROR
        );
        vitals.send_replace(Vitals {
            beat: Instant::now(),
            awaited: Vec::new(),
        });
        assert_eq!(status(Method::GET, "/healthz"), StatusCode::OK);
        assert_eq!(status(Method::GET, "/readyz"), StatusCode::OK);
    }
}
