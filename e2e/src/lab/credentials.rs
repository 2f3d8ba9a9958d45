//! The lab's keys and certificates as files, and the kubeconfigs made of them. Does file I/O.

use std::path::{Path, PathBuf};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::{
    certificates::{Authority, TokenKeys},
    folder::Folder,
    kubeconfig::{Credential, kubeconfig},
};

/// Everything secret of one lab.
pub(super) struct Credentials {
    authority: Authority,
    folder: PathBuf,
}

impl Credentials {
    /// Makes all keys and writes them into the lab's folder.
    pub(super) fn create(folder: &Folder) -> anyhow::Result<Self> {
        let authority = Authority::create()?;
        let token_keys = TokenKeys::create()?;
        let server = authority.server()?;
        let to_kubelets =
            authority.client("kube-apiserver-kubelet-client", Some("system:masters"))?;
        folder.write("pki/ca.crt", &authority.certificate())?;
        folder.write("pki/server.crt", &server.certificate)?;
        folder.write("pki/server.key", &server.key)?;
        folder.write("pki/to-kubelets.crt", &to_kubelets.certificate)?;
        folder.write("pki/to-kubelets.key", &to_kubelets.key)?;
        folder.write("pki/tokens.key", &token_keys.private)?;
        folder.write("pki/tokens.pub", &token_keys.public)?;
        Ok(Self {
            authority,
            folder: folder.path().join("pki"),
        })
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The authority that signed every certificate of the lab.
    pub(super) fn authority_certificate(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// One serving certificate for all servers: they differ by their ports alone.
    pub(super) fn server_certificate(&self) -> PathBuf {
        self.folder.join("server.crt")
    }

    pub(super) fn server_key(&self) -> PathBuf {
        self.folder.join("server.key")
    }

    /// Shows kubelets that it is the API server who asks.
    pub(super) fn to_kubelets_certificate(&self) -> PathBuf {
        self.folder.join("to-kubelets.crt")
    }

    pub(super) fn to_kubelets_key(&self) -> PathBuf {
        self.folder.join("to-kubelets.key")
    }

    /// Signs service account tokens.
    pub(super) fn token_private_key(&self) -> PathBuf {
        self.folder.join("tokens.key")
    }

    /// Verifies service account tokens.
    pub(super) fn token_public_key(&self) -> PathBuf {
        self.folder.join("tokens.pub")
    }

    /// Writes the kubeconfig of a user with a client certificate.
    pub(super) fn kubeconfig_of(
        &self,
        folder: &Folder,
        server: &str,
        user: &str,
        group: Option<&str>,
    ) -> anyhow::Result<PathBuf> {
        let identity = self.authority.client(user, group)?;
        let name = user.replace(':', "-");
        let certificate = folder.write(&format!("pki/{name}.crt"), &identity.certificate)?;
        let key = folder.write(&format!("pki/{name}.key"), &identity.key)?;
        let credential = Credential::Certificate {
            certificate: &certificate,
            key: &key,
        };
        self.write_kubeconfig(folder, &name, server, &credential)
    }

    /// Writes `NAME.kubeconfig` into the lab's folder.
    pub(super) fn write_kubeconfig(
        &self,
        folder: &Folder,
        name: &str,
        server: &str,
        credential: &Credential<'_>,
    ) -> anyhow::Result<PathBuf> {
        let content = kubeconfig(server, &self.authority_certificate(), credential);
        folder.write(&format!("{name}.kubeconfig"), &format!("{content:#}\n"))
    }

    /// A client that trusts the lab's authority and says nothing about itself, for health
    /// endpoints.
    pub(super) fn anonymous_client(&self, server: &str) -> anyhow::Result<Client> {
        let mut config = Config::new(server.parse()?);
        config.root_cert = Some(vec![self.authority.certificate_der()]);
        Ok(client(config)?)
    }
}

/// The client that a kubeconfig describes.
pub(super) async fn client_of(kubeconfig: &Path) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(client(config)?)
}

/// Without kube's retries: a story sees what the server answered, and when.
fn client(mut config: Config) -> kube::Result<Client> {
    config.default_retry = false;
    Client::try_from(config)
}
