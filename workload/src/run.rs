//! How the containers of a pod are, as the kubelet said last. Pure.

use std::sync::Arc;

/// What a pod's status says of its containers.
///
/// It is kept apart from the template, because it differs between the pods of one controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodStatus {
    /// One for each container that the kubelet has looked at, init containers among them.
    pub runs: Box<[Run]>,
    /// Since when all containers have been ready, in seconds since 1970; none where they are not.
    pub ready_since: Option<i64>,
}

/// How one container is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The container's name.
    pub container: Box<str>,
    /// `imageID`: the image by digest, as the runtime says it; empty before the first start.
    pub image: Arc<str>,
    /// `containerID` with the runtime's prefix; empty before the first start.
    pub id: Box<str>,
    /// How often it was started anew.
    pub restarts: u32,
    /// Whether it is ready.
    pub ready: bool,
    /// What it is doing.
    pub state: RunState,
    /// How the run before this one ended.
    pub last_end: Option<End>,
}

/// What a container is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It waits to be started, for the first time or again.
    Waiting {
        /// Why, in one word, such as `CrashLoopBackOff`; empty where nobody says.
        reason: Box<str>,
    },
    /// It runs.
    Running {
        /// Since when, in seconds since 1970.
        since: Option<i64>,
    },
    /// It has ended.
    Ended(End),
}

/// How a run of a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// The exit code; 128 and the signal's number where a signal ended it.
    pub code: i32,
    /// Why, in one word, such as `Error` or `OOMKilled`; empty where nobody says.
    pub reason: Box<str>,
    /// When it was started, in seconds since 1970.
    pub started: Option<i64>,
    /// When it ended, in seconds since 1970.
    pub finished: Option<i64>,
}

impl Default for RunState {
    /// What Kubernetes takes an absent state for.
    fn default() -> Self {
        Self::Waiting {
            reason: Box::default(),
        }
    }
}
