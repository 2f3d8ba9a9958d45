//! Builds one value out of the events of a YAML document. Pure.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::rc::Rc;

use granit_parser::{ScalarStyle, StructureStyle, Tag};
use podfence_workload::MAX_OBJECT_BYTES;
use serde_json::{Map, Value};

use super::scalar;

/// Nesting of lists and mappings in a document. The deepest manifests, definitions of custom
/// resources, stay under 100; values are dropped and decoded recursively, so there must be a
/// bound that every thread's stack has room for.
const MAX_NESTING: usize = 256;

/// What the anchors and aliases of one document may repeat, in bytes: as much as the largest
/// object has. Without a bound, ten lines of aliases to aliases fill the memory, and so do
/// anchors within anchors.
const MAX_REPEATED_BYTES: usize = MAX_OBJECT_BYTES;

/// What a value takes beside its text, about.
const VALUE_BYTES: usize = 32;

/// The prefix of YAML's own tags.
const CORE_TAGS: &str = "tag:yaml.org,2002:";

/// The value under construction.
#[derive(Default)]
pub(super) struct Composer {
    open: Vec<Collection>,
    anchors: HashMap<usize, Rc<Node>>,
    repeated_bytes: usize,
    root: Value,
}

/// A scalar as it stands in the document.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    /// The scalar; empty where the parser filled one in.
    pub(super) text: &'a str,
    /// Everything after it.
    pub(super) behind: &'a str,
}

/// A finished value.
#[derive(Clone)]
struct Node {
    value: Value,
    bytes: usize,
    /// How many collections deep it is; none for a scalar.
    height: usize,
}

/// A list or mapping that has begun and not ended.
struct Collection {
    content: Content,
    is_flow: bool,
    anchor: usize,
    bytes: usize,
    height: usize,
}

enum Content {
    List(Vec<Value>),
    Map(Mapping),
}

#[derive(Default)]
struct Mapping {
    entries: Map<String, Value>,
    /// The keys that only a merge key has brought: one written out may replace them.
    inherited: BTreeSet<String>,
    /// The key whose value comes next.
    key: Option<Key>,
}

enum Key {
    Name(String),
    Merge,
}

impl Composer {
    pub(super) fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        written: Written<'_>,
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Result<(), String> {
        let is_plain = style == ScalarStyle::Plain;
        if is_plain && self.open.last().is_some_and(|open| open.is_flow) {
            refuse_ambiguity(written, tag.is_some())?;
        }
        // A mere `!` is no tag to a merge key.
        let is_bare = tag.is_some_and(|tag| tag.original() == "!");
        let tag = tag.map(|tag| tag.suffix_in_namespace(CORE_TAGS));
        let is_merge = text == "<<"
            && match &tag {
                None => is_plain,
                Some(tag) => is_bare || tag.as_deref() == Some("merge"),
            };
        if is_merge && let Some(mapping) = self.mapping_before_key() {
            mapping.key = Some(Key::Merge);
            return Ok(());
        }
        let value = match tag {
            None if is_plain => scalar::plain(text)?,
            Some(Some(tag)) => scalar::tagged(&tag, text)?,
            None | Some(None) => text.into(),
        };
        let bytes = VALUE_BYTES + text.len();
        self.add(
            anchor,
            Node {
                value,
                bytes,
                height: 0,
            },
        )
    }

    fn mapping_before_key(&mut self) -> Option<&mut Mapping> {
        match &mut self.open.last_mut()?.content {
            Content::Map(mapping) if mapping.key.is_none() => Some(mapping),
            _ => None,
        }
    }

    pub(super) fn open_list(&mut self, style: StructureStyle, anchor: usize) -> Result<(), String> {
        self.open(style, anchor, Content::List(Vec::new()))
    }

    pub(super) fn open_map(&mut self, style: StructureStyle, anchor: usize) -> Result<(), String> {
        self.open(style, anchor, Content::Map(Mapping::default()))
    }

    fn open(
        &mut self,
        style: StructureStyle,
        anchor: usize,
        content: Content,
    ) -> Result<(), String> {
        self.refuse_nesting(1)?;
        self.open.push(Collection {
            content,
            is_flow: style == StructureStyle::Flow,
            anchor,
            bytes: VALUE_BYTES,
            height: 1,
        });
        Ok(())
    }

    fn refuse_nesting(&self, height: usize) -> Result<(), String> {
        if self.open.len() + height > MAX_NESTING {
            return Err(format!("nested deeper than {MAX_NESTING} levels"));
        }
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<(), String> {
        let Some(Collection {
            content,
            is_flow: _,
            anchor,
            bytes,
            height,
        }) = self.open.pop()
        else {
            return Err("an end without a beginning".to_owned());
        };
        let value = match content {
            Content::List(items) => Value::Array(items),
            Content::Map(mapping) => Value::Object(mapping.entries),
        };
        self.add(
            anchor,
            Node {
                value,
                bytes,
                height,
            },
        )
    }

    /// Refuses names that kubectl's decoder would end earlier: `&a:b` is the anchor `a` to it,
    /// and the text `:b`.
    pub(super) fn anchor(name: &str) -> Result<(), String> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if name.bytes().all(is_part) {
            return Ok(());
        }
        Err(format!("{name:?} is no name of an anchor"))
    }

