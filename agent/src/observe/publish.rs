//! Adds to a workload's record: read, unite, write back. Reads and writes the API server.

use std::collections::BTreeMap;

use kube::api::PostParams;
use kube::core::Status;
use kube::{Api, Client};
use podfence_crd::{Dropped, RecordStep, SyscallRecord, SyscallRecordSpec};
use podfence_daemon::cluster::REQUEST_TIMEOUT;
use podfence_daemon::failure::described;
use podfence_seccomp::evidence::Fact;
use podfence_seccomp::{Moment, Terms};
use tokio::time::timeout;

use super::owner::Workload;
use crate::write::FIELD_MANAGER;

/// Agents of several nodes may add to one record at once; more than a few in a row are something
/// else, and wait for a pause.
const MOST_ATTEMPTS: usize = 5;

/// The cause by which the API server says that a namespace goes.
const ENDING: &str = "NamespaceTerminating";

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The record said all of that already.
    Unchanged,
    /// It was made.
    Created,
    /// It was added to.
    Updated,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The agent's account may not.
    #[error("failed to {doing} syscallrecord {name:?}: forbidden: {message}")]
    Forbidden {
        /// What was tried.
        doing: &'static str,
        /// The record.
        name: String,
        /// What the server says.
        message: String,
    },
    /// The cluster does not know such objects.
    #[error("failed to write syscallrecord {0:?}: the cluster has no such kind")]
    Absent(String),
    /// Its namespace goes, and the record with it.
    #[error("failed to create syscallrecord {0:?}: its namespace is being deleted")]
    Ending(String),
    /// Others write all the time.
    #[error("syscallrecord {0:?} was changed by somebody else {MOST_ATTEMPTS} times in a row")]
    Conflicts(String),
    /// The API server cannot be reached, or fails.
    #[error("failed to {doing} syscallrecord {name:?}: {message}")]
    Failed {
        /// What was tried.
        doing: &'static str,
        /// The record.
        name: String,
        /// What the server or the connection says.
        message: String,
    },
}

/// Adds facts to the record of a workload, which is made where there is none.
///
/// What was last seen longer ago than verdicts look back goes when the record is written anyway.
///
/// # Errors
/// When it was not written; adding the same again later is safe.
pub async fn publish(
    client: &Client,
    workload: &Workload,
    facts: &BTreeMap<String, Vec<Fact>>,
    now: Moment,
) -> Result<Written, PublishError> {
    let Workload {
        namespace,
        named,
        uid,
    } = workload;
    let api: Api<SyscallRecord> = Api::namespaced(client.clone(), namespace);
    let name = named.record_name();
    let uid = Some(&**uid).filter(|uid| !uid.is_empty());
    let oldest = now.before(Terms::default().retention);
    let parameters = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    for _ in 0..MOST_ATTEMPTS {
        let found = answered("get", &name, api.get_opt(&name)).await?;
        let found = found.unwrap_or_default();
        let (step, dropped) = SyscallRecord::step(
            found,
            || SyscallRecord::of(named.clone(), namespace, uid),
            |record| add(record, facts, oldest),
        );
        let (written, answer) = match step {
            RecordStep::Leave => return Ok(Written::Unchanged),
            RecordStep::Create(record) => {
                let answer = api.create(&parameters, &record);
                let answer = answered("create", &name, answer).await;
                (Written::Created, answer)
            }
            // It carries the version that was read.
            RecordStep::Replace(record) => {
                let answer = api.replace(&name, &parameters, &record);
                let answer = answered("update", &name, answer).await;
                (Written::Updated, answer)
            }
        };
        if answer?.is_some() {
            tracing::info!(%namespace, name, ?written, ?dropped, "record written");
            return Ok(written);
        }
    }
    Err(PublishError::Conflicts(name))
}

fn add(
    record: &mut SyscallRecordSpec,
    facts: &BTreeMap<String, Vec<Fact>>,
    oldest: Moment,
) -> Dropped {
    let before = record.clone();
    let mut all = Dropped::default();
    for (container, facts) in facts {
        let dropped = record.add(container, facts.iter().cloned());
        all.entries += dropped.entries;
        all.calls += dropped.calls;
        all.denials += dropped.denials;
        all.observations += dropped.observations;
    }
    if *record != before {
        record.expire(oldest);
    }
    all
}

/// What the server answers; none where somebody else was faster.
async fn answered<T>(
    doing: &'static str,
    name: &str,
    answer: impl Future<Output = Result<T, kube::Error>>,
) -> Result<Option<T>, PublishError> {
    let name = name.to_owned();
    let failed = |name, message| PublishError::Failed {
        doing,
        name,
        message,
    };
    match timeout(REQUEST_TIMEOUT, answer).await {
        Ok(Ok(answer)) => Ok(Some(answer)),
        Ok(Err(kube::Error::Api(status))) => match status.code {
            // Somebody has written it, made it, or, where it was to be updated, removed it.
            409 => Ok(None),
            404 if doing == "update" => Ok(None),
            _ if is_ending(&status) => Err(PublishError::Ending(name)),
            404 => Err(PublishError::Absent(name)),
            403 => Err(PublishError::Forbidden {
                doing,
                name,
                message: status.message,
            }),
            code => Err(failed(name, format!("{code}: {}", status.message))),
        },
        Ok(Err(error)) => Err(failed(name, described(&error))),
        Err(_) => Err(failed(name, format!("no answer in {REQUEST_TIMEOUT:?}"))),
    }
}

fn is_ending(status: &Status) -> bool {
    let details = status.details.as_ref();
    let mut causes = details.into_iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == ENDING)
}
