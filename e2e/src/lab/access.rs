//! Ways into a lab's cluster as somebody other than its administrator. Makes requests, writes
//! kubeconfigs.

use std::{path::PathBuf, sync::atomic::Ordering};

use anyhow::Context as _;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, Client, api::PostParams};

use super::{Lab, credentials, kubeconfig::Credential};

/// Longer than any test.
const TOKEN_LIFETIME_SECONDS: i64 = 24 * 60 * 60;

impl Lab {
    /// A client with a bearer token.
    ///
    /// # Errors
    ///
    /// When the kubeconfig cannot be written or read.
    pub async fn client_as_token(&self, token: &str) -> anyhow::Result<Client> {
        let kubeconfig = self.kubeconfig_for(&self.url(), &Credential::Token(token))?;
        credentials::client_of(&kubeconfig).await
    }

    /// A client that says nothing about itself, for a proxy that passes on what its own clients
    /// say.
    ///
    /// # Errors
    ///
    /// When the lab's certificates are of no use.
    pub(crate) fn anonymous_client(&self) -> anyhow::Result<Client> {
        self.credentials.anonymous_client(&self.url())
    }

    /// A token of a service account that exists, as the kubelet would mount it; valid for a day.
    ///
    /// # Errors
    ///
    /// When the API server refuses, for example because there is no such account.
    pub async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
    ) -> anyhow::Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(TOKEN_LIFETIME_SECONDS),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| {
                format!("failed to get a token of service account {namespace}/{name}")
            })?
            .status
            .map(|status| status.token)
            .context("the API server answered a token request without a token")
    }

    /// A kubeconfig with a new token of a service account that exists, so that a program runs with
    /// exactly its rights.
    ///
    /// # Errors
    ///
    /// As [`Lab::service_account_token`].
    pub async fn service_account_kubeconfig(
        &self,
        namespace: &str,
        name: &str,
    ) -> anyhow::Result<PathBuf> {
        let token = self.service_account_token(namespace, name).await?;
        self.kubeconfig_for(&self.url(), &Credential::Token(&token))
    }

    /// A kubeconfig for any server whose certificate [`Lab::authority`] signed, such as a proxy.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn kubeconfig_for(
        &self,
        server: &str,
        credential: &Credential<'_>,
    ) -> anyhow::Result<PathBuf> {
        let number = self.kubeconfigs.fetch_add(1, Ordering::Relaxed);
        let name = format!("user-{number}");
        self.credentials
            .write_kubeconfig(&self.folder, &name, server, credential)
    }
}
