//! The observer's programs on the kernel of this machine: what they see of programs that do what is
//! easily got wrong. Loads programs into the kernel, starts processes; needs root, and no cluster.

mod watched;

use std::{env, process::ExitCode};

use anyhow::{Context as _, bail, ensure};
use podfence_agent::observe::{
    assumption,
    clock::Clock,
    sight::{Fate, SeenCall, Sight},
};
use podfence_e2e::{
    eventually,
    harness::{Case, Shared, tell},
};
use podfence_seccomp::{Abi, Errno, syscalls};
use tokio::process::Command;

use watched::{PATIENCE, Program, Watched, kernel, needs_root};

fn main() -> ExitCode {
    tell(vec![
        Case::new(a_denied_call_has_not_gone_in),
        Case::new(a_denied_call_has_not_gone_in_where_the_session_is_of_another_namespace),
        Case::new(what_every_program_does_is_not_kept),
        Case::new(every_call_of_many_threads_and_processes_counts),
        Case::new(doors_are_told_apart),
        Case::new(flags_in_memory_are_read),
        Case::new(what_a_filter_denies_is_seen_with_its_arguments),
        Case::new(what_a_debugger_does_is_no_denial),
        Case::new(a_call_that_does_not_come_back_is_said),
        Case::new(a_program_in_memory_is_of_who_executed_it),
        Case::new(a_program_on_no_mount_is_of_who_executed_it),
        Case::new(a_program_in_memory_that_two_execute_makes_both_blind),
        Case::new(who_leaves_its_namespace_stays_what_it_is),
        Case::new(a_namespace_of_its_own_is_another_space),
        Case::new(a_start_is_seen_and_a_later_one_is_none),
        Case::new(calls_are_seen_to_return_only_while_that_is_asked_for),
        Case::new(what_is_too_much_is_lost_and_that_is_said),
    ])
}

/// The error of a call that the kernel does not know by its arguments (EOPNOTSUPP).
const NO_OPERATION: Errno = Errno::new(95);

/// The calls of one name.
fn named<'a>(program: &'a Program, name: &'a str) -> impl Iterator<Item = &'a SeenCall> {
    let calls = program.calls.iter();
    calls.filter(move |call| syscalls::name(call.abi, call.number) == Some(name))
}

/// The only entry for a name.
fn only<'a>(program: &'a Program, name: &'a str) -> anyhow::Result<&'a SeenCall> {
    let mut calls = named(program, name);
    let call = calls
        .next()
        .with_context(|| format!("no {name}: {program:?}"))?;
    ensure!(calls.next().is_none(), "more than one {name}: {program:?}");
    Ok(call)
}

async fn a_denied_call_has_not_gone_in(_: Shared<Watched>) -> anyhow::Result<()> {
    needs_root()?;
    Ok(tokio::task::spawn_blocking(assumption::check).await??)
}

async fn a_denied_call_has_not_gone_in_where_the_session_is_of_another_namespace(
    _: Shared<Watched>,
) -> anyhow::Result<()> {
    needs_root()?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--kill-child"]);
    unshare.arg(env::current_exe()?);
    unshare.args(["--exact", "a_denied_call_has_not_gone_in"]);
    let told = unshare.kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&told.stdout);
    ensure!(
        told.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&told.stderr)
    );
    Ok(())
}

async fn what_every_program_does_is_not_kept(shared: Shared<Watched>) -> anyhow::Result<()> {
    let program = shared.get().await?.run("usual").await?;
    only(&program, "keyctl")?;
    ensure!(program.calls.len() == 1, "{program:?}");
    ensure!(program.space.is_some_and(|space| space.begun.is_some()));
    Ok(())
}

async fn every_call_of_many_threads_and_processes_counts(
    shared: Shared<Watched>,
) -> anyhow::Result<()> {
    let watched = shared.get().await?;
    for (manner, count) in [("threads", 100), ("forks", 200)] {
        let program = watched.run(manner).await?;
        let call = only(&program, "keyctl")?;
        ensure!(call.count == count, "{call:?}");
        ensure!(call.fate == Fate::Refused(NO_OPERATION), "{call:?}");
        ensure!(call.executable.ends_with(&*program.name), "{call:?}");
        ensure!(program.calls.len() == 1, "{program:?}");
    }
    Ok(())
}

async fn doors_are_told_apart(shared: Shared<Watched>) -> anyhow::Result<()> {
    let program = shared.get().await?.run("doors").await?;
    let mut doors: Vec<_> = named(&program, "keyctl").map(|call| call.abi).collect();
    doors.sort_unstable();
    let wanted = [Abi::X86_64, Abi::X86, Abi::X32];
    ensure!(doors == wanted, "{program:?}");
    ensure!(named(&program, "keyctl").all(|call| call.count == 1));
    Ok(())
}

async fn flags_in_memory_are_read(shared: Shared<Watched>) -> anyhow::Result<()> {
    let program = shared.get().await?.run("clone3").await?;
    let call = only(&program, "clone3")?;
    ensure!(call.arguments == Some(vec![(0, 0x1000_0000)]), "{call:?}");
    ensure!(call.fate == Fate::Success && call.count == 1, "{call:?}");
    Ok(())
}

async fn what_a_filter_denies_is_seen_with_its_arguments(
    shared: Shared<Watched>,
) -> anyhow::Result<()> {
    let watched = shared.get().await?;
    // As long as the observer is new, the first of them may have gone in before it came.
    eventually(PATIENCE, async || {
        let program = watched.run("filtered").await?;
        let call = only(&program, "unshare")?;
        let denied = Fate::Denied {
            errno: Errno::EPERM,
            filters: 1,
            ambiguous: false,
        };
        ensure!(call.fate == denied && call.count == 3, "{call:?}");
        ensure!(call.arguments == Some(vec![(0, 0x1000_0000)]), "{call:?}");
        Ok(())
    })
    .await
}

