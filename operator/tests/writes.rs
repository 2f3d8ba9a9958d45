//! What is sent to the API server, and what its answers mean.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod fake;

use std::collections::BTreeMap;
use std::time::Duration;

use fake::{Asked, CRDS, Fake, Interception, NAMESPACES, namespace, status};
use podfence_operator::apply::{Applied, Mode, send};
use podfence_operator::call::{CallError, Caller};
use podfence_operator::crd_state::{self, CrdState};
use podfence_operator::fence::Fence;
use podfence_plan::Apply;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

fn fence(open: bool) -> Fence {
    let until = open.then(|| Instant::now() + Duration::from_secs(3_600));
    Fence::controlled(watch::channel(until).1)
}

fn caller(fake: &Fake) -> Caller {
    Caller::new(fake.client(), fence(true))
}

fn apply_on(object: &Value) -> Apply {
    let text = |field: &str| object["metadata"][field].as_str().expect(field).to_owned();
    Apply {
        name: text("name"),
        uid: text("uid"),
        resource_version: text("resourceVersion"),
        labels: BTreeMap::from([(ENFORCE.to_owned(), "restricted".to_owned())]),
        annotations: BTreeMap::from([("state.podfence.dev/policy".to_owned(), "apps".to_owned())]),
        force: false,
    }
}

fn shop(fake: &Fake) -> Apply {
    apply_on(&fake.put(NAMESPACES, namespace("shop", json!({"team": "web"}))))
}

fn last(fake: &Fake) -> Asked {
    fake.asked().pop().expect("something was asked")
}

#[tokio::test]
async fn an_apply_is_bound_to_what_it_was_planned_on() {
    let fake = Fake::new();
    let apply = shop(&fake);
    let done = send(&caller(&fake), &apply, Mode::Write)
        .await
        .expect("an answer");
    let Applied::Done {
        namespace,
        warnings,
    } = done
    else {
        panic!("{done:?}")
    };
    assert_eq!(
        namespace.labels.get(ENFORCE).map(String::as_str),
        Some("restricted")
    );
    assert!(warnings.is_empty());
    let asked = last(&fake);
    assert_eq!(asked.path, "/api/v1/namespaces/shop");
    assert_eq!(asked.body["metadata"]["uid"], apply.uid);
    assert_eq!(
        asked.body["metadata"]["resourceVersion"],
        apply.resource_version
    );
    assert!(
        asked.query.contains("fieldManager=podfence"),
        "{}",
        asked.query
    );
    assert!(
        !asked.is_dry_run() && !asked.query.contains("force=true"),
        "{}",
        asked.query
    );

    let forced = Apply {
        force: true,
        resource_version: namespace.resource_version,
        ..apply
    };
    send(&caller(&fake), &forced, Mode::Write)
        .await
        .expect("an answer");
    assert!(last(&fake).query.contains("force=true"));
}

#[tokio::test]
async fn a_question_changes_nothing_and_brings_the_warnings() {
    let fake = Fake::new();
    let apply = shop(&fake);
    let before = fake.get(NAMESPACES, "shop");
    fake.intercept(|_| {
        let said = [
            "existing pods in namespace \"shop\" violate",
            "web: privileged",
        ];
        Some(Interception::Warn(said.map(str::to_owned).to_vec()))
    });
    let done = send(&caller(&fake), &apply, Mode::DryRun)
        .await
        .expect("an answer");
    let Applied::Done { warnings, .. } = done else {
        panic!("{done:?}")
    };
    assert_eq!(
        warnings,
        [
            "existing pods in namespace \"shop\" violate",
            "web: privileged"
        ]
    );
    assert_eq!(fake.get(NAMESPACES, "shop"), before);
}

