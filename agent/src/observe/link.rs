//! Between the agent's loop and the observer's, each of which goes on while the other waits: what
//! there is on the node goes one way, what the report is to say the other. Starts a task.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use podfence_seccomp::Profile;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::context::Told;
use super::task::{Eyes, Observer, Said, View};
use crate::cluster::Node;
use crate::pod::Pod;

/// The agent's end.
#[derive(Clone, Debug)]
pub struct Link {
    view: watch::Sender<View>,
    said: watch::Receiver<Said>,
}

/// An observer that was started.
#[derive(Debug)]
pub struct Observing {
    link: Link,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Starts an observer that in the long run writes once in so long a time.
#[must_use]
pub fn start<E: Eyes + Send + 'static>(
    eyes: E,
    client: Client,
    node: &str,
    pace: Duration,
) -> Observing {
    let (view, view_out) = watch::channel(View::default());
    let (said_in, said) = watch::channel(Said::default());
    let (stop, stopped) = oneshot::channel();
    let observer = Observer::new(eyes, client, node, pace);
    let shutdown = async {
        // Whoever could stop it is gone: that is an end as well.
        stopped.await.unwrap_or_default();
    };
    let task = tokio::spawn(observer.run(view_out, said_in, shutdown));
    Observing {
        link: Link { view, said },
        stop,
        task,
    }
}

impl Observing {
    /// The agent's end.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link.clone()
    }

    /// Ends it, once it has written what is left.
    pub async fn end(self) {
        // One that has ended already panicked, which the join says.
        self.stop.send(()).ok();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the observer of system calls panicked");
        }
    }
}

impl Link {
    /// What is on the node, as the API server says.
    pub fn tell_cluster(
        &self,
        node: Option<Node>,
        profile: Option<Arc<Profile>>,
        pods: Option<Vec<Arc<Pod>>>,
    ) {
        self.view.send_modify(|view| {
            view.node = node;
            view.profile = profile;
            view.pods = pods.map(Into::into);
        });
    }

    /// What the runtime was told about its containers.
    pub fn tell_containers(&self, told: HashMap<Box<str>, Told>) {
        self.view.send_if_modified(|view| {
            let changed = *view.told != told;
            if changed {
                view.told = Arc::new(told);
            }
            changed
        });
    }

    /// What the observer says.
    #[must_use]
    pub fn said(&self) -> Said {
        // A sender that is gone has panicked; what it said last stays true of nothing.
        if self.said.has_changed().is_err() && self.said.borrow().since.is_some() {
            return Said {
                since: None,
                problem: Some("the observer of system calls has ended by a mistake".to_owned()),
            };
        }
        self.said.borrow().clone()
    }
}