    pub(super) fn alias(&mut self, anchor: usize) -> Result<(), String> {
        // The parser refuses names that are not known; what is missing here has not ended yet.
        let Some(node) = self.anchors.get(&anchor).map(Rc::clone) else {
            return Err("the alias stands for what it is itself a part of".to_owned());
        };
        self.refuse_nesting(node.height)?;
        self.repeat(node.bytes)?;
        self.add(0, Node::clone(&node))
    }

    /// Makes sure that there is room for a copy.
    fn repeat(&mut self, bytes: usize) -> Result<(), String> {
        self.repeated_bytes += bytes;
        if self.repeated_bytes > MAX_REPEATED_BYTES {
            return Err(format!(
                "anchors and aliases repeat more than {MAX_REPEATED_BYTES} bytes"
            ));
        }
        Ok(())
    }

    fn add(&mut self, anchor: usize, node: Node) -> Result<(), String> {
        // Zero says that there is none.
        if anchor != 0 {
            self.repeat(node.bytes)?;
            self.anchors.insert(anchor, Rc::new(node.clone()));
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = node.value;
            return Ok(());
        };
        parent.bytes += node.bytes;
        parent.height = parent.height.max(node.height + 1);
        match &mut parent.content {
            Content::List(items) => items.push(node.value),
            Content::Map(mapping) => mapping.add(node.value)?,
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Value {
        self.root
    }

    /// The field that is being read, as in `spec.containers[0].name`.
    pub(super) fn path(&self) -> String {
        let mut path = String::new();
        for collection in &self.open {
            // Writing to a string cannot fail.
            let _ = match &collection.content {
                Content::List(items) => write!(path, "[{}]", items.len()),
                Content::Map(Mapping {
                    key: Some(Key::Name(name)),
                    ..
                }) if path.is_empty() => {
                    write!(path, "{name}")
                }
                Content::Map(Mapping {
                    key: Some(Key::Name(name)),
                    ..
                }) => {
                    write!(path, ".{name}")
                }
                Content::Map(_) => Ok(()),
            };
        }
        path
    }
}

impl Mapping {
    fn add(&mut self, value: Value) -> Result<(), String> {
        match self.key.take() {
            None => {
                let name = name_of(value)?;
                if self.entries.contains_key(&name) && !self.inherited.contains(&name) {
                    return Err(format!("duplicate key {name:?}"));
                }
                self.key = Some(Key::Name(name));
            }
            Some(Key::Name(name)) => {
                self.inherited.remove(&name);
                self.entries.insert(name, value);
            }
            Some(Key::Merge) => self.merge(value)?,
        }
        Ok(())
    }

    /// Takes over the entries of one mapping, or of a list of them, of which the first wins.
    /// kubectl's decoder lets a merge key override what is written *before* it, so this does.
    fn merge(&mut self, value: Value) -> Result<(), String> {
        let sources = match value {
            Value::Array(sources) => sources,
            source => vec![source],
        };
        for source in sources.into_iter().rev() {
            let Value::Object(entries) = source else {
                return Err("a merge key takes a mapping or a list of mappings".to_owned());
            };
            for (name, value) in entries {
                if self.entries.insert(name.clone(), value).is_none() {
                    self.inherited.insert(name);
                }
            }
        }
        Ok(())
    }
}

/// Refuses what YAML 1.1 and 1.2 read differently in a list or mapping in brackets. To kubectl's
/// decoder `{?a : b}` has the key `a`, `{a:}` the key `a:`, and `{!b,c a: 1}` the key `a` with an
/// odd tag; to the parser these are `?a`, `a`, and `c a` after an empty one.
fn refuse_ambiguity(written: Written<'_>, is_tagged: bool) -> Result<(), String> {
    let Written { text, behind } = written;
    let ends_in_colon = !text.is_empty()
        && behind
            .trim_start()
            .strip_prefix(':')
            .is_some_and(|rest| rest.starts_with([',', '[', ']', '{', '}']));
    let ends_in_tag = is_tagged && text.is_empty() && behind.starts_with([',', '[', ']']);
    if text.starts_with('?') || ends_in_colon || ends_in_tag {
        return Err("a question mark, colon or tag needs a space behind it".to_owned());
    }
    Ok(())
}

/// A key as JSON has it: numbers and flags become text.
fn name_of(key: Value) -> Result<String, String> {
    match key {
        Value::String(name) => Ok(name),
        Value::Bool(_) | Value::Number(_) => Ok(key.to_string()),
        Value::Null => Err("a key is null".to_owned()),
        Value::Array(_) | Value::Object(_) => Err("a key is a list or a mapping".to_owned()),
    }
}
