//! The Lease as a record: what is read from it, and what a holder writes into it. No I/O.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use podfence_plan::ledger::{self, Ledger};

use super::Settings;

/// Who holds it; nobody after it was given back.
pub(super) fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    (!holder.is_empty()).then_some(holder)
}

/// How long it is respected without a change, if it says so.
pub(super) fn duration(lease: &Lease) -> Option<Duration> {
    let seconds = lease.spec.as_ref()?.lease_duration_seconds?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// The ledger of soaks, as text.
pub(super) fn annotation(lease: &Lease) -> Option<&str> {
    let annotations = lease.metadata.annotations.as_ref()?;
    annotations.get(ledger::ANNOTATION).map(String::as_str)
}

pub(super) fn set_annotation(lease: &mut Lease, text: String) {
    let annotations = lease.metadata.annotations.get_or_insert_default();
    annotations.insert(ledger::ANNOTATION.to_owned(), text);
}

/// Notes when it was renewed: for people, and for how long nobody led.
pub(super) fn stamp(lease: &mut Lease, now: Timestamp) {
    lease.spec.get_or_insert_default().renew_time = Some(MicroTime(now));
}

/// The Lease in the hands of a new holder. `old` is what it takes over, if there is one.
pub(super) fn taken(
    old: Option<&Lease>,
    settings: &Settings,
    ledger: &Ledger,
    now: Timestamp,
) -> Lease {
    let mut lease = old.cloned().unwrap_or_default();
    lease.metadata.name = Some(settings.name.clone());
    lease.metadata.managed_fields = None;
    let before = lease.spec.take().unwrap_or_default();
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(settings.identity.clone()),
        // An hour is what nobody configures; above it the number stays what it is.
        lease_duration_seconds: i32::try_from(settings.duration.as_secs()).ok(),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(
            before
                .lease_transitions
                .unwrap_or_default()
                .saturating_add(1),
        ),
        ..before
    });
    set_annotation(&mut lease, ledger.to_annotation());
    lease
}
