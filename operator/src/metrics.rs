//! What is counted, in the shapes of controller-runtime's metrics, so that dashboards made for
//! those port by their prefix. No I/O.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use podfence_daemon::cluster::REQUEST_TIMEOUT;
use podfence_daemon::server::{Answer, text};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// Declares a set of labels. Values are fixed words, but in the gauges of conditions and phases,
/// whose number is bounded by that of the policies.
macro_rules! label_sets {
    ($( $(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),+ } )+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
            #[allow(missing_docs)] // Each field is the label of that name.
            pub struct $name { $(pub $field: $type),+ }
        )+
    };
}

label_sets! {
    /// Which of the two loops.
    Controller { controller: &'static str }
    /// How one round of a loop ended.
    Reconciled { controller: &'static str, result: &'static str }
    /// Which queue.
    Queue { name: &'static str }
    /// Why a list or a watch began anew.
    WatchRestart { kind: &'static str, reason: &'static str }
    /// What became of a write.
    Written { result: &'static str }
    /// What became of a status.
    StatusWritten { kind: &'static str, result: &'static str }
    /// A kind.
    OfKind { kind: &'static str }
    /// One status of one condition of one object.
    Condition { kind: &'static str, name: String, r#type: String, status: &'static str }
    /// A verdict on SeccompDefault.
    WithVerdict { verdict: &'static str }
    /// One phase of one policy.
    InPhase { policy: String, phase: &'static str }
}

type Counters<L> = Family<L, Counter>;
type Gauges<L> = Family<L, Gauge>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Every metric. Cheap to clone: the clones count together.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // Each field is registered below, with its help text.
pub struct Metrics {
    pub leader: Gauge,
    pub reconciles: Counters<Reconciled>,
    pub reconcile_errors: Counters<Controller>,
    pub reconcile_seconds: Histograms<Controller>,
    pub active_workers: Gauge,
    pub queue_depth: Gauges<Queue>,
    pub queue_adds: Counters<Queue>,
    pub queue_retries: Counters<Queue>,
    pub queue_seconds: Histograms<Queue>,
    pub watch_restarts: Counters<WatchRestart>,
    pub label_writes: Counters<Written>,
    pub dry_runs: Counters<Written>,
    pub status_writes: Counters<StatusWritten>,
    pub events: Counters<Written>,
    pub undecodable: Gauges<OfKind>,
    pub unseen: Gauge,
    pub conditions: Gauges<Condition>,
    pub phases: Gauges<InPhase>,
    pub verdicts: Gauges<WithVerdict>,
    pub last_plan_seconds: Gauge<f64, AtomicU64>,
}

/// From a plan that changes nothing (microseconds) to a write that takes its whole timeout.
fn seconds() -> Histogram {
    const BOUNDS: [f64; 12] = [
        0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    ];
    Histogram::new(
        BOUNDS
            .into_iter()
            .chain([5.0, REQUEST_TIMEOUT.as_secs_f64(), 30.0]),
    )
}

impl Metrics {
    /// Registers everything under the prefix `podfence_`.
    #[allow(clippy::too_many_lines)] // A list: one statement a metric.
    #[must_use]
    pub fn register(max_workers: usize) -> (Self, Registry) {
        let mut registry = Registry::with_prefix("podfence");
        let histograms = || seconds as fn() -> Histogram;
        let metrics = Self {
            leader: Gauge::default(),
            reconciles: Family::default(),
            reconcile_errors: Family::default(),
            reconcile_seconds: Family::new_with_constructor(histograms()),
            active_workers: Gauge::default(),
            queue_depth: Family::default(),
            queue_adds: Family::default(),
            queue_retries: Family::default(),
            queue_seconds: Family::new_with_constructor(histograms()),
            watch_restarts: Family::default(),
            label_writes: Family::default(),
            dry_runs: Family::default(),
            status_writes: Family::default(),
            events: Family::default(),
            undecodable: Family::default(),
            unseen: Gauge::default(),
            conditions: Family::default(),
            phases: Family::default(),
            verdicts: Family::default(),
            last_plan_seconds: Gauge::default(),
        };
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version of the program", build);
        macro_rules! register {
            ($($field:ident, $name:literal, $help:literal;)+) => {
                $(registry.register($name, $help, metrics.$field.clone());)+
            };
        }
        register! {
            leader, "leader_election_master_status", "1 while this replica holds the Lease";
            reconciles, "reconcile", "Rounds of a loop, by how they ended";
            reconcile_errors, "reconcile_errors", "Rounds that failed and are tried again";
            reconcile_seconds, "reconcile_time_seconds", "Time of a round, writes included";
            active_workers, "active_workers", "Requests under way";
            queue_depth, "workqueue_depth", "Objects that wait for a round";
            queue_adds, "workqueue_adds", "Objects that were marked for a round";
            queue_retries, "workqueue_retries", "Rounds that were put off after a failure";
            queue_seconds, "workqueue_queue_duration_seconds", "Time from mark to round";
            watch_restarts, "watch_restarts", "Lists and watches that failed, by reason";
            label_writes, "label_writes", "Applies to namespaces, by result";
            dry_runs, "dry_runs", "Applies that were only tried, by result";
            status_writes, "status_writes", "Statuses computed, by whether they were written";
            events, "events", "Events, by whether they were published";
            undecodable, "undecodable_objects", "Objects that cannot be read";
            unseen, "unseen_resources", "What must be known and is not; nothing tightens while it is not 0";
            conditions, "condition", "1 for the status that a condition has, 0 for the others";
            phases, "namespaces", "Namespaces that a policy won, by phase";
            verdicts, "seccomp_default_workloads", "Workloads of all namespaces, by the verdict on SeccompDefault";
            last_plan_seconds, "last_plan_timestamp_seconds", "When a namespace was planned last";
        }
        let workers = Gauge::<i64>::default();
        workers.set(i64::try_from(max_workers).unwrap_or(i64::MAX));
        registry.register(
            "max_concurrent_reconciles",
            "Requests under way at most",
            workers,
        );
        (metrics, registry)
    }

    /// Notes how a round ended.
    pub fn reconciled(&self, controller: &'static str, result: &'static str, took: Duration) {
        self.reconciles
            .get_or_create(&Reconciled { controller, result })
            .inc();
        if result == "error" {
            self.reconcile_errors
                .get_or_create(&Controller { controller })
                .inc();
        }
        let seconds = self
            .reconcile_seconds
            .get_or_create(&Controller { controller });
        seconds.observe(took.as_secs_f64());
    }

    /// Shows a condition: all three statuses, so that an alert on Unknown has something to see.
    pub fn show_condition(&self, kind: &'static str, name: &str, r#type: &str, status: &str) {
        for known in STATUSES {
            let labels = condition(kind, name, r#type, known);
            self.conditions
                .get_or_create(&labels)
                .set(i64::from(known == status));
        }
    }

    /// Forgets a condition that is no longer there.
    pub fn hide_condition(&self, kind: &'static str, name: &str, r#type: &str) {
        for known in STATUSES {
            self.conditions
                .remove(&condition(kind, name, r#type, known));
        }
    }
}

const STATUSES: [&str; 3] = ["True", "False", "Unknown"];

fn condition(kind: &'static str, name: &str, r#type: &str, status: &'static str) -> Condition {
    Condition {
        kind,
        name: name.to_owned(),
        r#type: r#type.to_owned(),
        status,
    }
}

/// The page that is scraped.
#[must_use]
pub fn page(registry: &Registry) -> Answer {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut body = String::new();
    if encode(&mut body, registry).is_err() {
        return text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "failed to encode the metrics\n",
        );
    }
    let mut page = text(StatusCode::OK, body);
    let content_type = HeaderValue::from_static(OPEN_METRICS);
    page.headers_mut().insert(CONTENT_TYPE, content_type);
    page
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::text::encode;

    use super::Metrics;

    #[test]
    fn names_are_those_that_dashboards_know() {
        let (metrics, registry) = Metrics::register(32);
        metrics.reconciled("namespace", "error", Duration::from_millis(3));
        metrics.show_condition("NamespacePolicy", "apps", "Ready", "False");
        metrics.show_condition("NamespacePolicy", "apps", "Stalled", "True");
        metrics.hide_condition("NamespacePolicy", "apps", "Stalled");
        let mut text = String::new();
        encode(&mut text, &registry).expect("encodes");
        for line in [
            "podfence_build_info{version=\"0.1.0\"} 1",
            "podfence_reconcile_total{controller=\"namespace\",result=\"error\"} 1",
            "podfence_reconcile_errors_total{controller=\"namespace\"} 1",
            "podfence_reconcile_time_seconds_count{controller=\"namespace\"} 1",
            "podfence_max_concurrent_reconciles 32",
            "podfence_leader_election_master_status 0",
        ] {
            assert!(
                text.lines().any(|known| known == line),
                "{line} is not in\n{text}"
            );
        }
        for (status, value) in [("True", 0), ("False", 1), ("Unknown", 0)] {
            let line = format!(
                "podfence_condition{{kind=\"NamespacePolicy\",name=\"apps\",type=\"Ready\",status=\"{status}\"}} {value}"
            );
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("Stalled"), "{text}");
    }
}
