//! The loop: take in news, look, write what changed. Does I/O through others.

use std::sync::Arc;
use std::time::Duration;

use podfence_daemon::server::Vitals;
use podfence_seccomp::Profile;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use crate::args::{Functions, KubeletAccess};
use crate::cluster::{Cluster, News, Node, Source};
use crate::kubelet::{Answers, Known};
use crate::look::kubelet;
use crate::looker::{Looker, Question};
use crate::observe::link::Link;
use crate::report::specification;
use crate::watch::Report;
use crate::write::Writer;

/// How often files and containers are looked at while nothing is heard. What is read again is a few
/// hundred folder entries.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long news is gathered before a look: a pod that starts changes several times.
const SETTLE: Duration = Duration::from_secs(1);

/// How often the kubelet is asked. Its setting changes only with its restart; and whether we may ask
/// is kept by the kubelet for minutes, so that this costs the API server nothing.
const KUBELET_INTERVAL: Duration = Duration::from_secs(15);

/// Why the loop ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to.
    Shutdown,
    /// Nothing is watched any more.
    WatchesEnded,
}

/// The loop's state.
#[derive(Debug)]
pub struct Driver {
    functions: Functions,
    access: KubeletAccess,
    cluster: Cluster,
    /// None while it looks.
    looker: Option<Looker>,
    writer: Writer,
    vitals: watch::Sender<Vitals>,
    answers: Answers,
    asked: Option<Instant>,
    /// The profile of the runtime that the Node said last.
    profile: Option<(String, Option<Arc<Profile>>)>,
    /// The observer of system calls, if one runs beside this loop.
    observer: Option<Link>,
}

impl Driver {
    /// Before its first look.
    #[must_use]
    pub fn new(
        functions: Functions,
        access: KubeletAccess,
        looker: Looker,
        writer: Writer,
        vitals: watch::Sender<Vitals>,
        observer: Option<Link>,
    ) -> Self {
        Self {
            functions,
            access,
            cluster: Cluster::default(),
            looker: Some(looker),
            writer,
            vitals,
            answers: Answers::default(),
            asked: None,
            profile: None,
            observer,
        }
    }

    /// Goes on until it is asked to end.
    ///
    /// # Errors
    /// When a look panicked, which is a mistake of ours.
    pub async fn run(
        mut self,
        mut reports: mpsc::Receiver<Report>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<End, JoinError> {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut due = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return Ok(End::Shutdown),
                report = reports.recv() => {
                    let Some((source, news)) = report else {
                        return Ok(End::WatchesEnded);
                    };
                    let now = Instant::now();
                    if let News::Failed(failure) = &news {
                        tracing::warn!(?source, error = failure.message, "could not watch");
                    }
                    self.cluster.take(source, news, now);
                    self.tell_observer();
                    due = due.min(now + SETTLE);
                }
                () = sleep_until(due) => {
                    let turned = tokio::select! {
                        () = &mut shutdown => return Ok(End::Shutdown),
                        turned = self.turn() => turned?,
                    };
                    self.vitals.send_replace(Vitals { beat: Instant::now(), awaits: turned });
                    due = Instant::now() + INTERVAL;
                }
            }
        }
    }

    /// Looks and writes; says what the report waits for, if anything.
    async fn turn(&mut self) -> Result<Option<String>, JoinError> {
        let Some(node) = self.cluster.node().cloned() else {
            return Ok(Some(self.awaited(Source::Node, "the Node")));
        };
        if self.functions.need_pods() && !self.cluster.has(Source::Pods) {
            let why = self.cluster.pods_problem(Instant::now());
            if why.is_none() {
                return Ok(Some("the first list of pods".to_owned()));
            }
        }
        self.ask_kubelet(&node).await;
        let now = Instant::now();
        let known = self.answers.known(now);
        let profile = self.profile_of(&node);
        let question = Question {
            pods: self.cluster.pods(),
            profile: profile.clone(),
            // Without a right to ask the kubelet, containers show its setting.
            containers: self.functions.runtime
                || self.functions.containers
                || self.functions.system_calls
                || (self.functions.kubelet && matches!(known, Known::Problem(_))),
        };
        let Some(mut looker) = self.looker.take() else {
            return Ok(Some("a look that did not come to its end".to_owned()));
        };
        let (looker, mut sight, told) = spawn_blocking(move || {
            let sight = looker.look(&question);
            let told = looker.told();
            (looker, sight, told)
        })
        .await?;
        self.looker = Some(looker);
        if let Some(observer) = &self.observer {
            observer.tell_containers(told);
            sight.system_calls = observer.said();
        }
        if self.functions.need_pods() {
            let problem = self.cluster.pods_problem(now);
            sight.containers_problem = problem.or(sight.containers_problem);
        }
        let spec = specification(&node, profile.as_deref(), self.functions, &known, sight);
        let live = self.cluster.live();
        Ok(match self.writer.write(&spec, &node.uid, live).await {
            Ok(true) => None,
            Ok(false) => Some(self.awaited(Source::Report, "the report")),
            Err(error) => {
                tracing::warn!(%error, "could not write the report");
                Some(error.to_string())
            }
        })
    }

    /// The observer needs to know at once which containers there are.
    fn tell_observer(&mut self) {
        if self.observer.is_none() {
            return;
        }
        let node = self.cluster.node().cloned();
        let profile = node.as_ref().and_then(|node| self.profile_of(node));
        let pods = self.cluster.has(Source::Pods).then(|| self.cluster.pods());
        if let Some(observer) = &self.observer {
            observer.tell_cluster(node, profile, pods);
        }
    }

    /// What the report waits for, and why it does.
    fn awaited(&self, source: Source, name: &str) -> String {
        match self.cluster.failure(source) {
            Some(why) => format!("{name}: {why}"),
            None => name.to_owned(),
        }
    }

    async fn ask_kubelet(&mut self, node: &Node) {
        let now = Instant::now();
        let is_due = self.asked.is_none_or(|at| now - at >= KUBELET_INTERVAL);
        if !self.functions.kubelet || !is_due {
            return;
        }
        let answer = kubelet::ask(&self.access, node).await;
        let now = Instant::now();
        self.asked = Some(now);
        if self.answers.take(answer.clone(), now) {
            tracing::info!(?answer, "the kubelet says something else than before");
        }
    }

    fn profile_of(&mut self, node: &Node) -> Option<Arc<Profile>> {
        if let Some((version, profile)) = &self.profile
            && *version == node.runtime
        {
            return profile.clone();
        }
        let profile = node.runtime.parse::<Profile>();
        if let Err(error) = &profile {
            tracing::warn!(%error, "the runtime's profile is not known");
        }
        let profile = profile.ok().map(Arc::new);
        self.profile = Some((node.runtime.clone(), profile.clone()));
        profile
    }
}
