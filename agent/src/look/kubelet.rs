//! Asks the kubelet for its configuration, at `/configz`. Does I/O.
//!
//! The token goes to nobody whose certificate the given authority did not sign for the address that
//! is asked: without that, whoever takes the node's address or port would get it.

use std::path::Path;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster,
    NamedContext,
};
use kube::{Client, Config};
use podfence_daemon::cluster::REQUEST_TIMEOUT;
use podfence_daemon::failure::described;
use tokio::time::timeout;

use crate::args::KubeletAccess;
use crate::cluster::Node;
use crate::kubelet::{Answer, setting};

/// A kubelet's configuration has some 6,000 bytes.
const MOST_BYTES: usize = 1 << 20;

/// Where a kubelet listens unless its Node says otherwise.
const PORT: u16 = 10250;

const NAME: &str = "kubelet";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("the authority or the token cannot be read")]
    Credentials(#[source] kube::config::KubeconfigError),
    #[error("no client could be made")]
    Client(#[source] kube::Error),
    #[error("the request could not be made")]
    Request(#[source] http::Error),
    #[error("no answer")]
    Transport(#[source] kube::Error),
    #[error("the answer could not be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer in {REQUEST_TIMEOUT:?}")]
    Timeout,
}

/// Asks it.
pub async fn ask(access: &KubeletAccess, node: &Node) -> Answer {
    let own = access.address.map(|address| address.to_string());
    let Some(address) = own.or_else(|| node.address.clone()) else {
        let message = "the Node says no InternalIP; give --kubelet-address";
        return Answer::Unreachable(message.to_owned());
    };
    let port = access.port.or(node.port).unwrap_or(PORT);
    let server = server(&address, port);
    let answered = timeout(REQUEST_TIMEOUT, get(access, &server)).await;
    match answered.unwrap_or(Err(AskError::Timeout)) {
        Ok((StatusCode::OK, body)) => match setting(&body) {
            Ok(enabled) => Answer::Setting(enabled),
            Err(error) => {
                Answer::Refused(format!("{server}/configz answers something else: {error}"))
            }
        },
        Ok((status, _)) => Answer::Refused(refusal(&server, status)),
        Err(error) => Answer::Unreachable(format!(
            "{server}/configz cannot be asked: {}; the kubelet's certificate must be signed for \
             this address by an authority in {}: let the cluster sign it (serverTLSBootstrap) or \
             give --kubelet-authority",
            described(&error),
            access.authority.display()
        )),
    }
}

fn server(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("https://[{address}]:{port}")
    } else {
        format!("https://{address}:{port}")
    }
}

fn refusal(server: &str, status: StatusCode) -> String {
    let what_to_do = match status {
        StatusCode::UNAUTHORIZED => {
            "the kubelet takes no tokens: set its authentication.webhook.enabled"
        }
        StatusCode::FORBIDDEN => "the agent's account needs get on nodes/configz",
        // Before 1.33, and where the feature gate is off, this right is nodes/proxy's alone.
        _ => "see the kubelet's log",
    };
    format!("{server}/configz answers {status}; {what_to_do}")
}

async fn get(access: &KubeletAccess, server: &str) -> Result<(StatusCode, Vec<u8>), AskError> {
    // Made anew each time, so that a new authority or token counts at once, and nothing of it is
    // in memory in between.
    let config = config(access, server).await?;
    let client = Client::try_from(config).map_err(AskError::Client)?;
    let request = Request::get("/configz").body(Body::empty());
    let request = request.map_err(AskError::Request)?;
    let response = client.send(request).await.map_err(AskError::Transport)?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MOST_BYTES).collect().await;
    let body = body.map_err(AskError::Body)?.to_bytes();
    Ok((head.status, body.to_vec()))
}

async fn config(access: &KubeletAccess, server: &str) -> Result<Config, AskError> {
    let path = |path: &Path| Some(path.display().to_string());
    let kubeconfig = Kubeconfig {
        clusters: vec![NamedCluster {
            name: NAME.to_owned(),
            cluster: Some(Cluster {
                server: Some(server.to_owned()),
                certificate_authority: path(&access.authority),
                insecure_skip_tls_verify: Some(false),
                ..Cluster::default()
            }),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: NAME.to_owned(),
            auth_info: Some(AuthInfo {
                token_file: path(&access.token),
                ..AuthInfo::default()
            }),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: NAME.to_owned(),
            context: Some(Context {
                cluster: NAME.to_owned(),
                user: Some(NAME.to_owned()),
                ..Context::default()
            }),
            ..NamedContext::default()
        }],
        current_context: Some(NAME.to_owned()),
        ..Kubeconfig::default()
    };
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(AskError::Credentials)?;
    // Not through a proxy that the environment names, and without kube's minutes of retries.
    config.proxy_url = None;
    config.default_retry = false;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::{refusal, server};

    #[test]
    fn addresses_of_both_kinds_are_urls() {
        assert_eq!(server("10.0.0.1", 10250), "https://10.0.0.1:10250");
        assert_eq!(server("fd00::1", 1), "https://[fd00::1]:1");
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        for (status, want) in [
            (StatusCode::INTERNAL_SERVER_ERROR, "the kubelet's log"),
            (StatusCode::UNAUTHORIZED, "authentication.webhook.enabled"),
            (StatusCode::FORBIDDEN, "get on nodes/configz"),
        ] {
            let text = refusal("https://a:1", status);
            assert!(text.contains(want), "{text}");
        }
    }
}
