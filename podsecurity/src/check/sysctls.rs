//! Baseline: the pod sets only sysctls that stay within it. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.0 | every name in `securityContext.sysctls` is one of the first five below |
//! | v1.27, v1.29, v1.32, v1.37 | the names added then are allowed as well |
//!
//! Names are compared as written; `net/ipv4/tcp_syncookies` is not the same name.

use podfence_workload::Template;

use super::{Check, CheckId, Explanation, Revision};
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::Sysctls,
    overrides: None,
    revisions: &[
        Revision {
            since: 0,
            violated: violated::<0>,
            explain: explain::<0>,
        },
        Revision {
            since: 27,
            violated: violated::<27>,
            explain: explain::<27>,
        },
        Revision {
            since: 29,
            violated: violated::<29>,
            explain: explain::<29>,
        },
        Revision {
            since: 32,
            violated: violated::<32>,
            explain: explain::<32>,
        },
        Revision {
            since: 37,
            violated: violated::<37>,
            explain: explain::<37>,
        },
    ],
};

/// The allowed names, and the version from which on each is.
const ALLOWED: [(u16, &str); 14] = [
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
    (37, "net.ipv4.tcp_slow_start_after_idle"),
    (37, "net.ipv4.tcp_notsent_lowat"),
];

fn is_forbidden<const MINOR: u16>(name: &str) -> bool {
    !ALLOWED
        .iter()
        .any(|(since, allowed)| *since <= MINOR && *allowed == name)
}

fn violated<const MINOR: u16>(template: &Template, _: ServerVersion) -> bool {
    template
        .security
        .sysctls
        .iter()
        .any(|name| is_forbidden::<MINOR>(name))
}

fn explain<const MINOR: u16>(template: &Template, _: ServerVersion) -> Explanation {
    // In the order written and with repetitions, unlike the values of every other check.
    let forbidden: Vec<&str> = template
        .security
        .sysctls
        .iter()
        .map(|name| &**name)
        .filter(|name| is_forbidden::<MINOR>(name))
        .collect();
    Explanation::new("forbidden sysctls", forbidden.join(", "), &[])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::{pod, says};
    use super::ALLOWED;
    use crate::{CheckId, ServerVersion};

    fn said(minor: u16, names: &[&str]) -> Option<String> {
        let sysctls: Vec<_> = names
            .iter()
            .map(|name| json!({"name": name, "value": "1"}))
            .collect();
        let template = pod(
            &json!({}),
            &json!({"securityContext": {"sysctls": sysctls}}),
        );
        says(CheckId::Sysctls, minor, ServerVersion::NEWEST, &template)
    }

    #[test]
    fn each_name_is_allowed_from_its_version_on() {
        for (since, name) in ALLOWED {
            assert_eq!(said(since, &[name]), None, "{name}");
            assert_eq!(said(37, &[name]), None, "{name}");
            if since > 0 {
                let expected = format!("forbidden sysctls ({name})");
                assert_eq!(said(since - 1, &[name]), Some(expected), "{name}");
            }
        }
    }

    #[test]
    fn names_are_compared_as_written() {
        assert_eq!(said(37, &[]), None);
        assert_eq!(said(37, &[""]).as_deref(), Some("forbidden sysctls"));
        assert_eq!(
            said(
                37,
                &["b", "net/ipv4/tcp_rmem", "net.ipv4.tcp_rmem", "a", "b"]
            )
            .as_deref(),
            Some("forbidden sysctls (b, net/ipv4/tcp_rmem, a, b)")
        );
    }
}
