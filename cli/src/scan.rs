//! Judges every object of every input by the rules that the operator judges by. Reads files.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use podfence_podsecurity::{LevelVersion, Rules, ServerVersion};
use podfence_workload::Kind;

use crate::document::{self, Content, Document, Found, Identity, Node};
use crate::read::{self, Input, Listed, Source};
use crate::report::{Entry, Outcome, Report};

/// Judges whatever the inputs hold, in their order.
pub(crate) fn scan(inputs: &[Input], standard: LevelVersion) -> Report {
    let scanner = Scanner {
        rules: Rules::new(standard.version, ServerVersion::NEWEST),
        standard,
    };
    let listed: Vec<Listed> = inputs.iter().flat_map(read::list).collect();
    let entries = in_parallel(&listed, |listed| scanner.entries(listed));
    Report { standard, entries }
}

/// Does every job on whichever core is free, and gives the results in the order of the jobs.
fn in_parallel<Job: Sync, Done: Send>(
    jobs: &[Job],
    work: impl Fn(&Job) -> Vec<Done> + Sync,
) -> Vec<Done> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(index) else {
                return done;
            };
            done.push((index, work(job)));
        }
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..cores.min(jobs.len()))
            .map(|_| scope.spawn(worker))
            .collect();
        let mut done = worker();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().flat_map(|(_, done)| done).collect()
}

struct Scanner {
    rules: Rules,
    standard: LevelVersion,
}

impl Scanner {
    fn entries(&self, listed: &Listed) -> Vec<Entry> {
        match listed {
            Listed::Source(source) => self.file(source),
            Listed::LinkedFolder(path) => {
                let reason = "a symbolic link to a folder, which is not followed".to_owned();
                vec![Entry::whole(
                    path.to_string_lossy().into(),
                    Outcome::Skipped(reason),
                )]
            }
            Listed::Failed(path, error) => {
                let outcome = Outcome::Unreadable(error.to_string());
                vec![Entry::whole(path.to_string_lossy().into(), outcome)]
            }
        }
    }

    fn file(&self, source: &Source) -> Vec<Entry> {
        let unreadable = |reason| vec![Entry::whole(source.name(), Outcome::Unreadable(reason))];
        let bytes = match source.read() {
            Ok(bytes) => bytes,
            Err(error) => return unreadable(error.to_string()),
        };
        let documents = document::documents(&bytes);
        // Nothing where manifests were promised is more likely a mistake than a success.
        if documents.is_empty() && !source.is_found() {
            return unreadable("no document in it".to_owned());
        }
        documents
            .into_iter()
            .flat_map(|document| self.document(source, document))
            .collect()
    }

    fn document(&self, source: &Source, document: Document<'_>) -> Vec<Entry> {
        let Document { number, content } = document;
        let name = format!("{}#{number}", source.name());
        let objects = match content {
            Ok(node) => document::objects(node),
            Err(error) => vec![Found {
                identity: Identity::default(),
                content: Err(error),
            }],
        };
        let entry = |Found { identity, content }| {
            let outcome = match content {
                Ok(Content::Workload(kind, node)) => self.judge(kind, &node),
                Ok(Content::EmptyList) => Outcome::Skipped("an empty list".to_owned()),
                Ok(Content::Other(_)) => Outcome::Skipped(format!(
                    "{} {} is none of the kinds whose pods Pod Security looks at",
                    identity.api_version, identity.kind
                )),
                Err(error) if error.is_no_manifest() && source.is_found() => {
                    Outcome::Skipped(error.to_string())
                }
                Err(error) => Outcome::Unreadable(error.to_string()),
            };
            Entry {
                source: name.clone(),
                identity,
                outcome,
            }
        };
        objects.into_iter().map(entry).collect()
    }

    fn judge(&self, kind: Kind, node: &Node<'_>) -> Outcome {
        let template = match node.decode(kind) {
            Ok(object) => object.template,
            Err(error) => return Outcome::Unreadable(error.to_string()),
        };
        let Some(template) = template else {
            return Outcome::Skipped("it has no template and makes no pods".to_owned());
        };
        let violations = self.rules.violations(&template);
        let violations = self.rules.at_level(self.standard.level, violations);
        Outcome::Judged(self.rules.explain(&template, violations))
    }
}
