//! What a pod's status says of its containers, from what was read to how it is kept. Pure.

use super::wire;
use crate::run::{End, PodStatus, Run, RunState};

impl wire::PodStatus {
    /// How the containers are; none where nothing is said of any.
    pub(super) fn into_runs(self) -> Option<PodStatus> {
        let Self {
            phase: _,
            conditions,
            init_containers,
            containers,
        } = self;
        let statuses = [init_containers, containers].into_iter().flatten();
        let runs: Box<[Run]> = statuses.flatten().map(Run::from).collect();
        let ready = conditions
            .unwrap_or_default()
            .into_iter()
            .find(|condition| condition.condition_type.as_deref() == Some("ContainersReady"))
            .filter(|condition| condition.status.as_deref() == Some("True"));
        (!runs.is_empty()).then(|| PodStatus {
            runs,
            ready_since: ready.and_then(|condition| condition.since?.0),
        })
    }
}

impl From<wire::ContainerStatus> for Run {
    fn from(status: wire::ContainerStatus) -> Self {
        let wire::ContainerStatus {
            name,
            image,
            id,
            restarts,
            ready,
            state,
            last_state,
        } = status;
        let wire::ContainerState {
            waiting,
            running,
            terminated,
        } = state.unwrap_or_default();
        let state = if let Some(terminated) = terminated {
            RunState::Ended(terminated.into())
        } else if let Some(running) = running {
            RunState::Running {
                since: running.since.and_then(|time| time.0),
            }
        } else {
            RunState::Waiting {
                reason: waiting
                    .and_then(|waiting| waiting.reason)
                    .unwrap_or_default(),
            }
        };
        Self {
            container: name.unwrap_or_default(),
            image: image.unwrap_or_default(),
            id: id.unwrap_or_default(),
            restarts: u32::try_from(restarts.unwrap_or_default()).unwrap_or_default(),
            ready: ready.unwrap_or_default(),
            state,
            last_end: last_state.and_then(|state| state.terminated).map(End::from),
        }
    }
}

impl From<wire::Terminated> for End {
    fn from(terminated: wire::Terminated) -> Self {
        let wire::Terminated {
            code,
            reason,
            started,
            finished,
        } = terminated;
        Self {
            code: code.unwrap_or_default(),
            reason: reason.unwrap_or_default(),
            started: started.and_then(|time| time.0),
            finished: finished.and_then(|time| time.0),
        }
    }
}
