//! Reads an object from JSON, or from any serde format, and refuses what is malformed. Pure.
//!
//! A value of the wrong type, a name that appears twice, a missing pod specification or hostile
//! nesting is an error that names the field. It is never skipped: a field that cannot be read
//! may be the one that violates.

mod convert;
mod nesting;
mod placement;
mod read;
mod record;
mod status;
mod wire;

use serde::Deserializer;

use crate::kind::Kind;
use crate::limits::{MAX_NESTING, MAX_OBJECT_BYTES};
use crate::object::Object;
use read::{Read, Whole};

pub use wire::TypeMeta;

/// Whether defaults that the API server would fill in are filled in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defaulting {
    /// The object comes from an API server, which has filled in every default.
    AsServed,
    /// The object is a manifest on disk: a volume without any source is an `emptyDir`. One with
    /// a source that is not known stays unknown.
    EmptyDir,
}

/// Why an object could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The object has more bytes than any object may have.
    #[error("{bytes} bytes are more than the {MAX_OBJECT_BYTES} of the largest object")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Arrays and objects are nested too deeply.
    #[error("nested deeper than {MAX_NESTING} levels")]
    TooDeep,
    /// The bytes are not UTF-8.
    #[error("invalid UTF-8 at byte {offset}")]
    InvalidUtf8 {
        /// Where the first invalid sequence begins.
        offset: usize,
    },
    /// A field is missing, malformed, of the wrong type, or there twice.
    #[error("{path}: {message}")]
    Field {
        /// The field, as in `spec.containers[0].name`; `.` for the object as a whole.
        path: String,
        /// What is wrong with it.
        message: String,
    },
}

impl DecodeError {
    fn field(path: impl Into<String>, message: impl std::fmt::Display) -> Self {
        Self::Field {
            path: path.into(),
            message: message.to_string(),
        }
    }
}

/// Decodes one object of a known kind from JSON.
///
/// # Errors
///
/// [`DecodeError`] for anything that an API server would not serve, as far as it is read, and
/// for size, nesting and encoding in the whole of it.
pub fn decode(kind: Kind, json: &[u8], defaulting: Defaulting) -> Result<Object, DecodeError> {
    if json.len() > MAX_OBJECT_BYTES {
        return Err(DecodeError::TooLarge { bytes: json.len() });
    }
    let text = std::str::from_utf8(json).map_err(|error| DecodeError::InvalidUtf8 {
        offset: error.valid_up_to(),
    })?;
    if nesting::exceeds(json, MAX_NESTING) {
        return Err(DecodeError::TooDeep);
    }
    match kind {
        Kind::Pod => from_json::<wire::Pod>(text)?.into_object(defaulting),
        Kind::PodTemplate => from_json::<wire::PodTemplate>(text)?.into_object(defaulting),
        Kind::Job => from_json::<wire::Job>(text)?.into_object(defaulting),
        Kind::CronJob => from_json::<wire::CronJob>(text)?.into_object(defaulting),
        _ => from_json::<wire::Controller>(text)?.into_object(kind, defaulting),
    }
}

impl Object {
    /// Decodes one object of a known kind from any format that describes its own types. Size and
    /// nesting are the caller's to bound; see [`crate::MAX_OBJECT_BYTES`].
    ///
    /// # Errors
    ///
    /// [`DecodeError::Field`], with the format's own message.
    pub fn deserialize_kind<'de, D: Deserializer<'de>>(
        kind: Kind,
        deserializer: D,
        defaulting: Defaulting,
    ) -> Result<Self, DecodeError> {
        match kind {
            Kind::Pod => tracked::<wire::Pod, D>(deserializer)?.into_object(defaulting),
            Kind::PodTemplate => {
                tracked::<wire::PodTemplate, D>(deserializer)?.into_object(defaulting)
            }
            Kind::Job => tracked::<wire::Job, D>(deserializer)?.into_object(defaulting),
            Kind::CronJob => tracked::<wire::CronJob, D>(deserializer)?.into_object(defaulting),
            _ => tracked::<wire::Controller, D>(deserializer)?.into_object(kind, defaulting),
        }
    }
}

/// Reads JSON, and only if that fails once more to find out where.
fn from_json<'de, T: Read<'de>>(text: &'de str) -> Result<T, DecodeError> {
    if let Ok(Whole(value)) = serde_json::from_str(text) {
        return Ok(value);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = tracked(&mut deserializer)?;
    deserializer
        .end()
        .map_err(|error| DecodeError::field(".", error))?;
    Ok(value)
}

/// Reads a value and keeps track of the path on the way, which takes about twice as long.
fn tracked<'de, T: Read<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, DecodeError> {
    match serde_path_to_error::deserialize::<D, Whole<T>>(deserializer) {
        Ok(Whole(value)) => Ok(value),
        Err(error) => Err(DecodeError::field(error.path().to_string(), error.inner())),
    }
}
