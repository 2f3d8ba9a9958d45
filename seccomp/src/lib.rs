//! RuntimeDefault as data, and what it does with a system call on a real kernel. Pure, no I/O.

mod action;
mod kernel;
mod rule;
mod target;

pub use action::{Action, Errno};
pub use kernel::{InvalidKernel, KernelVersion};
pub use rule::{Applicability, Condition, Operator, Rule};
pub use target::{Abi, Architecture};
