//! A namespace that no policy matches any more: keep its labels, or remove them if that is safe.
//! Does I/O in spawned tasks.

use std::sync::Arc;

use podfence_plan::{Apply, Event, Namespace, Regarding, State, left_behind};
use tokio::time::Instant;

use super::rounds::{StepDone, StepKind};
use super::{Done, Driver, wall_clock};
use crate::apply::{self, Applied, Mode};
use crate::call::{CallError, Caller};
use crate::crd_state::{self, CrdState};

impl Driver {
    /// Removes our labels, if the definition of the policies is there to stay.
    pub(super) fn leave(&mut self, name: Arc<str>, remove: Apply, retain: Apply) {
        let entry = self.index.entry(&name);
        let Some(before) = entry.and_then(|entry| entry.namespace.clone()) else {
            return self.forget(&name);
        };
        let Some(round) = self.rounds.get_mut(&name) else {
            return;
        };
        round.outcome = None;
        // INVARIANT: read after whatever made this namespace leave was seen. The policies of a
        // definition that is deleted go after its own deletion began.
        let known = self
            .crd
            .clone()
            .filter(|(read_at, _)| *read_at >= round.marked);
        let caller = self.out.caller.clone();
        self.calls.spawn(async move {
            let (apply, crd, result) = remove_or_retain(&caller, remove, retain, known).await;
            Done::Round(
                name,
                StepDone {
                    apply,
                    kind: StepKind::Leave { before, crd },
                    result,
                },
            )
        });
    }

    /// Takes in what became of it, and says what could not be removed.
    pub(super) fn note_left(
        &mut self,
        before: &Namespace,
        after: &Namespace,
        apply: &Apply,
        crd: Option<(Instant, CrdState)>,
    ) {
        tracing::info!(namespace = before.name, "left");
        if apply.labels.is_empty() {
            let stayed = left_behind(before, after);
            if !stayed.is_empty() {
                let about = Regarding::Namespace {
                    name: before.name.clone(),
                    uid: before.uid.clone(),
                };
                self.out.publisher.publish(Event::co_owned(about, &stayed));
            }
        } else if let Some((_, state)) = &crd {
            self.tell_removal_skipped(before, state);
        }
        if crd.is_some() {
            self.crd = crd;
        }
    }

    /// Said of the policy, so that ten thousand namespaces make one event with a count.
    fn tell_removal_skipped(&self, before: &Namespace, state: &CrdState) {
        let why = match state {
            CrdState::Established => return,
            CrdState::Terminating => {
                "the definition of NamespacePolicy is being deleted".to_owned()
            }
            CrdState::Unreadable(error) => {
                format!("the definition of NamespacePolicy cannot be read: {error}")
            }
        };
        let author = State::parse(&before.state, wall_clock()).policy;
        let Some(policy) = author.and_then(|name| self.index.compiled().get(&name)) else {
            return;
        };
        let about = Regarding::Policy {
            name: policy.name.clone(),
            uid: policy.uid.clone(),
        };
        self.out
            .publisher
            .publish(Event::removal_skipped(about, &why));
    }
}

async fn remove_or_retain(
    caller: &Caller,
    remove: Apply,
    retain: Apply,
    known: Option<(Instant, CrdState)>,
) -> (
    Apply,
    Option<(Instant, CrdState)>,
    Result<Applied, CallError>,
) {
    let crd = if let Some(known) = known {
        known
    } else {
        let began = Instant::now();
        match crd_state::read(caller).await {
            Ok(state) => (began, state),
            Err(error) => return (retain, None, Err(error)),
        }
    };
    let apply = if crd.1 == CrdState::Established {
        remove
    } else {
        retain
    };
    let result = apply::send(caller, &apply, Mode::Write).await;
    (apply, Some(crd), result)
}
