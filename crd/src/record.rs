//! Between stored records and facts: what a SyscallRecord says, and what adding to it makes of it.
//! No I/O.
//!
//! A record is a set of facts, and adding is union: agents and importers read it, add and write it
//! back. In which order they do, how often, and who comes first makes no difference to the record,
//! to the byte. What cannot be read, as after a downgrade, is said and kept as it is.

mod limits;
mod name;
mod read;
mod step;
mod write;

use std::collections::BTreeMap;

use podfence_seccomp::Moment;
use podfence_seccomp::evidence::{Evidence, Fact, Key, Observation};

use crate::syscall_record::{RecordEntry, RecordedCall, RecordedDenial, SyscallRecordSpec};

pub use limits::Dropped;
pub use read::Malformed;
pub use step::Step;

impl SyscallRecordSpec {
    /// What is known of each container, by its name, and what could not be read.
    #[must_use]
    pub fn evidence(&self) -> (BTreeMap<String, Evidence>, Vec<Malformed>) {
        let (mut containers, mut malformed) = (BTreeMap::<_, Evidence>::new(), Vec::new());
        for (at, entry) in self.entries.iter().enumerate() {
            match entry.read(at) {
                Ok(read) => {
                    malformed.extend(read.malformed);
                    let known = containers.entry(entry.container.clone()).or_default();
                    known.extend(read.facts);
                }
                Err(error) => malformed.push(error),
            }
        }
        (containers, malformed)
    }

    /// Adds facts of a container, and says what had to go for them.
    ///
    /// Health and failures elsewhere have no place in a record: whoever watches pods has them.
    pub fn add(&mut self, container: &str, facts: impl IntoIterator<Item = Fact>) -> Dropped {
        let mut pools = Pools::default();
        for entry in std::mem::take(&mut self.entries) {
            pools.absorb(entry);
        }
        for fact in facts {
            pools.add(container, fact);
        }
        let (entries, dropped) = pools.entries();
        self.entries = entries;
        dropped
    }

    /// Adds all that another record of the same workload says.
    pub fn merge(&mut self, other: Self) -> Dropped {
        let mut pools = Pools::default();
        for entry in std::mem::take(&mut self.entries)
            .into_iter()
            .chain(other.entries)
        {
            pools.absorb(entry);
        }
        let (entries, dropped) = pools.entries();
        self.entries = entries;
        dropped
    }

    /// Takes out what was last seen before this moment: no verdict rests on it any more.
    pub fn expire(&mut self, oldest: Moment) {
        for entry in &mut self.entries {
            entry.expire(oldest);
        }
        self.entries.retain(|entry| !entry.is_empty());
    }
}

/// The facts of a record, sorted out by the entry that they belong to.
#[derive(Default)]
struct Pools {
    pools: BTreeMap<EntryKey, Pool>,
    /// Entries of which not even the key can be read.
    unread: Vec<RecordEntry>,
}

/// What an entry is told by, as it is written: container, image, profile, capabilities,
/// architecture, kernel. The order is that of the record.
type EntryKey = (String, String, String, Vec<String>, String, Option<String>);

/// What is known under one key.
struct Pool {
    key: Key,
    facts: Evidence,
    /// Of calls and denials, those that cannot be read.
    unread: (Vec<RecordedCall>, Vec<RecordedDenial>),
}

impl Pools {
    fn absorb(&mut self, entry: RecordEntry) {
        let Ok(read) = entry.read(0) else {
            if !self.unread.contains(&entry) {
                self.unread.push(entry);
            }
            return;
        };
        let pool = self.pool(&entry.container, &read.key);
        pool.facts.extend(read.facts);
        let (calls, denials) = &mut pool.unread;
        for call in read.unread.0 {
            if !calls.contains(&call) {
                calls.push(call);
            }
        }
        for denial in read.unread.1 {
            if !denials.contains(&denial) {
                denials.push(denial);
            }
        }
    }

    fn add(&mut self, container: &str, fact: Fact) {
        if matches!(
            fact.observation,
            Observation::Health(..) | Observation::FailedElsewhere(..)
        ) {
            return;
        }
        self.pool(container, &fact.key).facts.extend([fact]);
    }

    fn pool(&mut self, container: &str, key: &Key) -> &mut Pool {
        let written = RecordEntry::empty(container, key);
        self.pools.entry(written.key()).or_insert_with(|| Pool {
            key: key.clone(),
            facts: Evidence::default(),
            unread: Default::default(),
        })
    }

    /// The entries in their order, as many as a record keeps.
    fn entries(self) -> (Vec<RecordEntry>, Dropped) {
        let Self { pools, unread } = self;
        let mut dropped = Dropped::default();
        let pools = pools.into_iter();
        let written = pools.map(|((container, ..), pool)| pool.write(&container, &mut dropped));
        let mut entries: Vec<RecordEntry> = written.chain(unread).collect();
        entries.sort_by_cached_key(RecordEntry::key);
        dropped.entries = limits::keep_entries(&mut entries);
        (entries, dropped)
    }
}

impl RecordEntry {
    fn key(&self) -> EntryKey {
        (
            self.container.clone(),
            self.image.clone(),
            self.profile.clone(),
            self.capabilities.clone(),
            self.architecture.clone(),
            self.kernel.clone(),
        )
    }

    fn is_empty(&self) -> bool {
        let Self {
            container: _,
            image: _,
            profile: _,
            capabilities: _,
            architecture: _,
            kernel: _,
            calls,
            denials,
            watched,
            starts,
            losses,
        } = self;
        calls.is_empty()
            && denials.is_empty()
            && watched.is_empty()
            && starts.is_empty()
            && losses.is_empty()
    }
}
