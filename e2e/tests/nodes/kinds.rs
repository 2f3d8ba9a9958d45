//! Kinds of pod that differ in what their containers are given. Pure.

use serde_json::{Value, json};

/// The profile that both nodes have in their folder, and that no runtime has.
pub(crate) const LOCAL: &str = "kinds/local.json";

/// One kind of pod, by what it has beyond one container that runs.
#[derive(Clone)]
pub(crate) struct Kind {
    /// Names the pod as well.
    pub(crate) name: &'static str,
    annotations: Value,
    /// Fields of the specification.
    fields: Value,
    /// The first container's security context.
    main: Value,
    /// A container that is added once the pod runs.
    pub(crate) ephemeral: Option<Value>,
    /// The containers that run at the same time, and are looked at.
    pub(crate) running: &'static [&'static str],
}

impl Kind {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            annotations: json!({}),
            fields: json!({}),
            main: json!({}),
            ephemeral: None,
            running: &["main"],
        }
    }

    /// With the annotation of old for a pod, or for its first container.
    fn annotated(mut self, key: &str, value: &str) -> Self {
        self.annotations[key] = json!(value);
        self
    }

    /// With this security context of the pod.
    fn pod(self, context: Value) -> Self {
        self.field("securityContext", context)
    }

    fn field(mut self, name: &str, value: Value) -> Self {
        self.fields[name] = value;
        self
    }

    /// With this security context of the first container.
    fn main(mut self, context: Value) -> Self {
        self.main = context;
        self
    }

    /// With these capabilities of the first container.
    fn capabilities(self, add: &[&str], drop: &[&str]) -> Self {
        self.main(json!({ "capabilities": { "add": add, "drop": drop } }))
    }

    fn running(mut self, containers: &'static [&'static str]) -> Self {
        self.running = containers;
        self
    }

    /// The pod of this kind on a node.
    pub(crate) fn manifest(&self, namespace: &str, node: &str, image: &str) -> Value {
        let mut main = container("main", &self.main);
        let mut fields = self.fields.clone();
        let mut containers = vec![];
        if let Some(others) = fields.get_mut("containers") {
            containers.append(others.as_array_mut().unwrap_or(&mut vec![]));
        }
        main["image"] = json!(image);
        containers.insert(0, main);
        let mut spec = json!({
            "nodeSelector": { "kubernetes.io/hostname": node },
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
        });
        for (name, value) in fields.as_object().into_iter().flatten() {
            spec[name] = value.clone();
        }
        spec["containers"] = json!(containers);
        for list in ["containers", "initContainers"] {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                container["image"] = json!(image);
            }
        }
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("{}-{node}", self.name),
                "namespace": namespace,
                "annotations": self.annotations,
            },
            "spec": spec,
        })
    }
}

/// A container that runs until it is killed.
fn container(name: &str, security: &Value) -> Value {
    json!({ "name": name, "args": ["-c", "sleep 1000000"], "securityContext": security })
}

fn profile(kind: &str) -> Value {
    match kind {
        "Localhost" => json!({ "seccompProfile": { "type": kind, "localhostProfile": LOCAL } }),
        _ => json!({ "seccompProfile": { "type": kind } }),
    }
}

/// Those that run on any node.
pub(crate) fn kinds() -> Vec<Kind> {
    let mut kinds = fields();
    kinds.extend(annotations());
    kinds.extend(privileged());
    kinds.extend(capabilities());
    kinds.extend(users());
    kinds.extend(containers());
    kinds
}

/// Those that only run where the kernel and the runtime can put a pod's users apart.
pub(crate) fn with_own_users() -> Vec<Kind> {
    let new = |name| Kind::new(name).field("hostUsers", json!(false));
    vec![
        new("own-users"),
        new("own-users-default").pod(profile("RuntimeDefault")),
        new("own-users-with-more").main(json!({
            "runAsUser": 0, "capabilities": { "add": ["SYS_ADMIN"], "drop": ["CHOWN"] },
        })),
        new("own-users-user").main(json!({ "runAsUser": 1000 })),
    ]
}

fn fields() -> Vec<Kind> {
    let new = Kind::new;
    vec![
        new("nothing-said"),
        new("pod-default").pod(profile("RuntimeDefault")),
        new("pod-unconfined").pod(profile("Unconfined")),
        new("pod-localhost").pod(profile("Localhost")),
        new("container-default").main(profile("RuntimeDefault")),
        new("container-unconfined").main(profile("Unconfined")),
        new("container-localhost").main(profile("Localhost")),
        new("unconfined-in-default")
            .pod(profile("RuntimeDefault"))
            .main(profile("Unconfined")),
        new("default-in-unconfined")
            .pod(profile("Unconfined"))
            .main(profile("RuntimeDefault")),
        new("localhost-in-default")
            .pod(profile("RuntimeDefault"))
            .main(profile("Localhost")),
        new("no-new-privileges").main(json!({ "allowPrivilegeEscalation": false })),
        new("of-the-machine")
            .field("hostNetwork", json!(true))
            .field("hostPID", json!(true))
            .field("hostIPC", json!(true)),
    ]
}

