//! An object as the API server sent it, undecoded but for its identity. No I/O.
//!
//! kube decodes a whole page, or a whole line of a watch, at once: were our own structs decoded
//! there, one malformed object would fail the list or the watch of its kind. So what kube decodes
//! never fails; each object is decoded after that, and on its own.

use std::borrow::Cow;

use kube::Resource;
use kube::api::{ApiResource, ObjectMeta};
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One object: the metadata that a watch needs, and the text.
#[derive(Debug, Clone)]
pub struct RawObject {
    /// Only name, namespace, uid, resourceVersion and generation.
    metadata: ObjectMeta,
    json: Box<RawValue>,
}

impl RawObject {
    /// The object's name; empty where the API server sent none, which it never does.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The object's namespace; empty where it has none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Its namespace and name, each empty where it has none.
    #[must_use]
    pub fn key(&self) -> (String, String) {
        (self.namespace().to_owned(), self.name().to_owned())
    }

    /// The object's generation; 0 where it has none.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.metadata.generation.unwrap_or_default()
    }

    /// The whole object.
    #[must_use]
    pub fn json(&self) -> &str {
        self.json.get()
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        // Whatever is wrong elsewhere in the object, the API server wrote these itself.
        let head = serde_json::from_str::<Head<'_>>(json.get())
            .unwrap_or_default()
            .metadata;
        let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        let metadata = ObjectMeta {
            name: owned(head.name),
            namespace: owned(head.namespace),
            uid: owned(head.uid),
            resource_version: owned(head.resource_version),
            generation: head.generation,
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, json })
    }
}

#[derive(Default, Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    metadata: Identity<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    uid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    resource_version: Option<Cow<'a, str>>,
    generation: Option<i64>,
}

impl Resource for RawObject {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use kube::api::WatchEvent;
    use kube::core::ObjectList;

    use super::RawObject;

    #[test]
    fn a_malformed_object_does_not_fail_its_list() {
        let list: ObjectList<RawObject> = serde_json::from_str(
            r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[
                {"metadata":{"name":"a","namespace":"n","resourceVersion":"1"},"spec":{"hostPID":"yes"}},
                {"metadata":{"name":"b","namespace":"n","resourceVersion":"2"}},
                {"metadata":{"name":"c","labels":7}}, 8]}"#,
        )
        .expect("a list");
        let names: Vec<_> = list.items.iter().map(RawObject::name).collect();
        assert_eq!(names, ["a", "b", "c", ""]);
        let json = list.items.first().map(RawObject::json).unwrap_or_default();
        assert!(json.contains(r#""hostPID":"yes""#), "{json}");
    }

    #[test]
    fn a_malformed_object_does_not_fail_its_watch() {
        let line = r#"{"type":"MODIFIED","object":{"metadata":{"name":"a\u0062","resourceVersion":"5"},"spec":[]}}"#;
        let event: WatchEvent<RawObject> = serde_json::from_str(line).expect("an event");
        let WatchEvent::Modified(object) = event else {
            panic!("{event:?}")
        };
        assert_eq!(object.name(), "ab");
        assert_eq!(object.metadata.resource_version.as_deref(), Some("5"));
    }

    #[test]
    fn an_error_in_a_watch_is_read_as_one() {
        let line = r#"{"type":"ERROR","object":{"apiVersion":"v1","code":410,"kind":"Status","message":"too old","reason":"Expired","status":"Failure"}}"#;
        let event: WatchEvent<RawObject> = serde_json::from_str(line).expect("an event");
        let WatchEvent::Error(status) = event else {
            panic!("{event:?}")
        };
        assert_eq!(status.code, 410);
    }

    #[test]
    fn deep_nesting_is_skipped_without_recursion() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let text = format!(r#"{{"spec":{deep},"metadata":{{"name":"deep"}}}}"#);
        let object: RawObject = serde_json::from_str(&text).expect("kept as text");
        assert_eq!(object.json().len(), text.len());
        assert_eq!(object.name(), "deep");
    }
}
