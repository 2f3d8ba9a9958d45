//! Leader election under clocks that are off, a server that fails, and people who edit the Lease.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod fake;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fake::{Fake, Interception, LEASES, eventually, status};
use http::Method;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use podfence_operator::fence::Fence;
use podfence_operator::lease::{Change, Handle, Settings, spawn, unique_identity};
use podfence_plan::Ledger;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

const DURATION: Duration = Duration::from_secs(15);
const LEASE: &str = "podfence-operator";

fn settings(identity: &str) -> Settings {
    Settings {
        name: LEASE.to_owned(),
        namespace: "podfence-system".to_owned(),
        identity: unique_identity(identity),
        duration: DURATION,
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    }
}

fn right() -> Timestamp {
    Timestamp::now()
}

fn five_hours_fast() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(5)
}

fn five_hours_slow() -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(5)
}

fn candidate(fake: &Fake, identity: &str, clock: fn() -> Timestamp) -> Handle {
    let handle = spawn(fake.client(), settings(identity), clock);
    handle.campaign();
    handle
}

async fn leads(handle: &mut Handle) -> Ledger {
    match timeout(Duration::from_secs(120), handle.changed())
        .await
        .expect("it leads in time")
    {
        Change::Leading(ledger) => ledger,
        Change::Lost => panic!("it lost what it did not have"),
    }
}

async fn waits(handle: &mut Handle, how_long: Duration) {
    let change = timeout(how_long, handle.changed()).await;
    assert!(change.is_err(), "it should have waited: {change:?}");
}

