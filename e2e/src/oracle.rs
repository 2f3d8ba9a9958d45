//! Libraries in Go that ours are compared with, as child processes that answer lines: Kubernetes' own
//! Pod Security, runc's seccomp filters, and the runtimes' own profiles. Does I/O.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What the library says of a pod, by level: from which version on which text, empty where the
/// pod is allowed.
pub type Answer = BTreeMap<String, Vec<Change>>;

/// A text that holds from a version on, until the next change.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Change {
    /// The first of the versions asked for that has it.
    pub version: String,
    /// What is forbidden and why, empty where nothing is.
    pub text: String,
}

/// The running program. Dropped, it is killed and waited for.
pub struct Oracle {
    process: Child,
    questions: Option<BufWriter<ChildStdin>>,
    answers: BufReader<ChildStdout>,
    line: String,
}

/// Builds the program of `e2e/oracle/MODULE` unless that is done, and says where it is.
///
/// # Errors
///
/// When Go is missing or the build fails.
pub fn build(module: &str) -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/build");
    let output = Command::new(&script)
        .arg(module)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("failed to run {}", script.display()))?;
    if !output.status.success() {
        bail!("failed to build the oracle: {}", output.status);
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim_end()))
}

impl Oracle {
    /// Starts the program of a module with these arguments; `e2e/oracle/MODULE/main.go` has them.
    ///
    /// # Errors
    ///
    /// When it cannot be built or started.
    pub fn start(module: &str, arguments: &[&str]) -> Result<Self> {
        let program = build(module)?;
        let mut process = Command::new(&program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))?;
        let questions = process
            .stdin
            .take()
            .context("the oracle has no standard input")?;
        let answers = process
            .stdout
            .take()
            .context("the oracle has no standard output")?;
        Ok(Self {
            process,
            questions: Some(BufWriter::with_capacity(1 << 16, questions)),
            answers: BufReader::with_capacity(1 << 20, answers),
            line: String::new(),
        })
    }

    /// Asks one question, a line of JSON, and waits for the answer.
    ///
    /// # Errors
    ///
    /// When the program has ended, or answers what is not of that type: an error for example.
    pub fn ask<T: DeserializeOwned>(&mut self, question: &str) -> Result<T> {
        self.send(question)?;
        self.receive()
    }

    /// Asks one question as [`Self::ask`], but waits for the answer only so long. Without one, the
    /// program may still be at work, and is of no use any more.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub fn ask_within<T: DeserializeOwned>(
        &mut self,
        question: &str,
        limit: Duration,
    ) -> Result<Option<T>> {
        self.send(question)?;
        let limit = Timespec::try_from(limit).context("failed to tell the time limit")?;
        // Every answer before was read to its end, so what comes is in the pipe and not in the buffer.
        let mut pipe = [PollFd::new(self.answers.get_ref(), PollFlags::IN)];
        if poll(&mut pipe, Some(&limit)).context("failed to wait for the oracle")? == 0 {
            return Ok(None);
        }
        self.receive().map(Some)
    }

    fn send(&mut self, question: &str) -> Result<()> {
        let pipe = self
            .questions
            .as_mut()
            .context("the oracle takes no more questions")?;
        writeln!(pipe, "{question}")?;
        pipe.flush().context("failed to ask the oracle")
    }

    fn receive<T: DeserializeOwned>(&mut self) -> Result<T> {
        self.line.clear();
        if self.answers.read_line(&mut self.line)? == 0 {
            bail!("the oracle has ended");
        }
        serde_json::from_str(&self.line).with_context(|| format!("the oracle said {}", self.line))
    }

    /// Sends the questions from a thread of its own while `receive` takes the answers, so that
    /// both programs work at the same time.
    ///
    /// # Errors
    ///
    /// When the program has ended, and as `each` does; the program is of no use then.
    pub fn stream<T: DeserializeOwned>(
        &mut self,
        questions: &[String],
        mut each: impl FnMut(&str, T) -> Result<()>,
    ) -> Result<()> {
        let mut pipe = self
            .questions
            .take()
            .context("the oracle takes no more questions")?;
        std::thread::scope(|scope| {
            let sender = scope.spawn(move || -> Result<_> {
                for question in questions {
                    pipe.write_all(question.as_bytes())?;
                    pipe.write_all(b"\n")?;
                }
                pipe.flush()?;
                Ok(pipe)
            });
            let outcome = questions.iter().try_for_each(|question| {
                let answer = self.receive()?;
                each(question, answer)
            });
            if outcome.is_err() {
                // Nobody reads any more, and the sender would wait for that for ever.
                let _ = self.process.kill();
            }
            let sent = sender
                .join()
                .map_err(|_| anyhow::anyhow!("the sender panicked"))?;
            outcome?;
            self.questions = Some(sent?);
            Ok(())
        })
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // It has ended already, or it is no longer wanted; neither is worth a word.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
