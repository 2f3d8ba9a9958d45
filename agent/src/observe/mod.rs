//! Observes the system calls of containers. Does I/O.
//!
//! The way of the data: once a second a [`sight`] comes from the kernel. The [`ledger`] makes notes of
//! it: whose call it was ([`groups`], [`context`]), what it says about the container's
//! `RuntimeDefault` ([`judged`]), and since when nothing can have escaped (`watched`). A [`book`]
//! keeps the notes of each workload, the [`schedule`] says when a book is written, and [`publish`]
//! writes it. [`books`] holds all of them, [`owner`] finds the workload, and [`task`] does one after the
//! other.

pub mod assumption;
pub mod book;
pub mod books;
pub mod clock;
pub mod context;
pub mod eyes;
pub mod groups;
pub mod judged;
pub mod kernel;
mod layout;
pub mod ledger;
pub mod link;
pub mod owner;
pub mod publish;
pub mod schedule;
pub mod sight;
pub mod tables;
pub mod task;
mod watched;
