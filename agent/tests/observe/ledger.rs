//! What a sight comes to, hostile ones first.

use std::sync::Arc;

use podfence_agent::observe::context::{Context, Told};
use podfence_agent::observe::ledger::{Ledger, Taken};
use podfence_agent::observe::sight::{Fate, Sight, SpaceId};
use serde_json::{Value, json};

use super::world::{
    NEWUSER, at, call, context, denied, ended, id, pod, read, running, sight, space, words,
};

/// A ledger with what it is shown.
struct Shown {
    ledger: Ledger,
    context: Context,
}

impl Shown {
    fn new(told: &[(char, Told)]) -> Self {
        let context = context(told);
        Self {
            ledger: Ledger::new(context.clone(), at(0)),
            context,
        }
    }

    fn take(&mut self, second: i64, sight: Sight, pods: &[Value]) -> Taken {
        self.ledger
            .take(sight, &read(pods), &self.context, at(second))
    }

    fn words(&mut self, second: i64, sight: Sight, pods: &[Value]) -> Vec<String> {
        words(&self.take(second, sight, pods).notes)
    }
}

const CONFINED: Told = Told {
    is_sandbox: false,
    confined: true,
};
const UNCONFINED: Told = Told {
    confined: false,
    ..CONFINED
};
const SANDBOX: Told = Told {
    is_sandbox: true,
    ..CONFINED
};

fn unshare(number: u64, fate: Fate) -> podfence_agent::observe::sight::SeenCall {
    call(number, "unshare", Some(NEWUSER), fate)
}

#[test]
fn nobody_hears_again_of_what_does_not_count() {
    let with = |spec: Value| {
        let mut pod = pod("a", &running('1', 3));
        pod["spec"] = spec;
        pod
    };
    let securities = [
        json!({ "privileged": true }),
        json!({ "seccompProfile": { "type": "Unconfined" } }),
        json!({ "seccompProfile": { "type": "RuntimeDefault" } }),
    ];
    let mut pods: Vec<Value> = securities
        .iter()
        .map(|security| {
            with(json!({ "containers": [{ "name": "main", "securityContext": security }] }))
        })
        .collect();
    pods.push(with(json!({
        "runtimeClassName": "gvisor", "containers": [{ "name": "main" }],
    })));
    pods.push(with(json!({
        "containers": [], "ephemeralContainers": [{ "name": "main" }],
    })));
    for pod in pods {
        let seen = sight(&[space(1, '1', Some((3, 0)))], &[unshare(1, Fate::Success)]);
        let taken = Shown::new(&[]).take(4, seen, std::slice::from_ref(&pod));
        assert_eq!(taken.ignored, [SpaceId(1)], "{pod}");
        assert_eq!(words(&taken.notes), [""; 0], "{pod}");
    }
    // The host's, and a sandbox.
    let mut host = space(1, '1', Some((3, 0)));
    host.groups = vec!["sshd.service".into(), "system.slice".into()];
    let seen = sight(
        &[host, space(2, '2', Some((3, 1)))],
        &[unshare(1, Fate::Success)],
    );
    let taken = Shown::new(&[('2', SANDBOX)]).take(4, seen, &[]);
    assert_eq!(taken.ignored, [SpaceId(1), SpaceId(2)]);
    assert_eq!(words(&taken.notes), [""; 0]);
}

