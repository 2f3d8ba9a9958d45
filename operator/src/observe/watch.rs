//! One task for each watched resource: list, watch, decode, report. Does I/O.
//!
//! kube-runtime's `watcher` lists and watches, and recovers by itself. It does not say that a watch
//! that failed is there again: it only speaks up with the next object, which in a quiet resource
//! may be hours away. `EstablishedLayer` hears it from the answer to the request.

use std::collections::HashMap;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use podfence_daemon::failure::WatchFailure;
use podfence_daemon::raw::RawObject;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service};

use super::source::{Observed, Source};
use crate::backoff::for_watches;

/// Objects in one page of a list. A page is in memory three times over while it is decoded, for
/// fifteen resources at once, and a pod is about 5 kB: 250 of them keep that within a few megabytes
/// and still list 10,000 pods in 40 requests.
const PAGE_SIZE: u32 = 250;

/// Seconds after which a watch is ended by the server and begun anew. The shorter, the sooner a
/// connection that died without a word is found: kube gives up on a watch that is silent for five
/// seconds longer, which makes the minute after which nothing tightens any more.
const WATCH_SECONDS: u32 = 55;

/// The shortest time between two requests for a watch of one resource. kube begins a watch that was
/// ended anew at once; something in between that ends every watch would be asked without a pause.
const PACE: Duration = Duration::from_secs(1);

/// How long a connection may be silent while an answer is awaited, watches included. Without it a
/// list on a connection that died would wait for ever.
pub const READ_TIMEOUT: Duration = Duration::from_secs(70);

/// Reports that wait for the driver. Enough to keep it busy, few enough to be no memory.
pub const REPORTS: usize = 256;

/// What happened to a watched resource.
#[derive(Debug)]
pub struct Report {
    /// The resource.
    pub source: Source,
    /// What happened.
    pub news: News,
}

/// What happened to a watched resource or to one of its objects.
#[derive(Debug)]
pub enum News {
    /// A list began. What it does not name until `Listed` is gone.
    Started,
    /// A list is complete.
    Listed,
    /// The server answered the request for a watch.
    Established,
    /// An object is new or changed; with the first list, it may be neither.
    Applied(Observed),
    /// An object is gone.
    Deleted {
        /// Its namespace, empty where it has none.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A list or a watch failed. It is tried again.
    Failed(Failure),
}

/// Why a list or a watch failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it is.
    pub cause: Cause,
    /// What the server or the connection said.
    pub message: String,
}

/// The kinds of failure that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// We may not.
    Forbidden,
    /// There is no such resource: its definition is not installed.
    NotFound,
    /// The version that we watched from is too old; everything is listed again.
    Expired,
    /// Anything else: try again.
    Other,
}

impl Cause {
    /// For metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Expired => "410",
            Self::Other => "error",
        }
    }

    fn from_code(code: u16) -> Self {
        match code {
            403 => Self::Forbidden,
            404 => Self::NotFound,
            410 => Self::Expired,
            _ => Self::Other,
        }
    }
}

impl From<WatchFailure> for Failure {
    fn from(failure: WatchFailure) -> Self {
        Self {
            cause: failure.code.map_or(Cause::Other, Cause::from_code),
            message: failure.message,
        }
    }
}

/// Watches everything. The tasks end with the set, or when nobody listens any more.
#[must_use]
pub fn spawn_all(client: &Client, reports: &mpsc::Sender<Report>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for source in Source::all() {
        tasks.spawn(watch(source, client.clone(), reports.clone()));
    }
    tasks
}

async fn watch(source: Source, client: Client, reports: mpsc::Sender<Report>) {
    let api = Api::<RawObject>::all_with(client, &source.api_resource());
    let config = watcher::Config::default()
        .page_size(PAGE_SIZE)
        .timeout(WATCH_SECONDS);
    let mut events = std::pin::pin!(watcher(api, config));
    let mut backoff = for_watches();
    while let Some(event) = events.next().await {
        let news = match event {
            Ok(Event::Init) => News::Started,
            Ok(Event::InitDone) => {
                backoff.reset();
                News::Listed
            }
            Ok(Event::InitApply(object)) => News::Applied(source.decode(&object)),
            Ok(Event::Apply(object)) => {
                backoff.reset();
                News::Applied(source.decode(&object))
            }
            Ok(Event::Delete(object)) => News::Deleted {
                namespace: object.namespace().to_owned(),
                name: object.name().to_owned(),
            },
            Err(error) => News::Failed(WatchFailure::from(&error).into()),
        };
        let failed = matches!(news, News::Failed(_));
        if reports.send(Report { source, news }).await.is_err() {
            return;
        }
        if failed {
            sleep(backoff.pause()).await;
        }
    }
}

/// Reports every watch that the server agreed to, and asks for none too often.
#[derive(Debug, Clone)]
pub struct EstablishedLayer {
    reports: mpsc::Sender<Report>,
}

impl EstablishedLayer {
    /// A layer that reports to the driver.
    #[must_use]
    pub fn new(reports: mpsc::Sender<Report>) -> Self {
        Self { reports }
    }
}

impl<S> Layer<S> for EstablishedLayer {
    type Service = Established<S>;

    fn layer(&self, inner: S) -> Established<S> {
        let paths = Source::all()
            .map(|source| (source.path(), source))
            .collect();
        Established {
            inner,
            paths,
            asked: HashMap::new(),
            reports: self.reports.clone(),
        }
    }
}

/// The service of `EstablishedLayer`.
#[derive(Debug, Clone)]
pub struct Established<S> {
    inner: S,
    paths: Vec<(String, Source)>,
    /// When each watch was requested last, or is going to be.
    asked: HashMap<Source, Instant>,
    reports: mpsc::Sender<Report>,
}

impl<S> Established<S> {
    /// How long the next request for this watch has to wait.
    fn pause(&mut self, source: Source) -> Duration {
        let now = Instant::now();
        let at = self
            .asked
            .get(&source)
            .map_or(now, |last| now.max(*last + PACE));
        self.asked.insert(source, at);
        at - now
    }

    fn watched(&self, uri: &Uri) -> Option<Source> {
        let mut query = uri.query()?.split('&');
        query.find(|parameter| *parameter == "watch=true")?;
        self.paths
            .iter()
            .find(|(path, _)| path == uri.path())
            .map(|(_, source)| *source)
    }
}

impl<S, B, R> Service<Request<B>> for Established<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let source = self.watched(request.uri());
        let answer = self.inner.call(request);
        let Some(source) = source else {
            return Box::pin(answer);
        };
        let reports = self.reports.clone();
        let pause = self.pause(source);
        Box::pin(async move {
            // Nothing is sent before the future of the answer is polled.
            sleep(pause).await;
            let response = answer.await;
            if response
                .as_ref()
                .is_ok_and(|response| response.status().is_success())
            {
                // Nobody listens any more when the process ends.
                let _ = reports
                    .send(Report {
                        source,
                        news: News::Established,
                    })
                    .await;
            }
            response
        })
    }
}
