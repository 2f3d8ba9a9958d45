//! One running program: its log file, its health, its end. Starts and signals processes.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::Signal;

use super::supervisor::{self, Supervised};

/// Lines of each log shown when something fails.
const TAIL_LINES: usize = 20;

/// A program to start, with everything it is told.
#[derive(Debug, Clone)]
pub struct Program {
    name: String,
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Program {
    /// `name` names the process in messages and its log file; `path` is the executable.
    #[must_use]
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments in their order.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item: Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds `--NAME=VALUE`, the form that every program of Kubernetes takes.
    #[must_use]
    pub fn flag(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let mut argument = OsString::from(format!("--{name}="));
        argument.push(value);
        self.argument(argument)
    }

    /// Sets one variable on top of this process's environment.
    #[must_use]
    pub fn environment(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts the program with both of its outputs appended to `log`.
    ///
    /// # Errors
    ///
    /// When the log cannot be written or no process can be started.
    pub async fn start(&self, log: &Path) -> anyhow::Result<Process> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("failed to open the log {}", log.display()))?;
        let errors = output.try_clone()?;
        let supervised = supervisor::start(&self.path, |command| {
            command
                .args(&self.arguments)
                .envs(self.environment.iter().map(|(name, value)| (name, value)))
                .stdout(Stdio::from(output))
                .stderr(Stdio::from(errors));
        })
        .await
        .with_context(|| format!("failed to start {}", self.name))?;
        Ok(Process {
            name: self.name.clone(),
            log: log.to_owned(),
            supervised,
        })
    }
}

/// A process that this process started; killed when this value is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    supervised: Supervised,
}

impl Process {
    /// The name given to [`Program::new`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id, the program's own.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.supervised.pid
    }

    /// The file with the program's output.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How the process ended, if it has.
    #[must_use]
    pub fn exited(&self) -> Option<ExitStatus> {
        *self.supervised.exit.borrow()
    }

    /// Sends a signal; nothing happens when the process has ended.
    pub fn signal(&self, signal: Signal) {
        // The task that takes it ends with the process.
        let _ = self.supervised.signals.send(signal);
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Errors
    ///
    /// When it still runs after `timeout`.
    pub async fn wait(&self, timeout: Duration) -> anyhow::Result<ExitStatus> {
        let mut exit = self.supervised.exit.clone();
        match tokio::time::timeout(timeout, exit.wait_for(Option::is_some)).await {
            Ok(Ok(status)) => (*status).context("a process ended without a status"),
            Ok(Err(_)) => bail!("the supervisor of child processes has ended"),
            Err(_) => bail!("{} still runs after {timeout:?}", self.name),
        }
    }

    /// Asks the process to end with SIGTERM, and kills it when it has not after `grace`.
    ///
    /// # Errors
    ///
    /// When it had to be killed: a program of this lab ends when it is asked to.
    pub async fn stop(&self, grace: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM);
        let ended = self.wait(grace).await;
        if ended.is_err() {
            self.kill();
        }
        ended
    }

    /// Kills the process with SIGKILL and waits until it is gone.
    pub fn kill(&self) {
        self.supervised.kill();
    }

    /// The last lines of the log, each indented, under the name of the file.
    #[must_use]
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a log, each indented, under the name of the file.
pub(super) fn log_tail(log: &Path) -> String {
    // Logs of a long run are large, but this runs at most once a lab, after a failure.
    let content = fs::read(log).unwrap_or_default();
    let content = String::from_utf8_lossy(&content);
    let lines: Vec<&str> = content.lines().collect();
    let tail = lines
        .get(lines.len().saturating_sub(TAIL_LINES)..)
        .unwrap_or_default();
    let name = log.file_name().unwrap_or_default().to_string_lossy();
    let mut text = format!("--- {name}: last {} of {} lines\n", tail.len(), lines.len());
    for line in tail {
        text.push_str("    ");
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, time::Instant};

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Program {
        Program::new("shell", "/bin/sh")
            .argument("-c")
            .argument(script)
    }

    fn runs(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[tokio::test]
    async fn the_log_holds_both_outputs_and_the_exit_code_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let process = shell("echo out; echo $GREETING >&2; exit 3")
            .environment("GREETING", "hello")
            .start(&log)
            .await
            .unwrap();
        assert_eq!(process.wait(LONG).await.unwrap().code(), Some(3));
        assert_eq!(fs::read_to_string(&log).unwrap(), "out\nhello\n");
        assert_eq!(
            process.log_tail(),
            "--- log: last 2 of 2 lines\n    out\n    hello\n"
        );
    }

    #[tokio::test]
    async fn a_program_that_ends_when_asked_is_not_killed() {
        let folder = tempfile::tempdir().unwrap();
        let process = Program::new("sleep", "/bin/sleep")
            .argument("1000")
            .start(&folder.path().join("log"))
            .await
            .unwrap();
        let pid = process.pid();
        let status = process.stop(LONG).await.unwrap();
        assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
        assert!(!runs(pid));
    }

    #[tokio::test]
    async fn a_program_that_ignores_the_request_is_killed_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let process = shell("trap '' TERM; echo ready; while :; do sleep 1; done")
            .start(&log)
            .await
            .unwrap();
        crate::eventually(LONG, async || {
            anyhow::ensure!(
                fs::read_to_string(&log)? == "ready\n",
                "the trap is not set"
            );
            Ok(())
        })
        .await
        .unwrap();
        let pid = process.pid();
        let error = process.stop(Duration::from_millis(200)).await.unwrap_err();
        assert_eq!(error.to_string(), "shell still runs after 200ms");
        assert!(!runs(pid));
    }

    #[tokio::test]
    async fn a_process_ends_with_its_handle_but_not_with_the_thread_that_asked_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let process = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime
                .block_on(
                    Program::new("sleep", "/bin/sleep")
                        .argument("1000")
                        .start(&log),
                )
                .unwrap()
        })
        .join()
        .unwrap();
        let pid = process.pid();
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(200) {
            assert!(
                runs(pid),
                "the parent-death signal is bound to the wrong thread"
            );
            std::thread::yield_now();
        }
        drop(process);
        assert!(!runs(pid));
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let process = Program::new("nothing", "/does/not/exist")
            .start(&folder.path().join("log"))
            .await
            .unwrap();
        assert_eq!(process.wait(LONG).await.unwrap().code(), Some(127));
        assert!(process.log_tail().contains("/does/not/exist"));
    }
}
