//! The fault proxy in front of a real API server: what passes, what is held, what is lost. One lab,
//! many proxies.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a case that panics fails, and says where"
)]

use std::{pin::pin, process::ExitCode, time::Duration};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::ConfigMap};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use podfence_e2e::{
    eventually,
    fault_proxy::{FaultProxy, Moment, Refusal},
    harness::{Case, Shared, Stage, tell},
    lab::{AuditMark, Lab},
};
use serde_json::json;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(30);
/// As long as a test waits for something that must not happen.
const SHORT: Duration = Duration::from_millis(300);

/// A lab with one namespace and one account for each case.
struct Shop {
    lab: Lab,
}

impl Stage for Shop {
    async fn build() -> anyhow::Result<Self> {
        let lab = Lab::builder()
            .without_controller_manager()
            .without_scheduler()
            .start()
            .await?;
        Ok(Self { lab })
    }

    async fn strike(self) -> anyhow::Result<()> {
        self.lab.stop().await
    }
}

impl Shop {
    /// A proxy, and a client behind it with the rights of an administrator in a namespace of its
    /// own.
    async fn proxied(&self, namespace: &str) -> anyhow::Result<(FaultProxy, Client)> {
        let binding = [
            "create",
            "rolebinding",
            "clerk",
            "--clusterrole=cluster-admin",
        ];
        let account = format!("--serviceaccount={namespace}:clerk");
        let namespaced = ["--namespace", namespace];
        self.lab
            .kubectl(&["create", "namespace", namespace])
            .await?;
        let clerk = ["create", "serviceaccount", "clerk"];
        self.lab
            .kubectl(&[&clerk[..], &namespaced].concat())
            .await?;
        self.lab
            .kubectl(&[&binding[..], &namespaced, &[&account]].concat())
            .await?;
        let proxy = FaultProxy::start(&self.lab).await?;
        let kubeconfig = proxy
            .service_account_kubeconfig(&self.lab, namespace, "clerk")
            .await?;
        let options = KubeConfigOptions::default();
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        config.default_retry = false;
        namespace.clone_into(&mut config.default_namespace);
        Ok((proxy, Client::try_from(config)?))
    }

    /// What is stored, seen without the proxy.
    async fn stored(&self, namespace: &str) -> anyhow::Result<Vec<String>> {
        let maps: Api<ConfigMap> = Api::namespaced(self.lab.client(), namespace);
        let maps = maps.list(&ListParams::default()).await?;
        Ok(maps.items.iter().map(ResourceExt::name_any).collect())
    }
}

async fn create(client: &Client, name: &str) -> kube::Result<ConfigMap> {
    let map = ConfigMap {
        metadata: named(name),
        ..ConfigMap::default()
    };
    Api::default_namespaced(client.clone())
        .create(&PostParams::default(), &map)
        .await
}

/// Changes alone: bookmarks come when the server likes.
fn changes() -> WatchParams {
    WatchParams::default().disable_bookmarks()
}

fn named(name: &str) -> kube::core::ObjectMeta {
    kube::core::ObjectMeta {
        name: Some(name.to_owned()),
        ..Default::default()
    }
}

async fn requests_pass_and_writes_are_counted(shared: Shared<Shop>) -> anyhow::Result<()> {
    let shop = shared.get().await?;
    let (proxy, client) = shop.proxied("counted").await?;
    create(&client, "one").await?;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    maps.get("one").await?;
    let map = ConfigMap {
        metadata: named("dry"),
        ..ConfigMap::default()
    };
    maps.create(
        &PostParams {
            dry_run: true,
            ..PostParams::default()
        },
        &map,
    )
    .await?;
    let leases: Api<Lease> = Api::default_namespaced(client.clone());
    leases
        .create(
            &PostParams::default(),
            &Lease {
                metadata: named("l"),
                spec: None,
            },
        )
        .await?;
    maps.delete("one", &DeleteParams::default()).await?;

    let writes = proxy.writes();
    let told: Vec<_> = writes
        .iter()
        .map(|w| (w.method.as_str(), w.resource.as_str()))
        .collect();
    assert_eq!(told, [("POST", "configmaps"), ("DELETE", "configmaps")]);
    assert_eq!(
        (writes[1].namespace.as_str(), writes[1].name.as_str()),
        ("counted", "one")
    );
    assert_eq!(proxy.lease_writes(), 1);
    // The API server counts the same, and knows the user by its own token.
    let user = "system:serviceaccount:counted:clerk";
    let audited = shop.lab.audit().writes_by(user, AuditMark::START).await?;
    assert_eq!(
        audited.iter().filter(|event| !event.is_lease()).count(),
        writes.len()
    );
    Ok(())
}

