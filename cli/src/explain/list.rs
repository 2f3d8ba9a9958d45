//! Lists of objects whose text is kept: each is decoded on its own, so that one that cannot be read
//! takes no other away. Makes requests.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::Client;
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, Request, Resource as _};
use podfence_workload::Kind;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::cluster::{ClusterError, ask};

/// Objects of a page: 500 pods are a few megabytes.
const PAGE: u32 = 500;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: ListMeta,
    items: Option<Vec<Box<RawValue>>>,
}

/// A resource, in a namespace or in none.
pub(super) struct Listed<'a> {
    pub(super) resource: ApiResource,
    pub(super) namespace: Option<&'a str>,
    /// The label that all must have, as `key=value`.
    pub(super) label: Option<String>,
}

impl<'a> Listed<'a> {
    /// All objects of a kind of ours, or of the cluster's.
    pub(super) fn of(resource: ApiResource, namespace: Option<&'a str>) -> Self {
        Self {
            resource,
            namespace,
            label: None,
        }
    }

    /// All objects of one of the nine kinds.
    pub(super) fn workloads(kind: Kind, namespace: &'a str) -> Self {
        let resource = ApiResource {
            group: kind.group().to_owned(),
            version: kind.version().to_owned(),
            api_version: kind.api_version().to_owned(),
            kind: kind.as_str().to_owned(),
            plural: kind.plural().to_owned(),
        };
        Self::of(resource, Some(namespace))
    }
}

/// The text of each object.
///
/// # Errors
///
/// When the API server refuses.
pub(super) async fn list(
    client: &Client,
    listed: Listed<'_>,
) -> Result<Vec<Box<RawValue>>, ClusterError> {
    let Listed {
        resource,
        namespace,
        label,
    } = listed;
    let doing = match namespace {
        Some(namespace) => format!("list {} in {namespace:?}", resource.plural),
        None => format!("list {}", resource.plural),
    };
    let request = Request::new(DynamicObject::url_path(&resource, namespace));
    let mut parameters = ListParams::default().limit(PAGE);
    parameters.label_selector = label;
    let mut all = Vec::new();
    loop {
        let page: Page = ask(doing.clone(), async {
            let request = request
                .list(&parameters)
                .map_err(kube::Error::BuildRequest)?;
            client.request(request).await
        })
        .await?;
        all.extend(page.items.unwrap_or_default());
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(all),
        }
    }
}

/// Decodes objects; of those that cannot be read, a warning.
pub(super) fn decoded<T: DeserializeOwned>(
    kind: &str,
    objects: &[Box<RawValue>],
    warnings: &mut Vec<String>,
) -> Vec<T> {
    let mut all = Vec::new();
    for object in objects {
        match serde_json::from_str(object.get()) {
            Ok(object) => all.push(object),
            Err(error) => warnings.push(format!("{kind} {:?}: {error}", name(object))),
        }
    }
    all
}

/// The name of an object that may not be readable in all else.
pub(super) fn name(object: &RawValue) -> String {
    #[derive(Default, Deserialize)]
    struct Named {
        metadata: Metadata,
    }
    #[derive(Default, Deserialize)]
    struct Metadata {
        name: String,
    }
    let named: Named = serde_json::from_str(object.get()).unwrap_or_default();
    named.metadata.name
}

#[cfg(test)]
mod tests {
    use podfence_plan::seccomp_default::Node;
    use serde_json::value::RawValue;

    use super::{Page, decoded};

    #[test]
    fn one_that_cannot_be_read_takes_no_other_away() {
        let page = r#"{ "metadata": {}, "items": [
            { "metadata": { "name": "a", "uid": "a" } },
            { "metadata": { "name": "b", "uid": 1 } },
            { "metadata": { "uid": "c" } },
            "nothing",
            { "metadata": { "name": "e", "uid": "e" } }
        ] }"#;
        let page: Page = serde_json::from_str(page).expect("a page");
        let items: Vec<Box<RawValue>> = page.items.expect("items");
        let mut warnings = Vec::new();
        let nodes: Vec<Node> = decoded("Node", &items, &mut warnings);
        let names: Vec<&str> = nodes.iter().map(|node| &*node.name).collect();
        assert_eq!(names, ["a", "e"]);
        assert_eq!(warnings.len(), 3);
        let [b, ..] = &*warnings else {
            unreachable!("there are three");
        };
        assert!(b.starts_with("Node \"b\": "), "{b}");
        let empty: Page = serde_json::from_str(r#"{ "items": null }"#).expect("a page");
        assert!(empty.items.is_none());
    }
}
