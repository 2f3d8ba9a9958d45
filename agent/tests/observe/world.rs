//! A node as tests write it: pods by name, spaces and calls of containers by a letter.

use std::collections::HashMap;
use std::sync::Arc;

use podfence_agent::cluster::Node;
use podfence_agent::observe::context::{Context, Told};
use podfence_agent::observe::ledger::{Note, What};
use podfence_agent::observe::sight::{Begun, Fate, SeenCall, Sight, Space, SpaceId};
use podfence_agent::pod::Pod;
use podfence_seccomp::evidence::Phase;
use podfence_seccomp::{Abi, Errno, Moment, Span, syscalls};
use serde_json::{Value, json};

/// When the observer began, in seconds.
pub(crate) const BEGAN: u64 = 1_800_000_000;
pub(crate) const NEWUSER: u64 = 0x1000_0000;

/// So many seconds after the observer began, or before.
pub(crate) fn at(second: i64) -> Moment {
    Moment::from_unix_seconds(BEGAN.checked_add_signed(second).expect("a second"))
}

fn seconds(moment: Moment) -> i64 {
    let (seconds, began) = (moment.unix_seconds(), BEGAN);
    i64::try_from(seconds).expect("near") - i64::try_from(began).expect("near")
}

fn time(second: i64) -> String {
    use k8s_openapi::jiff::Timestamp;
    let at = i64::try_from(at(second).unix_seconds()).expect("near");
    Timestamp::from_second(at).expect("a time").to_string()
}

/// The id of a container.
pub(crate) fn id(letter: char) -> String {
    letter.to_string().repeat(64)
}

pub(crate) fn context(told: &[(char, Told)]) -> Context {
    let node = Node {
        runtime: "containerd://2.3.7".to_owned(),
        architecture: "amd64".to_owned(),
        kernel: "6.12.0".to_owned(),
        ..Node::default()
    };
    let profile = node.runtime.parse().expect("a profile");
    let told: HashMap<_, _> = told
        .iter()
        .map(|(letter, told)| (id(*letter).into(), *told))
        .collect();
    Context::of("node-1", &node, Some(Arc::new(profile)), Arc::new(told)).expect("a context")
}

/// A container's status: its run of this letter, started at this second.
pub(crate) fn running(letter: char, started: i64) -> Value {
    json!({
        "name": "main", "containerID": format!("containerd://{}", id(letter)), "ready": false,
        "imageID": "x@sha256:00", "state": { "running": { "startedAt": time(started) } },
    })
}

pub(crate) fn ended(letter: char, started: i64) -> Value {
    let ended = json!({
        "containerID": format!("containerd://{}", id(letter)), "startedAt": time(started),
    });
    json!({
        "name": "main", "containerID": format!("containerd://{}", id(letter)),
        "imageID": "x@sha256:00", "state": { "terminated": ended },
    })
}

/// A pod of a DaemonSet with one container.
pub(crate) fn pod(name: &str, status: &Value) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-of-{name}"),
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "uid-of-web",
                "controller": true,
            }],
        },
        "spec": { "containers": [{ "name": "main" }] },
        "status": { "containerStatuses": [status] },
    })
}

pub(crate) fn read(pods: &[Value]) -> Vec<Arc<Pod>> {
    let read = |pod: &Value| Arc::new(Pod::read(&pod.to_string()).expect("a pod"));
    pods.iter().map(read).collect()
}

/// A space of a container that began at this second.
pub(crate) fn space(number: u64, letter: char, begun: Option<(i64, u32)>) -> Space {
    Space {
        id: SpaceId(number),
        groups: vec![format!("cri-containerd-{}.scope", id(letter)).into()],
        seen: at(begun.map_or(0, |(second, _)| second)),
        begun: begun.map(|(second, filters)| Begun {
            at: at(second),
            filters,
        }),
        lost: 0,
        blind: false,
    }
}

pub(crate) fn call(space: u64, name: &str, first: Option<u64>, fate: Fate) -> SeenCall {
    SeenCall {
        space: SpaceId(space),
        abi: Abi::X86_64,
        number: syscalls::number(Abi::X86_64, name).expect("a call"),
        arguments: first.map(|first| vec![(0, first)]),
        fate,
        executable: "/bin/main".into(),
        count: 1,
        first: at(5),
        last: at(6),
    }
}

pub(crate) fn denied(filters: u32) -> Fate {
    Fate::Denied {
        errno: Errno::EPERM,
        filters,
        ambiguous: false,
    }
}

pub(crate) fn sight(spaces: &[Space], calls: &[SeenCall]) -> Sight {
    Sight {
        spaces: spaces.to_vec(),
        calls: calls.to_vec(),
        lost: 0,
    }
}

/// Notes in few words, sorted: what, and of which container where it is not `main`.
pub(crate) fn words(notes: &[Note]) -> Vec<String> {
    let span = |span: &Span| format!("{}..{}", seconds(span.first()), seconds(span.last()));
    let phase = |phases: &std::collections::BTreeSet<Phase>| format!("{phases:?}");
    let word = |note: &Note| match &note.what {
        What::Call(call, seen, _) => format!("call {} {}", call.name, phase(&seen.phases)),
        What::Denial(denial, seen, _) => {
            let mark = if denial.ambiguous { "?" } else { "" };
            format!("denial {}{mark} {}", denial.name, phase(&seen.phases))
        }
        What::Start(start) => format!("start {} of {}", seconds(start.at), start.pod),
        What::Watched(watched) => format!("watched {}", span(watched)),
        What::Loss(lost) => format!("loss {}", span(lost)),
        What::Older(at) => format!("older {}", seconds(*at)),
    };
    let mut words: Vec<String> = notes.iter().map(word).collect();
    words.sort();
    words
}
