//! The lab itself: it starts, several at once, and nothing of it is left whatever ends it.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    authentication::v1::SelfSubjectReview,
    core::v1::{Namespace, Pod},
};
use kube::{Api, Client, api::PostParams};
use podfence_e2e::{eventually, lab::Lab};

const LONG: Duration = Duration::from_secs(60);

fn runs(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

async fn user_name(client: Client) -> String {
    let review = Api::<SelfSubjectReview>::all(client)
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .unwrap();
    review.status.unwrap().user_info.unwrap().username.unwrap()
}

#[tokio::test]
async fn accounts_kubectl_and_controllers_work() {
    let lab = Lab::start().await.unwrap();
    assert_eq!(
        lab.client().apiserver_version().await.unwrap().git_version,
        "v1.37.2"
    );
    assert_eq!(user_name(lab.client()).await, "lab-admin");

    lab.kubectl(&["create", "namespace", "shop"]).await.unwrap();
    lab.kubectl(&["create", "serviceaccount", "clerk", "--namespace=shop"])
        .await
        .unwrap();
    let token = lab.service_account_token("shop", "clerk").await.unwrap();
    let clerk = lab.client_as_token(&token).await.unwrap();
    assert_eq!(
        user_name(clerk.clone()).await,
        "system:serviceaccount:shop:clerk"
    );
    let refused = Api::<Namespace>::all(clerk)
        .list(&Default::default())
        .await
        .unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.is_forbidden()));
    let kubeconfig = lab
        .service_account_kubeconfig("shop", "clerk")
        .await
        .unwrap();
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let whoami = [
        &kubeconfig,
        "auth",
        "whoami",
        "-o=jsonpath={.status.userInfo.username}",
    ];
    assert_eq!(
        lab.kubectl(&whoami).await.unwrap().stdout,
        "system:serviceaccount:shop:clerk"
    );
    let missing = lab
        .service_account_token("shop", "nobody")
        .await
        .unwrap_err();
    assert!(
        format!("{missing:#}").contains("serviceaccounts \"nobody\" not found"),
        "{missing:#}"
    );

    // The controller manager makes the pods, and the scheduler says that there is no node.
    let deployment = [
        "create",
        "deployment",
        "till",
        "--image=till",
        "--namespace=shop",
    ];
    lab.kubectl(&deployment).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(lab.client(), "shop");
    eventually(LONG, async || {
        let pods = pods.list(&Default::default()).await?.items;
        let pod = pods.first().context("there is no pod")?;
        let conditions = pod
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_ref());
        let scheduled = conditions
            .into_iter()
            .flatten()
            .find(|c| c.type_ == "PodScheduled");
        ensure!(
            scheduled.is_some_and(|c| c.status == "False"),
            "its conditions are {conditions:?}"
        );
        Ok(())
    })
    .await
    .unwrap();
    lab.kubectl(&["delete", "namespace", "shop", "--timeout=60s"])
        .await
        .unwrap();

    let (folder, pids) = (lab.folder().to_owned(), lab.process_ids().await);
    assert_eq!(pids.len(), 4);
    lab.stop().await.unwrap();
    assert!(!folder.exists());
    assert!(!pids.iter().any(|pid| runs(*pid)));
}
