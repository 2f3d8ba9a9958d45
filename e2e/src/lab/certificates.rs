//! Certificates and keys of one lab, made anew for each. Pure but for the random numbers.

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// A certificate with its private key, both as PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate alone; the authority that signed it is [`Authority::certificate`].
    pub certificate: String,
    /// PKCS#8.
    pub key: String,
}

/// The lab's certificate authority, trusted by every process of the lab for servers and clients
/// alike.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The key pair that signs service account tokens, both halves as PEM.
pub(super) struct TokenKeys {
    pub(super) private: String,
    pub(super) public: String,
}

impl Authority {
    pub(super) fn create() -> anyhow::Result<Self> {
        let mut parameters = named("podfence-lab", None);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)
            .context("failed to make the lab's certificate authority")?;
        Ok(Self { issuer })
    }

    /// The authority's own certificate, as PEM.
    #[must_use]
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// The authority's own certificate, as DER.
    #[must_use]
    pub fn certificate_der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    /// A certificate for any server of the lab, valid for 127.0.0.1 and localhost.
    ///
    /// # Errors
    ///
    /// When the key cannot be made.
    pub fn server(&self) -> anyhow::Result<Identity> {
        let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"];
        let mut parameters = CertificateParams::new(names.map(String::from))?;
        parameters
            .distinguished_name
            .push(DnType::CommonName, "podfence-lab-server");
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&parameters)
    }

    /// A client certificate: to the API server, `user` is the name and `group` the group.
    ///
    /// # Errors
    ///
    /// When the key cannot be made.
    pub fn client(&self, user: &str, group: Option<&str>) -> anyhow::Result<Identity> {
        let mut parameters = named(user, group);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&parameters)
    }

    fn sign(&self, parameters: &CertificateParams) -> anyhow::Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

impl TokenKeys {
    pub(super) fn create() -> anyhow::Result<Self> {
        let pair = KeyPair::generate()?;
        Ok(Self {
            private: pair.serialize_pem(),
            public: pair.public_key_pem(),
        })
    }
}

/// Kubernetes reads the user from the common name and the groups from the organizations.
fn named(user: &str, group: Option<&str>) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.remove(DnType::CommonName);
    parameters.distinguished_name.push(DnType::CommonName, user);
    if let Some(group) = group {
        parameters
            .distinguished_name
            .push(DnType::OrganizationName, group);
    }
    parameters
}