#[test]
fn a_container_is_watched_from_its_start_and_its_calls_are_noted() {
    let mut shown = Shown::new(&[]);
    let main = space(1, '1', Some((3, 0)));
    let calls = [
        call(1, "read", None, Fate::Success),
        unshare(1, Fate::Success),
        call(1, "keyctl", Some(1), Fate::Unrecorded),
        call(9, "keyctl", Some(1), Fate::Success),
    ];
    let mut status = running('1', 4);
    let got = shown.words(
        5,
        sight(std::slice::from_ref(&main), &calls),
        &[pod("a", &status)],
    );
    let want = [
        "call keyctl {Start}",
        "call unshare {Start}",
        "start 3 of a",
        "watched 3..5",
    ];
    assert_eq!(got, want);
    status["ready"] = json!(true);
    let again = sight(std::slice::from_ref(&main), &[unshare(1, Fate::Success)]);
    let got = shown.words(6, again.clone(), &[pod("a", &status)]);
    assert_eq!(got, ["call unshare {Steady}", "watched 5..6"]);
    let mut deleted = pod("a", &status);
    deleted["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
    let got = shown.words(7, again, &[deleted]);
    assert_eq!(got, ["call unshare {Stop}", "watched 6..7"]);
    // The space of a container that has ended goes a while after.
    let over = [pod("a", &ended('1', 4))];
    let seen = sight(&[main], &[]);
    assert_eq!(shown.take(8, seen.clone(), &over).gone, []);
    assert_eq!(shown.take(37, seen.clone(), &over).gone, []);
    let taken = shown.take(38, seen, &over);
    assert_eq!(taken.gone, [SpaceId(1)]);
    assert_eq!(words(&taken.notes), ["watched 37..38"]);
    assert_eq!(shown.words(39, Sight::default(), &[]), [""; 0]);
}

#[test]
fn what_is_older_than_the_observer_is_watched_from_its_beginning_on() {
    let mut shown = Shown::new(&[]);
    let pods = [pod("a", &running('1', -50)), pod("b", &running('2', 3))];
    // Of the second one a program must have been seen.
    let got = shown.words(1, Sight::default(), &pods);
    assert_eq!(got, ["older 0", "watched 0..1"]);
    let seen = sight(&[space(1, '1', None)], &[unshare(1, Fate::Success)]);
    let got = shown.words(2, seen, &pods);
    assert_eq!(got, ["call unshare {Start}", "watched 1..2"]);
    // One that its program has made for itself is no start.
    let seen = sight(&[space(1, '1', None), space(2, '1', Some((3, 4)))], &[]);
    assert_eq!(shown.words(3, seen, &pods), ["watched 2..3"]);
}

#[test]
fn what_is_named_late_counts_from_its_start() {
    let mut shown = Shown::new(&[]);
    let mut lost = space(2, '2', Some((3, 0)));
    lost.lost = 1;
    let seen = sight(
        &[space(1, '1', Some((3, 0))), lost.clone()],
        &[unshare(1, Fate::Success), unshare(1, Fate::Success)],
    );
    assert_eq!(shown.take(5, seen, &[]), Taken::default());
    lost.lost = 0;
    let pods = [pod("a", &running('1', 3)), pod("b", &running('2', 3))];
    let got = shown.words(30, sight(&[space(1, '1', Some((3, 0))), lost], &[]), &pods);
    let want = [
        "call unshare {Start}",
        "call unshare {Start}",
        "loss 5..30",
        "start 3 of a",
        "start 3 of b",
        "watched 3..30",
        "watched 3..30",
    ];
    assert_eq!(got, want);
}

#[test]
fn what_is_never_named_is_a_loss_if_it_did_anything() {
    let uid = "0f0e0d0c-1111-2222-3333-abcdefabcdef";
    let of_pod = |uid: &str| {
        let mut space = space(1, '9', Some((3, 0)));
        space.groups.push(format!("pod{uid}").into());
        space
    };
    let mut known = pod("a", &running('1', -9));
    known["metadata"]["uid"] = json!(uid);
    let mut other = pod("b", &running('2', -9));
    other["metadata"]["ownerReferences"][0]["name"] = json!("other");
    let pods = [known, other];
    let calls = [unshare(1, Fate::Success)];
    let unknown = "11111111-1111-2222-3333-abcdefabcdef";
    for (name, space, calls, losses) in [
        ("it made no call that counts", of_pod(uid), &[][..], 0),
        ("its pod is known", of_pod(uid), &calls, 1),
        ("its pod is none of the node's", of_pod(unknown), &calls, 0),
        ("it names no pod", space(1, '9', Some((3, 0))), &calls, 2),
    ] {
        let mut shown = Shown::new(&[]);
        shown.take(4, sight(std::slice::from_ref(&space), calls), &pods);
        shown.take(63, sight(std::slice::from_ref(&space), &[]), &pods);
        let taken = shown.take(64, sight(&[space], &[]), &pods);
        assert_eq!(taken.ignored, [SpaceId(1)], "{name}");
        let words = words(&taken.notes);
        let lost = words
            .iter()
            .filter(|word| *word == "loss 4..64" || *word == "loss 63..64");
        assert_eq!(lost.count(), losses, "{name}: {words:?}");
    }
}

#[test]
fn what_names_no_pod_where_others_do_is_no_container_of_a_pod() {
    let uid = "0f0e0d0c-1111-2222-3333-abcdefabcdef";
    let mut known = pod("a", &running('1', 3));
    known["metadata"]["uid"] = json!(uid);
    let mut own = space(1, '1', Some((3, 0)));
    own.groups.push(format!("pod{uid}").into());
    let alien = space(2, '9', Some((3, 0)));
    let calls = [unshare(2, Fate::Success)];
    let both = [own, alien];
    let pods = [known];
    let mut shown = Shown::new(&[]);
    shown.take(4, sight(&both, &calls), &pods);
    let taken = shown.take(64, sight(&both, &[]), &pods);
    assert_eq!(taken.ignored, [SpaceId(2)]);
    let words = words(&taken.notes);
    assert!(
        !words.iter().any(|word| word.starts_with("loss")),
        "{words:?}"
    );
}

#[test]
fn a_loss_is_that_of_whoever_it_may_be() {
    let pods = |second: i64| {
        let mut other = pod("b", &running('2', second));
        other["metadata"]["ownerReferences"][0]["name"] = json!("other");
        [pod("a", &running('1', second)), other]
    };
    let spaces = [space(1, '1', Some((3, 0))), space(2, '2', Some((3, 0)))];
    let losses = |shown: &mut Shown, second, sight: Sight| {
        let words = shown.words(second, sight, &pods(3));
        let losses = words
            .into_iter()
            .filter(|word| !word.starts_with("watched"));
        losses.collect::<Vec<_>>()
    };
    let mut shown = Shown::new(&[]);
    losses(&mut shown, 4, sight(&spaces, &[]));
    let mut everybody = sight(&spaces, &[]);
    everybody.lost = 1;
    assert_eq!(losses(&mut shown, 5, everybody), ["loss 4..5", "loss 4..5"]);
    let mut one = sight(&spaces, &[]);
    one.spaces[0].lost = 7;
    assert_eq!(losses(&mut shown, 6, one), ["loss 5..6"]);
    // An argument that nobody could read, and a number that nobody knows.
    let mut unnamed = call(2, "read", None, Fate::Success);
    unnamed.number = 4000;
    let unread = call(1, "clone", None, Fate::Success);
    let got = losses(&mut shown, 7, sight(&spaces, &[unread, unnamed]));
    assert_eq!(got, ["loss 5..6", "loss 5..6"]);
    // Blind for as long as it lives.
    let mut blind = sight(&spaces, &[]);
    blind.spaces[0].blind = true;
    let got = shown.words(8, blind.clone(), &pods(3));
    assert_eq!(got, ["loss 7..8", "watched 7..8"]);
    assert_eq!(shown.words(9, blind, &pods(3)), ["watched 8..9"]);
}

#[test]
fn a_denial_is_the_profiles_where_there_is_one() {
    for (name, told, begun, filters, want) in [
        ("no filter", None, Some((3, 0)), 1, None),
        ("its runtime's", None, Some((3, 1)), 1, Some("unshare ")),
        ("beside its own", None, Some((3, 1)), 2, Some("unshare? ")),
        (
            "the runtime gave it none, and has one itself",
            Some(UNCONFINED),
            Some((3, 1)),
            1,
            None,
        ),
        ("older", None, None, 1, Some("unshare? ")),
        ("older, told", Some(CONFINED), None, 1, Some("unshare ")),
        ("older, told none", Some(UNCONFINED), None, 1, None),
        ("older, its own", Some(CONFINED), None, 2, Some("unshare? ")),
    ] {
        let told: Vec<_> = told.map(|told| ('1', told)).into_iter().collect();
        let started = if begun.is_some() { 3 } else { -3 };
        let seen = sight(
            &[space(1, '1', begun)],
            &[
                unshare(1, denied(filters)),
                call(1, "read", None, denied(filters)),
            ],
        );
        let words = Shown::new(&told).words(4, seen, &[pod("a", &running('1', started))]);
        let denials: Vec<_> = words
            .iter()
            .filter_map(|word| word.strip_prefix("denial "))
            .collect();
        let want: Vec<_> = want
            .map(|want| format!("{want}{{Start}}"))
            .into_iter()
            .collect();
        assert_eq!(denials, want, "{name}");
    }
}

#[test]
fn other_rules_begin_anew() {
    let mut shown = Shown::new(&[]);
    let pods = [pod("a", &running('1', 3))];
    let seen = sight(&[space(1, '1', Some((3, 0)))], &[]);
    let before = shown.take(4, seen.clone(), &pods).notes;
    let profile = "containerd://1.6.20".parse().expect("a profile");
    shown.context.profile = Arc::new(profile);
    let after = shown.take(9, seen.clone(), &pods).notes;
    assert_eq!(words(&after), ["watched 9..9"]);
    assert_ne!(before[0].seat.key, after[0].seat.key);
    assert_eq!(shown.words(10, seen, &pods), ["watched 9..10"]);
}

#[test]
fn an_init_container_is_always_starting() {
    let mut pod = pod("a", &Value::Null);
    let mut status = running('1', 3);
    status["ready"] = json!(true);
    pod["spec"]["initContainers"] = json!([{ "name": "main" }]);
    pod["spec"]["containers"] = json!([{ "name": "other" }]);
    pod["status"] = json!({ "initContainerStatuses": [status] });
    let seen = sight(&[space(1, '1', Some((3, 0)))], &[unshare(1, Fate::Success)]);
    let words = Shown::new(&[]).words(5, seen, &[pod]);
    assert_eq!(words[0], "call unshare {Start}");
    assert_eq!(id('1').len(), 64);
}
