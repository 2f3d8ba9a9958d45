//! Many namespaces and pods: as few writes as there can be, and none at all once everything is in
//! order.
//!
//! `make test` tells it with 200 namespaces; `PODFENCE_STORIES=all` with 2,000 namespaces, 10,000
//! pods and a minute's rest.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _, api::ListParams};
use podfence_e2e::{
    eventually,
    harness::Shared,
    lab::{AuditEvent, Lab},
    story::{
        Cluster, OPERATOR_USER, Passes, Running, STORY_LABEL, Story, everything_is_told,
        pod_security_labels,
    },
};
use serde_json::json;

/// The API server of this machine takes no more at once without queueing.
const WRITERS: usize = 32;
const PODS_PER_NAMESPACE: usize = 5;
/// One namespace in so many has pods that pass baseline only.
const DIRTY_EVERY: usize = 10;
const SEEN: &str = "audit=restricted:latest warn=restricted:latest";
/// Some thousand requests on a busy machine.
const LABELLED_TIMEOUT: Duration = Duration::from_secs(180);
/// Two events a namespace.
const EVENTS_TIMEOUT: Duration = Duration::from_secs(180);
/// Longer than the pause between two statuses of a policy.
const LULL: Duration = Duration::from_secs(4);

struct Scale {
    namespaces: usize,
    rest: Duration,
}

fn scale() -> Scale {
    if everything_is_told() {
        Scale {
            namespaces: 2_000,
            rest: Duration::from_secs(60),
        }
    } else {
        Scale {
            namespaces: 200,
            rest: Duration::from_secs(10),
        }
    }
}

pub(crate) async fn costs_one_write_a_namespace_and_none_at_rest(
    _: Shared<Running>,
) -> anyhow::Result<()> {
    let Scale { namespaces, rest } = scale();
    // Nobody but the operator is looked at: without controllers a pod needs no service account.
    let lab = Lab::builder()
        .without_controller_manager()
        .apiserver_argument("--disable-admission-plugins=ServiceAccount");
    let cluster = Cluster::start_with(lab).await?;
    let story = cluster.story("scale").await?;
    story.restricted().await?;
    stream::iter((0..namespaces).map(|number| fill(&story, number)))
        .buffer_unordered(WRITERS)
        .try_collect::<()>()
        .await?;

    let operator = cluster.operator().await?.start().await?;
    let began = Instant::now();
    for (kind, strategy) in [("immediate", "Immediate"), ("guarded", "Guarded")] {
        let labels = json!({ STORY_LABEL: story.label(), "kind": kind });
        let spec = json!({
            "namespaceSelector": { "matchLabels": labels },
            "rollout": { "strategy": strategy, "soak": "2s" },
        });
        story.policy(kind, "restricted", spec).await?;
    }
    eventually(LABELLED_TIMEOUT, async || {
        all_labelled(&story, namespaces).await
    })
    .await?;
    let took = began.elapsed();
    for kind in ["immediate", "guarded"] {
        story
            .sees(kind, |status| {
                let matched = usize::try_from(status.summary.namespaces_matched)?;
                ensure!(matched == namespaces / 2, "{:?}", status.summary);
                ensure!(
                    status.conditions.iter().all(|it| it.type_ != "Reconciling"),
                    "{status:?}"
                );
                Ok(())
            })
            .await?;
    }
    count_writes(&story, namespaces).await?;
    let peak = operator.peak_resident_bytes()? / 1_000_000;
    println!(
        "{namespaces} namespaces and {} pods labelled in {:.1} s, a soak of 2 s included; \
         the operator's peak is {peak} MB",
        namespaces * PODS_PER_NAMESPACE,
        took.as_secs_f64(),
    );

    // Events are told one after the other, and may come a while after what they tell of.
    eventually(EVENTS_TIMEOUT, async || rests_for(&cluster, LULL).await).await?;
    let renewals = rests_for(&cluster, rest).await?;
    ensure!(renewals > 0, "the log shows no renewal of the Lease either");
    story.end().await?;
    operator.stop().await?;
    drop(operator);
    cluster.stop().await
}

/// Nothing is written meanwhile but Leases; returns how often they were.
async fn rests_for(cluster: &Cluster, time: Duration) -> anyhow::Result<usize> {
    let mark = cluster.lab().audit().mark().await?;
    // The passing of time is what is looked at.
    tokio::time::sleep(time).await;
    let audit = cluster.lab().audit();
    let (renewals, others): (Vec<_>, Vec<_>) = audit
        .writes_by(OPERATOR_USER, mark)
        .await?
        .into_iter()
        .partition(AuditEvent::is_lease);
    if let Some(first) = others.first() {
        bail!(
            "{} writes at rest, the first of them {first:#?}",
            others.len()
        );
    }
    Ok(renewals.len())
}

fn kind_of(number: usize) -> &'static str {
    if number.is_multiple_of(2) {
        "immediate"
    } else {
        "guarded"
    }
}

fn is_dirty(number: usize) -> bool {
    // An odd number, so that Guarded has them.
    number % DIRTY_EVERY == 1
}

async fn fill(story: &Story, number: usize) -> anyhow::Result<()> {
    let name = format!("n{number}");
    story
        .namespace_with(&name, json!({ "kind": kind_of(number) }))
        .await?;
    let passes = if is_dirty(number) {
        Passes::Baseline
    } else {
        Passes::Restricted
    };
    for pod in 0..PODS_PER_NAMESPACE {
        story.runs(&name, &format!("pod-{pod}"), passes).await?;
    }
    Ok(())
}

async fn all_labelled(story: &Story, namespaces: usize) -> anyhow::Result<()> {
    let api: Api<Namespace> = Api::all(story.client());
    let own = ListParams::default().labels(&format!("{STORY_LABEL}={}", story.label()));
    let labels: BTreeMap<_, _> = api
        .list(&own)
        .await?
        .into_iter()
        .map(|namespace| {
            (
                namespace.name_any(),
                pod_security_labels(namespace.labels()),
            )
        })
        .collect();
    for number in 0..namespaces {
        let name = story.full(&format!("n{number}"));
        let level = if is_dirty(number) {
            "baseline"
        } else {
            "restricted"
        };
        let want = format!("enforce={level}:v1.34 {SEEN}");
        let have = labels
            .get(&name)
            .with_context(|| format!("there is no {name}"))?;
        ensure!(*have == want, "{name} has {have:?}, want {want:?}");
    }
    Ok(())
}

/// One write under Immediate; under Guarded one for audit and warn at once, and one for enforce
/// after the soak.
async fn count_writes(story: &Story, namespaces: usize) -> anyhow::Result<()> {
    let mut writes = BTreeMap::<String, usize>::new();
    let requests = story.requests().await?;
    for event in requests.iter().filter(|event| !event.is_dry_run()) {
        *writes.entry(event.object_ref.name.clone()).or_default() += 1;
    }
    for number in 0..namespaces {
        let name = story.full(&format!("n{number}"));
        let most = if kind_of(number) == "immediate" { 1 } else { 2 };
        let count = writes.get(&name).copied().unwrap_or_default();
        ensure!(
            (1..=most).contains(&count),
            "{name} took {count} writes, {most} are enough"
        );
    }
    Ok(())
}
