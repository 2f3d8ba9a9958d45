//! All processes of one lab, planned together and started in an order that wastes no time. Starts
//! processes.

use super::{
    apiserver::{self, ApiServer},
    binaries::{Binaries, KubernetesVersion},
    builder::LabBuilder,
    controller_manager::ControllerManager,
    credentials::Credentials,
    etcd::Etcd,
    folder::Folder,
    process::Process,
    scheduler::Scheduler,
};

/// Addresses, files and arguments, all known before anything runs. It keeps the ports reserved.
pub(super) struct Plan {
    pub(super) etcd: Etcd,
    pub(super) apiserver: ApiServer,
    pub(super) controller_manager: Option<ControllerManager>,
    pub(super) scheduler: Option<Scheduler>,
}

/// What runs once a plan is carried out.
pub(super) struct Processes {
    pub(super) etcd: Process,
    pub(super) apiserver: Process,
    pub(super) controller_manager: Option<Process>,
    pub(super) scheduler: Option<Process>,
}

impl Plan {
    pub(super) fn new(
        options: &LabBuilder,
        binaries: &Binaries,
        folder: &Folder,
        credentials: &Credentials,
    ) -> anyhow::Result<Self> {
        let etcd = Etcd::plan(&binaries.etcd, folder, &options.etcd_arguments)?;
        let apiserver = ApiServer::plan(&apiserver::Parts {
            executable: &binaries.kube_apiserver,
            folder,
            credentials,
            etcd_url: &etcd.url(),
            pod_security: &options.pod_security,
            audited_users: &options.audited_users,
            extra_arguments: &options.apiserver_arguments,
        })?;
        let url = apiserver.url();
        // The newest controllers wait for kinds that an older API server lacks.
        let controllers = options.version == KubernetesVersion::default();
        let controller_manager = (controllers && options.controller_manager)
            .then(|| {
                let (program, arguments) = (
                    &binaries.kube_controller_manager,
                    &options.controller_manager_arguments,
                );
                ControllerManager::plan(program, folder, credentials, &url, arguments)
            })
            .transpose()?;
        let scheduler = (controllers && options.scheduler)
            .then(|| Scheduler::plan(&binaries.kube_scheduler, folder, credentials, &url))
            .transpose()?;
        Ok(Self {
            etcd,
            apiserver,
            controller_manager,
            scheduler,
        })
    }

    /// Returns when everything is healthy.
    pub(super) async fn start(&self) -> anyhow::Result<Processes> {
        // The API server waits for etcd by itself.
        let (etcd, apiserver) = tokio::try_join!(self.etcd.start(), self.apiserver.start())?;
        let (controller_manager, scheduler) = tokio::try_join!(
            async {
                match &self.controller_manager {
                    Some(plan) => plan.start().await.map(Some),
                    None => Ok(None),
                }
            },
            async {
                match &self.scheduler {
                    Some(plan) => plan.start().await.map(Some),
                    None => Ok(None),
                }
            },
        )?;
        Ok(Processes {
            etcd,
            apiserver,
            controller_manager,
            scheduler,
        })
    }
}
