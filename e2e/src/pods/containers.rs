//! Containers made at random. Pure.

use serde_json::{Map, Value, json};

use super::Generator;

impl Generator {
    /// A container of any kind, of a pod whose other fields are in `pod`.
    pub(super) fn container(&mut self, name: &str, pod: &Map<String, Value>) -> Value {
        let mut container = Map::new();
        container.insert("name".to_owned(), name.into());
        container.insert("image".to_owned(), "registry.example/app:1".into());
        let ports = self.ports();
        self.set(
            &mut container,
            "ports",
            json!(["absent", [{"containerPort": 8080}]]),
            json!(["absent", null, [], ports, ports]),
        );
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            let handlers = self.handlers();
            self.set(
                &mut container,
                probe,
                json!(["absent", {"httpGet": {"port": 80}}]),
                handlers,
            );
        }
        let (start, stop) = (self.handlers(), self.handlers());
        let mut lifecycle = Map::new();
        self.set(&mut lifecycle, "postStart", json!(["absent"]), start);
        self.set(
            &mut lifecycle,
            "preStop",
            json!(["absent", {"exec": {}}]),
            stop,
        );
        let lifecycle = Value::Object(lifecycle);
        self.set(
            &mut container,
            "lifecycle",
            json!(["absent", lifecycle]),
            json!([null, {}, lifecycle]),
        );

        // Windows pods of real life have no capabilities, and leave the rest to their defaults.
        let bare = pod.get("os").is_some_and(|os| os["name"] == "windows") && self.random.bool();
        let security = if bare {
            Value::Object(Map::new())
        } else {
            self.container_security()
        };
        self.set(
            &mut container,
            "securityContext",
            json!([security]),
            json!(["absent", null, {}, security, security, security]),
        );
        container.into()
    }

    fn container_security(&mut self) -> Value {
        let mut security = Map::new();
        let three = json!(["absent", null, true, false]);
        self.set(
            &mut security,
            "privileged",
            json!(["absent", false]),
            three.clone(),
        );
        self.set(
            &mut security,
            "allowPrivilegeEscalation",
            json!([false]),
            three.clone(),
        );
        self.set(
            &mut security,
            "runAsNonRoot",
            json!(["absent", true]),
            three,
        );
        self.set(
            &mut security,
            "runAsUser",
            json!(["absent", 1000]),
            json!(["absent", null, 0, 0, 1, -1]),
        );
        self.set(
            &mut security,
            "procMount",
            json!(["absent", "Default"]),
            json!([
                "absent", null, "", "Default", "Unmasked", "Unmasked", "default"
            ]),
        );
        let options = Self::windows_options();
        self.set(&mut security, "windowsOptions", json!(["absent"]), options);
        self.set_profiles(&mut security, false);
        let mut capabilities = Map::new();
        let names = [
            "ALL",
            "NET_BIND_SERVICE",
            "CHOWN",
            "SYS_CHROOT",
            "NET_RAW",
            "SYS_ADMIN",
            "all",
            "chown",
            "CAP_CHOWN",
            "",
            "BOGUS",
        ];
        let names = names.map(Value::from);
        let (add, drop) = (self.some_of(&names), self.some_of(&names));
        self.set(
            &mut capabilities,
            "add",
            json!(["absent", [], ["NET_BIND_SERVICE"]]),
            json!([null, add, add, add]),
        );
        self.set(
            &mut capabilities,
            "drop",
            json!([["ALL"], ["KILL", "ALL"]]),
            json!(["absent", null, [], drop]),
        );
        let capabilities = Value::Object(capabilities);
        self.set(
            &mut security,
            "capabilities",
            json!([capabilities]),
            json!(["absent", null, {}, capabilities, capabilities]),
        );
        security.into()
    }

    fn ports(&mut self) -> Value {
        let ports = [
            null_port(),
            json!({}),
            port(0),
            port(80),
            port(100),
            port(20),
            port(-1),
            port(65535),
        ];
        self.some_of(&ports)
    }

    fn handlers(&mut self) -> Value {
        let hosts = [
            "absent",
            "",
            "127.0.0.1",
            "localhost",
            "::1",
            "example.com",
            "b",
            "a",
        ];
        let host = |host: &str| match host {
            "absent" => json!({"port": 80}),
            host => json!({"port": 80, "host": host}),
        };
        let (http, tcp) = (
            host(self.choose::<&str>(&hosts)),
            host(self.choose::<&str>(&hosts)),
        );
        json!(["absent", null, {}, {"httpGet": null}, {"httpGet": http}, {"tcpSocket": tcp},
            {"httpGet": http, "tcpSocket": tcp}, {"exec": {"command": ["x"]}}, {"grpc": {"port": 1}}])
    }
}

fn port(host_port: i32) -> Value {
    json!({"containerPort": 80, "hostPort": host_port})
}

fn null_port() -> Value {
    json!({"containerPort": 80, "hostPort": null})
}
