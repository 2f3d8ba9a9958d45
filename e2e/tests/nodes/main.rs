//! Stories that need real nodes: what containers are given, and what is left of them. Starts a lab
//! with two nodes, as root.

// A story that panics has failed, and says where.
#![allow(clippy::indexing_slicing)]

mod agent;
mod breakage;
mod effective;
mod filters;
mod kinds;
mod nodes;
mod remains;
mod rules;

use std::process::ExitCode;

use podfence_e2e::harness::{Case, tell_at_once};

/// They wait for kubelets most of the time, even on two cores.
const AT_ONCE: usize = 6;

fn main() -> ExitCode {
    // A story starts this program again, to kill it.
    if let Some(code) = remains::be_another_test() {
        return code;
    }
    let stories = vec![
        // With labs of their own; they take longest, so they begin first.
        Case::new(remains::of_killed_and_interrupted_tests_are_none),
        Case::new(remains::of_stopped_labs_are_none),
        Case::new(agent::reports_what_its_nodes_are_and_nothing_twice),
        Case::new(agent::finds_what_a_switch_has_not_reached_with_and_without_the_kubelet),
        // On the nodes that all the others share.
        Case::new(effective::profiles_and_capabilities_are_what_containers_have),
        Case::new(effective::profiles_and_capabilities_are_so_among_own_users_too),
        Case::new(breakage::of_a_program_by_seccomp_default_is_real_and_can_be_mended),
        Case::new(filters::of_the_kernel_do_what_is_decided),
        Case::new(breakage::comes_with_the_restart_of_a_kubelet_to_new_containers_alone),
    ];
    tell_at_once(AT_ONCE, stories)
}
