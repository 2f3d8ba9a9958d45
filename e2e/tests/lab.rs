//! The lab itself: it starts, several at once, and nothing of it is left whatever ends it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    authentication::v1::SelfSubjectReview,
    core::v1::{ConfigMap, Namespace, Pod},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use podfence_e2e::{
    eventually,
    lab::{
        AuditMark, Credential, KubernetesVersion, Lab, PodSecurityConfiguration,
        PodSecurityDefault, PodSecurityExemptions, Stop,
    },
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(60);
const CLERK: &str = "system:serviceaccount:shop:clerk";

/// The smallest lab: most tests here need an API server and nothing more.
async fn bare_lab() -> anyhow::Result<Lab> {
    Lab::builder()
        .without_controller_manager()
        .without_scheduler()
        .start()
        .await
}

async fn user_name(client: Client) -> anyhow::Result<String> {
    let review = Api::<SelfSubjectReview>::all(client)
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await?;
    let user = review
        .status
        .and_then(|status| status.user_info)
        .context("no user")?;
    user.username.context("no name")
}

/// The namespace `shop` with the account `clerk`, who may do everything.
async fn clerk(lab: &Lab) -> anyhow::Result<Client> {
    lab.kubectl(&["create", "namespace", "shop"]).await?;
    lab.kubectl(&["create", "serviceaccount", "clerk", "--namespace=shop"])
        .await?;
    let binding = [
        "create",
        "clusterrolebinding",
        "clerk",
        "--clusterrole=cluster-admin",
    ];
    lab.kubectl(&[&binding[..], &["--serviceaccount=shop:clerk"]].concat())
        .await?;
    lab.client_as_token(&lab.service_account_token("shop", "clerk").await?)
        .await
}

fn pod(namespace: &str, name: &str, privileged: bool) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": namespace },
        "spec": { "containers": [{
            "name": "main", "image": "main", "securityContext": { "privileged": privileged },
        }] },
    })
}

#[tokio::test]
async fn accounts_and_kubectl_work() -> anyhow::Result<()> {
    let lab = bare_lab().await?;
    assert_eq!(
        lab.client().apiserver_version().await?.git_version,
        "v1.37.2"
    );
    assert_eq!(user_name(lab.client()).await?, "lab-admin");

    lab.kubectl(&["create", "namespace", "shop"]).await?;
    lab.kubectl(&["create", "serviceaccount", "clerk", "--namespace=shop"])
        .await?;
    let token = lab.service_account_token("shop", "clerk").await?;
    let clerk = lab.client_as_token(&token).await?;
    assert_eq!(user_name(clerk.clone()).await?, CLERK);
    let refused = Api::<Namespace>::all(clerk)
        .list(&ListParams::default())
        .await
        .unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.is_forbidden()));

    let kubeconfig = lab.service_account_kubeconfig("shop", "clerk").await?;
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let whoami = [
        &kubeconfig,
        "auth",
        "whoami",
        "-o=jsonpath={.status.userInfo.username}",
    ];
    assert_eq!(lab.kubectl(&whoami).await?.stdout, CLERK);
    let error = lab
        .service_account_token("shop", "nobody")
        .await
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("serviceaccounts \"nobody\" not found"),
        "{error:#}"
    );
    lab.stop().await
}

#[tokio::test]
async fn controllers_and_the_scheduler_work_and_all_is_gone_after_stop() -> anyhow::Result<()> {
    let lab = Lab::start().await?;
    lab.kubectl(&["create", "namespace", "shop"]).await?;
    let deployment = [
        "create",
        "deployment",
        "till",
        "--image=till",
        "--namespace=shop",
    ];
    lab.kubectl(&deployment).await?;
    let pods: Api<Pod> = Api::namespaced(lab.client(), "shop");
    eventually(LONG, async || {
        let pods = pods.list(&ListParams::default()).await?.items;
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
            "conditions are {conditions:?}"
        );
        Ok(())
    })
    .await?;
    lab.kubectl(&["delete", "namespace", "shop", "--timeout=60s"])
        .await?;

    let folder = lab.folder().to_owned();
    let processes = lab.process_ids().await;
    assert_eq!(processes.len(), 4);
    lab.stop().await?;
    assert!(!folder.exists());
    assert_eq!(running(&processes), Vec::<u32>::new());
    Ok(())
}

