//! The Pod Security Standards: checks, versions, messages, namespace labels. Pure, no I/O.
//!
//! Verdicts and texts equal those of the Kubernetes admission controller, byte for byte, for
//! every level and version and for the API servers from 1.30 on. [`Rules`] is the door:
//! it evaluates a [`podfence_workload::Template`] once for all levels into a [`CheckSet`], and
//! makes text of it only when asked.

mod check;
mod evaluate;
mod go_quote;
mod labels;
mod level;
mod message;
mod namespace_warnings;
mod version;

pub use check::{CheckId, CheckSet};
pub use evaluate::Rules;
pub use labels::{LabelError, Mode, Policy, policy_from_labels};
pub use level::{InvalidLevel, Level, LevelVersion};
pub use message::{Finding, forbidden_text, message, reasons};
pub use namespace_warnings::{WarningLine, as_sent, existing_pods_warnings, parse_warning};
pub use version::{InvalidVersion, NEWEST_RULES, OLDEST_SERVER, ServerVersion, Version};
