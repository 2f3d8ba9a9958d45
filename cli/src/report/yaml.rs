//! The report as YAML, in the shape of the JSON. Pure.

use serde_saphyr::SerializeError;

use super::Report;
use super::json::Whole;

/// One YAML document. Messages stay in one line, so that they can be searched for.
pub(super) fn print(report: &Report) -> Result<String, SerializeError> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(&Whole::from(report), options)
}
