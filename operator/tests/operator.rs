//! The operator against an API server in memory: watches that break, objects that cannot be read,
//! failing writes, the end of a term and of the process.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod fake;

use std::time::Duration;

use fake::{
    Asked, Fake, Interception, LEASES, NAMESPACES, PODS, POLICIES, PROFILES, eventually, namespace,
    policy, privileged_pod, profile, status,
};
use k8s_openapi::jiff::Timestamp;
use podfence_daemon::server::Vitals;
use podfence_operator::call::Caller;
use podfence_operator::controller::{Driver, End, Inputs, Outputs, SeccompSettings};
use podfence_operator::events::Publisher;
use podfence_operator::lease::{self, Settings};
use podfence_operator::metrics::Metrics;
use podfence_operator::observe::watch::{EstablishedLayer, REPORTS, spawn_all};
use podfence_operator::version;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const IMMEDIATE: &str = "Immediate";

/// An operator at work.
struct Operator {
    shutdown: Option<oneshot::Sender<()>>,
    end: JoinHandle<End>,
    vitals: watch::Receiver<Vitals>,
    registry: prometheus_client::registry::Registry,
    _watches: JoinSet<()>,
}

fn start(fake: &Fake, identity: &str) -> Operator {
    let (reports, reports_in) = mpsc::channel(REPORTS);
    let client = fake.client_with(&EstablishedLayer::new(reports.clone()));
    let settings = Settings {
        name: "podfence-operator".to_owned(),
        namespace: "podfence-system".to_owned(),
        identity: lease::unique_identity(identity),
        duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    };
    let (metrics, registry) = Metrics::register(8);
    let election = lease::spawn(client.clone(), settings, Timestamp::now);
    let fence = election.fence();
    let publisher = Publisher::spawn(client.clone(), identity, fence.clone(), metrics.clone());
    let (versions, versions_in) = mpsc::channel(1);
    let asking = client.clone();
    version::spawn(move || Ok(asking.clone()), versions);
    let watches = spawn_all(&client, &reports);
    let (vitals_in, vitals) = watch::channel(Vitals::starting(Instant::now()));
    let out = Outputs {
        caller: Caller::new(client, fence),
        publisher,
        metrics,
        vitals: vitals_in,
    };
    let inputs = Inputs {
        reports: reports_in,
        versions: versions_in,
        election,
    };
    let seccomp = SeccompSettings {
        agent_namespace: "podfence-agent".to_owned(),
        node_label: None,
        settling: Duration::from_secs(600),
    };
    let driver = Driver::new(out, "podfence-system".to_owned(), seccomp, 8);
    let (shutdown, told) = oneshot::channel::<()>();
    let end = tokio::spawn(driver.run(inputs, async move {
        let _ = told.await;
    }));
    Operator {
        shutdown: Some(shutdown),
        end,
        vitals,
        registry,
        _watches: watches,
    }
}

impl Operator {
    async fn stop(mut self) -> (End, Duration) {
        let began = Instant::now();
        let _ = self.shutdown.take().expect("it runs").send(());
        (self.end.await.expect("it ends"), began.elapsed())
    }

    fn is_ready(&self) -> bool {
        self.vitals.borrow().awaits.is_none()
    }

    fn metric(&self, line: &str) -> bool {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("it encodes");
        text.lines().any(|known| known == line)
    }
}

fn enforced(fake: &Fake, name: &str) -> Option<String> {
    let labels = &fake.get(NAMESPACES, name)?["metadata"]["labels"];
    labels[ENFORCE].as_str().map(str::to_owned)
}

fn summary(fake: &Fake, name: &str) -> Value {
    fake.get(POLICIES, name)
        .map(|policy| policy["status"]["summary"].clone())
        .unwrap_or_default()
}

