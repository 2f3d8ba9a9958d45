//! The one thread that owns every child process of this process. Starts, signals and reaps them.
//!
//! Whatever ends this process must end its children:
//!
//! - A value dropped, also by a panic: [`super::Process`] kills its child.
//! - SIGINT and SIGTERM: this thread kills all children, ends the nodes, removes the labs' folders
//!   and exits.
//! - SIGKILL: the kernel kills the children, by the parent-death signal that `setpriv` sets before
//!   it becomes the program. It is sent when the *thread* that started the child ends, and threads
//!   of tests and runtimes end early, so only this thread, which lives as long as the process,
//!   starts any.
//!
//! What a node's runtime starts is nobody's child; `guard` sees to its end.
//!
//! Each child is owned by one task, which is the only one to signal it and to reap it. So a signal
//! never reaches a process that got the same id later.

use std::{
    io,
    process::{ExitStatus, Stdio},
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot, watch},
};

use super::{folder, guard};

/// Longer than the kernel takes to end a killed process that has a gigabyte to give back.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// How the rest of this process sees a child. The child is killed when this value is dropped, also
/// on its way to whoever asked for it.
#[derive(Debug)]
pub(super) struct Supervised {
    pub(super) pid: u32,
    pub(super) signals: mpsc::UnboundedSender<Signal>,
    pub(super) exit: watch::Receiver<Option<ExitStatus>>,
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // It fails only when the child has ended.
        let _ = self.signals.send(Signal::KILL);
    }
}

/// How the supervisor sees a child.
struct Ward {
    signals: mpsc::UnboundedSender<Signal>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

struct Request {
    command: Command,
    reply: oneshot::Sender<io::Result<Supervised>>,
}

/// Starts a child that does not outlive this process.
///
/// # Errors
///
/// When the supervisor or the program cannot be started. A program that does not exist exits with
/// 127 instead, and says so on its standard error.
pub(super) async fn start(
    program: &std::path::Path,
    configure: impl FnOnce(&mut Command),
) -> anyhow::Result<Supervised> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    configure(&mut command);
    // In its own group, so that Ctrl-C in a terminal reaches this process alone, which then ends
    // the children in order.
    command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .process_group(0);
    let (reply, answer) = oneshot::channel();
    requests()?
        .send(Request { command, reply })
        .map_err(|_| anyhow!("the supervisor of child processes has ended"))?;
    answer
        .await
        .context("the supervisor of child processes has ended")?
        .context("failed to start setpriv, which comes with util-linux")
}

fn requests() -> anyhow::Result<&'static mpsc::UnboundedSender<Request>> {
    static SUPERVISOR: OnceLock<Result<mpsc::UnboundedSender<Request>, Arc<io::Error>>> =
        OnceLock::new();
    SUPERVISOR
        .get_or_init(|| start_thread().map_err(Arc::new))
        .as_ref()
        .map_err(|error| anyhow!(Arc::clone(error)).context("failed to start the supervisor"))
}

fn start_thread() -> io::Result<mpsc::UnboundedSender<Request>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    // One thread, and no other: the parent-death signal is bound to it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (interrupts, terminations) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    std::thread::Builder::new()
        .name("supervisor".into())
        .spawn(move || runtime.block_on(supervise(receiver, interrupts, terminations)))?;
    Ok(sender)
}

async fn supervise(
    mut requests: mpsc::UnboundedReceiver<Request>,
    mut interrupts: tokio::signal::unix::Signal,
    mut terminations: tokio::signal::unix::Signal,
) {
    let mut children: Vec<Ward> = Vec::new();
    let signal = loop {
        tokio::select! {
            Some(Request { mut command, reply }) = requests.recv() => {
                let started = command.spawn().and_then(own);
                children.retain(|child| child.exit.borrow().is_none());
                if let Ok(child) = &started {
                    let (signals, exit) = (child.signals.clone(), child.exit.clone());
                    children.push(Ward { signals, exit });
                }
                // It fails when whoever asked is gone; what comes back is dropped.
                let _ = reply.send(started);
            }
            _ = interrupts.recv() => break Signal::INT,
            _ = terminations.recv() => break Signal::TERM,
        }
    };
    for child in &children {
        let _ = child.signals.send(Signal::KILL);
    }
    let ended = async {
        for child in &mut children {
            let _ = child.exit.wait_for(Option::is_some).await;
        }
    };
    let _ = tokio::time::timeout(KILL_TIMEOUT, ended).await;
    guard::end_all();
    folder::remove_all();
    // As a shell reports a process that a signal ended.
    std::process::exit(128 + signal.as_raw());
}

/// Gives the child a task that signals and reaps it.
fn own(mut child: Child) -> io::Result<Supervised> {
    let pid = child
        .id()
        .ok_or_else(|| io::Error::other("the child has no process id"))?;
    let (signals, mut wanted) = mpsc::unbounded_channel();
    let (exited, exit) = watch::channel(None);
    tokio::spawn(async move {
        let status = loop {
            tokio::select! {
                // INVARIANT: the child is reaped nowhere else, so while this branch runs the id is
                // still its own.
                Some(signal) = wanted.recv() => deliver(&child, signal),
                status = child.wait() => break status,
            }
        };
        exited.send_replace(Some(status.unwrap_or_default()));
    });
    Ok(Supervised { pid, signals, exit })
}

fn deliver(child: &Child, signal: Signal) {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It fails only for a process that has ended already, which the other branch notices.
        let _ = kill_process(pid, signal);
    }
}

impl Supervised {
    /// Kills the child and blocks until it is gone, at most [`KILL_TIMEOUT`].
    pub(super) fn kill(&self) {
        if self.exit.borrow().is_some() || self.signals.send(Signal::KILL).is_err() {
            return;
        }
        // Callable from asynchronous code, where a destructor cannot wait otherwise; the
        // supervisor's own thread makes the progress.
        let deadline = std::time::Instant::now() + KILL_TIMEOUT;
        while self.exit.borrow().is_none() && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, path::Path};

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_child_that_nobody_waits_for_any_more_is_killed() {
        let (mut reader, writer) = io::pipe().unwrap();
        let started = start(Path::new("/bin/sleep"), |command| {
            command.arg("1000").stdout(writer);
        });
        // Polled once, which asks for the child, and given up before the answer.
        assert!(started.now_or_never().is_none());
        // The pipe ends when nobody can write to it any more. On a thread of its own, because a
        // failing test would wait for one of the runtime's.
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || ended.send(reader.read_to_end(&mut Vec::new())));
        end.recv_timeout(KILL_TIMEOUT).unwrap().unwrap();
    }
}
