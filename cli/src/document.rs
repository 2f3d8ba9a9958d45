//! From the bytes of a file to its documents, and from these to the objects in them. Pure.

use podfence_workload::{DecodeError, Defaulting, Kind, MAX_OBJECT_BYTES, Object, TypeMeta};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::yaml::{self, YamlError};

/// Lists within lists. kubectl makes one; more are nobody's manifest, and each is read anew.
const MAX_LIST_NESTING: usize = 4;

/// Why a document or an object in it could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error("invalid UTF-8 at byte {offset}")]
    InvalidUtf8 { offset: usize },
    #[error(transparent)]
    Yaml(#[from] YamlError),
    #[error("invalid JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Object(#[from] DecodeError),
    #[error("not an object")]
    NotAnObject,
    #[error("no apiVersion and no kind")]
    Untyped,
    #[error("{0}: missing")]
    Missing(&'static str),
    #[error("items: a {0} has none; kubectl would apply them in its place")]
    ItemsOfWorkload(Kind),
    #[error("lists nested deeper than {MAX_LIST_NESTING} levels")]
    NestedLists,
    #[error("{api_version:?} of {kind} is no longer served: write {served:?}")]
    Removed {
        api_version: String,
        kind: Kind,
        served: &'static str,
    },
}

impl DocumentError {
    /// Whether this was never meant to be a manifest: Helm's values, a list of JSON patches.
    pub(crate) fn is_no_manifest(&self) -> bool {
        matches!(self, Self::NotAnObject | Self::Untyped)
    }
}

/// One document of a file.
pub(crate) struct Document<'a> {
    /// Which one, counted from 1.
    pub(crate) number: usize,
    /// What is in it, or why it cannot be read.
    pub(crate) content: Result<Node<'a>, DocumentError>,
}

/// A value that has been found and not yet been decoded.
pub(crate) enum Node<'a> {
    /// JSON text.
    Json(&'a str),
    /// What a YAML document stands for.
    Yaml(Value),
}

/// What an object says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// What was found where an object can be: in a document, or in a list.
pub(crate) struct Found<'a> {
    pub(crate) identity: Identity,
    pub(crate) content: Result<Content<'a>, DocumentError>,
}

/// What an object is to Pod Security.
pub(crate) enum Content<'a> {
    /// A pod, or an object that makes pods.
    Workload(Kind, Node<'a>),
    /// A list with nothing in it.
    EmptyList,
    /// An object of any other kind.
    Other(Node<'a>),
}

/// Every document of a file in order, without those that are empty.
pub(crate) fn documents(bytes: &[u8]) -> Vec<Document<'_>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut documents = Vec::new();
    let mut number = 0;
    for chunk in chunks(bytes) {
        for content in chunk.read() {
            number += 1;
            if !matches!(content, Ok(Node::Yaml(Value::Null))) {
                documents.push(Document { number, content });
            }
        }
    }
    documents
}

/// A part of a file that begins at a line `---`, so that what is broken stays among itself.
struct Chunk<'a> {
    bytes: &'a [u8],
    /// Bytes and lines of the file before this.
    offset: usize,
    lines: usize,
}

fn chunks(bytes: &[u8]) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let (mut begin, mut begin_line, mut offset) = (0, 0, 0);
    // Directives and comments before the first marker belong to the document after it.
    let mut has_content = false;
    for (line_number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if is_marker(line) && has_content {
            let part = bytes.get(begin..offset).unwrap_or_default();
            chunks.push(Chunk {
                bytes: part,
                offset: begin,
                lines: begin_line,
            });
            (begin, begin_line) = (offset, line_number);
        }
        has_content |= !matches!(line.trim_ascii_start().first(), None | Some(b'#' | b'%'));
        offset += line.len();
    }
    let part = bytes.get(begin..).unwrap_or_default();
    chunks.push(Chunk {
        bytes: part,
        offset: begin,
        lines: begin_line,
    });
    chunks
}

/// Whether a line begins a document: three hyphens and nothing right behind them.
fn is_marker(line: &[u8]) -> bool {
    let after = line.strip_prefix(b"---").map(|rest| rest.first());
    matches!(after, Some(None | Some(b' ' | b'\t' | b'\r' | b'\n')))
}

impl<'a> Chunk<'a> {
    fn read(&self) -> Vec<Result<Node<'a>, DocumentError>> {
        let text = match std::str::from_utf8(self.bytes) {
            Ok(text) => text,
            Err(error) => {
                let offset = self.offset + error.valid_up_to();
                return vec![Err(DocumentError::InvalidUtf8 { offset })];
            }
        };
        let body = text.strip_prefix("---").unwrap_or(text).trim_start();
        if !body.starts_with('{') {
            return self.read_yaml(text);
        }
        let json = read_json(body);
        // A flow mapping begins as JSON does.
        if let [Err(_)] = json.as_slice() {
            let yaml = self.read_yaml(text);
            if yaml.iter().all(Result::is_ok) {
                return yaml;
            }
        }
        json
    }

    fn read_yaml(&self, text: &str) -> Vec<Result<Node<'a>, DocumentError>> {
        let read = |document: Result<Value, YamlError>| {
            let value = document.map_err(|error| YamlError {
                line: error.line + self.lines,
                ..error
            })?;
            let is_list = value.get("items").is_some_and(Value::is_array);
            if text.len() > MAX_OBJECT_BYTES && !is_list {
                return Err(DecodeError::TooLarge { bytes: text.len() }.into());
            }
            Ok(Node::Yaml(value))
        };
        yaml::documents(text).into_iter().map(read).collect()
    }
}

