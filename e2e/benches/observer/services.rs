//! What servers under load lose to the observer. Does I/O.
//!
//! A machine that others use is quicker and slower by a tenth from second to second, so two runs of
//! seconds tell nothing of a few parts in a hundred. A load goes on all the time, and what is on the
//! tracepoints changes many times a second: slices that lie side by side are compared, and there are
//! thousands of them.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::attach::{Attached, Programs, Workshop};
use crate::servers::{self, Server};
use crate::spread::Spread;

/// The part of a server's throughput that the observer may take beyond what empty programs take.
const BAR: f64 = 0.03;
const SLICE: Duration = Duration::from_millis(40);
/// After programs were put on the tracepoints.
const SETTLING: Duration = Duration::from_millis(5);
/// In one of so many slices the observer is looked at, as the agent does once a second.
const SLICES_OF_A_LOOK: usize = 25;
const KINDS: [Programs; 3] = [Programs::Nothing, Programs::Empty, Programs::Observer];
/// Until a load has all its connections.
const WARMING_UP: Duration = Duration::from_secs(1);
const MIB: f64 = 1024.0 * 1024.0;

/// Bytes a second over the loopback interface, which only the server and its load use: requests and
/// answers are of the same size from first to last.
type Rates = BTreeMap<Programs, Vec<f64>>;

/// What makes requests, until it is dropped.
struct Load(Child);

/// Prints the throughput of each server, and says whether the bar may be held for all: a busy machine
/// does not tell.
pub(crate) fn measure(workshop: &Workshop, rounds: usize) -> Result<bool> {
    let missing = servers::missing();
    if !missing.is_empty() {
        println!(
            "servers: skipped; run as root:  apt-get install --no-install-recommends {}",
            missing.join(" ")
        );
        return Ok(true);
    }
    println!("servers, {rounds} rounds:");
    let mut holds = true;
    for server in servers::start(workshop.folder())? {
        let mut kinds = Vec::new();
        for programs in KINDS {
            let mut attached = workshop.attach(programs)?;
            attached.rest()?;
            kinds.push((programs, attached));
        }
        let mut load = Load::start(&server)?;
        sleep(WARMING_UP);
        let mut rates = Rates::new();
        for round in 0..rounds {
            for (programs, attached) in &mut kinds {
                attached.resume()?;
                sleep(SETTLING);
                let rate = slice(attached, round % SLICES_OF_A_LOOK == 0)?;
                attached.rest()?;
                rates.entry(*programs).or_default().push(rate);
            }
            // There and back, so that none is always the first of them.
            kinds.reverse();
            load.goes_on(&server)?;
        }
        drop(load);
        holds &= print(server.name, &rates)?;
    }
    Ok(holds)
}

/// The rate of one slice.
fn slice(attached: &mut Attached, is_looked_at: bool) -> Result<f64> {
    let (began, before) = (Instant::now(), loopback_bytes()?);
    sleep(SLICE / 2);
    if is_looked_at {
        attached.look()?;
    }
    sleep(SLICE / 2);
    let bytes = loopback_bytes()?.saturating_sub(before);
    let elapsed = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a slice has some millions")]
    let bytes = bytes as f64;
    Ok(bytes / elapsed)
}

/// All that was ever received by the loopback interface of this network namespace.
fn loopback_bytes() -> Result<u64> {
    let interfaces = fs::read_to_string("/proc/self/net/dev")?;
    let mut lines = interfaces.lines();
    let own = lines.find_map(|line| line.trim_start().strip_prefix("lo:"));
    let received = own.and_then(|line| line.split_whitespace().next());
    Ok(received.context("there is no interface lo")?.parse()?)
}

impl Load {
    fn start(server: &Server) -> Result<Self> {
        let mut command = server.load()?;
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn()?))
    }

    fn goes_on(&mut self, server: &Server) -> Result<()> {
        let ended = self.0.try_wait()?;
        ensure!(
            ended.is_none(),
            "the load of {} has ended: {ended:?}",
            server.name
        );
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn print(name: &str, rates: &Rates) -> Result<bool> {
    let of = |programs: Programs| rates.get(&programs).into_iter().flatten();
    println!(
        "  {name:<12} {:<18}     median   least [quartiles] most",
        ""
    );
    for programs in KINDS {
        let spread = Spread::of(of(programs).map(|rate| rate / MIB));
        println!(
            "  {:<12} {:<18} {spread:.1} MiB a second of requests and answers",
            "",
            programs.name()
        );
    }
    let mut last = None;
    for (more, less) in [
        (Programs::Empty, Programs::Nothing),
        (Programs::Observer, Programs::Empty),
    ] {
        let names = format!("{} / {}", more.name(), less.name());
        let ratio = Spread::of(of(more).zip(of(less)).map(|(more, less)| more / less));
        println!("  {:<12} {names:<18} {ratio:.3} of the throughput", "");
        last = Some(ratio);
    }
    let ratio = last.context("nothing was measured")?;
    let (loss, doubt) = (1.0 - ratio.median, ratio.doubt);
    let verdict = if loss + doubt < BAR {
        "held"
    } else if loss - doubt < BAR {
        "held or not: too much else runs on this machine, or too few rounds"
    } else {
        "not held"
    };
    println!(
        "  {name} loses {:.1} % ± {:.1} to the observer beyond empty programs; the bar of {:.0} % is \
         {verdict}",
        loss * 100.0,
        doubt * 100.0,
        BAR * 100.0
    );
    Ok(loss - doubt < BAR)
}
