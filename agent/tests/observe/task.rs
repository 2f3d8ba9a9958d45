//! The observer's loop with eyes that see what a test shows them, and time that passes at once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use podfence_agent::cluster::Node;
use podfence_agent::observe::context::Context;
use podfence_agent::observe::schedule::PACE;
use podfence_agent::observe::sight::{Fate, Sight, SpaceId};
use podfence_agent::observe::task::{Eyes, Observer, Said, View};
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use super::api::{Api, RECORDS, refusal};
use super::world::{NEWUSER, call, pod, read, running, sight, space};

const NAME: &str = "daemonset-web";

/// Eyes that see what they are shown, one sight a look, and nothing after that.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Sights>>);

#[derive(Default)]
struct Sights {
    next: VecDeque<Option<Sight>>,
    ignored: Vec<SpaceId>,
    /// How often they cannot be opened yet.
    closed: u32,
    opened: u32,
    follows: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the eyes are closed")]
struct Closed;

impl Eyes for Shown {
    type Error = Closed;

    fn adapt(&mut self, _: &Context) -> Result<(), Closed> {
        let mut sights = self.0.lock().expect("no panic");
        sights.opened += 1;
        if sights.closed > 0 {
            sights.closed -= 1;
            return Err(Closed);
        }
        Ok(())
    }

    fn look(&mut self) -> Result<Sight, Closed> {
        let next = self.0.lock().expect("no panic").next.pop_front();
        next.unwrap_or_else(|| Some(Sight::default())).ok_or(Closed)
    }

    fn ignore(&mut self, space: SpaceId) -> Result<(), Closed> {
        self.0.lock().expect("no panic").ignored.push(space);
        Ok(())
    }

    fn forget(&mut self, _: SpaceId) -> Result<(), Closed> {
        Ok(())
    }

    fn follow_returns(&mut self, needed: bool) -> Result<(), Closed> {
        self.0.lock().expect("no panic").follows = needed;
        Ok(())
    }

