//! The corpus: real programs, what was expected of them, and what came out. Pure.
//!
//! `e2e/corpus/programs.txt` is read by [`programs`], [`bars`] holds what came out against what a
//! verdict must be good for, and [`table`] writes it down. `e2e/tests/corpus` runs the programs.

pub mod bars;
pub mod programs;
pub mod table;

pub use bars::{Bars, Call, Foreseen, Happened, Match, Observed, Outcome, Report};
pub use programs::{Expectation, OnNode, Program, parse};