fn annotations() -> Vec<Kind> {
    const POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
    const MAIN: &str = "container.seccomp.security.alpha.kubernetes.io/main";
    vec![
        Kind::new("old-pod-default").annotated(POD, "runtime/default"),
        Kind::new("old-pod-unconfined").annotated(POD, "unconfined"),
        Kind::new("old-pod-localhost").annotated(POD, "localhost/kinds/local.json"),
        Kind::new("old-container-default").annotated(MAIN, "runtime/default"),
        Kind::new("old-container-unconfined").annotated(MAIN, "unconfined"),
        Kind::new("old-both")
            .annotated(POD, "runtime/default")
            .annotated(MAIN, "localhost/kinds/local.json"),
    ]
}

fn privileged() -> Vec<Kind> {
    let new = |name, others: Value| {
        let mut security = json!({ "privileged": true });
        for (field, value) in others.as_object().into_iter().flatten() {
            security[field] = value.clone();
        }
        Kind::new(name).main(security)
    };
    vec![
        new("privileged", json!({})),
        new("privileged-default", profile("RuntimeDefault")),
        new("privileged-localhost", profile("Localhost")),
        new(
            "privileged-without",
            json!({ "capabilities": { "drop": ["ALL"] } }),
        ),
        new("privileged-user", json!({ "runAsUser": 1000 })),
    ]
}

fn capabilities() -> Vec<Kind> {
    let new = |name, add: &[&str], drop: &[&str]| Kind::new(name).capabilities(add, drop);
    vec![
        new("add-sys-admin", &["SYS_ADMIN"], &[]),
        // Each of these lets a profile's rules in.
        new(
            "add-many",
            &["BPF", "PERFMON", "SYS_PTRACE", "SYS_TIME", "SYSLOG"],
            &[],
        ),
        new(
            "add-more",
            &["SYS_BOOT", "SYS_PACCT", "SYS_NICE", "DAC_READ_SEARCH"],
            &[],
        ),
        new("add-all", &["ALL"], &[]),
        new("drop-some", &[], &["SYS_CHROOT", "CHOWN", "MKNOD"]),
        new("drop-all", &[], &["ALL"]),
        new("drop-all-add-one", &["NET_BIND_SERVICE"], &["ALL"]),
        new("add-all-drop-all", &["ALL"], &["ALL"]),
        new("add-all-drop-one", &["ALL"], &["SYS_ADMIN"]),
        new("add-and-drop-one", &["SYS_ADMIN"], &["SYS_ADMIN"]),
        new(
            "all-of-both-and-one",
            &["ALL", "SYS_ADMIN"],
            &["ALL", "CHOWN"],
        ),
        new("add-lowercase", &["sys_admin"], &[]),
        new("drop-lowercase", &[], &["all"]),
        new("add-prefixed", &["CAP_SYS_ADMIN"], &[]),
        new("drop-prefixed", &[], &["CAP_CHOWN"]),
        new("add-unknown", &["NONSENSE"], &[]),
        new("drop-unknown", &[], &["NONSENSE"]),
    ]
}

fn users() -> Vec<Kind> {
    let new = Kind::new;
    vec![
        new("user-of-pod").pod(json!({ "runAsUser": 1000 })),
        new("root-of-pod").pod(json!({ "runAsUser": 0 })),
        new("root-in-user")
            .pod(json!({ "runAsUser": 1000, "runAsNonRoot": true }))
            .main(json!({ "runAsUser": 0, "runAsNonRoot": false })),
        new("user-with-more")
            .main(json!({ "runAsUser": 1000, "capabilities": { "add": ["SYS_ADMIN"] } })),
        new("host-users").field("hostUsers", json!(true)),
    ]
}

fn containers() -> Vec<Kind> {
    let new = Kind::new;
    let mut sidecar = container("sidecar", &profile("RuntimeDefault"));
    sidecar["restartPolicy"] = json!("Always");
    let ephemeral = |security: Value| Kind {
        ephemeral: Some(container("ephemeral", &security)),
        ..new("").running(&["main", "ephemeral"])
    };
    vec![
        // The first container waits for it for ever.
        new("init")
            .pod(profile("Unconfined"))
            .field(
                "initContainers",
                json!([container("init", &profile("Localhost"))]),
            )
            .running(&["init"]),
        new("init-nothing-said")
            .field("initContainers", json!([container("init", &json!({}))]))
            .running(&["init"]),
        new("sidecar")
            .field("initContainers", json!([sidecar]))
            .main(json!({ "capabilities": { "drop": ["ALL"] } }))
            .running(&["sidecar", "main"]),
        new("two")
            .pod(profile("RuntimeDefault"))
            .main(json!({ "capabilities": { "add": ["SYS_ADMIN"] } }))
            .field(
                "containers",
                json!([
                    container("other", &profile("Localhost")),
                    container("third", &json!({}))
                ]),
            )
            .running(&["main", "other", "third"]),
        Kind {
            name: "ephemeral",
            ..ephemeral(json!({}))
        },
        Kind {
            name: "ephemeral-with-more",
            ..ephemeral(json!({
                "capabilities": { "add": ["SYS_PTRACE"] },
                "seccompProfile": { "type": "Localhost", "localhostProfile": LOCAL },
            }))
        },
    ]
}
