//! What one request to the API server is about, read from its method and address. Pure.

use http::{Method, Uri};

/// Groups whose objects are questions: creating one stores nothing.
const REVIEW_GROUPS: [&str; 2] = ["authentication.k8s.io", "authorization.k8s.io"];

/// A request as the proxy understands it; what does not apply is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxiedRequest {
    /// The HTTP method.
    pub method: Method,
    /// The API group, empty for the core group.
    pub group: String,
    /// The plural, `namespaces`; empty for what is no resource, such as `/version`.
    pub resource: String,
    /// The namespace of a namespaced object.
    pub namespace: String,
    /// The name; empty for lists and creations.
    pub name: String,
    /// `status`, `finalize`, `token`, ...
    pub subresource: String,
    query: String,
}

impl ProxiedRequest {
    pub(super) fn new(method: &Method, uri: &Uri) -> Self {
        let path: Vec<&str> = uri
            .path()
            .split('/')
            .filter(|part| !part.is_empty())
            .collect();
        let (group, path) = match *path.as_slice() {
            ["api", _version, ref rest @ ..] => ("", rest),
            ["apis", group, _version, ref rest @ ..] => (group, rest),
            _ => ("", &[][..]),
        };
        let (namespace, path) = match *path {
            // The two subresources that namespaces themselves have.
            ["namespaces", _, "status" | "finalize"] => ("", path),
            ["namespaces", namespace, ref rest @ ..] if !rest.is_empty() => (namespace, rest),
            _ => ("", path),
        };
        let part = |index: usize| path.get(index).copied().unwrap_or_default().to_owned();
        Self {
            method: method.clone(),
            group: group.to_owned(),
            resource: part(0),
            namespace: namespace.to_owned(),
            name: part(1),
            subresource: part(2),
            query: uri.query().unwrap_or_default().to_owned(),
        }
    }

    /// Whether it changes something that is stored. Dry runs do not, nor do reviews and requests
    /// for tokens.
    #[must_use]
    pub fn is_write(&self) -> bool {
        let changes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        changes.contains(&self.method)
            && self.parameter("dryRun").is_none_or(|value| value != "All")
            && self.subresource != "token"
            && !REVIEW_GROUPS.contains(&self.group.as_str())
    }

    /// Whether it is about a Lease.
    #[must_use]
    pub fn is_lease(&self) -> bool {
        self.resource == "leases" && self.group == "coordination.k8s.io"
    }

    /// Whether the answer is a stream of changes.
    #[must_use]
    pub fn is_watch(&self) -> bool {
        self.parameter("watch")
            .is_some_and(|value| value == "true" || value == "1")
    }

    /// Whether it asks for all objects of a resource, or for one page of them.
    #[must_use]
    pub fn is_list(&self) -> bool {
        let asks = self.method == Method::GET && !self.resource.is_empty();
        asks && self.name.is_empty() && !self.is_watch()
    }

    /// One parameter of the query, decoded.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &Method, address: &str) -> ProxiedRequest {
        ProxiedRequest::new(method, &address.parse().unwrap())
    }

    #[test]
    fn addresses_are_understood() {
        let table = [
            // address, group, resource, namespace, name, subresource
            ("/version", "", "", "", "", ""),
            ("/", "", "", "", "", ""),
            ("/api/v1", "", "", "", "", ""),
            ("/api/v1/namespaces", "", "namespaces", "", "", ""),
            ("/api/v1/namespaces/shop", "", "namespaces", "", "shop", ""),
            (
                "/api/v1/namespaces/shop/status",
                "",
                "namespaces",
                "",
                "shop",
                "status",
            ),
            (
                "/api/v1/namespaces/shop/finalize",
                "",
                "namespaces",
                "",
                "shop",
                "finalize",
            ),
            ("/api/v1/namespaces/shop/pods", "", "pods", "shop", "", ""),
            (
                "/api/v1/namespaces/shop/pods/till",
                "",
                "pods",
                "shop",
                "till",
                "",
            ),
            ("/api/v1/pods?limit=500", "", "pods", "", "", ""),
            (
                "/apis/apps/v1/deployments",
                "apps",
                "deployments",
                "",
                "",
                "",
            ),
            (
                "/apis/podfence.dev/v1alpha1/namespacepolicies/all/status?fieldManager=podfence",
                "podfence.dev",
                "namespacepolicies",
                "",
                "all",
                "status",
            ),
            (
                "/apis/coordination.k8s.io/v1/namespaces/podfence-system/leases/podfence",
                "coordination.k8s.io",
                "leases",
                "podfence-system",
                "podfence",
                "",
            ),
        ];
        for (address, group, resource, namespace, name, subresource) in table {
            let got = request(&Method::GET, address);
            assert_eq!(
                [
                    got.group,
                    got.resource,
                    got.namespace,
                    got.name,
                    got.subresource
                ],
                [group, resource, namespace, name, subresource],
                "{address}"
            );
        }
    }

    #[test]
    fn writes_are_told_from_what_only_looks_like_one() {
        let namespace = "/api/v1/namespaces/shop";
        let table = [
            (Method::GET, namespace, false),
            (Method::PATCH, namespace, true),
            (Method::PUT, namespace, true),
            (Method::DELETE, namespace, true),
            (Method::POST, "/api/v1/namespaces", true),
            (
                Method::PATCH,
                "/api/v1/namespaces/shop?dryRun=All&fieldManager=podfence",
                false,
            ),
            (
                Method::PATCH,
                "/api/v1/namespaces/shop?fieldManager=dryRun%3DAll",
                true,
            ),
            (
                Method::POST,
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                false,
            ),
            (
                Method::POST,
                "/apis/authentication.k8s.io/v1/tokenreviews",
                false,
            ),
            (
                Method::POST,
                "/api/v1/namespaces/a/serviceaccounts/b/token",
                false,
            ),
        ];
        for (method, address, want) in table {
            assert_eq!(
                request(&method, address).is_write(),
                want,
                "{method} {address}"
            );
        }
    }

    #[test]
    fn lists_and_watches_are_told_apart() {
        let table = [
            ("/api/v1/namespaces", true, false),
            (
                "/api/v1/namespaces?watch=true&resourceVersion=5",
                false,
                true,
            ),
            ("/api/v1/namespaces?watch=1", false, true),
            ("/api/v1/namespaces?watch=false", true, false),
            ("/api/v1/namespaces/shop", false, false),
            ("/version", false, false),
        ];
        for (address, list, watch) in table {
            let got = request(&Method::GET, address);
            assert_eq!((got.is_list(), got.is_watch()), (list, watch), "{address}");
        }
    }
}