#[tokio::test]
async fn what_a_refusal_means() {
    let cause = |reason: &str, field: &str| json!({"reason": reason, "message": "conflict with \"kubectl-label\" using v1", "field": field});
    let with = |code, causes: Value| {
        let mut refused = status(code, "Conflict", "no");
        refused["details"] = json!({"causes": causes});
        refused
    };
    let label = format!(".metadata.labels.{ENFORCE}");
    for (name, code, body, want) in [
        (
            "modified",
            409,
            status(409, "Conflict", "the object has been modified"),
            "outdated",
        ),
        (
            "another cause",
            409,
            with(409, json!([cause("Other", &label)])),
            "outdated",
        ),
        (
            "ownership",
            409,
            with(409, json!([cause("FieldManagerConflict", &label)])),
            "conflict",
        ),
        (
            "created anew",
            422,
            with(422, json!([cause("FieldValueInvalid", "metadata.uid")])),
            "outdated",
        ),
        (
            "an invalid value",
            422,
            with(422, json!([cause("FieldValueInvalid", &label)])),
            "refused",
        ),
        (
            "gone",
            404,
            status(404, "NotFound", "not found"),
            "outdated",
        ),
        (
            "gone, to an account that may not create",
            403,
            status(
                403,
                "Forbidden",
                "User \"x\" cannot create resource \"namespaces\" in API group \"\"",
            ),
            "outdated",
        ),
        (
            "not allowed",
            403,
            status(
                403,
                "Forbidden",
                "User \"x\" cannot patch resource \"namespaces\" in API group \"\"",
            ),
            "refused",
        ),
        (
            "denied by admission",
            400,
            status(400, "BadRequest", "denied"),
            "refused",
        ),
        ("a proxy's page", 413, json!("too large"), "refused"),
    ] {
        let fake = Fake::new();
        let apply = shop(&fake);
        let body_of = body.clone();
        fake.intercept(move |_| Some(Interception::Answer(code, body_of.clone())));
        let applied = send(&caller(&fake), &apply, Mode::Write).await.expect(name);
        assert_eq!(applied.label(), want, "{name}: {applied:?}");
        if let Applied::Conflict(keys) = applied {
            assert_eq!(
                keys,
                BTreeMap::from([(ENFORCE.to_owned(), vec!["kubectl-label".to_owned()])])
            );
        }
    }
}

#[tokio::test]
async fn a_namespace_that_went_is_never_made() {
    let fake = Fake::new();
    let apply = shop(&fake);
    fake.remove(NAMESPACES, "shop");
    let gone = send(&caller(&fake), &apply, Mode::Write)
        .await
        .expect("an answer");
    assert!(matches!(gone, Applied::Outdated), "{gone:?}");
    fake.put(NAMESPACES, namespace("shop", json!({})));
    let another = send(&caller(&fake), &apply, Mode::Write)
        .await
        .expect("an answer");
    assert!(matches!(another, Applied::Outdated), "{another:?}");
    let labels = fake.get(NAMESPACES, "shop").expect("it is there")["metadata"]["labels"].clone();
    assert_eq!(labels, json!({}));
}

#[tokio::test(start_paused = true)]
async fn what_may_be_over_in_a_moment_is_an_error() {
    for (name, interception, want) in [
        (
            "busy",
            || Interception::Answer(429, status(429, "TooManyRequests", "later")),
            "server",
        ),
        (
            "broken",
            || Interception::Answer(500, status(500, "InternalError", "etcd")),
            "server",
        ),
        (
            "a token that expired",
            || Interception::Answer(401, json!("Unauthorized")),
            "server",
        ),
        ("silent", || Interception::Silence, "timeout"),
        (
            "nonsense",
            || Interception::Answer(200, json!([])),
            "unreadable",
        ),
    ] as [(&str, fn() -> Interception, &str); 5]
    {
        let fake = Fake::new();
        let apply = shop(&fake);
        fake.intercept(move |_| Some(interception()));
        let error = send(&caller(&fake), &apply, Mode::Write)
            .await
            .expect_err(name);
        assert_eq!(error.label(), want, "{name}: {error}");
        assert_eq!(
            fake.asked().len(),
            1,
            "{name}: nobody tries behind our back"
        );
    }
}

#[tokio::test]
async fn without_the_lease_nothing_is_sent() {
    let fake = Fake::new();
    let apply = shop(&fake);
    let caller = Caller::new(fake.client(), fence(false));
    let refused = send(&caller, &apply, Mode::Write)
        .await
        .expect_err("it does not lead");
    assert!(matches!(refused, CallError::NotLeading), "{refused}");
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn the_definition_is_there_to_stay_or_not() {
    const NAME: &str = "namespacepolicies.podfence.dev";
    let definition =
        |deleted: Value| json!({"metadata": {"name": NAME, "deletionTimestamp": deleted}});
    let fake = Fake::new();
    let read = || async { crd_state::read(&caller(&fake)).await.expect("an answer") };
    assert_eq!(read().await, CrdState::Terminating, "gone");
    fake.put(CRDS, definition(Value::Null));
    assert_eq!(read().await, CrdState::Established);
    fake.put(CRDS, definition(json!("2026-11-20T10:00:00Z")));
    assert_eq!(read().await, CrdState::Terminating);
    fake.intercept(|_| {
        Some(Interception::Answer(
            403,
            status(403, "Forbidden", "not you"),
        ))
    });
    assert_eq!(read().await, CrdState::Unreadable("not you".to_owned()));
    fake.intercept(|_| {
        Some(Interception::Answer(
            500,
            status(500, "InternalError", "no"),
        ))
    });
    crd_state::read(&caller(&fake))
        .await
        .expect_err("try again");
}
