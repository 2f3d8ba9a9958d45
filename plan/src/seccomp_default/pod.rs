//! One pod of a workload: what its containers run under, and how they fare. No I/O.

use std::time::Duration;

use podfence_seccomp::{Affected, Exempt, Moment, Node as On};
use podfence_workload::{Container, Object, Run, RunState, Template};
use serde::Serialize;

use super::health::{self, Place};
use super::node::KnownNode;
use super::nodes::Nodes;
use super::template::version_id;

/// A pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSaid {
    /// Its name.
    pub name: String,
    /// Its node; none where it waits for one.
    pub node: Option<String>,
    /// Whether it is over, or being deleted.
    pub over: bool,
    /// Its containers, as far as the kubelet has said anything.
    pub containers: Vec<PodContainer>,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodContainer {
    /// Its name.
    pub container: String,
    /// What it runs under.
    pub under: RunsUnder,
    /// How it fares.
    pub fares: Fares,
    /// Whether it is ready.
    pub ready: bool,
    /// How often it was started anew.
    pub restarts: u32,
    /// What it is doing, in one word.
    pub state: String,
    /// How it ended last.
    pub last_exit_code: Option<i32>,
    /// Why, where somebody says.
    pub last_exit_reason: Option<String>,
}

/// What a container runs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum RunsUnder {
    /// The runtime's profile, because of the kubelet's setting.
    RuntimeDefault,
    /// No profile.
    Unconfined,
    /// What it or its pod chooses.
    OwnChoice,
    /// Nobody says.
    Unknown,
}

/// How a container fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Fares {
    /// It is well.
    Well,
    /// It crashes, or is not ready in time.
    Badly,
    /// It is too early to say, or its end has another cause.
    TooEarly,
}

impl RunsUnder {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RuntimeDefault => "RuntimeDefault",
            Self::Unconfined => "Unconfined",
            Self::OwnChoice => "OwnChoice",
            Self::Unknown => "Unknown",
        }
    }
}

impl Fares {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Well => "Well",
            Self::Badly => "Badly",
            Self::TooEarly => "TooEarly",
        }
    }
}

impl PodSaid {
    pub(super) fn of(pod: &Object, nodes: &Nodes, settling: Duration, now: Moment) -> Self {
        let node = pod.node_name.as_deref();
        let known = node.and_then(|name| nodes.get(name));
        let status = pod.status.as_deref();
        let runs = status.into_iter().flat_map(|status| &status.runs);
        let containers = runs.filter_map(|run| {
            let template = pod.template.as_deref()?;
            let mut containers = template.containers.iter();
            let container = containers.find(|container| container.name == run.container)?;
            let under = runs_under(known, template, container, run);
            let fares = fares(pod, template, (container, run), under, settling, now);
            Some(said(run, under, fares))
        });
        Self {
            name: pod.meta.name.to_string(),
            node: node.map(str::to_owned),
            over: pod.finished || pod.meta.deleting,
            containers: containers.collect(),
        }
    }
}

fn said(run: &Run, under: RunsUnder, fares: Fares) -> PodContainer {
    let (state, end) = match &run.state {
        RunState::Waiting { reason } if reason.is_empty() => ("Waiting", None),
        RunState::Waiting { reason } => (&**reason, None),
        RunState::Running { .. } => ("Running", None),
        RunState::Ended(end) => ("Ended", Some(end)),
    };
    let end = end.or(run.last_end.as_ref());
    let reason = end.map(|end| end.reason.to_string());
    PodContainer {
        container: run.container.to_string(),
        under,
        fares,
        ready: run.ready,
        restarts: run.restarts,
        state: state.to_owned(),
        last_exit_code: end.map(|end| end.code),
        last_exit_reason: reason.filter(|reason| !reason.is_empty()),
    }
}

fn runs_under(
    node: Option<&KnownNode>,
    template: &Template,
    container: &Container,
    run: &Run,
) -> RunsUnder {
    let ground = node.and_then(|node| node.ground.as_ref().ok());
    let on = On {
        seccomp_default: Some(false),
        runtime: ground.map(|ground| ground.profile.runtime),
        handler: None,
    };
    match Affected::of(template, container, on) {
        Affected::No(Exempt::ExplicitProfile) => RunsUnder::OwnChoice,
        Affected::No(Exempt::Privileged | Exempt::Windows) => RunsUnder::Unconfined,
        Affected::Unknown(_) => RunsUnder::Unknown,
        Affected::Yes => match node.and_then(|node| node.confines(&run.id)) {
            Some(true) => RunsUnder::RuntimeDefault,
            Some(false) => RunsUnder::Unconfined,
            None => RunsUnder::Unknown,
        },
    }
}

fn fares(
    pod: &Object,
    template: &Template,
    (container, run): (&Container, &Run),
    under: RunsUnder,
    settling: Duration,
    now: Moment,
) -> Fares {
    use podfence_seccomp::evidence::Confinement;

    let place = Place {
        pod,
        template,
        template_id: &version_id(&pod.meta.labels, template),
        // It makes no difference to how a run fares.
        confinement: match under {
            RunsUnder::RuntimeDefault => Confinement::RuntimeDefault,
            _ => Confinement::Unconfined,
        },
    };
    let run = health::of_run(place, container, run, settling, now);
    match run.and_then(|(health, seen)| health.fares(seen, settling)) {
        Some(true) => Fares::Well,
        Some(false) => Fares::Badly,
        None => Fares::TooEarly,
    }
}
