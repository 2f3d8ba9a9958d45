//! Reading, adding and writing back, against a server that is in the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use podfence_agent::observe::context::Holder;
use podfence_agent::observe::owner::{OwnerError, Workload, workload_of};
use podfence_agent::observe::publish::{PublishError, Written, publish};
use podfence_crd::{RecordedWorkload, SyscallRecord};
use podfence_seccomp::evidence::{Fact, Key, Observation};
use podfence_seccomp::{Architecture, Moment, Span};
use serde_json::{Value, json};

use super::api::{Api, RECORDS, refusal};
use super::world::at;

const NAME: &str = "deployment-web";

fn workload() -> Workload {
    Workload {
        namespace: "shop".into(),
        named: RecordedWorkload {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            name: "web".to_owned(),
        },
        uid: "uid-of-web".into(),
    }
}

/// One stretch of one container.
fn facts(first: i64, last: i64) -> BTreeMap<String, Vec<Fact>> {
    let key = Key {
        image: "sha256:00".into(),
        profile: "5f3a".into(),
        bounding: podfence_workload::CapabilityMask::default(),
        architecture: Architecture::Amd64,
        kernel: None,
    };
    let observation = Observation::Stretch(Span::new(at(first), at(last)));
    [("main".to_owned(), vec![Fact { key, observation }])].into()
}

async fn written(api: &Api, first: i64, last: i64) -> Result<Written, PublishError> {
    publish(&api.client(), &workload(), &facts(first, last), at(last)).await
}

/// The stretches in a record, as seconds.
fn stretches(record: &Value) -> usize {
    let record: SyscallRecord = serde_json::from_value(record.clone()).expect("a record");
    let entries = record.spec.entries.iter();
    entries.map(|entry| entry.watched.len()).sum()
}

#[tokio::test]
async fn a_record_is_made_once_and_added_to_only_with_what_it_does_not_say() {
    let api = Api::default();
    assert_eq!(written(&api, 0, 9).await.expect("made"), Written::Created);
    let record = api.record(NAME).expect("it is there");
    let owner = &record["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["uid"]),
        (&json!("Deployment"), &json!("uid-of-web"))
    );
    assert!(record.get("status").is_none());
    for (last, want) in [
        (9, Written::Unchanged),
        (5, Written::Unchanged),
        (10, Written::Updated),
    ] {
        assert_eq!(written(&api, 0, last).await.expect("added"), want, "{last}");
    }
    let paths = [format!("POST {RECORDS}"), format!("PUT {RECORDS}/{NAME}")];
    assert_eq!(api.writes(), paths);
    assert_eq!(stretches(&api.record(NAME).expect("a record")), 1);
}

#[tokio::test]
async fn what_others_write_meanwhile_stays() {
    // Another agent makes the record, then adds to it twice.
    let other = Api::default();
    written(&other, 1000, 1001).await.expect("made");
    let theirs = other.record(NAME).expect("a record");
    let path = format!("{RECORDS}/{NAME}");
    let mut meanwhile = 0;
    let api = Api::default().answering(move |asked, objects| {
        if asked.method != Method::GET && meanwhile < 3 {
            meanwhile += 1;
            let mut theirs = theirs.clone();
            theirs["metadata"]["resourceVersion"] = json!(format!("other-{meanwhile}"));
            objects.insert(path.clone(), theirs);
        }
        None
    });
    assert_eq!(written(&api, 0, 9).await.expect("added"), Written::Updated);
    assert_eq!(stretches(&api.record(NAME).expect("a record")), 2);
    assert_eq!((api.reads(), api.writes().len()), (4, 4));
    // One that goes while it is added to is made anew.
    let path = format!("{RECORDS}/{NAME}");
    let api = api.answering(move |asked, objects| {
        if asked.method == Method::PUT {
            objects.remove(&path);
        }
        None
    });
    assert_eq!(written(&api, 0, 99).await.expect("made"), Written::Created);
}