#[tokio::test]
async fn two_labs_run_side_by_side_and_share_nothing() -> anyhow::Result<()> {
    let (one, other) = tokio::try_join!(bare_lab(), bare_lab())?;
    one.kubectl(&["create", "namespace", "shop"]).await?;
    let shop = Api::<Namespace>::all(other.client())
        .get_opt("shop")
        .await?;
    assert!(shop.is_none());
    // The other lab's authority is not trusted.
    let token = one.service_account_token("default", "default").await;
    assert!(
        token.is_err(),
        "there is no controller that makes this account"
    );
    let crossed = other.kubeconfig_for(
        &one.url(),
        &Credential::Token("of no use, the connection fails before"),
    )?;
    let crossed = format!("--kubeconfig={}", crossed.display());
    let error = other
        .kubectl(&[&crossed, "get", "namespaces"])
        .await
        .unwrap_err();
    assert!(format!("{error:#}").contains("x509"), "{error:#}");
    one.stop().await?;
    other.client().apiserver_version().await?;
    other.stop().await
}

#[tokio::test]
async fn a_new_namespace_is_ready_for_pods() -> anyhow::Result<()> {
    let lab = Lab::builder().without_scheduler().start().await?;
    for number in 0..5 {
        let namespace = json!({ "metadata": { "name": format!("shop-{number}") } });
        let namespace = lab
            .create_namespace(&serde_json::from_value(namespace)?)
            .await?;
        lab.accepts(&pod(&namespace.name_any(), "till", true))
            .await?;
    }
    lab.stop().await
}

#[tokio::test]
async fn objects_are_accepted_and_rejected_without_being_stored() -> anyhow::Result<()> {
    let lab = bare_lab().await?;
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "map", "namespace": "default" }, "data": { "key": "value" },
    });
    let stored = lab.accepts(&map).await?;
    assert!(
        stored.metadata.uid.is_some(),
        "not the server's answer: {stored:?}"
    );
    assert!(
        Api::<ConfigMap>::namespaced(lab.client(), "default")
            .get_opt("map")
            .await?
            .is_none()
    );
    let error = lab.rejects(&map).await.unwrap_err();
    assert!(error.to_string().starts_with("accepted: "), "{error:#}");

    let mut wrong = map;
    wrong["metadata"]["name"] = json!("Map");
    let message = lab.rejects(&wrong).await?;
    assert!(
        message.contains("metadata.name: Invalid value: \"Map\""),
        "{message}"
    );
    assert!(lab.accepts(&wrong).await.is_err());
    lab.stop().await
}

#[tokio::test]
async fn pod_security_defaults_and_exemptions_are_what_the_lab_is_told() -> anyhow::Result<()> {
    let restricted = PodSecurityConfiguration {
        enforce: PodSecurityDefault::new("baseline", "v1.30"),
        exemptions: PodSecurityExemptions {
            namespaces: vec!["exempt".into()],
            ..PodSecurityExemptions::default()
        },
        ..PodSecurityConfiguration::default()
    };
    let lab = Lab::builder()
        .pod_security(restricted)
        .without_scheduler()
        .emulated_version("1.36")
        .start()
        .await?;
    for name in ["shop", "exempt"] {
        let namespace = json!({ "metadata": { "name": name } });
        lab.create_namespace(&serde_json::from_value(namespace)?)
            .await?;
    }
    let message = lab.rejects(&pod("shop", "till", true)).await?;
    assert!(
        message.contains("violates PodSecurity \"baseline:v1.30\""),
        "{message}"
    );
    lab.accepts(&pod("shop", "till", false)).await?;
    lab.accepts(&pod("exempt", "till", true)).await?;
    let version = lab.kubectl(&["get", "--raw", "/version"]).await?.stdout;
    let version: Value = serde_json::from_str(&version)?;
    assert_eq!(
        (&version["minor"], &version["emulationMinor"]),
        (&json!("37"), &json!("36"))
    );
    lab.stop().await
}

