//! What of an object's metadata matters: identity, labels and the controlling owner. Pure.

use std::fmt;
use std::sync::Arc;

use crate::labels::Labels;

/// The metadata of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The namespace, empty where a manifest names none.
    pub namespace: Arc<str>,
    /// The name; in a manifest without one the `generateName`; empty where there is neither.
    pub name: Box<str>,
    /// The uid, empty in manifests.
    pub uid: Uid,
    /// The object's own labels; for those that its pods get see [`crate::Object::pod_labels`].
    pub labels: Labels,
    /// The owner that controls this object: the first reference marked `controller: true`.
    pub controller: Option<Arc<OwnerReference>>,
    /// Whether deletion was asked for.
    pub deleting: bool,
}

/// A reference to the object that controls another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnerReference {
    /// Group and version, as in `apps/v1`.
    pub api_version: Box<str>,
    /// The owner's kind, listed or not.
    pub kind: Box<str>,
    /// The owner's name, in the same namespace unless it is cluster-scoped.
    pub name: Box<str>,
    /// The owner's uid.
    pub uid: Uid,
}

/// A uid, kept as 16 bytes when it is the usual lower-case UUID and as text otherwise.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uid(Form);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    Uuid([u8; 16]),
    Text(Box<str>),
}

/// Where the four hyphens of a UUID stand.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl Uid {
    /// Whether there is no uid, as in a manifest.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Form::Text(text) if text.is_empty())
    }

    fn parse_uuid(text: &str) -> Option<[u8; 16]> {
        if text.len() != 36 {
            return None;
        }
        let mut bytes = [0_u8; 16];
        let mut digits = 0_usize;
        for (position, character) in text.bytes().enumerate() {
            if HYPHENS.contains(&position) {
                if character != b'-' {
                    return None;
                }
                continue;
            }
            let digit = match character {
                b'0'..=b'9' => character - b'0',
                b'a'..=b'f' => character - b'a' + 10,
                _ => return None,
            };
            let byte = bytes.get_mut(digits / 2)?;
            *byte = (*byte << 4) | digit;
            digits += 1;
        }
        Some(bytes)
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Self(Self::parse_uuid(text).map_or_else(|| Form::Text(text.into()), Form::Uuid))
    }
}

impl Default for Uid {
    fn default() -> Self {
        Self(Form::Text(Box::default()))
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Text(text) => formatter.write_str(text),
            Form::Uuid(bytes) => {
                for (index, byte) in bytes.iter().enumerate() {
                    if matches!(index, 4 | 6 | 8 | 10) {
                        formatter.write_str("-")?;
                    }
                    write!(formatter, "{byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, Uid};

    #[test]
    fn every_uid_comes_back_as_written() {
        let cases = [
            ("", false),
            ("not-a-uuid", false),
            ("0f4c7d6a-1b2c-4d3e-8f90-123456789abc", true),
            ("0F4C7D6A-1B2C-4D3E-8F90-123456789ABC", false),
            ("0f4c7d6a01b2c-4d3e-8f90-123456789abc", false),
            ("0f4c7d6a-1b2c-4d3e-8f90-123456789ab-", false),
            ("0f4c7d6a-1b2c-4d3e-8f90-12345678\u{e9}ab", false),
        ];
        for (text, compact) in cases {
            let uid = Uid::from(text);
            assert_eq!(uid.to_string(), text);
            assert_eq!(matches!(uid.0, Form::Uuid(_)), compact, "{text:?}");
        }
    }

    #[test]
    fn a_uid_is_no_larger_than_a_string() {
        assert!(size_of::<Uid>() <= size_of::<String>());
    }
}
