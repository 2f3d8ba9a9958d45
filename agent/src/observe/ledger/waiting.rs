//! Spaces of containers that no pod names yet. Pure.
//!
//! The kernel is faster than the API server: a container's first calls come seconds before its pod's
//! status says its id. A sandbox is never named, and makes no call that counts.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use podfence_seccomp::Moment;

use super::super::groups::pod_of;
use super::super::sight::{SeenCall, Space, SpaceId};

/// How long a space waits. The kubelet says within seconds what runs, and slower under load.
const PATIENCE: Duration = Duration::from_secs(60);

/// Spaces that wait. A kubelet starts ten pods at a time.
const MOST_SPACES: usize = 256;

/// Calls of one space that wait: more kinds than any program makes of those that count.
const MOST_CALLS: usize = 512;

/// The spaces that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    spaces: HashMap<SpaceId, Waited>,
    /// Spaces for which there was no place.
    refused: Vec<(SpaceId, Lost)>,
}

/// A space that waits.
#[derive(Debug)]
pub(super) struct Waited {
    pub(super) since: Moment,
    pub(super) calls: Vec<SeenCall>,
    /// Whether something of it was lost.
    pub(super) is_lost: bool,
    pod: Option<String>,
}

/// That something was lost that nobody can place.
#[derive(Debug)]
pub(super) struct Lost {
    /// Since when.
    pub(super) since: Moment,
    /// The uid of its pod, as far as its groups say it.
    pub(super) pod: Option<String>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.spaces.is_empty()
    }

    /// Takes in a space that belongs to nobody yet.
    pub(super) fn space(&mut self, space: &Space, now: Moment) {
        let is_lost = space.lost > 0 || space.blind;
        if let Some(known) = self.spaces.get_mut(&space.id) {
            known.is_lost |= is_lost;
            return;
        }
        let since = space.seen.min(now);
        let pod = pod_of(&space.groups);
        if self.spaces.len() >= MOST_SPACES {
            self.refused.push((space.id, Lost { since, pod }));
            return;
        }
        let waited = Waited {
            since: now,
            calls: Vec::new(),
            is_lost,
            pod,
        };
        self.spaces.insert(space.id, waited);
    }

    /// Takes in a call; one of a space that does not wait is nobody's.
    pub(super) fn call(&mut self, call: SeenCall) {
        if let Some(waited) = self.spaces.get_mut(&call.space) {
            if waited.calls.len() < MOST_CALLS {
                waited.calls.push(call);
            } else {
                waited.is_lost = true;
            }
        }
    }

    /// The space need not wait any more.
    pub(super) fn remove(&mut self, id: SpaceId) -> Option<Waited> {
        self.spaces.remove(&id)
    }

    /// Spaces that the kernel does not know any more wait on for their time, for their calls count
    /// as before; what nothing was seen of is nothing.
    pub(super) fn retain(&mut self, seen: &HashSet<SpaceId>) {
        self.spaces
            .retain(|id, waited| seen.contains(id) || waited.is_lost || !waited.calls.is_empty());
    }

    /// Gives up those that have waited for too long, and says what was lost with them.
    pub(super) fn give_up(&mut self, now: Moment, ignored: &mut Vec<SpaceId>) -> Vec<Lost> {
        let mut lost = Vec::new();
        for (id, refused) in self.refused.drain(..) {
            ignored.push(id);
            lost.push(refused);
        }
        self.spaces.retain(|id, waited| {
            if now.since(waited.since) < PATIENCE {
                return true;
            }
            ignored.push(*id);
            if waited.is_lost || !waited.calls.is_empty() {
                let Waited { since, pod, .. } = waited;
                lost.push(Lost {
                    since: *since,
                    pod: pod.take(),
                });
            }
            false
        });
        lost
    }
}
