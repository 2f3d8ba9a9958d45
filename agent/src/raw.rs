//! An object as the API server sent it, undecoded but for its identity. No I/O.
//!
//! kube decodes a whole page, or a whole line of a watch, at once: what it decodes must not fail,
//! for one malformed pod would then hide all others. So it gets this, and each object is decoded on
//! its own afterwards.

use std::borrow::Cow;

use kube::Resource;
use kube::api::{ApiResource, ObjectMeta};
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One object: the metadata that a watch needs, and the text.
#[derive(Debug, Clone)]
pub struct RawObject {
    /// Only name, namespace and resourceVersion.
    metadata: ObjectMeta,
    json: Box<RawValue>,
}

impl RawObject {
    /// The object's namespace and name; empty where it has none.
    #[must_use]
    pub fn key(&self) -> (String, String) {
        let ObjectMeta {
            namespace, name, ..
        } = &self.metadata;
        (
            namespace.clone().unwrap_or_default(),
            name.clone().unwrap_or_default(),
        )
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
        let Identity {
            name,
            namespace,
            resource_version,
        } = serde_json::from_str::<Head>(json.get())
            .unwrap_or_default()
            .metadata;
        let metadata = ObjectMeta {
            name,
            namespace,
            resource_version,
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, json })
    }
}

#[derive(Default, Deserialize)]
struct Head {
    metadata: Identity,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
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
    use kube::core::ObjectList;

    use super::RawObject;

    #[test]
    fn a_malformed_object_does_not_fail_its_list() {
        let list: ObjectList<RawObject> = serde_json::from_str(
            r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[
                8, {"metadata":{"name":"c","labels":7}},
                {"metadata":{"name":"a","namespace":"n"},"spec":{"hostPID":"yes"}}]}"#,
        )
        .expect("a list");
        let names: Vec<_> = list.items.iter().map(|object| object.key().1).collect();
        assert_eq!(names, ["", "c", "a"]);
        assert!(list.items[2].json().contains(r#""hostPID":"yes""#));
    }
}