#[tokio::test]
async fn the_audit_log_tells_every_write_of_one_user() -> anyhow::Result<()> {
    let lab = Lab::builder()
        .audited_user(CLERK)
        .without_controller_manager()
        .without_scheduler()
        .start()
        .await?;
    let clerk: Api<Namespace> = Api::all(clerk(&lab).await?);
    let audit = lab.audit();
    assert!(audit.writes_by(CLERK, AuditMark::START).await?.is_empty());

    let label = |level: &str| {
        Patch::Apply(json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "labels": { "level": level } },
        }))
    };
    let parameters = PatchParams::apply("podfence");
    let dry_run = PatchParams {
        dry_run: true,
        ..parameters.clone()
    };
    clerk.patch("shop", &dry_run, &label("one")).await?;
    clerk
        .patch("shop", &parameters.clone().force(), &label("two"))
        .await?;
    // Somebody else's, and a read: neither is a write of the clerk's.
    lab.kubectl(&["label", "namespace", "shop", "level=three", "--overwrite"])
        .await?;
    clerk.get("shop").await?;
    let conflict = clerk
        .patch("shop", &parameters, &label("four"))
        .await
        .unwrap_err();
    assert!(matches!(conflict, kube::Error::Api(status) if status.code == 409));
    let mark = audit.mark().await?;
    clerk.delete("shop", &DeleteParams::default()).await?;

    let writes = audit.writes_by(CLERK, AuditMark::START).await?;
    let told: Vec<_> = writes
        .iter()
        .map(|w| (w.verb.as_str(), w.response_status.code))
        .collect();
    assert_eq!(told, [("patch", 200), ("patch", 409), ("delete", 200)]);
    let forced = &writes[0];
    assert!(forced.is_about("namespaces", "shop") && forced.is_forced() && forced.succeeded());
    assert_eq!(forced.field_manager().as_deref(), Some("podfence"));
    assert_eq!(
        forced.request_object.as_ref().unwrap()["metadata"]["labels"]["level"],
        "two"
    );
    assert!(forced.response_object.as_ref().unwrap()["metadata"]["resourceVersion"].is_string());
    assert!(forced.request_received_timestamp <= forced.stage_timestamp);
    assert!(!writes[1].is_forced() && !writes[1].succeeded());
    assert_eq!(writes[1].response_status.reason, "Conflict");

    let later = audit.writes_by(CLERK, mark).await?;
    assert_eq!(
        later.iter().map(|w| w.verb.as_str()).collect::<Vec<_>>(),
        ["delete"]
    );
    // Of others only the fact is recorded, and dry runs are there for who asks for them.
    let all = audit.since(AuditMark::START).await?;
    assert!(
        all.iter()
            .any(|e| e.user.username == CLERK && e.is_dry_run())
    );
    let label = all
        .iter()
        .find(|e| e.user.username == "lab-admin" && e.verb == "patch")
        .unwrap();
    assert!(label.request_object.is_none() && label.user_agent.starts_with("kubectl"));
    lab.stop().await
}

#[tokio::test]
async fn the_api_server_can_be_stopped_and_comes_back_with_its_data() -> anyhow::Result<()> {
    let lab = bare_lab().await?;
    let clerk = clerk(&lab).await?;
    for (number, how) in [Stop::Gracefully, Stop::Kill].into_iter().enumerate() {
        lab.stop_apiserver(how).await?;
        assert!(lab.client().apiserver_version().await.is_err());
        assert!(lab.stop_apiserver(how).await.is_err(), "it does not run");
        lab.start_apiserver().await?;
        assert!(lab.start_apiserver().await.is_err(), "it runs already");
        // The same address, keys and store: neither client notices more than an interruption.
        assert_eq!(user_name(clerk.clone()).await?, CLERK);
        let name = format!("after-{number}");
        lab.kubectl(&["create", "namespace", &name]).await?;
    }
    lab.restart_apiserver(Stop::Gracefully).await?;
    Api::<Namespace>::all(lab.client()).get("after-1").await?;
    let events = lab.audit().since(AuditMark::START).await?;
    for name in ["shop", "after-0", "after-1"] {
        assert!(
            events.iter().any(|e| e.is_about("namespaces", name)),
            "{name} was lost"
        );
    }
    lab.stop().await
}

