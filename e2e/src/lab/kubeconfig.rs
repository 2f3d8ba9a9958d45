//! Kubeconfig files: who talks to which server. Pure.

use std::path::Path;

use serde_json::{Value, json};

/// How the bearer of a kubeconfig proves who it is.
#[derive(Debug, Clone)]
pub enum Credential<'a> {
    /// A bearer token, as a service account has.
    Token(&'a str),
    /// A client certificate and its key, as PEM files.
    Certificate {
        /// The certificate's file.
        certificate: &'a Path,
        /// The key's file.
        key: &'a Path,
    },
}

/// The text of a kubeconfig: JSON, which is YAML.
///
/// Certificates are named by their paths, so it is of use only as long as the lab's folder exists.
pub(super) fn kubeconfig(server: &str, authority: &Path, credential: &Credential<'_>) -> Value {
    let user = match credential {
        Credential::Token(token) => json!({ "token": token }),
        Credential::Certificate { certificate, key } => {
            json!({ "client-certificate": certificate, "client-key": key })
        }
    };
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "lab",
            "cluster": { "server": server, "certificate-authority": authority },
        }],
        "users": [{ "name": "lab", "user": user }],
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
        "current-context": "lab",
    })
}