async fn what_a_debugger_does_is_no_denial(shared: Shared<Watched>) -> anyhow::Result<()> {
    let program = shared.get().await?.run("traced").await?;
    // The filter has denied it, and the debugger could have.
    let call = only(&program, "unshare")?;
    let ambiguous = matches!(
        call.fate,
        Fate::Denied {
            ambiguous: true,
            ..
        }
    );
    ensure!(ambiguous, "{call:?}");
    Ok(())
}

async fn a_call_that_does_not_come_back_is_said(shared: Shared<Watched>) -> anyhow::Result<()> {
    let watched = shared.get().await?;
    let process = watched.start("blocked")?;
    let seen = watched.sees(&process, |program| {
        named(program, "io_uring_enter").any(|call| call.fate == Fate::Unrecorded)
    });
    let program = seen.await?;
    let said = named(&program, "io_uring_enter").map(|call| call.count);
    ensure!(said.sum::<u64>() == 1, "{program:?}");
    process.stop().await
}

async fn a_program_in_memory_is_of_who_executed_it(shared: Shared<Watched>) -> anyhow::Result<()> {
    let program = shared.get().await?.run("memory").await?;
    let in_memory = format!("/memfd:{}", program.name);
    let (executed, own): (Vec<_>, Vec<_>) =
        named(&program, "keyctl").partition(|call| *call.executable == in_memory);
    let ([executed], [own]) = (&*executed, &*own) else {
        bail!("{program:?}");
    };
    ensure!(executed.space == own.space, "{program:?}");
    ensure!((executed.count, own.count) == (1, 1), "{program:?}");
    ensure!(program.blind == 0, "{program:?}");
    Ok(())
}

async fn a_program_on_no_mount_is_of_who_executed_it(
    shared: Shared<Watched>,
) -> anyhow::Result<()> {
    let program = shared.get().await?.run("detached").await?;
    // Before and after, of one file.
    ensure!(only(&program, "keyctl")?.count == 2, "{program:?}");
    ensure!(program.blind == 0, "{program:?}");
    Ok(())
}

async fn a_program_in_memory_that_two_execute_makes_both_blind(
    shared: Shared<Watched>,
) -> anyhow::Result<()> {
    let program = shared.get().await?.run("shared").await?;
    let calls = named(&program, "keyctl");
    let in_memory = calls.filter(|call| call.executable.starts_with("/memfd:"));
    let in_memory: u64 = in_memory.map(|call| call.count).sum();
    ensure!(in_memory == 1, "{program:?}");
    ensure!(program.blind == 2, "{program:?}");
    Ok(())
}

async fn who_leaves_its_namespace_stays_what_it_is(shared: Shared<Watched>) -> anyhow::Result<()> {
    let program = shared.get().await?.run("leaves").await?;
    let left = only(&program, "unshare")?;
    ensure!(only(&program, "keyctl")?.space == left.space, "{program:?}");
    Ok(())
}

async fn a_namespace_of_its_own_is_another_space(shared: Shared<Watched>) -> anyhow::Result<()> {
    let program = shared.get().await?.run("nested").await?;
    let unshared = only(&program, "unshare")?;
    let refused = only(&program, "keyctl")?;
    ensure!(unshared.space != refused.space, "{program:?}");
    ensure!(refused.executable == unshared.executable, "{program:?}");
    Ok(())
}

async fn a_start_is_seen_and_a_later_one_is_none(shared: Shared<Watched>) -> anyhow::Result<()> {
    let watched = shared.get().await?;
    let process = watched.start("blocked")?;
    let begun = |program: &Program| program.space.as_ref().and_then(|space| space.begun);
    let program = watched.sees(&process, |program| begun(program).is_some());
    let program = program.await?;
    let first = begun(&program).context("it has not begun")?;
    ensure!(first.filters == 0, "{first:?}");
    watched.run_within(&process).await?;
    let program = watched.sees(&process, |program| {
        named(program, "keyctl").next().is_some()
    });
    let program = program.await?;
    ensure!(begun(&program) == Some(first), "{program:?}");
    process.stop().await
}

async fn calls_are_seen_to_return_only_while_that_is_asked_for(
    shared: Shared<Watched>,
) -> anyhow::Result<()> {
    let watched = shared.get().await?;
    let mut kernel = kernel()?;
    let seen = |sight: Sight, program: &Program| {
        let path = format!("/{}", program.name);
        let mut calls = sight.calls.into_iter();
        calls.any(|call| call.executable.ends_with(&path))
    };
    kernel.follow_returns(false)?;
    let unseen = watched.run("refused").await?;
    ensure!(!seen(kernel.look(Clock::now())?, &unseen));
    // What became of its call is unknown, and does not seem to wait.
    kernel.follow_returns(true)?;
    let sight = kernel.look(Clock::now())?;
    ensure!(sight.lost > 0 && !seen(sight, &unseen));
    let program = watched.run("refused").await?;
    ensure!(seen(kernel.look(Clock::now())?, &program));
    Ok(())
}

async fn what_is_too_much_is_lost_and_that_is_said(shared: Shared<Watched>) -> anyhow::Result<()> {
    const MADE: u64 = 60_000;
    let program = shared.get().await?.run("storm").await?;
    let seen: u64 = named(&program, "socket").map(|call| call.count).sum();
    ensure!(seen > 10_000, "{seen}");
    ensure!(
        seen + program.lost == MADE,
        "{seen} seen, {} lost",
        program.lost
    );
    eprintln!("storm: {seen} seen, {} lost and said so", program.lost);
    Ok(())
}
