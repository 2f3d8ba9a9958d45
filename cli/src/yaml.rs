//! From YAML to the values that kubectl makes of it. Pure.
//!
//! kubectl turns a manifest into JSON with the YAML 1.1 rules of its own decoder, and only then
//! is it a pod. So scalars, keys, tags, anchors and merge keys are resolved here as there, over
//! the parser's events: a general reader decides otherwise about `yes`, `0644` or what a merge
//! key overrides, and would judge a pod that Kubernetes never sees. In one thing this is
//! stricter: a key that is there twice is an error, not a choice.

mod compose;
mod scalar;

use std::borrow::Cow;

use granit_parser::{Event, Parser, ScanError, StrInput};
use serde_json::Value;

use compose::{Composer, Written};

/// Why a document could not be read, and on which line of the text, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub(crate) struct YamlError {
    /// The line.
    pub(crate) line: usize,
    /// What is wrong there, and at which field.
    pub(crate) message: String,
}

/// Every document of a text in order, an empty one as null. A broken document does not stop
/// those after it.
pub(crate) fn documents(text: &str) -> Vec<Result<Value, YamlError>> {
    let text = with_plain_line_breaks(text);
    let mut options = granit_parser::options! { emit_anchor_events: true };
    options.set_emit_comments(false);
    let mut parser = Parser::new_from_str_with_options(&text, options);
    let mut documents = Vec::new();
    loop {
        match next_document(&text, &mut parser) {
            Ok(Some(value)) => documents.push(Ok(value)),
            Ok(None) => return documents,
            Err(error) => {
                documents.push(Err(error));
                if !matches!(parser.proceed_next_document(), Ok(true)) {
                    return documents;
                }
            }
        }
    }
}

/// The text with line feeds where YAML 1.1 knows other line breaks. They are mere characters to
/// the parser; but to kubectl a comment ends there, and what follows is a field.
fn with_plain_line_breaks(text: &str) -> Cow<'_, str> {
    const BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];
    if text.contains(BREAKS) {
        text.replace(BREAKS, "\n").into()
    } else {
        text.into()
    }
}

fn next_document<'a>(
    text: &str,
    parser: &mut Parser<'a, StrInput<'a>>,
) -> Result<Option<Value>, YamlError> {
    let mut composer = Composer::default();
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| syntax_error(&error))?;
        let added = match event {
            Event::Scalar(scalar, style, anchor, tag) => {
                let range = span.byte_range().unwrap_or_default();
                let written = Written {
                    text: text.get(range.clone()).unwrap_or_default(),
                    behind: text.get(range.end..).unwrap_or_default(),
                };
                composer.scalar(&scalar, style, written, anchor, tag.as_deref())
            }
            Event::SequenceStart(style, anchor, _) => composer.open_list(style, anchor),
            Event::MappingStart(style, anchor, _) => composer.open_map(style, anchor),
            Event::SequenceEnd | Event::MappingEnd => composer.close(),
            Event::Anchor(_, name) => Composer::anchor(&name),
            Event::Alias(anchor) => composer.alias(anchor),
            Event::DocumentEnd => return Ok(Some(composer.finish())),
            Event::StreamEnd => return Ok(None),
            _ => Ok(()),
        };
        added.map_err(|message| {
            let path = composer.path();
            let separator = if path.is_empty() { "" } else { ": " };
            YamlError {
                line: span.start.line(),
                message: format!("{path}{separator}{message}"),
            }
        })?;
    }
    Ok(None)
}

fn syntax_error(error: &ScanError) -> YamlError {
    YamlError {
        line: error.marker().line(),
        message: error.info(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::documents;

    /// A document, and what kubectl 1.37 makes of it: nothing where it refuses it.
    #[derive(Deserialize)]
    struct Row {
        yaml: String,
        json: Option<Value>,
    }

    fn rows() -> Vec<Row> {
        serde_json::from_str(include_str!("../tests/fixtures/kubectl-yaml.json")).unwrap()
    }

    /// The first document, or why it cannot be read.
    fn read(text: &str) -> Result<Value, String> {
        match documents(text).into_iter().next() {
            Some(read) => read.map_err(|error| error.to_string()),
            None => Ok(Value::Null),
        }
    }

    /// Integers beyond 64 bits are floats here and digits there; no field takes either.
    fn same(left: &Value, right: &Value) -> bool {
        match (left, right) {
            (Value::Number(left), Value::Number(right)) => {
                left == right || left.as_f64() == right.as_f64()
            }
            (Value::Array(left), Value::Array(right)) => {
                left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
            }
            (Value::Object(left), Value::Object(right)) => {
                left.len() == right.len()
                    && left
                        .iter()
                        .zip(right)
                        .all(|((lk, l), (rk, r))| lk == rk && same(l, r))
            }
            _ => left == right,
        }
    }

    #[test]
    fn every_document_means_what_it_means_to_kubectl() {
        let different: Vec<_> = rows()
            .into_iter()
            .filter_map(|Row { yaml, json }| {
                let (read, wanted) = (read(&yaml), json?);
                let is_same = read.as_ref().is_ok_and(|value| same(value, &wanted));
                (!is_same).then_some((yaml, read, wanted))
            })
            .collect();
        assert!(different.is_empty(), "{different:#?}");
    }
}
