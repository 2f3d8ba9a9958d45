//! What a lab can be told before it starts. Pure.

use super::{Lab, binaries::KubernetesVersion};

/// The account under which `config/default` runs the operator.
const OPERATOR: &str = "system:serviceaccount:podfence-system:podfence-operator";

/// A level and a version of the Pod Security Standards, as written into the API server's
/// configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSecurityDefault {
    /// `privileged`, `baseline` or `restricted`.
    pub level: String,
    /// `latest` or `v1.N`.
    pub version: String,
}

impl PodSecurityDefault {
    /// A level at a version.
    #[must_use]
    pub fn new(level: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            level: level.into(),
            version: version.into(),
        }
    }
}

/// What Pod Security admission never looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodSecurityExemptions {
    /// Requests of these users.
    pub usernames: Vec<String>,
    /// Pods with these runtime classes.
    pub runtime_classes: Vec<String>,
    /// Everything in these namespaces.
    pub namespaces: Vec<String>,
}

/// The cluster-wide defaults and exemptions of Pod Security admission.
///
/// The default is the API server's own: privileged, latest, nothing exempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSecurityConfiguration {
    /// Of namespaces without an enforce label.
    pub enforce: PodSecurityDefault,
    /// Of namespaces without an audit label.
    pub audit: PodSecurityDefault,
    /// Of namespaces without a warn label.
    pub warn: PodSecurityDefault,
    /// What is exempt from all three.
    pub exemptions: PodSecurityExemptions,
}

impl Default for PodSecurityConfiguration {
    fn default() -> Self {
        let privileged = PodSecurityDefault::new("privileged", "latest");
        Self {
            enforce: privileged.clone(),
            audit: privileged.clone(),
            warn: privileged,
            exemptions: PodSecurityExemptions::default(),
        }
    }
}

/// Options of a lab, each with the value that most stories want.
#[derive(Debug, Clone)]
#[must_use = "a lab is started with start()"]
pub struct LabBuilder {
    pub(super) version: KubernetesVersion,
    pub(super) pod_security: PodSecurityConfiguration,
    pub(super) audited_users: Vec<String>,
    pub(super) controller_manager: bool,
    pub(super) scheduler: bool,
    pub(super) apiserver_arguments: Vec<String>,
    pub(super) controller_manager_arguments: Vec<String>,
    pub(super) etcd_arguments: Vec<String>,
}

impl Default for LabBuilder {
    fn default() -> Self {
        Self {
            version: KubernetesVersion::default(),
            pod_security: PodSecurityConfiguration::default(),
            audited_users: vec![OPERATOR.to_owned()],
            controller_manager: true,
            scheduler: true,
            apiserver_arguments: Vec::new(),
            controller_manager_arguments: Vec::new(),
            etcd_arguments: Vec::new(),
        }
    }
}

impl LabBuilder {
    /// Runs another release; see [`KubernetesVersion`] for what then does not run.
    pub fn kubernetes(mut self, version: KubernetesVersion) -> Self {
        self.version = version;
        self
    }

    /// Makes the API server behave as an older one, for example `1.36`.
    pub fn emulated_version(self, version: &str) -> Self {
        self.apiserver_argument(format!("--emulated-version={version}"))
    }

    /// Sets the cluster's defaults and exemptions of Pod Security admission.
    pub fn pod_security(mut self, configuration: PodSecurityConfiguration) -> Self {
        self.pod_security = configuration;
        self
    }

    /// Records whole requests and answers of one more user in the audit log; without any it is the
    /// operator of `config/default`.
    pub fn audited_user(mut self, user: impl Into<String>) -> Self {
        self.audited_users.push(user.into());
        self
    }

    /// Runs without controllers: no default service accounts, no pods of workloads, no namespace
    /// ever goes.
    pub fn without_controller_manager(mut self) -> Self {
        self.controller_manager = false;
        self
    }

    /// Runs without a scheduler; pods stay as they were created.
    pub fn without_scheduler(mut self) -> Self {
        self.scheduler = false;
        self
    }

    /// Adds an argument of the API server; it comes last and wins.
    pub fn apiserver_argument(mut self, argument: impl Into<String>) -> Self {
        self.apiserver_arguments.push(argument.into());
        self
    }

    /// Adds an argument of the controller manager; it comes last and wins.
    pub fn controller_manager_argument(mut self, argument: impl Into<String>) -> Self {
        self.controller_manager_arguments.push(argument.into());
        self
    }

    /// Adds an argument of etcd, for example `--quota-backend-bytes=16777216`.
    pub fn etcd_argument(mut self, argument: impl Into<String>) -> Self {
        self.etcd_arguments.push(argument.into());
        self
    }

    /// Starts the lab; see [`Lab::start`].
    ///
    /// # Errors
    ///
    /// As [`Lab::start`].
    pub async fn start(self) -> anyhow::Result<Lab> {
        Lab::from_builder(&self).await
    }
}
