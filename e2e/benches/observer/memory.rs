//! What the observer holds, and how long a look takes, with many containers. Does I/O.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use podfence_agent::observe::clock::Clock;
use podfence_agent::observe::kernel::Kernel;

use crate::attach::{Workshop, tables};

/// The argument that makes this program one that only observes.
pub(crate) const OBSERVE: &str = "observe";
/// As many containers as a large node has: 110 pods, with two each.
const SPACES: usize = 200;
/// Looks after everything was seen, of which the quickest is told as well.
const LOOKS: usize = 10;
/// What the whole agent may hold, in KiB.
const BAR: u64 = 32 * 1024;

/// A program that only observes.
struct Observer {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What it says of itself.
struct Holding {
    spaces: usize,
    calls: usize,
    look: Duration,
    resident: u64,
    most: u64,
    maps: u64,
}

/// Observes, and says after every line that it reads what it holds.
pub(crate) fn observe() -> Result<()> {
    let (mut kernel, _news) = Kernel::start(tables()?, Clock::now())?;
    for line in std::io::stdin().lines() {
        line?;
        let began = Instant::now();
        let sight = kernel.look(Clock::now())?;
        let took = began.elapsed().as_nanos();
        println!(
            "{} {} {took} {} {} {}",
            sight.spaces.len(),
            sight.calls.len(),
            status("VmRSS:")?,
            status("VmHWM:")?,
            kernel_memory()?
        );
    }
    Ok(())
}

/// A field of proc(5)'s status, in KiB.
fn status(field: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(field));
    let value = value.and_then(|value| value.split_whitespace().next());
    Ok(value
        .context("no such field in /proc/self/status")?
        .parse()?)
}

/// Bytes of the maps and programs that this process has, as the kernel counts them.
fn kernel_memory() -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir("/proc/self/fdinfo")? {
        // The descriptor that reads the folder is gone by the time it is asked for.
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        let mut lines = text.lines();
        if let Some(held) = lines.find_map(|line| line.strip_prefix("memlock:")) {
            bytes += held.trim().parse::<u64>()?;
        }
    }
    Ok(bytes)
}

impl Observer {
    fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(OBSERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self {
            ask: child.stdin.take().context("no input")?,
            answers: BufReader::new(child.stdout.take().context("no output")?),
            child,
        })
    }

    fn look(&mut self) -> Result<Holding> {
        writeln!(self.ask)?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let fields: Vec<u64> = line
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let &[spaces, calls, look, resident, most, maps] = fields.as_slice() else {
            anyhow::bail!("the observer says {line:?}");
        };
        Ok(Holding {
            spaces: usize::try_from(spaces)?,
            calls: usize::try_from(calls)?,
            look: Duration::from_nanos(look),
            resident,
            most,
            maps,
        })
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Programs of containers, killed when they are dropped.
struct Containers(Vec<Child>);

impl Containers {
    fn start(workshop: &Workshop) -> Result<Self> {
        let mut all = Self(Vec::new());
        for _ in 0..SPACES {
            let mut command = workshop.contained_calls();
            all.0
                .push(command.arg("stay").stdout(Stdio::piped()).spawn()?);
        }
        for child in &mut all.0 {
            let mut line = String::new();
            let stdout = child.stdout.take().context("no output")?;
            BufReader::new(stdout).read_line(&mut line)?;
            ensure!(line == "made\n", "a program says {line:?}");
        }
        Ok(all)
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Prints what an observer holds without containers and with many, and says whether that leaves room
/// below the agent's bar.
pub(crate) fn measure(workshop: &Workshop) -> Result<bool> {
    println!("memory of a process that only observes:");
    let mut observer = Observer::start()?;
    print(&observer.look()?);
    let containers = Containers::start(workshop)?;
    let busy = observer.look()?;
    print(&busy);
    ensure!(
        busy.spaces >= SPACES,
        "only {} spaces are seen",
        busy.spaces
    );
    ensure!(busy.calls >= SPACES, "only {} calls are seen", busy.calls);
    let mut quickest = Duration::MAX;
    let mut last = busy;
    for _ in 0..LOOKS {
        last = observer.look()?;
        quickest = quickest.min(last.look);
    }
    print(&last);
    println!("  the quickest of {LOOKS} looks without anything new takes {quickest:?}");
    drop(containers);
    println!("  the bar of the whole agent is {BAR} KiB");
    Ok(last.resident < BAR)
}

fn print(holding: &Holding) {
    let Holding {
        spaces,
        calls,
        look,
        resident,
        most,
        maps,
    } = holding;
    println!(
        "  {spaces} spaces, {calls} calls: {resident} KiB resident, {most} KiB at most, {} KiB of \
         the kernel; the look took {look:?}",
        maps / 1024
    );
}
