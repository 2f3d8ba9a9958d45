//! What one system call costs under each kind of programs. Does I/O.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::attach::{Programs, Workshop};
use crate::spread::Spread;

/// Nanoseconds that the observer may add to a call that nobody denies, beyond what empty programs add.
const BAR: f64 = 40.0;

/// A call and how many of it are timed at once, and whether it matters whose it is: what no profile
/// denies goes one way for all.
struct Call {
    name: &'static str,
    count: u32,
    is_kept: bool,
}

const CALLS: [Call; 5] = [
    Call {
        name: "getpid",
        count: 2_000_000,
        is_kept: false,
    },
    Call {
        name: "getppid",
        count: 2_000_000,
        is_kept: false,
    },
    Call {
        name: "keyctl",
        count: 400_000,
        is_kept: true,
    },
    Call {
        name: "socket+close",
        count: 50_000,
        is_kept: true,
    },
    Call {
        name: "thread",
        count: 5_000,
        is_kept: true,
    },
];

/// Whose calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Host,
    Container,
}

impl Whose {
    const fn name(self) -> &'static str {
        match self {
            Self::Host => "the host",
            Self::Container => "a container",
        }
    }
}

type Case = (&'static str, Whose, Programs);

/// Nanoseconds of processor time of each, round by round.
type Figures = BTreeMap<Case, Vec<f64>>;

/// Prints what calls cost, and says whether the bar is held.
pub(crate) fn measure(workshop: &Workshop, rounds: usize) -> Result<bool> {
    let mut kinds = vec![
        Programs::Nothing,
        Programs::Empty,
        Programs::EmptyEnter,
        Programs::Observer,
        Programs::ObserverEnter,
    ];
    if workshop.has_other() {
        kinds.push(Programs::Other);
    }
    let (mut figures, mut quickest) = (Figures::new(), Figures::new());
    for _ in 0..rounds {
        for programs in &kinds {
            round(workshop, *programs, &mut figures, &mut quickest)?;
        }
    }
    println!("system calls, {rounds} rounds, nanoseconds of processor time a call:");
    print(&figures);
    println!("the same, of the quickest hundredth of each round's calls:");
    print(&quickest);
    let added = difference(&figures, "getppid", Programs::Observer, Programs::Empty)?;
    println!(
        "the observer adds {:.1} ns to empty programs; the bar is {BAR} ns",
        added.median
    );
    Ok(added.median < BAR)
}

fn round(
    workshop: &Workshop,
    programs: Programs,
    figures: &mut Figures,
    quickest: &mut Figures,
) -> Result<()> {
    let mut attached = workshop.attach(programs)?;
    for call in &CALLS {
        for whose in [Whose::Host, Whose::Container] {
            if whose == Whose::Container && !call.is_kept {
                continue;
            }
            let command = match whose {
                Whose::Host => workshop.calls(),
                Whose::Container => workshop.contained_calls(),
            };
            let (all, least) = time(command, call)?;
            let case = (call.name, whose, programs);
            figures.entry(case).or_default().push(all);
            quickest.entry(case).or_default().push(least);
            attached.look()?;
        }
    }
    Ok(())
}

fn time(mut command: Command, call: &Call) -> Result<(f64, f64)> {
    // The second processor: many a machine has its interrupts on the first one.
    let processor = usize::from(std::thread::available_parallelism()?.get() > 1);
    let output = command
        .args(["time", call.name])
        .args([call.count.to_string(), processor.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    let (all, least) = text.trim().split_once(' ').context("two figures")?;
    Ok((all.parse()?, least.parse()?))
}

fn print(figures: &Figures) {
    println!(
        "  {:<14} {:<10} {:<22}     median   least [quartiles] most",
        "call", "of", "under"
    );
    for ((name, whose, programs), nanoseconds) in figures {
        let whose = whose.name();
        let spread = Spread::of(nanoseconds.iter().copied());
        println!("  {name:<14} {whose:<11} {:<22} {spread}", programs.name());
    }
    println!("  differences within a round:");
    for (name, whose, programs) in figures.keys() {
        let beside = match programs {
            Programs::Nothing => continue,
            Programs::Empty | Programs::EmptyEnter => Programs::Nothing,
            Programs::Observer | Programs::Other => Programs::Empty,
            Programs::ObserverEnter => Programs::EmptyEnter,
        };
        let spread = pairs(figures, (name, *whose, *programs), (name, *whose, beside));
        let whose = whose.name();
        let names = format!("{} - {}", programs.name(), beside.name());
        println!("  {name:<14} {whose:<11} {names:<40} {spread}");
    }
}

fn pairs(figures: &Figures, more: Case, less: Case) -> Spread {
    let of = |case: &Case| figures.get(case).into_iter().flatten().copied();
    Spread::of(of(&more).zip(of(&less)).map(|(more, less)| more - less))
}

fn difference(
    figures: &Figures,
    name: &'static str,
    more: Programs,
    less: Programs,
) -> Result<Spread> {
    let spread = pairs(
        figures,
        (name, Whose::Host, more),
        (name, Whose::Host, less),
    );
    ensure!(spread.median.is_finite(), "{name} was not measured");
    Ok(spread)
}
