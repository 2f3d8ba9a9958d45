//! The report as YAML, in the shape of the JSON. Pure.

use serde_saphyr::SerializeError;

use super::Report;
use super::json::Whole;

/// One YAML document.
pub(super) fn print(report: &Report) -> Result<String, SerializeError> {
    serde_saphyr::to_string(&Whole::from(report))
}
