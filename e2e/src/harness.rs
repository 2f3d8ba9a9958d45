//! Runs stories in one process, where they may share a lab. Starts what they share, prints what
//! came out.
//!
//! The standard test harness has no end: a lab in a `static` would never be stopped, so every
//! `#[test]` needs a lab of its own. A story file with `harness = false` is one program instead:
//! its stories share what a [`Stage`] builds when the first of them asks for it, and that is taken
//! down after the last. Command line and output are those of the standard harness, and a story that
//! cannot run on this machine says so by [`skipped`].
//!
//! ```no_run
//! use podfence_e2e::{lab::Lab, harness::{Case, Shared, tell}};
//!
//! async fn a_namespace_can_be_made(shared: Shared<Lab>) -> anyhow::Result<()> {
//!     let lab = shared.get().await?;
//!     lab.kubectl(&["create", "namespace", "a-namespace-can-be-made"]).await?;
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     tell(vec![Case::new(a_namespace_can_be_made)])
//! }
//! ```

use std::{
    any::type_name,
    pin::Pin,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use libtest_mimic::{Arguments, Completion, Conclusion, Failed, Trial};
use tokio::{runtime::Runtime, sync::OnceCell, time::timeout};

use crate::lab::Lab;

/// Several times what a story takes on a busy machine: it must end, but not because a neighbour
/// compiles.
const STORY_TIMEOUT: Duration = Duration::from_secs(900);

/// What several stories share.
pub trait Stage: Sized + Send + Sync + 'static {
    /// Builds it, when the first story asks for it.
    ///
    /// # Errors
    ///
    /// Every story that asks for it fails with this error, or is ignored when it is [`skipped`].
    fn build() -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// Takes it down after all stories have passed. Where one failed it is dropped instead.
    ///
    /// # Errors
    ///
    /// When it does not end as it should; the run fails.
    fn strike(self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

impl Stage for Lab {
    async fn build() -> anyhow::Result<Self> {
        Self::start().await
    }

    async fn strike(self) -> anyhow::Result<()> {
        self.stop().await
    }
}

/// The way to the stage; it is built when it is asked for.
pub struct Shared<S>(Arc<OnceCell<Result<Arc<S>, Arc<anyhow::Error>>>>);

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Stage> Shared<S> {
    fn new() -> Self {
        Self(Arc::new(OnceCell::new()))
    }

    /// The stage that all stories share. A story that changes it for others takes a lab of its own
    /// instead.
    ///
    /// # Errors
    ///
    /// When it could not be built, now or earlier.
    pub async fn get(&self) -> anyhow::Result<Arc<S>> {
        let built = self
            .0
            .get_or_init(|| async { S::build().await.map(Arc::new).map_err(Arc::new) });
        match built.await {
            Ok(stage) => Ok(Arc::clone(stage)),
            Err(error) => match error.downcast_ref() {
                Some(Skipped(reason)) => Err(skipped(reason)),
                None => Err(anyhow!("{error:#}").context("the stage could not be built")),
            },
        }
    }

    /// The stage, if it was built, for its end.
    fn into_stage(self) -> anyhow::Result<Option<S>> {
        let cell = Arc::into_inner(self.0).context("a story still holds the stage")?;
        match cell.into_inner() {
            Some(Ok(stage)) => Arc::into_inner(stage)
                .context("a story still holds the stage")
                .map(Some),
            // Not built, or every story has said why not.
            None | Some(Err(_)) => Ok(None),
        }
    }
}

type Told = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// One story: a name, and what happens.
pub struct Case<S> {
    name: String,
    timeout: Duration,
    tell: Box<dyn FnOnce(Shared<S>) -> Told + Send>,
}

impl<S: Stage> Case<S> {
    /// A story named after the function that tells it, with its modules.
    pub fn new<Tell, Telling>(tell: Tell) -> Self
    where
        Tell: FnOnce(Shared<S>) -> Telling + Send + 'static,
        Telling: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let path = type_name::<Tell>();
        let path = path.split_once('<').map_or(path, |(path, _)| path);
        // Without the crate, which is named above all the stories already.
        let name = path.split_once("::").map_or(path, |(_, name)| name);
        Self {
            name: name.to_owned(),
            timeout: STORY_TIMEOUT,
            tell: Box::new(|shared| Box::pin(tell(shared))),
        }
    }

    /// Gives the story more or less time than a quarter of an hour.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// Why a story could not be told on this machine.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Skipped(String);

/// The error that ends a story which needs what this machine lacks; it is reported as ignored, with
/// the reason.
pub fn skipped(reason: impl Into<String>) -> anyhow::Error {
    Skipped(reason.into()).into()
}

/// Runs the stories that the command line asks for, and takes the stage down. To be returned from
/// `main`.
#[must_use]
pub fn tell<S: Stage>(stories: Vec<Case<S>>) -> ExitCode {
    tell_with(&Arguments::from_args(), stories)
}

/// As [`tell`], with so many stories at once, unless the command line says otherwise: for stories that mostly wait.
#[must_use]
pub fn tell_at_once<S: Stage>(at_once: usize, stories: Vec<Case<S>>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(at_once);
    tell_with(&arguments, stories)
}

fn tell_with<S: Stage>(arguments: &Arguments, stories: Vec<Case<S>>) -> ExitCode {
    match run(arguments, stories) {
        Ok(conclusion) => conclusion.exit_code(),
        Err(error) => {
            eprintln!("the stage did not end as it should: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run<S: Stage>(arguments: &Arguments, stories: Vec<Case<S>>) -> anyhow::Result<Conclusion> {
    let runtime = Arc::new(Runtime::new()?);
    let shared = Shared::<S>::new();
    let failures = Failures::default();
    let trials = stories
        .into_iter()
        .map(|story| trial(story, &runtime, &shared, &failures))
        .collect();
    let conclusion = libtest_mimic::run(arguments, trials);
    let stage = shared.into_stage()?;
    if let Some(stage) = stage.filter(|_| !conclusion.has_failed()) {
        runtime.block_on(stage.strike())?;
    }
    // A lab that is dropped prints what its programs logged, which is long: below it stands once more
    // what it is about.
    for (story, why) in &*failures.lock().unwrap_or_else(PoisonError::into_inner) {
        eprintln!("{story} failed: {why}");
    }
    Ok(conclusion)
}

/// The stories that failed, and why in a line.
type Failures = Arc<Mutex<Vec<(String, String)>>>;

fn trial<S: Stage>(
    story: Case<S>,
    runtime: &Arc<Runtime>,
    shared: &Shared<S>,
    failures: &Failures,
) -> Trial {
    let Case {
        name,
        timeout: limit,
        tell,
    } = story;
    let (runtime, shared) = (Arc::clone(runtime), shared.clone());
    let (story, failures) = (name.clone(), Arc::clone(failures));
    Trial::ignorable_test(name, move || {
        let told = runtime.block_on(async { timeout(limit, tell(shared)).await });
        let error = match told {
            Ok(Ok(())) => return Ok(Completion::Completed),
            Ok(Err(error)) => match error.downcast::<Skipped>() {
                Ok(Skipped(reason)) => return Ok(Completion::ignored_with(reason)),
                Err(error) => error,
            },
            Err(_) => anyhow!("not over after {limit:?}"),
        };
        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.push((story, format!("{error:#}")));
        Err(Failed::from(format!("{error:?}")))
    })
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// Counts how often a stage is built and struck; one such type a test, for the counters are
    /// static.
    macro_rules! stage {
        () => {
            static BUILT: AtomicUsize = AtomicUsize::new(0);
            static STRUCK: AtomicUsize = AtomicUsize::new(0);

            struct Counting;

            impl Stage for Counting {
                async fn build() -> anyhow::Result<Self> {
                    BUILT.fetch_add(1, Ordering::SeqCst);
                    Ok(Self)
                }

                async fn strike(self) -> anyhow::Result<()> {
                    STRUCK.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                }
            }

            fn counts() -> (usize, usize) {
                (BUILT.load(Ordering::SeqCst), STRUCK.load(Ordering::SeqCst))
            }
        };
    }

    async fn uses_the_stage<S: Stage>(shared: Shared<S>) -> anyhow::Result<()> {
        shared.get().await.map(drop)
    }

    async fn leaves_it_alone<S: Stage>(_: Shared<S>) -> anyhow::Result<()> {
        Ok(())
    }

    async fn fails<S: Stage>(shared: Shared<S>) -> anyhow::Result<()> {
        let _stage = shared.get().await?;
        Err(anyhow!("as it should"))
    }

    async fn panics<S: Stage>(shared: Shared<S>) -> anyhow::Result<()> {
        let _stage = shared.get().await?;
        panic!("this panic belongs to the test");
    }

    async fn needs_root<S: Stage>(_: Shared<S>) -> anyhow::Result<()> {
        Err(skipped("not root"))
    }

    async fn never_ends<S: Stage>(_: Shared<S>) -> anyhow::Result<()> {
        pending().await
    }

    fn outcome<S: Stage>(stories: Vec<Case<S>>) -> (u64, u64, u64) {
        // What is printed would be taken for results of this test program.
        let arguments = Arguments {
            logfile: Some("/dev/null".into()),
            ..Arguments::default()
        };
        let conclusion = run(&arguments, stories).unwrap();
        (
            conclusion.num_passed,
            conclusion.num_failed,
            conclusion.num_ignored,
        )
    }

    #[test]
    fn stories_that_pass_share_one_stage_that_is_struck() {
        stage!();
        let stories = vec![
            Case::<Counting>::new(uses_the_stage),
            Case::new(uses_the_stage),
            Case::new(needs_root),
        ];
        assert_eq!(stories[0].name, "harness::tests::uses_the_stage");
        assert_eq!(outcome(stories), (2, 0, 1));
        assert_eq!(counts(), (1, 1));
    }

    #[test]
    fn a_stage_that_cannot_be_built_here_skips_its_stories() {
        struct Unbuildable;

        impl Stage for Unbuildable {
            async fn build() -> anyhow::Result<Self> {
                Err(skipped("not root"))
            }

            async fn strike(self) -> anyhow::Result<()> {
                Ok(())
            }
        }

        let stories = vec![
            Case::<Unbuildable>::new(uses_the_stage),
            Case::new(uses_the_stage),
            Case::new(leaves_it_alone),
        ];
        assert_eq!(outcome(stories), (1, 0, 2));
    }

    #[test]
    fn a_stage_that_nobody_asks_for_is_not_built() {
        stage!();
        assert_eq!(
            outcome(vec![Case::<Counting>::new(leaves_it_alone)]),
            (1, 0, 0)
        );
        assert_eq!(counts(), (0, 0));
    }

    #[test]
    fn after_a_failure_the_stage_is_dropped_and_not_struck() {
        stage!();
        let soon = Duration::from_millis(10);
        let stories = vec![
            Case::<Counting>::new(uses_the_stage),
            Case::new(fails),
            Case::new(panics),
            Case::new(never_ends).within(soon),
        ];
        assert_eq!(outcome(stories), (1, 3, 0));
        assert_eq!(counts(), (1, 0));
    }
}
