//! What the proxy has been told to do, and what it has seen. Pure: one transition a request.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::oneshot;

use super::{Moment, Refusal, request::ProxiedRequest};

/// Says which requests a refusal is for.
pub(super) type Selection = Box<dyn Fn(&ProxiedRequest) -> bool + Send + Sync>;

/// Everything that tests set and connections obey.
#[derive(Default)]
pub(super) struct State {
    pub(super) writes: Vec<ProxiedRequest>,
    pub(super) lease_writes: usize,
    pub(super) trap: Option<ArmedTrap>,
    /// A trap has sprung: nothing more gets through.
    pub(super) frozen: bool,
    /// How often a trap was let go; whoever was held before is cut off.
    pub(super) releases: u64,
    pub(super) refusals: Vec<(Selection, Refusal)>,
    /// Resources whose watches stand still.
    pub(super) held_watches: BTreeSet<String>,
    /// How often the watches of a resource were told to expire.
    pub(super) expirations: BTreeMap<String, u64>,
    /// How often all connections were cut.
    pub(super) cuts: u64,
}

/// A trap that waits for its write.
pub(super) struct ArmedTrap {
    pub(super) moment: Moment,
    /// Writes still to let pass, itself included.
    pub(super) remaining: usize,
    pub(super) sprung: oneshot::Sender<ProxiedRequest>,
}

/// What is to be done with a request that came in.
pub(super) enum Verdict {
    Forward,
    /// To be forwarded; the answer is not to be given, for [`State::spring`] holds it.
    ForwardIntoTrap(oneshot::Sender<ProxiedRequest>),
    /// Neither forwarded nor answered.
    Hold,
    Refuse(Refusal),
}

impl State {
    pub(super) fn admit(&mut self, request: &ProxiedRequest) -> Verdict {
        if self.frozen {
            return Verdict::Hold;
        }
        if let Some(refusal) = self.refusal(request) {
            return Verdict::Refuse(refusal);
        }
        if !request.is_write() {
            return Verdict::Forward;
        }
        if request.is_lease() {
            // Renewals come by the clock: counting them would make "the third write" another one in
            // each run.
            self.lease_writes += 1;
            return Verdict::Forward;
        }
        self.writes.push(request.clone());
        match self.trap.take() {
            Some(trap) if trap.remaining > 1 => {
                self.trap = Some(ArmedTrap {
                    remaining: trap.remaining - 1,
                    ..trap
                });
                Verdict::Forward
            }
            Some(ArmedTrap {
                moment: Moment::BeforeForwarding,
                sprung,
                ..
            }) => {
                if self.spring(sprung, request) {
                    Verdict::Hold
                } else {
                    Verdict::Forward
                }
            }
            Some(ArmedTrap {
                moment: Moment::AfterCommit,
                sprung,
                ..
            }) => Verdict::ForwardIntoTrap(sprung),
            None => Verdict::Forward,
        }
    }

    /// Freezes everything and tells the test; false when the test has dropped the trap meanwhile.
    pub(super) fn spring(
        &mut self,
        sprung: oneshot::Sender<ProxiedRequest>,
        request: &ProxiedRequest,
    ) -> bool {
        self.frozen = sprung.send(request.clone()).is_ok();
        self.frozen
    }

    /// Disarms the trap and cuts off everybody whom it held.
    pub(super) fn release(&mut self) {
        self.trap = None;
        self.frozen = false;
        self.releases += 1;
    }

    pub(super) fn expirations_of(&self, resource: &str) -> u64 {
        self.expirations.get(resource).copied().unwrap_or_default()
    }

    fn refusal(&mut self, request: &ProxiedRequest) -> Option<Refusal> {
        let index = self
            .refusals
            .iter()
            .position(|(selects, _)| selects(request))?;
        let (_, refusal) = self.refusals.get_mut(index)?;
        refusal.times -= 1;
        let refusal = refusal.clone();
        if refusal.times == 0 {
            drop(self.refusals.remove(index));
        }
        Some(refusal)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn request(method: &Method, address: &str) -> ProxiedRequest {
        ProxiedRequest::new(method, &address.parse().unwrap())
    }

    fn write(name: &str) -> ProxiedRequest {
        request(&Method::PATCH, &format!("/api/v1/namespaces/{name}"))
    }

    fn lease() -> ProxiedRequest {
        request(
            &Method::PUT,
            "/apis/coordination.k8s.io/v1/namespaces/a/leases/b",
        )
    }

    fn arm(
        state: &mut State,
        remaining: usize,
        moment: Moment,
    ) -> oneshot::Receiver<ProxiedRequest> {
        let (sprung, told) = oneshot::channel();
        state.trap = Some(ArmedTrap {
            moment,
            remaining,
            sprung,
        });
        told
    }

    #[test]
    fn the_second_write_springs_the_trap_and_everything_after_it_is_held() {
        let mut state = State::default();
        let mut told = arm(&mut state, 2, Moment::BeforeForwarding);
        assert!(matches!(state.admit(&write("one")), Verdict::Forward));
        assert!(
            matches!(state.admit(&lease()), Verdict::Forward),
            "renewals do not count"
        );
        let read = request(&Method::GET, "/api/v1/namespaces");
        assert!(matches!(state.admit(&read), Verdict::Forward));
        assert!(told.try_recv().is_err());
        assert!(matches!(state.admit(&write("two")), Verdict::Hold));
        assert_eq!(told.try_recv().unwrap(), write("two"));
        for later in [write("three"), lease(), read] {
            assert!(matches!(state.admit(&later), Verdict::Hold), "{later:?}");
        }
        state.release();
        assert!(matches!(state.admit(&write("three")), Verdict::Forward));
        assert_eq!(state.writes, [write("one"), write("two"), write("three")]);
        assert_eq!(state.lease_writes, 1);
    }

    #[test]
    fn a_trap_after_the_commit_springs_only_with_the_answer() {
        let mut state = State::default();
        let mut told = arm(&mut state, 1, Moment::AfterCommit);
        let Verdict::ForwardIntoTrap(sprung) = state.admit(&write("one")) else {
            panic!("the write is to be forwarded");
        };
        assert!(
            matches!(state.admit(&write("two")), Verdict::Forward),
            "not frozen yet"
        );
        assert!(state.spring(sprung, &write("one")));
        assert_eq!(told.try_recv().unwrap(), write("one"));
        assert!(matches!(state.admit(&write("three")), Verdict::Hold));
    }

    #[test]
    fn a_trap_that_nobody_waits_for_holds_nothing() {
        let mut state = State::default();
        drop(arm(&mut state, 1, Moment::BeforeForwarding));
        assert!(matches!(state.admit(&write("one")), Verdict::Forward));
        assert!(!state.frozen);
    }

    #[test]
    fn a_refusal_is_for_its_requests_and_for_so_many_times() {
        let mut state = State::default();
        let refusal = Refusal {
            times: 2,
            ..Refusal::new(429, "TooManyRequests")
        };
        state
            .refusals
            .push((Box::new(|request| request.name == "shop"), refusal));
        let verdicts: Vec<bool> = ["shop", "other", "shop", "shop"]
            .map(|name| matches!(state.admit(&write(name)), Verdict::Refuse(_)))
            .into();
        assert_eq!(verdicts, [true, false, true, false]);
        assert_eq!(
            state.writes.len(),
            2,
            "a refused write never reached the API server"
        );
    }
}
