//! Pods made at random, to compare two implementations of the same rules. Pure.
//!
//! Every field that a check reads is absent, null, empty, allowed, forbidden or odd; the same
//! seed makes the same pods. Half of the pods are nearly compliant, so that each check is also
//! the only one that forbids.

#![allow(
    clippy::indexing_slicing,
    reason = "values and choices are made here as they are taken apart; a mistake fails every run"
)]

mod containers;
mod served;

use fastrand::Rng;
use serde_json::{Map, Value, json};

pub use served::as_served;

/// Names of containers and volumes; among them those that an API server would refuse, which
/// must come through unescaped nevertheless.
const NAMES: [&str; 12] = [
    "app",
    "web",
    "proxy",
    "init",
    "debug",
    "a",
    "b",
    "zz",
    "0",
    "odd \"name\"",
    "\u{e9}\u{4e16}\\",
    "A\n",
];

/// Makes pods, one after the other.
#[derive(Clone, Debug)]
pub struct Generator {
    random: Rng,
    /// How likely a field is to be anything at all instead of what every level allows.
    oddness: f64,
}

impl Generator {
    /// A generator that always makes the same pods from the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            oddness: 0.0,
        }
    }

    /// The next pod: metadata and specification, as a client would write them.
    pub fn pod(&mut self) -> Value {
        // Of forty fields one in 0.02 is odd on the average: the pods that violate one check.
        self.oddness = *self.choose(&[0.0, 0.02, 0.02, 0.05, 0.2, 1.0]);
        let names = self.shuffled(&NAMES);
        let (init, rest) = names.split_at(self.random.usize(0..3));
        let (regular, rest) =
            rest.split_at(self.random.usize(0..4).max(usize::from(!self.is_odd())));
        let ephemeral = &rest[..self.random.usize(0..3)];

        let mut spec = self.pod_level();
        for (list, names) in [
            ("initContainers", init),
            ("containers", regular),
            ("ephemeralContainers", ephemeral),
        ] {
            let containers: Vec<_> = names
                .iter()
                .map(|name| self.container(name, &spec))
                .collect();
            if !containers.is_empty() || self.random.bool() {
                spec.insert(list.to_owned(), containers.into());
            }
        }
        let all = [init, regular, ephemeral].concat();
        json!({
            "metadata": {"name": "pod", "annotations": self.annotations(&all)},
            "spec": spec,
        })
    }

    fn choose<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.random.usize(0..choices.len())]
    }

    fn is_odd(&mut self) -> bool {
        self.random.f64() < self.oddness
    }

    fn shuffled<'a>(&mut self, names: &[&'a str]) -> Vec<&'a str> {
        let mut names = names.to_vec();
        self.random.shuffle(&mut names);
        names
    }

    /// Sets a field to one of the values that every level allows, or to any of all the values.
    /// The string `absent` leaves it out.
    fn set(&mut self, object: &mut Map<String, Value>, field: &str, allowed: Value, any: Value) {
        let values = if self.is_odd() { any } else { allowed };
        let Value::Array(mut values) = values else {
            unreachable!("choices are written as lists")
        };
        let value = values.swap_remove(self.random.usize(0..values.len()));
        if value != "absent" {
            object.insert(field.to_owned(), value);
        }
    }

    /// A few of the values, in any order, perhaps with repetitions.
    fn some_of(&mut self, values: &[Value]) -> Value {
        let count = self.random.usize(0..4);
        (0..count).map(|_| self.choose(values).clone()).collect()
    }

    fn pod_level(&mut self) -> Map<String, Value> {
        let mut spec = Map::new();
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            self.set(
                &mut spec,
                field,
                json!(["absent"]),
                json!(["absent", null, false, true]),
            );
        }
        self.set(
            &mut spec,
            "hostUsers",
            json!(["absent", true]),
            json!(["absent", null, true, false, false]),
        );
        if self.random.u8(0..8) == 0 {
            spec.insert("hostUsers".to_owned(), false.into());
        }
        let systems = json!([null, {}, {"name": ""}, {"name": "linux"}, {"name": "windows"}, {"name": "Windows"}]);
        self.set(
            &mut spec,
            "os",
            json!(["absent", {"name": "linux"}]),
            systems,
        );
        if self.random.u8(0..8) == 0 {
            spec.insert("os".to_owned(), json!({"name": "windows"}));
        }
        let volumes = self.volumes();
        self.set(
            &mut spec,
            "volumes",
            json!([volumes]),
            json!([volumes, null, []]),
        );

        let mut security = Map::new();
        self.set(
            &mut security,
            "runAsNonRoot",
            json!([true]),
            json!(["absent", null, true, false]),
        );
        self.set(
            &mut security,
            "runAsUser",
            json!(["absent", 1000]),
            json!(["absent", null, 0, 0, 1, -1]),
        );
        self.set_profiles(&mut security, true);
        let options = Self::windows_options();
        self.set(&mut security, "windowsOptions", json!(["absent"]), options);
        let sysctls = self.sysctls();
        self.set(
            &mut security,
            "sysctls",
            json!(["absent", []]),
            json!(["absent", null, [], sysctls]),
        );
        let security = Value::Object(security);
        self.set(
            &mut spec,
            "securityContext",
            json!([security]),
            json!(["absent", null, {}, security, security]),
        );
        spec
    }

    /// `seccompProfile`, `appArmorProfile` and `seLinuxOptions` of a pod or a container.
    fn set_profiles(&mut self, security: &mut Map<String, Value>, required: bool) {
        let types = json!(["absent", null, {}, {"type": null}, {"type": ""}, {"type": "RuntimeDefault"},
            {"type": "Localhost", "localhostProfile": "p"}, {"type": "Unconfined"}, {"type": "Unconfined"},
            {"type": "runtime/default"}]);
        let allowed = if required {
            json!([{"type": "RuntimeDefault"}])
        } else {
            json!(["absent", {"type": "Localhost", "localhostProfile": "p"}])
        };
        self.set(security, "seccompProfile", allowed, types.clone());
        self.set(
            security,
            "appArmorProfile",
            json!(["absent", {"type": "RuntimeDefault"}]),
            types,
        );
        self.set(
            security,
            "seLinuxOptions",
            json!(["absent", {"type": "container_t", "level": "s0"}]),
            json!([null, {}, {"type": "", "user": "", "role": ""}, {"type": "container_init_t"},
                {"type": "container_kvm_t"}, {"type": "container_engine_t"}, {"type": "container_engine_t"},
                {"type": "spc_t"}, {"type": "spc_t", "user": "u"}, {"role": "r"}, {"user": "u", "role": "r"}]),
        );
    }

    fn windows_options() -> Value {
        json!(["absent", null, {}, {"hostProcess": null}, {"hostProcess": false}, {"hostProcess": true},
            {"hostProcess": true}])
    }

    fn sysctls(&mut self) -> Value {
        let names = [
            "kernel.shm_rmid_forced",
            "net.ipv4.ip_local_port_range",
            "net.ipv4.ip_local_reserved_ports",
            "net.ipv4.tcp_keepalive_time",
            "net.ipv4.tcp_rmem",
            "net.ipv4.tcp_notsent_lowat",
            "net/ipv4/tcp_rmem",
            "kernel.msgmax",
            "",
        ];
        let sysctls = names.map(|name| json!({"name": name, "value": "1"}));
        self.some_of(&sysctls)
    }

    fn volumes(&mut self) -> Value {
        let allowed = [
            "configMap",
            "csi",
            "downwardAPI",
            "emptyDir",
            "ephemeral",
            "image",
            "persistentVolumeClaim",
            "projected",
            "secret",
        ];
        let others = [
            "hostPath",
            "hostPath",
            "hostPath",
            "gcePersistentDisk",
            "awsElasticBlockStore",
            "gitRepo",
            "nfs",
            "iscsi",
            "glusterfs",
            "rbd",
            "flexVolume",
            "cinder",
            "cephfs",
            "flocker",
            "fc",
            "azureFile",
            "vsphereVolume",
            "quobyte",
            "azureDisk",
            "photonPersistentDisk",
            "portworxVolume",
            "scaleIO",
            "storageos",
            "hologram",
        ];
        let names = self.shuffled(&NAMES);
        let count = self.random.usize(0..4);
        let volumes = names.into_iter().take(count).map(|name| {
            let mut volume = Map::new();
            volume.insert("name".to_owned(), name.into());
            let source = if self.is_odd() {
                *self.choose(&others)
            } else {
                *self.choose(&allowed)
            };
            self.set(
                &mut volume,
                source,
                json!([{}]),
                json!([null, {}, {}, "absent"]),
            );
            if self.is_odd() {
                volume.insert((*self.choose(&others)).to_owned(), json!({}));
            }
            Value::Object(volume)
        });
        volumes.collect()
    }

    fn annotations(&mut self, containers: &[&str]) -> Value {
        const PREFIXES: [&str; 3] = [
            "container.apparmor.security.beta.kubernetes.io/",
            "container.seccomp.security.alpha.kubernetes.io/",
            "example.com/",
        ];
        let mut annotations = Map::new();
        while self.is_odd() && annotations.len() < 4 {
            let key = if self.random.u8(0..4) == 0 {
                "seccomp.security.alpha.kubernetes.io/pod".to_owned()
            } else {
                let name = match (self.random.bool(), containers) {
                    (true, [_, ..]) => *self.choose(containers),
                    _ => self.choose::<&str>(&["", "no-such-container"]),
                };
                format!("{}{name}", self.choose(&PREFIXES))
            };
            let value = match self.random.u8(0..4) {
                0 => self.odd_text().into(),
                _ => self
                    .choose(&[
                        json!(""),
                        json!(null),
                        json!("runtime/default"),
                        json!("docker/default"),
                        json!("localhost/p"),
                        json!("localhost"),
                        json!("unconfined"),
                    ])
                    .clone(),
            };
            annotations.insert(key, value);
        }
        let is_null = annotations.is_empty() && self.random.bool();
        if is_null {
            Value::Null
        } else {
            Value::Object(annotations)
        }
    }

    /// Text with quotes, control characters, and characters that do or do not print.
    fn odd_text(&mut self) -> String {
        let count = self.random.usize(1..6);
        (0..count)
            .map(|_| match self.random.u8(0..4) {
                0 => self.random.char('\0'..='\u{ff}'),
                1 => self.random.char('\0'..='\u{ffff}'),
                2 => self.random.char('\0'..=char::MAX),
                _ => *self.choose(&['"', '\\', '\n', '\u{7f}', '\u{ad}', 'x', '\u{feff}']),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Generator;

    #[test]
    fn a_seed_decides_everything() {
        let pods = |seed| {
            let mut generator = Generator::new(seed);
            (0..50)
                .map(|_| generator.pod().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(pods(1), pods(1));
        assert_ne!(pods(1), pods(2));
    }
}