    async fn news(&mut self) {
        std::future::pending::<()>().await;
    }
}

fn view() -> View {
    let node = Node {
        runtime: "containerd://2.3.7".to_owned(),
        architecture: "amd64".to_owned(),
        kernel: "6.12.0".to_owned(),
        ..Node::default()
    };
    View {
        profile: node.runtime.parse().ok().map(Arc::new),
        node: Some(node),
        pods: Some(read(&[pod("a", &running('1', 3))]).into()),
        ..View::default()
    }
}

/// An observer that runs, until it is told to end.
struct Running {
    view: watch::Sender<View>,
    said: watch::Receiver<Said>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

fn run(api: &Api, eyes: &Shown, view: View) -> Running {
    let observer = Observer::new(eyes.clone(), api.client(), "node-1", PACE);
    let (view, view_out) = watch::channel(view);
    let (said_in, said) = watch::channel(Said::default());
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        stopped.await.ok();
    };
    Running {
        view,
        said,
        stop,
        task: tokio::spawn(observer.run(view_out, said_in, shutdown)),
    }
}

impl Running {
    async fn end(self) {
        self.stop.send(()).expect("it runs");
        self.task.await.expect("no panic");
    }
}

fn shown(sights: &[Option<Sight>]) -> Shown {
    let eyes = Shown::default();
    eyes.0.lock().expect("no panic").next = sights.iter().cloned().collect();
    eyes
}

fn unshare() -> Sight {
    let calls = [call(1, "unshare", Some(NEWUSER), Fate::Success)];
    sight(&[space(1, '1', Some((3, 0)))], &calls)
}

fn calls(api: &Api) -> Vec<Value> {
    let record = api.record(NAME).unwrap_or_default();
    let calls = record.pointer("/spec/entries/0/calls");
    calls.and_then(Value::as_array).cloned().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn news_is_written_within_seconds() {
    let api = Api::default();
    let eyes = shown(&[Some(unshare())]);
    let mut running = run(&api, &eyes, view());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(api.writes(), [""; 0]);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(api.writes(), [format!("POST {RECORDS}")]);
    let calls = calls(&api);
    assert_eq!(
        (calls.len(), &calls[0]["name"]),
        (1, &Value::from("unshare"))
    );
    let said = running.said.borrow_and_update().clone();
    assert!(said.since.is_some() && said.problem.is_none(), "{said:?}");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_unwritten_is_written_at_the_end() {
    let api = Api::default();
    let running = run(
        &api,
        &shown(&[Some(Sight::default()), Some(unshare())]),
        view(),
    );
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(api.writes(), [""; 0]);
    running.end().await;
    assert_eq!(calls(&api).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_said_and_written_later() {
    let allowed = Arc::new(Mutex::new(false));
    let is_allowed = Arc::clone(&allowed);
    let api = Api::default().answering(move |asked, _| {
        let refused = asked.method == Method::POST && !*is_allowed.lock().expect("no panic");
        refused.then(|| refusal(403, "no"))
    });
    let mut running = run(&api, &shown(&[Some(unshare())]), view());
    sleep(Duration::from_secs(10)).await;
    let problem = running.said.borrow_and_update().problem.clone();
    let problem = problem.expect("a problem");
    assert!(
        problem.contains("get, create and update on syscallrecords"),
        "{problem}"
    );
    *allowed.lock().expect("no panic") = true;
    sleep(Duration::from_secs(120)).await;
    assert_eq!(running.said.borrow_and_update().problem, None);
    assert_eq!(calls(&api).len(), 1);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn closed_eyes_are_said_and_are_a_loss() {
    let api = Api::default();
    let first = sight(&[space(1, '1', Some((3, 0)))], &[]);
    let eyes = shown(&[Some(first.clone()), None, Some(first)]);
    let mut running = run(&api, &eyes, view());
    sleep(Duration::from_millis(1500)).await;
    let said = running.said.borrow_and_update().problem.clone();
    let want = "system calls cannot be observed: the eyes are closed";
    assert_eq!(said.as_deref(), Some(want));
    sleep(Duration::from_secs(8)).await;
    assert_eq!(running.said.borrow_and_update().problem, None);
    let record = api.record(NAME).expect("a loss is news");
    assert!(
        record.pointer("/spec/entries/0/losses/0").is_some(),
        "{record}"
    );
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_looked_at_before_it_can_be_judged() {
    let api = Api::default();
    let eyes = shown(&[Some(unshare())]);
    let mut unknown = view();
    unknown.profile = None;
    let mut running = run(&api, &eyes, unknown);
    sleep(Duration::from_secs(10)).await;
    let said = running.said.borrow_and_update().clone();
    assert_eq!(said.since, None);
    let problem = said.problem.expect("a problem");
    assert!(problem.contains("cannot be judged"), "{problem}");
    running.view.send_replace(view());
    sleep(Duration::from_secs(10)).await;
    assert_eq!(calls(&api).len(), 1, "nothing was lost meanwhile");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn eyes_that_cannot_be_opened_are_said_and_tried_again() {
    let api = Api::default();
    let eyes = shown(&[]);
    eyes.0.lock().expect("no panic").closed = 2;
    let mut running = run(&api, &eyes, view());
    sleep(Duration::from_secs(5)).await;
    let said = running.said.borrow_and_update().clone();
    let problem = said.problem.expect("a problem");
    assert!(problem.ends_with("the eyes are closed"), "{problem}");
    assert_eq!(said.since, None);
    assert_eq!(eyes.0.lock().expect("no panic").opened, 1);
    sleep(Duration::from_secs(120)).await;
    let said = running.said.borrow_and_update().clone();
    assert_eq!(said.problem, None);
    assert!(said.since.is_some());
    assert_eq!(eyes.0.lock().expect("no panic").opened, 3);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn calls_are_seen_to_return_only_while_somebody_is_watched() {
    let api = Api::default();
    let eyes = shown(&[]);
    let running = run(&api, &eyes, view());
    let follows = || eyes.0.lock().expect("no panic").follows;
    sleep(Duration::from_secs(5)).await;
    assert!(follows());
    running.view.send_modify(|view| view.pods = Some([].into()));
    sleep(Duration::from_secs(30)).await;
    assert!(
        follows(),
        "one that has just ended may be followed by another one"
    );
    sleep(Duration::from_secs(120)).await;
    assert!(!follows());
    running.end().await;
}