fn condition(fake: &Fake, policy: &str, kind: &str) -> (String, String) {
    let status = fake
        .get(POLICIES, policy)
        .map(|policy| policy["status"].clone());
    let conditions = status.unwrap_or_default()["conditions"].clone();
    let found = conditions
        .as_array()
        .into_iter()
        .flatten()
        .find(|it| it["type"] == kind)
        .cloned();
    let text = |field: &str| {
        found
            .as_ref()
            .and_then(|it| it[field].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    (text("status"), text("reason"))
}

/// Waits until a condition of the policy is so.
async fn says(fake: &Fake, kind: &str, status: &str, reason: &str) {
    let wanted = (status.to_owned(), reason.to_owned());
    let began = Instant::now();
    while condition(fake, "apps", kind) != wanted {
        let found = condition(fake, "apps", kind);
        assert!(
            began.elapsed() < Duration::from_secs(600),
            "{kind} is {found:?}, not {wanted:?}"
        );
        sleep(Duration::from_millis(10)).await;
    }
}

/// A cluster with one policy over the namespaces of tier `apps`.
fn cluster(strategy: &str, namespaces: &[&str]) -> Fake {
    let fake = Fake::new();
    fake.put(PROFILES, profile("restricted"));
    fake.put(
        POLICIES,
        policy("apps", json!({"strategy": strategy, "soak": "0s"})),
    );
    for name in namespaces {
        fake.put(NAMESPACES, namespace(name, json!({"tier": "apps"})));
    }
    fake
}

fn is_namespace_write(asked: &Asked) -> bool {
    asked.is_write() && asked.path.starts_with(NAMESPACES)
}

fn namespace_writes(fake: &Fake) -> usize {
    fake.writes()
        .iter()
        .filter(|(_, asked)| is_namespace_write(asked))
        .count()
}

fn status_writes(fake: &Fake) -> Vec<Instant> {
    let writes = fake.writes().into_iter();
    let of_policy =
        writes.filter(|(_, asked)| asked.path.ends_with("namespacepolicies/apps/status"));
    of_policy.map(|(at, _)| at).collect()
}

#[tokio::test(start_paused = true)]
async fn labels_reports_and_then_rests() {
    let fake = cluster(IMMEDIATE, &["shop", "crm"]);
    fake.put(NAMESPACES, namespace("other", json!({"tier": "data"})));
    let operator = start(&fake, "one");
    eventually("it is labelled", || enforced(&fake, "shop").is_some()).await;
    eventually("it is reported", || {
        summary(&fake, "apps")["namespacesEnforced"] == 2
    })
    .await;
    assert_eq!(condition(&fake, "apps", "Ready").0, "True");
    assert_eq!(enforced(&fake, "other"), None);
    assert_eq!(namespace_writes(&fake), 2, "one write each");
    assert!(operator.metric("podfence_label_writes_total{result=\"success\"} 2"));
    sleep(Duration::from_secs(10)).await;
    let writes = fake.writes().len();
    sleep(Duration::from_secs(1_800)).await;
    assert_eq!(fake.writes().len(), writes, "nothing is written at rest");

    // A restart finds everything as it should be.
    assert_eq!(operator.stop().await.0, End::Shutdown);
    let _second = start(&fake, "two");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(fake.writes().len(), writes, "nor after a restart");
}

#[tokio::test(start_paused = true)]
async fn verdicts_without_writes_are_reported_at_once() {
    let fake = cluster("DryRun", &[]);
    for number in 0..600 {
        let name = format!("n{number}");
        fake.put(NAMESPACES, namespace(&name, json!({"tier": "apps"})));
    }
    let began = Instant::now();
    let _operator = start(&fake, "one");
    eventually("it is reported", || {
        summary(&fake, "apps")["namespacesMatched"] == 600
    })
    .await;
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(status_writes(&fake).len(), 1);
}

/// Watches of two resources come in any order.
#[tokio::test(start_paused = true)]
async fn a_pod_that_is_seen_before_its_namespace_is_judged() {
    let fake = cluster("DryRun", &[]);
    let operator = start(&fake, "one");
    eventually("it is reported", || {
        summary(&fake, "apps")["namespacesMatched"] == 0
    })
    .await;
    let mut pod = privileged_pod("late", "web");
    pod["spec"]["containers"][0]["securityContext"] = json!({});
    fake.put(PODS, pod);
    tokio::time::sleep(Duration::from_secs(10)).await;
    fake.put(NAMESPACES, namespace("late", json!({"tier": "apps"})));
    eventually("its workload is judged", || {
        summary(&fake, "apps")["workloadsUnknown"] == 1
    })
    .await;
    assert!(operator.metric("podfence_seccomp_default_workloads{verdict=\"Unknown\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_hangs_keeps_no_other_policy_waiting() {
    let fake = cluster(IMMEDIATE, &["shop"]);
    fake.put(POLICIES, policy("other", json!({"strategy": "DryRun"})));
    fake.put(NAMESPACES, namespace("lake", json!({"tier": "other"})));
    fake.intercept(|asked| {
        let shop = asked.path.ends_with("/namespaces/shop");
        shop.then_some(Interception::Silence)
    });
    let began = Instant::now();
    let _operator = start(&fake, "one");
    eventually("the other is reported", || {
        summary(&fake, "other")["namespacesMatched"] == 1
    })
    .await;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        summary(&fake, "apps"),
        Value::Null,
        "work under way is not reported at once"
    );
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_stops_no_other() {
    let fake = cluster(IMMEDIATE, &["shop"]);
    let broken = |name: &str| json!({"metadata": {"namespace": "shop", "name": name}, "spec": 7});
    fake.put(PODS, broken("in-the-list"));
    fake.put(
        NAMESPACES,
        json!({"metadata": {"name": "odd", "labels": [1]}}),
    );
    fake.put(
        POLICIES,
        json!({"metadata": {"name": "odd", "generation": 1}, "spec": "?"}),
    );
    fake.put(PROFILES, json!({"metadata": {"name": "odd"}, "spec": []}));
    let operator = start(&fake, "one");
    let audit = "pod-security.kubernetes.io/audit";
    let labelled = |name: &str| {
        let namespace = fake.get(NAMESPACES, name).expect("it is there");
        namespace["metadata"]["labels"][audit] == "restricted"
    };
    eventually("the rest is labelled", || labelled("shop")).await;
    assert_eq!(
        enforced(&fake, "shop"),
        None,
        "what is unknown does not tighten"
    );
    says(&fake, "ReportComplete", "False", "MalformedObject").await;
    for kind in ["Pod", "Namespace", "NamespacePolicy", "PolicyProfile"] {
        let line = format!("podfence_undecodable_objects{{kind=\"{kind}\"}} 1");
        eventually(&line, || operator.metric(&line)).await;
    }

    fake.put(PODS, broken("in-the-watch"));
    fake.put(NAMESPACES, namespace("new", json!({"tier": "apps"})));
    eventually("the watch goes on", || enforced(&fake, "new").is_some()).await;
    fake.remove(PODS, "shop/in-the-list");
    fake.remove(PODS, "shop/in-the-watch");
    eventually("it is read again", || enforced(&fake, "shop").is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_is_missing_is_waited_for() {
    let fake = cluster(IMMEDIATE, &["shop"]);
    fake.set_absent(POLICIES, true);
    fake.set_absent(PROFILES, true);
    let operator = start(&fake, "one");
    eventually("it is ready without", || operator.is_ready()).await;
    sleep(Duration::from_secs(120)).await;
    assert_eq!(namespace_writes(&fake), 0);
    let looks = fake
        .asked()
        .iter()
        .filter(|asked| asked.path == POLICIES)
        .count();
    assert!(
        (20..=60).contains(&looks),
        "every few seconds, not {looks} times in two minutes"
    );
    fake.set_absent(POLICIES, false);
    fake.set_absent(PROFILES, false);
    let installed = Instant::now();
    eventually("it is labelled", || enforced(&fake, "shop").is_some()).await;
    assert!(
        installed.elapsed() < Duration::from_secs(10),
        "{:?}",
        installed.elapsed()
    );
    eventually("nothing is unseen", || {
        condition(&fake, "apps", "ReportComplete").0 == "True"
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_may_not_be_listed_stops_no_other() {
    const CRON_JOBS: &str = "/apis/batch/v1/cronjobs";
    let fake = cluster(IMMEDIATE, &["shop"]);
    fake.intercept(|asked| {
        let refused = status(403, "Forbidden", "cronjobs.batch is forbidden");
        (asked.path == CRON_JOBS).then_some(Interception::Answer(403, refused))
    });
    let _operator = start(&fake, "one");
    says(&fake, "ReportComplete", "False", "Forbidden").await;
    assert_eq!(enforced(&fake, "shop"), None, "unknown never tightens");
    fake.intercept_nothing();
    let granted = Instant::now();
    eventually("it recovers without a restart", || {
        enforced(&fake, "shop").is_some()
    })
    .await;
    assert!(
        granted.elapsed() < Duration::from_secs(10),
        "{:?}",
        granted.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_watch_holds_everything_after_a_minute_and_no_sooner() {
    let fake = cluster(IMMEDIATE, &["shop"]);
    let _operator = start(&fake, "one");
    eventually("it is labelled", || enforced(&fake, "shop").is_some()).await;
    eventually("all is seen", || {
        condition(&fake, "apps", "ReportComplete").0 == "True"
    })
    .await;
    fake.intercept(|asked| {
        let down = status(503, "ServiceUnavailable", "down");
        (asked.path == PODS).then_some(Interception::Answer(503, down))
    });
    fake.break_watches(PODS, None);
    let lost = Instant::now();
    says(&fake, "ReportComplete", "False", "WatchLost").await;
    let after = lost.elapsed();
    assert!((60..=130).contains(&after.as_secs()), "{after:?}");
    fake.put(NAMESPACES, namespace("new", json!({"tier": "apps"})));
    sleep(Duration::from_secs(30)).await;
    assert_eq!(enforced(&fake, "new"), None, "unknown never tightens");
    assert_eq!(
        enforced(&fake, "shop").as_deref(),
        Some("restricted"),
        "and never loosens"
    );
    // No pod changes: only the answer to the request tells that the watch is there again.
    fake.intercept_nothing();
    eventually("it goes on", || enforced(&fake, "new").is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_list_finds_what_went_meanwhile() {
    let fake = cluster("Guarded", &["shop"]);
    fake.put(PODS, privileged_pod("shop", "bad"));
    fake.put(PODS, privileged_pod("shop", "worse"));
    let _operator = start(&fake, "one");
    eventually("it is held", || {
        summary(&fake, "apps")["namespacesHeld"] == 1
    })
    .await;
    fake.intercept(|asked| {
        let down = status(503, "ServiceUnavailable", "down");
        (asked.path == PODS).then_some(Interception::Answer(503, down))
    });
    fake.break_watches(PODS, None);
    fake.remove(PODS, "shop/bad");
    fake.remove(PODS, "shop/worse");
    fake.intercept_nothing();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(
        enforced(&fake, "shop"),
        None,
        "a watch that goes on does not tell what it missed"
    );
    let gone = status(410, "Expired", "too old resource version");
    fake.break_watches(PODS, Some(&gone));
    eventually("the list tells", || enforced(&fake, "shop").is_some()).await;
}

/// What the Lease's ledger says of one policy, or of everything: `paused`, `countedFrom`, nothing.
fn mark_now(fake: &Fake, pointer: &str) -> String {
    let lease = fake.get(LEASES, "podfence-operator").expect("a Lease");
    let text = &lease["metadata"]["annotations"]["state.podfence.dev/soaks"];
    let ledger: Value = serde_json::from_str(text.as_str().expect("text")).expect("a ledger");
    match ledger.pointer(pointer) {
        None => String::new(),
        Some(Value::Object(mark)) => mark.keys().next().cloned().unwrap_or_default(),
        Some(mark) => mark.as_str().expect("a word").to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_stretch_without_writes_counts_for_no_soak() {
    let at = |generation: u64, mut object: Value| {
        object["metadata"]["generation"] = json!(generation);
        object
    };
    let guarded = json!({"strategy": "Guarded", "soak": "1h"});
    let plain = || policy("apps", guarded.clone());
    let suspended = || {
        let mut policy = plain();
        policy["spec"]["suspend"] = json!(true);
        policy
    };
    let unreadable = json!({"metadata": {"name": "apps"}, "spec": "?"});
    let dry = policy("apps", json!({"strategy": "DryRun", "soak": "1h"}));
    let odd = json!({"metadata": {"name": "restricted"}, "spec": []});
    for (name, collection, during, after) in [
        ("suspended", POLICIES, Some(suspended()), plain()),
        ("a dry run", POLICIES, Some(dry), plain()),
        ("unreadable", POLICIES, Some(unreadable), plain()),
        ("without its profile", PROFILES, None, profile("restricted")),
        (
            "with an unreadable one",
            PROFILES,
            Some(odd),
            profile("restricted"),
        ),
    ] {
        let fake = cluster("Guarded", &["shop"]);
        fake.put(POLICIES, plain());
        let _operator = start(&fake, "one");
        eventually("it soaks", || {
            summary(&fake, "apps")["namespacesSoaking"] == 1
        })
        .await;
        assert_eq!(mark_now(&fake, "/policies/apps"), "", "{name}: it counts");
        match during {
            Some(object) => drop(fake.put(collection, at(2, object))),
            None => fake.remove(collection, "restricted"),
        }
        eventually(name, || mark_now(&fake, "/policies/apps") == "paused").await;

        // The Lease first: whoever dies in between leaves no soak that is too long.
        let (writes, slow) = (namespace_writes(&fake), Duration::from_secs(1));
        fake.intercept(move |asked| {
            let renews = asked.path.starts_with(LEASES) && asked.method == http::Method::PUT;
            renews.then_some(Interception::Late(slow))
        });
        let began = Instant::now();
        fake.put(collection, at(3, after));
        eventually(name, || namespace_writes(&fake) > writes).await;
        assert_eq!(mark_now(&fake, "/policies/apps"), "countedFrom", "{name}");
        assert!(began.elapsed() >= slow, "{name}: {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stretch_in_which_something_is_unseen_counts_for_no_soak() {
    let fake = cluster("Guarded", &["shop"]);
    fake.put(
        POLICIES,
        policy("apps", json!({"strategy": "Guarded", "soak": "1h"})),
    );
    let _operator = start(&fake, "one");
    eventually("it soaks", || {
        summary(&fake, "apps")["namespacesSoaking"] == 1
    })
    .await;
    fake.intercept(|asked| {
        let down = status(503, "ServiceUnavailable", "down");
        (asked.path == PODS).then_some(Interception::Answer(503, down))
    });
    fake.break_watches(PODS, None);
    let everything = || mark_now(&fake, "/everything");
    eventually("nothing counts", || everything() == "paused").await;
    fake.intercept_nothing();
    eventually("it counts anew", || everything() == "countedFrom").await;
}

#[tokio::test(start_paused = true)]
async fn a_status_is_written_at_once_and_then_not_too_often() {
    let fake = cluster(IMMEDIATE, &["shop"]);
    let _operator = start(&fake, "one");
    eventually("the first status", || !status_writes(&fake).is_empty()).await;
    let first = status_writes(&fake).len();
    for number in 0..100 {
        fake.put(
            NAMESPACES,
            namespace(&format!("n{number}"), json!({"tier": "apps"})),
        );
        sleep(Duration::from_millis(100)).await;
    }
    eventually("all are counted", || {
        summary(&fake, "apps")["namespacesEnforced"] == 101
    })
    .await;
    let writes = status_writes(&fake);
    assert!(
        writes.len() - first <= 7,
        "{} writes in ten seconds",
        writes.len() - first
    );
    for pair in writes.windows(2) {
        assert!(
            pair[1] - pair[0] >= Duration::from_secs(2),
            "{:?}",
            pair[1] - pair[0]
        );
    }
    assert_eq!(namespace_writes(&fake), 101);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_somebody_changed_is_set_right() {
    let fake = cluster(IMMEDIATE, &["shop"]);
    let _operator = start(&fake, "one");
    eventually("it is reported", || {
        summary(&fake, "apps")["namespacesEnforced"] == 1
    })
    .await;
    let mut touched = fake.get(POLICIES, "apps").expect("it is there");
    touched["status"]["summary"]["namespacesEnforced"] = json!(7);
    fake.put(POLICIES, touched);
    eventually("it is right again", || {
        summary(&fake, "apps")["namespacesEnforced"] == 1
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_moment_of_trouble_is_not_a_failure() {
    let fake = cluster(IMMEDIATE, &["shop"]);
    fake.put(NAMESPACES, namespace("crm", json!({"tier": "apps"})));
    let failures = std::sync::Mutex::new(2);
    fake.intercept(move |asked| {
        let mut left = failures.lock().expect("no panic");
        if !(is_namespace_write(asked) && asked.path.ends_with("/shop")) || *left == 0 {
            return None;
        }
        *left -= 1;
        Some(Interception::Answer(
            500,
            status(500, "InternalError", "etcd is away"),
        ))
    });
    let _operator = start(&fake, "one");
    eventually("it is labelled", || enforced(&fake, "shop").is_some()).await;
    eventually("it is reported", || {
        summary(&fake, "apps")["namespacesEnforced"] == 2
    })
    .await;
    let statuses = fake
        .writes()
        .into_iter()
        .filter(|(_, asked)| asked.path.ends_with("/status"));
    for (_, asked) in statuses {
        assert!(
            !asked.body.to_string().contains("ApplyFailed"),
            "{}",
            asked.body
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_said_and_tried_again_ever_more_slowly() {
    let fake = cluster(IMMEDIATE, &["shop", "crm"]);
    fake.intercept(|asked| {
        let denied = status(
            403,
            "Forbidden",
            "ValidatingAdmissionPolicy 'labels' denied request",
        );
        let shop = is_namespace_write(asked) && asked.path.ends_with("/shop");
        shop.then_some(Interception::Answer(403, denied))
    });
    let _operator = start(&fake, "one");
    says(&fake, "Ready", "False", "ApplyFailed").await;
    assert_eq!(
        enforced(&fake, "crm").as_deref(),
        Some("restricted"),
        "others go on"
    );
    let tries = || {
        let writes = fake.writes().into_iter();
        writes
            .filter(|(_, asked)| asked.path == "/api/v1/namespaces/shop")
            .count()
    };
    let before = tries();
    sleep(Duration::from_secs(600)).await;
    let more = tries() - before;
    assert!((8..=30).contains(&more), "{more} tries in ten minutes");
    fake.intercept_nothing();
    eventually("it recovers", || enforced(&fake, "shop").is_some()).await;
    eventually("and says so", || {
        condition(&fake, "apps", "Ready").0 == "True"
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_changes_under_the_write_is_planned_again() {
    let fake = cluster(IMMEDIATE, &[]);
    let _operator = start(&fake, "one");
    sleep(Duration::from_secs(10)).await;
    let other = fake.clone();
    let once = std::sync::Mutex::new(true);
    fake.intercept(move |asked| {
        let mut first = once.lock().expect("no panic");
        if !is_namespace_write(asked) || !std::mem::take(&mut *first) {
            return None;
        }
        // Somebody else is quicker, and the write arrives late.
        let other = other.clone();
        tokio::spawn(async move {
            other.put(
                NAMESPACES,
                namespace("shop", json!({"tier": "apps", "team": "web"})),
            );
        });
        Some(Interception::Late(Duration::from_millis(50)))
    });
    fake.put(NAMESPACES, namespace("shop", json!({"tier": "apps"})));
    eventually("it is labelled", || enforced(&fake, "shop").is_some()).await;
    let labels = fake.get(NAMESPACES, "shop").expect("it is there")["metadata"]["labels"].clone();
    assert_eq!(labels["team"], "web", "what somebody else wrote stays");
    assert_eq!(namespace_writes(&fake), 2);
}

#[tokio::test(start_paused = true)]
async fn a_standby_writes_nothing_and_takes_over() {
    let fake = cluster(IMMEDIATE, &["shop"]);
    let first = start(&fake, "first");
    eventually("it is labelled", || enforced(&fake, "shop").is_some()).await;
    let second = start(&fake, "second");
    eventually("the standby is ready", || second.is_ready()).await;
    sleep(Duration::from_secs(300)).await;
    let (end, _) = first.stop().await;
    assert_eq!(end, End::Shutdown);
    fake.put(NAMESPACES, namespace("new", json!({"tier": "apps"})));
    let began = Instant::now();
    eventually("the standby labels", || enforced(&fake, "new").is_some()).await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert!(second.metric("podfence_leader_election_master_status 1"));
}

#[tokio::test(start_paused = true)]
async fn whoever_loses_the_lease_ends_and_writes_nothing_more() {
    let fake = cluster(IMMEDIATE, &["shop"]);
    let operator = start(&fake, "one");
    eventually("it is labelled", || enforced(&fake, "shop").is_some()).await;
    sleep(Duration::from_secs(10)).await;
    let mut lease = fake.get(LEASES, "podfence-operator").expect("a Lease");
    lease["spec"]["holderIdentity"] = json!("somebody");
    fake.put(LEASES, lease);
    let end = operator.end.await.expect("it ends");
    assert_eq!(end, End::LeaseLost);
    let writes = fake.writes().len();
    fake.put(NAMESPACES, namespace("new", json!({"tier": "apps"})));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(fake.writes().len(), writes);
    let holder =
        fake.get(LEASES, "podfence-operator").expect("a Lease")["spec"]["holderIdentity"].clone();
    assert_eq!(holder, "somebody");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_what_is_under_way_and_gives_the_lease_back() {
    let fake = cluster(IMMEDIATE, &[]);
    let operator = start(&fake, "one");
    sleep(Duration::from_secs(10)).await;
    fake.intercept(|asked| {
        is_namespace_write(asked).then(|| Interception::Late(Duration::from_secs(3)))
    });
    fake.put(NAMESPACES, namespace("shop", json!({"tier": "apps"})));
    eventually("the write is under way", || namespace_writes(&fake) == 1).await;
    fake.put(NAMESPACES, namespace("late", json!({"tier": "apps"})));
    let (end, took) = operator.stop().await;
    assert_eq!(end, End::Shutdown);
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(
        enforced(&fake, "shop").as_deref(),
        Some("restricted"),
        "it was finished"
    );
    let lease = fake.get(LEASES, "podfence-operator").expect("a Lease");
    assert_eq!(lease["spec"]["holderIdentity"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_server_that_is_silent() {
    let fake = cluster(IMMEDIATE, &[]);
    let operator = start(&fake, "one");
    sleep(Duration::from_secs(10)).await;
    fake.intercept(|asked| asked.is_write().then_some(Interception::Silence));
    fake.put(NAMESPACES, namespace("shop", json!({"tier": "apps"})));
    eventually("the write is under way", || namespace_writes(&fake) == 1).await;
    let (_, took) = operator.stop().await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}