#[tokio::test]
async fn what_keeps_it_from_being_written_is_told_apart() {
    let always = |code: u16, on: Method, reason: Option<&'static str>| {
        Api::default().answering(move |asked, _| {
            let (code, mut status) = refusal(code, "no");
            if let Some(reason) = reason {
                status["details"] = json!({ "causes": [{ "reason": reason }] });
            }
            (asked.method == on).then_some((code, status))
        })
    };
    let ending = Some("NamespaceTerminating");
    for (api, want) in [
        (
            always(403, Method::GET, None),
            "get syscallrecord \"deployment-web\": forbidden: no",
        ),
        (
            always(403, Method::POST, None),
            "create syscallrecord \"deployment-web\": forbidden: no",
        ),
        (
            always(403, Method::POST, ending),
            "its namespace is being deleted",
        ),
        (
            always(404, Method::POST, None),
            "the cluster has no such kind",
        ),
        (always(409, Method::POST, None), "5 times in a row"),
        (always(500, Method::POST, None), "500: no"),
    ] {
        let error = written(&api, 0, 9).await.expect_err(want).to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[tokio::test]
async fn what_no_verdict_looks_back_to_goes_with_the_next_write() {
    let api = Api::default();
    written(&api, 0, 9).await.expect("made");
    let later = 36 * 24 * 3600;
    written(&api, later, later + 1).await.expect("added");
    assert_eq!(stretches(&api.record(NAME).expect("a record")), 1);
    assert!(at(0) > Moment::from_unix_seconds(0));
}

fn holder(api_version: &str, kind: &str, name: &str, uid: &str) -> Holder {
    Holder {
        namespace: Arc::from("shop"),
        api_version: api_version.into(),
        kind: kind.into(),
        name: name.into(),
        uid: uid.into(),
    }
}

#[tokio::test]
async fn a_workload_is_the_top_listed_controller() {
    let owned = |uid: &str, owner: Value| json!({ "metadata": { "name": "x", "uid": uid, "ownerReferences": [owner] } });
    let by = |api_version: &str, kind: &str, name: &str| {
        json!({
            "apiVersion": api_version, "kind": kind, "name": name, "uid": "top", "controller": true,
        })
    };
    let sets = "/apis/apps/v1/namespaces/shop/replicasets";
    let jobs = "/apis/batch/v1/namespaces/shop/jobs";
    let path = |of: &str, name: &str| format!("{of}/{name}");
    let api = Api::with(&[
        (
            &path(sets, "web-1"),
            owned("1", by("apps/v1", "Deployment", "web")),
        ),
        (
            &path(sets, "roll-1"),
            owned("1", by("argoproj.io/v1alpha1", "Rollout", "roll")),
        ),
        (
            &path(sets, "new"),
            owned("2", by("apps/v1", "Deployment", "new")),
        ),
        (
            &path(jobs, "tidy-1"),
            owned("1", by("batch/v1", "CronJob", "tidy")),
        ),
    ]);
    for (api_version, kind, name, want, reads) in [
        ("v1", "Pod", "a", "v1 Pod/a 1", 0),
        ("apps/v1beta1", "DaemonSet", "a", "apps/v1 DaemonSet/a 1", 0),
        ("kafka.io/v1", "Set", "a", "kafka.io/v1 Set/a 1", 0),
        (
            "apps/v1",
            "ReplicaSet",
            "web-1",
            "apps/v1 Deployment/web top",
            1,
        ),
        ("batch/v1", "Job", "tidy-1", "batch/v1 CronJob/tidy top", 1),
        (
            "apps/v1",
            "ReplicaSet",
            "roll-1",
            "apps/v1 ReplicaSet/roll-1 1",
            1,
        ),
        (
            "apps/v1",
            "ReplicaSet",
            "gone",
            "apps/v1 ReplicaSet/gone 1",
            1,
        ),
        // Another one by now.
        (
            "apps/v1",
            "ReplicaSet",
            "new",
            "apps/v1 ReplicaSet/new 1",
            1,
        ),
    ] {
        let before = api.reads();
        let holder = holder(api_version, kind, name, "1");
        let found = workload_of(&api.client(), &holder).await.expect(name);
        let named = &found.named;
        let got = format!(
            "{} {}/{} {}",
            named.api_version, named.kind, named.name, found.uid
        );
        assert_eq!((&*got, api.reads() - before), (want, reads));
    }
    let forbidden = Api::default().answering(|_, _| Some(refusal(403, "no")));
    let holder = holder("apps/v1", "ReplicaSet", "web-1", "1");
    let error = workload_of(&forbidden.client(), &holder).await;
    assert!(matches!(error, Err(OwnerError::Forbidden(..))), "{error:?}");
}
