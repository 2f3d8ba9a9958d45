//! What is to be written of a record that somebody adds to. No I/O.
//!
//! Agents and importers read a record, add and write it back under the version that was read. Where
//! somebody else has written meanwhile, they begin anew; that is safe, for adding is union.

use crate::record::Dropped;
use crate::syscall_record::{SyscallRecord, SyscallRecordSpec};

/// What is to be done with a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing: it says all of that already.
    Leave,
    /// It is to be made.
    Create(Box<SyscallRecord>),
    /// It is to be replaced by this, which carries the version that was read.
    Replace(Box<SyscallRecord>),
}

impl SyscallRecord {
    /// Adds to the record that was found, or to an empty one where there is none, and says what had
    /// to go for it.
    pub fn step(
        found: Option<Self>,
        empty: impl FnOnce() -> Self,
        add: impl FnOnce(&mut SyscallRecordSpec) -> Dropped,
    ) -> (Step, Dropped) {
        let Some(mut record) = found else {
            let mut record = empty();
            let dropped = add(&mut record.spec);
            return (Step::Create(Box::new(record)), dropped);
        };
        let before = record.spec.clone();
        let dropped = add(&mut record.spec);
        let step = if record.spec == before {
            Step::Leave
        } else {
            Step::Replace(Box::new(record))
        };
        (step, dropped)
    }
}
