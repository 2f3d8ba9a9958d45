//! Publishes events. Does I/O, and never fails anything: what an event says is also in a status.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event as Published, EventType, Recorder, Reporter};
use podfence_daemon::cluster::REQUEST_TIMEOUT;
use podfence_plan::{Event, Regarding};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::fence::Fence;
use crate::metrics::{Metrics, Written};

/// Events that wait to be published. After a change to thousands of namespaces the rest is dropped:
/// nobody reads thousands of events, and they would compete with the labels.
const WAITING: usize = 1024;

/// Where events are handed in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Publisher {
    events: mpsc::Sender<Event>,
    metrics: Metrics,
}

impl Publisher {
    /// Starts the one task that publishes, one event after the other.
    #[must_use]
    pub fn spawn(client: Client, instance: &str, fence: Fence, metrics: Metrics) -> Self {
        let (events, mut waiting) = mpsc::channel::<Event>(WAITING);
        let reporter = Reporter {
            controller: "podfence.dev/operator".to_owned(),
            instance: Some(instance.to_owned()),
        };
        // One recorder for all: it is what makes one event with a count out of repetitions.
        let recorder = Recorder::new(client, reporter);
        let counted = metrics.clone();
        tokio::spawn(async move {
            while let Some(event) = waiting.recv().await {
                if fence.holds() {
                    publish(&recorder, &event, &counted).await;
                }
            }
        });
        Self { events, metrics }
    }

    /// Hands in an event, and drops it when too many wait.
    pub fn publish(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.metrics
                .events
                .get_or_create(&Written { result: "dropped" })
                .inc();
        }
    }
}

async fn publish(recorder: &Recorder, event: &Event, metrics: &Metrics) {
    let reference = reference(&event.regarding);
    let published = Published {
        type_: if event.warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: event.reason.to_owned(),
        note: Some(event.note.clone()),
        action: event.action.to_owned(),
        secondary: None,
    };
    let sent = timeout(REQUEST_TIMEOUT, recorder.publish(&published, &reference)).await;
    let result = match sent {
        Ok(Ok(())) => "published",
        Ok(Err(error)) => {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                reason = event.reason,
                "could not publish an event"
            );
            "error"
        }
        Err(_) => "timeout",
    };
    metrics.events.get_or_create(&Written { result }).inc();
}

fn reference(regarding: &Regarding) -> ObjectReference {
    let (api_version, kind, name, uid) = match regarding {
        Regarding::Namespace { name, uid } => ("v1".to_owned(), "Namespace", name, uid),
        Regarding::Policy { name, uid } => (
            format!("{}/v1alpha1", podfence_crd::GROUP),
            "NamespacePolicy",
            name,
            uid,
        ),
        Regarding::Workload {
            api_version,
            kind,
            name,
            uid,
            ..
        } => (api_version.clone(), kind.as_str(), name, uid),
    };
    let namespace = match regarding {
        Regarding::Workload { namespace, .. } => Some(namespace.clone()),
        Regarding::Namespace { .. } | Regarding::Policy { .. } => None,
    };
    ObjectReference {
        api_version: Some(api_version),
        kind: Some(kind.to_owned()),
        name: Some(name.clone()),
        namespace,
        uid: Some(uid.clone()).filter(|uid| !uid.is_empty()),
        ..ObjectReference::default()
    }
}