#[tokio::test]
async fn etcd_can_be_paused() -> anyhow::Result<()> {
    let lab = bare_lab().await?;
    lab.etcd().signal(Signal::STOP);
    let namespaces = Api::<Namespace>::all(lab.client());
    let namespace = serde_json::from_value(json!({ "metadata": { "name": "shop" } }))?;
    let mut created =
        tokio::spawn(async move { namespaces.create(&PostParams::default(), &namespace).await });
    let answer = tokio::time::timeout(Duration::from_secs(1), &mut created).await;
    assert!(answer.is_err(), "nothing can be stored: {answer:?}");
    lab.etcd().signal(Signal::CONT);
    tokio::time::timeout(LONG, created).await???;
    lab.stop().await
}

#[tokio::test]
async fn the_older_api_server_runs_alone() -> anyhow::Result<()> {
    let lab = Lab::builder()
        .kubernetes(KubernetesVersion::V1_34)
        .start()
        .await?;
    assert_eq!(
        lab.client().apiserver_version().await?.git_version,
        "v1.34.4"
    );
    assert_eq!(lab.process_ids().await.len(), 2);
    lab.kubectl(&["create", "namespace", "shop"]).await?;
    lab.stop().await
}

#[tokio::test]
async fn an_api_server_that_cannot_start_says_why() {
    let error = Lab::builder()
        .apiserver_argument("--no-such-flag")
        .start()
        .await
        .err()
        .unwrap();
    let error = format!("{error:#}");
    assert!(
        error.contains("kube-apiserver ended with exit status: 1"),
        "{error}"
    );
    assert!(error.contains("unknown flag: --no-such-flag"), "{error}");
}

#[test]
fn a_lab_whose_story_panics_is_killed_and_its_folder_kept() {
    let (processes, folder) = std::thread::spawn(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let story = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let lab = bare_lab().await.unwrap();
                sender
                    .send((lab.process_ids().await, lab.folder().to_owned()))
                    .unwrap();
                panic!("this panic belongs to the test");
            });
        });
        assert!(story.join().is_err());
        receiver.recv().unwrap()
    })
    .join()
    .unwrap();
    assert_eq!(processes.len(), 2);
    assert_eq!(running(&processes), Vec::<u32>::new());
    assert!(folder.join("kube-apiserver.log").exists() && folder.join("audit.jsonl").exists());
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn nothing_outlives_an_owner_that_is_killed() -> anyhow::Result<()> {
    let mut owner = Owner::start()?;
    owner.signal(Signal::KILL)?;
    owner.child.wait()?;
    // The kernel kills the children, nobody here waits for them.
    eventually(LONG, async || {
        ensure!(
            running(&owner.processes).is_empty(),
            "{:?} run",
            running(&owner.processes)
        );
        Ok(())
    })
    .await?;
    // Nobody was left to remove its folder, but the next lab does.
    bare_lab().await?.stop().await?;
    assert!(!owner.folder.exists());
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_after_ctrl_c_or_sigterm() -> anyhow::Result<()> {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut owner = Owner::start()?;
        owner.signal(signal)?;
        assert_eq!(owner.child.wait()?.code(), Some(code));
        assert_eq!(running(&owner.processes), Vec::<u32>::new());
        assert!(!owner.folder.exists());
    }
    Ok(())
}

/// The command that keeps a lab up, as another process.
struct Owner {
    child: Child,
    processes: Vec<u32>,
    folder: PathBuf,
}

impl Owner {
    fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_podfence-lab"))
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let mut line = |prefix: &str| {
            let line = lines.next().context("the output ended")??;
            line.strip_prefix(prefix)
                .map(str::to_owned)
                .with_context(|| line.clone())
        };
        let kubeconfig = PathBuf::from(line("export KUBECONFIG=")?);
        line("# kubectl, if there is none: ")?;
        let processes: Vec<u32> = serde_json::from_str(&line("# processes: ")?)?;
        ensure!(
            running(&processes) == processes && processes.len() == 4,
            "{processes:?}"
        );
        let folder = kubeconfig.parent().context("no folder")?.to_owned();
        Ok(Self {
            child,
            processes,
            folder,
        })
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.child.id().try_into()?).context("no process")?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // It has ended already unless a test failed, and then it must end too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Those that run; one that has ended and that nobody waited for does not.
fn running(processes: &[u32]) -> Vec<u32> {
    let runs = |pid: &u32| {
        fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    };
    processes.iter().copied().filter(runs).collect()
}