async fn a_write_trapped_before_forwarding_never_happens(
    shared: Shared<Shop>,
) -> anyhow::Result<()> {
    let shop = shared.get().await?;
    let (proxy, client) = shop.proxied("before").await?;
    let mut trap = proxy.trap(2, Moment::BeforeForwarding);
    create(&client, "one").await?;
    let second = tokio::spawn({
        let client = client.clone();
        async move { create(&client, "two").await }
    });
    assert_eq!(trap.sprung(LONG).await?.resource, "configmaps");
    // Frozen: nothing else of this client gets through either.
    assert!(timeout(SHORT, create(&client, "three")).await.is_err());
    assert!(timeout(SHORT, client.apiserver_version()).await.is_err());
    assert!(!second.is_finished());
    drop(trap);
    assert!(
        second.await?.is_err(),
        "it must not learn that the write succeeded"
    );
    assert_eq!(shop.stored("before").await?, ["one"]);
    create(&client, "four").await?;
    assert_eq!(shop.stored("before").await?, ["four", "one"]);
    Ok(())
}

async fn a_write_trapped_after_the_commit_has_happened(shared: Shared<Shop>) -> anyhow::Result<()> {
    let shop = shared.get().await?;
    let (proxy, client) = shop.proxied("after").await?;
    let mut trap = proxy.trap(1, Moment::AfterCommit);
    let first = tokio::spawn({
        let client = client.clone();
        async move { create(&client, "one").await }
    });
    trap.sprung(LONG).await?;
    assert_eq!(shop.stored("after").await?, ["one"]);
    assert!(timeout(SHORT, create(&client, "two")).await.is_err());
    assert!(!first.is_finished());
    drop(trap);
    assert!(first.await?.is_err(), "the answer is lost");
    let again = create(&client, "one").await.unwrap_err();
    assert!(matches!(again, kube::Error::Api(status) if status.is_already_exists()));
    assert_eq!(shop.stored("after").await?, ["one"]);
    Ok(())
}

async fn a_trap_that_does_not_spring_says_so(shared: Shared<Shop>) -> anyhow::Result<()> {
    let shop = shared.get().await?;
    let (proxy, client) = shop.proxied("patient").await?;
    let mut trap = proxy.trap(2, Moment::AfterCommit);
    create(&client, "one").await?;
    let error = trap.sprung(SHORT).await.unwrap_err();
    assert!(
        error.to_string().contains("1 came in since the start"),
        "{error}"
    );
    Ok(())
}

async fn chosen_requests_are_refused_so_many_times(shared: Shared<Shop>) -> anyhow::Result<()> {
    let shop = shared.get().await?;
    let (proxy, client) = shop.proxied("refused").await?;
    let refusal = Refusal {
        retry_after_seconds: Some(5),
        times: 2,
        ..Refusal::new(429, "TooManyRequests")
    };
    proxy.refuse(refusal, |request| {
        request.is_write() && request.resource == "configmaps"
    });
    client.apiserver_version().await?;
    for name in ["one", "two"] {
        let error = create(&client, name).await.unwrap_err();
        assert!(
            matches!(&error, kube::Error::Api(s) if s.code == 429),
            "{error}"
        );
    }
    create(&client, "three").await?;
    assert_eq!(shop.stored("refused").await?, ["three"]);

    proxy.refuse(Refusal::new(503, "ServiceUnavailable"), |request| {
        request.is_list()
    });
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let error = maps.list(&ListParams::default()).await.unwrap_err();
    assert!(
        error.to_string().contains("refused by the fault proxy"),
        "{error}"
    );
    maps.list(&ListParams::default()).await?;
    Ok(())
}