async fn closes(fence: &Fence) -> Instant {
    let fence = fence.clone();
    eventually("the fence closes", move || !fence.holds()).await;
    Instant::now()
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_off_takes_nothing_and_waits_no_longer() {
    for (name, first_clock, second_clock) in [
        (
            "the second is fast",
            right as fn() -> Timestamp,
            five_hours_fast as fn() -> Timestamp,
        ),
        ("the second is slow", right, five_hours_slow),
        ("the first is fast", five_hours_fast, right),
        ("the first is slow", five_hours_slow, right),
    ] {
        let fake = Fake::new();
        let mut first = candidate(&fake, "first", first_clock);
        leads(&mut first).await;
        let mut second = candidate(&fake, "second", second_clock);
        waits(&mut second, 20 * DURATION).await;
        assert!(first.fence().holds() && !second.fence().holds(), "{name}");

        let fence = first.fence();
        drop(first);
        let died = Instant::now();
        leads(&mut second).await;
        assert!(!fence.holds(), "{name}: two could write");
        let waited = died.elapsed();
        assert!(
            waited <= DURATION + Duration::from_secs(5),
            "{name}: {waited:?}"
        );
        // A process that only ends is as good as one that dies: it gives nothing back.
        assert!(waited >= Duration::from_secs(9), "{name}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_renew_stops_before_another_begins() {
    let fake = Fake::new();
    let mut first = candidate(&fake, "first", right);
    leads(&mut first).await;
    let mut second = candidate(&fake, "second", right);
    waits(&mut second, DURATION).await;
    let identity = fake.get(LEASES, LEASE).expect("a Lease")["spec"]["holderIdentity"].clone();
    fake.intercept(move |asked| {
        let firsts = asked.body["spec"]["holderIdentity"] == identity;
        firsts.then(|| Interception::Answer(500, status(500, "InternalError", "no")))
    });
    let fence = first.fence();
    let closed = tokio::spawn(async move { closes(&fence).await });
    leads(&mut second).await;
    let began = Instant::now();
    let closed = closed.await.expect("it closed");
    assert!(
        closed + Duration::from_secs(3) < began,
        "too close: {closed:?} {began:?}"
    );
    let change = timeout(DURATION, first.changed())
        .await
        .expect("it is told");
    assert!(matches!(change, Change::Lost), "{change:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_is_not_waited_for() {
    let fake = Fake::new();
    let mut first = candidate(&fake, "first", right);
    leads(&mut first).await;
    fake.intercept(|_| Some(Interception::Silence));
    let change = timeout(DURATION, first.changed())
        .await
        .expect("it gives up in time");
    assert!(matches!(change, Change::Lost), "{change:?}");
}

/// What was to be written while the fence was closed was given up.
#[tokio::test(start_paused = true)]
async fn a_renewal_that_comes_too_late_is_none() {
    let fake = Fake::new();
    let mut first = candidate(&fake, "first", right);
    leads(&mut first).await;
    let is_first = AtomicBool::new(true);
    fake.intercept(move |asked| {
        let renews = asked.method == http::Method::PUT;
        renews.then(|| {
            if is_first.swap(false, Ordering::Relaxed) {
                return Interception::Silence;
            }
            // In time for a request, and behind the deadline that began with the term.
            Interception::Late(Duration::from_millis(4_500))
        })
    });
    let fence = first.fence();
    closes(&fence).await;
    let change = timeout(DURATION, first.changed())
        .await
        .expect("it is told");
    assert!(matches!(change, Change::Lost), "{change:?}");
    assert!(!fence.holds());
}

#[tokio::test(start_paused = true)]
async fn the_one_who_is_replaced_stops_at_once() {
    let fake = Fake::new();
    let mut first = candidate(&fake, "first", right);
    leads(&mut first).await;
    let mut lease = fake.get(LEASES, LEASE).expect("a Lease");
    lease["spec"]["holderIdentity"] = json!("somebody");
    fake.put(LEASES, lease);
    let change = timeout(Duration::from_secs(3), first.changed())
        .await
        .expect("it is told");
    assert!(matches!(change, Change::Lost), "{change:?}");
    assert!(!first.fence().holds());
}

#[tokio::test(start_paused = true)]
async fn people_may_edit_or_delete_the_lease() {
    let fake = Fake::new();
    let mut first = candidate(&fake, "first", right);
    let ledger = leads(&mut first).await;
    let mut second = candidate(&fake, "second", right);
    for _ in 0..20 {
        let mut lease = fake.get(LEASES, LEASE).expect("a Lease");
        lease["metadata"]["annotations"] = json!({"note": "edited"});
        fake.put(LEASES, lease);
        waits(&mut second, Duration::from_secs(3)).await;
        assert!(first.fence().holds());
    }
    let annotations = fake.get(LEASES, LEASE).expect("a Lease")["metadata"]["annotations"].clone();
    assert_eq!(
        annotations["state.podfence.dev/soaks"],
        json!(ledger.to_annotation())
    );
    assert_eq!(annotations["note"], "edited", "what others write stays");

    fake.remove(LEASES, LEASE);
    eventually("one of them makes it anew", || {
        fake.get(LEASES, LEASE).is_some()
    })
    .await;
    sleep(Duration::from_secs(5)).await;
    assert!(
        first.fence().holds() != second.fence().holds(),
        "exactly one leads"
    );
}

#[tokio::test(start_paused = true)]
async fn an_edit_does_not_revive_a_dead_leader() {
    let fake = Fake::new();
    let mut first = candidate(&fake, "first", right);
    leads(&mut first).await;
    let mut second = candidate(&fake, "second", right);
    waits(&mut second, DURATION).await;
    drop(first);
    let died = Instant::now();
    let editor = fake.clone();
    tokio::spawn(async move {
        loop {
            sleep(Duration::from_secs(1)).await;
            let mut lease = editor.get(LEASES, LEASE).expect("a Lease");
            lease["metadata"]["annotations"]["note"] = json!(format!("{:?}", Instant::now()));
            editor.put(LEASES, lease);
        }
    });
    leads(&mut second).await;
    assert!(died.elapsed() <= 2 * DURATION, "{:?}", died.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_is_taken_at_once() {
    let fake = Fake::new();
    let mut first = candidate(&fake, "first", right);
    leads(&mut first).await;
    let mut second = candidate(&fake, "second", right);
    waits(&mut second, DURATION).await;
    let began = Instant::now();
    let fence = first.fence();
    first.release(Duration::from_secs(3)).await;
    assert!(!fence.holds());
    leads(&mut second).await;
    assert!(
        began.elapsed() <= Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    let spec = fake.get(LEASES, LEASE).expect("a Lease")["spec"].clone();
    assert_eq!(spec["leaseTransitions"], 2);
}

#[tokio::test(start_paused = true)]
async fn the_ledger_is_taken_over_in_the_write_that_takes_the_lease() {
    let fake = Fake::new();
    let mut first = candidate(&fake, "first", right);
    let mut ledger = leads(&mut first).await;
    assert!(ledger.pause("apps"));
    first.record(&ledger).await.expect("it is stored");
    drop(first);

    let mut second = candidate(&fake, "second", right);
    assert_eq!(leads(&mut second).await, ledger, "absent for a moment only");
    drop(second);

    // The third finds the Lease of a leader that went long ago.
    let mut third = candidate(&fake, "third", five_hours_fast);
    let fresh = leads(&mut third).await;
    assert_ne!(fresh, ledger);
    let taking = fake.asked().into_iter().rev().find(|asked| {
        asked.body["spec"]["holderIdentity"]
            .as_str()
            .is_some_and(|it| it.starts_with("third"))
    });
    let stored = taking.expect("a write")["annotations"].clone();
    assert_eq!(
        stored["state.podfence.dev/soaks"],
        json!(fresh.to_annotation())
    );
}

impl std::ops::Index<&str> for fake::Asked {
    type Output = serde_json::Value;

    fn index(&self, field: &str) -> &serde_json::Value {
        &self.body["metadata"][field]
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_still_counts() {
    let fake = Fake::new();
    fake.intercept(|asked| {
        let lost = status(500, "InternalError", "the answer is lost");
        (asked.method == Method::POST).then_some(Interception::DoneBut(500, lost))
    });
    let mut first = candidate(&fake, "first", right);
    leads(&mut first).await;
    assert!(first.fence().holds());
}

#[tokio::test(start_paused = true)]
async fn nobody_competes_before_everything_was_listed() {
    let fake = Fake::new();
    let mut early = spawn(fake.client(), settings("early"), right);
    waits(&mut early, DURATION).await;
    assert!(fake.asked().is_empty(), "{:?}", fake.asked());
    early.campaign();
    leads(&mut early).await;
}