/// JSON values one after the other. What follows a broken one cannot be told apart from it.
fn read_json(text: &str) -> Vec<Result<Node<'_>, DocumentError>> {
    serde_json::Deserializer::from_str(text)
        .into_iter::<&RawValue>()
        .map(|value| Ok(Node::Json(value?.get())))
        .collect()
}

/// The fields that say what an object is; everything else is left for the decoder.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: Option<Metadata>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    namespace: Option<String>,
    name: Option<String>,
    generate_name: Option<String>,
}

/// `items`, which makes an object a list, as for kubectl.
#[derive(Deserialize)]
struct Items<'a> {
    #[serde(borrow)]
    items: Option<&'a RawValue>,
}

impl<'a> Node<'a> {
    /// What the object says of itself, or its list for it.
    fn identity(&self, inherited: &TypeMeta) -> Result<Identity, DocumentError> {
        let is_object = match self {
            Self::Json(text) => text.starts_with('{'),
            Self::Yaml(value) => value.is_object(),
        };
        if !is_object {
            return Err(DocumentError::NotAnObject);
        }
        let Header {
            api_version,
            kind,
            metadata,
        } = self.read()?;
        let Metadata {
            namespace,
            name,
            generate_name,
        } = metadata.unwrap_or_default();
        Ok(Identity {
            api_version: api_version.unwrap_or_else(|| inherited.api_version.to_string()),
            kind: kind.unwrap_or_else(|| inherited.kind.to_string()),
            namespace: namespace.unwrap_or_default(),
            name: name
                .filter(|name| !name.is_empty())
                .or(generate_name)
                .unwrap_or_default(),
        })
    }

    /// The objects of a list, taken out of it; nothing if this is no list.
    fn take_items(&mut self) -> Result<Option<Vec<Node<'a>>>, DocumentError> {
        match self {
            Self::Json(text) => {
                let Items { items } = serde_json::from_str(text)?;
                let Some(items) = items
                    .map(RawValue::get)
                    .filter(|text| text.starts_with('['))
                else {
                    return Ok(None);
                };
                let items: Vec<&RawValue> = serde_json::from_str(items)?;
                Ok(Some(
                    items
                        .into_iter()
                        .map(|item| Node::Json(item.get()))
                        .collect(),
                ))
            }
            Self::Yaml(value) => Ok(match value.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => Some(items.into_iter().map(Node::Yaml).collect()),
                _ => None,
            }),
        }
    }

    /// Reads the object as one of a type of ours.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        let read = match self {
            Self::Json(text) => {
                serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text))
            }
            Self::Yaml(value) => serde_path_to_error::deserialize(value),
        };
        read.map_err(|error| DecodeError::Field {
            path: error.path().to_string(),
            message: error.inner().to_string(),
        })
    }

    /// Decodes the object as a manifest: a volume without a source is an `emptyDir`.
    pub(crate) fn decode(&self, kind: Kind) -> Result<Object, DecodeError> {
        match self {
            Self::Json(text) => {
                podfence_workload::decode(kind, text.as_bytes(), Defaulting::EmptyDir)
            }
            Self::Yaml(value) => Object::deserialize_kind(kind, value, Defaulting::EmptyDir),
        }
    }
}

/// Every object in a document: itself, or what its list holds, lists within it included.
pub(crate) fn objects(node: Node<'_>) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    collect(node, &TypeMeta::default(), 0, &mut found);
    found
}

/// Adds the objects in `node`. Those of a list as an API server returns it leave their type to
/// the list: `inherited` is it.
fn collect<'a>(mut node: Node<'a>, inherited: &TypeMeta, depth: usize, found: &mut Vec<Found<'a>>) {
    let identity = match node.identity(inherited) {
        Ok(identity) => identity,
        Err(error) => {
            return found.push(Found {
                identity: Identity::default(),
                content: Err(error),
            });
        }
    };
    let kind = Kind::from_manifest(&identity.api_version, &identity.kind);
    let content = match (kind, node.take_items()) {
        (_, Err(error)) => Err(error),
        (Some(kind), Ok(None)) => Ok(Content::Workload(kind, node)),
        (Some(kind), Ok(Some(_))) => Err(DocumentError::ItemsOfWorkload(kind)),
        (None, Ok(None)) => without_pods(&identity, node),
        (None, Ok(Some(items))) if items.is_empty() => Ok(Content::EmptyList),
        (None, Ok(Some(_))) if depth == MAX_LIST_NESTING => Err(DocumentError::NestedLists),
        (None, Ok(Some(items))) => {
            let inherited = item_type(&identity);
            for item in items {
                collect(item, &inherited, depth + 1, found);
            }
            return;
        }
    };
    found.push(Found { identity, content });
}

/// The type of the items of a list that is of one kind: `PodList` has pods.
fn item_type(list: &Identity) -> TypeMeta {
    match list.kind.strip_suffix("List") {
        Some(kind) if !kind.is_empty() => TypeMeta {
            api_version: list.api_version.as_str().into(),
            kind: kind.into(),
        },
        _ => TypeMeta::default(),
    }
}

fn without_pods<'a>(identity: &Identity, node: Node<'a>) -> Result<Content<'a>, DocumentError> {
    match (identity.api_version.as_str(), identity.kind.as_str()) {
        ("", "") => Err(DocumentError::Untyped),
        ("", _) => Err(DocumentError::Missing("apiVersion")),
        (_, "") => Err(DocumentError::Missing("kind")),
        (api_version, kind) => match Kind::from_owner(api_version, kind) {
            // The group is Kubernetes' own, so this was meant to make pods.
            Some(kind) => Err(DocumentError::Removed {
                api_version: api_version.to_owned(),
                kind,
                served: kind.api_version(),
            }),
            None => Ok(Content::Other(node)),
        },
    }
}