async fn watches_pass_are_held_and_go_on(shared: Shared<Shop>) -> anyhow::Result<()> {
    let shop = shared.get().await?;
    let (proxy, client) = shop.proxied("watched").await?;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let mut events = pin!(maps.watch(&changes(), "0").await?);
    create(&client, "one").await?;
    let event = timeout(LONG, events.try_next()).await??;
    assert!(
        matches!(&event, Some(WatchEvent::Added(map)) if map.name_any() == "one"),
        "{event:?}"
    );

    let held = proxy.hold_watches("configmaps");
    create(&client, "two").await?;
    assert!(timeout(SHORT, events.try_next()).await.is_err());
    drop(held);
    let event = timeout(LONG, events.try_next()).await??;
    assert!(
        matches!(&event, Some(WatchEvent::Added(map)) if map.name_any() == "two"),
        "{event:?}"
    );
    Ok(())
}

async fn a_watch_expires_as_the_api_server_lets_it(shared: Shared<Shop>) -> anyhow::Result<()> {
    let shop = shared.get().await?;
    let (proxy, client) = shop.proxied("expired").await?;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    create(&client, "one").await?;
    let mut events = pin!(maps.watch(&changes(), "0").await?);
    timeout(LONG, events.try_next())
        .await??
        .context("no event")?;
    proxy.expire_watches("secrets");
    assert!(
        timeout(SHORT, events.try_next()).await.is_err(),
        "another resource's"
    );
    proxy.expire_watches("configmaps");
    let event = timeout(LONG, events.try_next()).await??;
    assert!(
        matches!(&event, Some(WatchEvent::Error(status)) if status.code == 410),
        "{event:?}"
    );
    assert!(
        timeout(LONG, events.next()).await?.is_none(),
        "the stream ends"
    );
    // The next watch is not affected.
    let mut events = pin!(maps.watch(&changes(), "0").await?);
    let event = timeout(LONG, events.try_next()).await??;
    assert!(matches!(&event, Some(WatchEvent::Added(_))), "{event:?}");
    Ok(())
}

async fn connections_are_cut_and_new_ones_work(shared: Shared<Shop>) -> anyhow::Result<()> {
    let shop = shared.get().await?;
    let (proxy, client) = shop.proxied("cut").await?;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let version = maps
        .list(&ListParams::default())
        .await?
        .metadata
        .resource_version;
    let mut events = pin!(maps.watch(&changes(), &version.unwrap_or_default()).await?);
    assert!(timeout(SHORT, events.next()).await.is_err());
    proxy.cut_connections();
    let end = timeout(LONG, events.next()).await?;
    assert!(
        matches!(end, Some(Err(_))),
        "a reset is not an orderly end: {end:?}"
    );
    eventually(LONG, async || Ok(client.apiserver_version().await?)).await?;
    let mut events = pin!(maps.watch(&changes(), "0").await?);
    create(&client, "one").await?;
    let event = timeout(LONG, events.try_next()).await??;
    assert!(matches!(&event, Some(WatchEvent::Added(_))), "{event:?}");
    Ok(())
}

async fn large_answers_pass_unchanged(shared: Shared<Shop>) -> anyhow::Result<()> {
    let shop = shared.get().await?;
    let (_proxy, client) = shop.proxied("large").await?;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let value = "x".repeat(900_000);
    for name in ["one", "two"] {
        let map = json!({ "metadata": { "name": name }, "data": { "key": value } });
        maps.create(&PostParams::default(), &serde_json::from_value(map)?)
            .await?;
    }
    for map in maps.list(&ListParams::default()).await? {
        let data = map.data.context("no data")?;
        ensure!(data.get("key") == Some(&value), "{} bytes", data.len());
    }
    Ok(())
}

fn main() -> ExitCode {
    tell(vec![
        Case::new(requests_pass_and_writes_are_counted),
        Case::new(a_write_trapped_before_forwarding_never_happens),
        Case::new(a_write_trapped_after_the_commit_has_happened),
        Case::new(a_trap_that_does_not_spring_says_so),
        Case::new(chosen_requests_are_refused_so_many_times),
        Case::new(watches_pass_are_held_and_go_on),
        Case::new(a_watch_expires_as_the_api_server_lets_it),
        Case::new(connections_are_cut_and_new_ones_work),
        Case::new(large_answers_pass_unchanged),
    ])
}
