//! What servers under load lose to the observer. Does I/O.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::attach::{Attached, Programs, Workshop};
use crate::processor;
use crate::servers::{self, Server};
use crate::spread::Spread;

/// The part of a server's throughput that the observer may take beyond what empty programs take.
const BAR: f64 = 0.03;
/// How often the agent looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a server that takes no processor time must do so to be idle.
const SETTLING: Duration = Duration::from_millis(100);
const KINDS: [Programs; 3] = [Programs::Nothing, Programs::Empty, Programs::Observer];

/// One measurement.
#[derive(Clone, Copy, Debug)]
struct Load {
    /// Requests a second.
    rate: f64,
    /// Microseconds of processor time that server and load took for a request.
    processor: f64,
}

type Figures = BTreeMap<Programs, Vec<Load>>;

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
        let mut figures = Figures::new();
        for _ in 0..rounds {
            for programs in KINDS {
                let mut attached = workshop.attach(programs)?;
                let load = load(&server, &mut attached)?;
                figures.entry(programs).or_default().push(load);
            }
        }
        holds &= print(server.name, &figures)?;
    }
    Ok(holds)
}

fn load(server: &Server, attached: &mut Attached) -> Result<Load> {
    let before = processor_time(server)?;
    let began = Instant::now();
    let mut child = server
        .load()?
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut looked = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if looked.elapsed() >= LOOK_INTERVAL {
            attached.look()?;
            looked += LOOK_INTERVAL;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let elapsed = began.elapsed().as_secs_f64();
    let mut output = String::new();
    let mut stdout = child.stdout.take().context("the output is not read")?;
    stdout.read_to_string(&mut output)?;
    ensure!(
        status.success(),
        "the load of {} failed: {status}",
        server.name
    );
    let after = processor_time(server)?;
    let rate = server.rate(&output)?;
    Ok(Load {
        rate,
        processor: after.saturating_sub(before).as_secs_f64() * 1e6 / (rate * elapsed),
    })
}

/// What server and loads have taken, once the server is done with what it does after a load: a process
/// of it is counted when it has ended.
fn processor_time(server: &Server) -> Result<Duration> {
    let mut taken = processor::of_process(server.process())?;
    loop {
        std::thread::sleep(SETTLING);
        let now = processor::of_process(server.process())?;
        if now == taken {
            return Ok(taken + processor::of_children()?);
        }
        taken = now;
    }
}

fn print(name: &str, figures: &Figures) -> Result<bool> {
    let of = |programs: Programs| figures.get(&programs).into_iter().flatten();
    println!(
        "  {name:<12} {:<12}     median   least [quartiles] most",
        ""
    );
    for programs in KINDS {
        let spread = Spread::of(of(programs).map(|load| load.rate));
        println!(
            "  {:<12} {:<12} {spread:.0} requests a second",
            "",
            programs.name()
        );
    }
    for programs in KINDS {
        let spread = Spread::of(of(programs).map(|load| load.processor));
        println!(
            "  {:<12} {:<12} {spread:.2} us of processor time a request",
            "",
            programs.name()
        );
    }
    let ratio = |more, less, figure: fn(&Load) -> f64| {
        let pairs = of(more).zip(of(less));
        Spread::of(pairs.map(|(more, less)| figure(more) / figure(less)))
    };
    let mut throughput = None;
    for (more, less) in [
        (Programs::Empty, Programs::Nothing),
        (Programs::Observer, Programs::Empty),
    ] {
        let names = format!("{} / {}", more.name(), less.name());
        let rate = ratio(more, less, |load| load.rate);
        println!("  {:<12} {names:<18} {rate:.3} of the throughput", "");
        let processor = ratio(more, less, |load| load.processor);
        println!(
            "  {:<12} {names:<18} {processor:.3} of the processor time",
            ""
        );
        throughput = Some(rate);
    }
    let throughput = throughput.context("nothing was measured")?;
    let (loss, doubt) = (1.0 - throughput.median, throughput.doubt);
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
