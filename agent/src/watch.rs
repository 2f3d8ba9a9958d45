//! One task for each watched resource: list, watch, report. Does I/O.

use futures::StreamExt;
use kube::api::ApiResource;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use podfence_crd::NodeReport;
use podfence_daemon::raw::RawObject;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::backoff::backoff;
use crate::cluster::{News, Source};

/// Objects in one page of a list: a node has a few times as many pods, of about 5 kB each.
const PAGE_SIZE: u32 = 50;

/// Seconds after which a watch is ended by the server and begun anew. Every agent asks anew as
/// often: three requests in five minutes from each node.
const WATCH_SECONDS: u32 = 290;

/// What waits for the driver at most.
pub const NEWS: usize = 64;

/// Something happened to this source.
pub type Report = (Source, News);

impl Source {
    fn api_resource(self) -> ApiResource {
        let core = |kind: &str, plural: &str| ApiResource {
            group: String::new(),
            version: "v1".to_owned(),
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        match self {
            Self::Node => core("Node", "nodes"),
            Self::Pods => core("Pod", "pods"),
            Self::Report => ApiResource::erase::<NodeReport>(&()),
        }
    }

    /// So that the server sends what is this node's alone.
    fn field_selector(self, node: &str) -> String {
        match self {
            Self::Node | Self::Report => format!("metadata.name={node}"),
            Self::Pods => format!("spec.nodeName={node}"),
        }
    }
}

/// Watches these. The tasks end with the set, or when nobody listens any more.
#[must_use]
pub fn spawn(
    sources: impl IntoIterator<Item = Source>,
    client: &Client,
    node: &str,
    reports: &mpsc::Sender<Report>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for source in sources {
        let selector = source.field_selector(node);
        tasks.spawn(watch(source, client.clone(), selector, reports.clone()));
    }
    tasks
}

async fn watch(source: Source, client: Client, selector: String, reports: mpsc::Sender<Report>) {
    let api = Api::<RawObject>::all_with(client, &source.api_resource());
    let config = watcher::Config::default()
        .fields(&selector)
        .page_size(PAGE_SIZE)
        .timeout(WATCH_SECONDS);
    let mut events = std::pin::pin!(watcher(api, config));
    let mut backoff = backoff();
    while let Some(event) = events.next().await {
        let news = match event {
            Ok(Event::Init) => News::Started,
            Ok(Event::InitDone) => News::Listed,
            Ok(Event::InitApply(object) | Event::Apply(object)) => News::Applied(object),
            Ok(Event::Delete(object)) => News::Deleted(object),
            Err(error) => News::Failed((&error).into()),
        };
        let failed = matches!(news, News::Failed(_));
        // A list that begins has not succeeded yet.
        if !failed && !matches!(news, News::Started) {
            backoff.reset();
        }
        if reports.send((source, news)).await.is_err() {
            return;
        }
        if failed {
            sleep(backoff.pause()).await;
        }
    }
}
