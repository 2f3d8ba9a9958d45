//! Stories of who would fail under SeccompDefault: real programs on a node with it and on one without,
//! and what the operator says of them. Starts a lab with two nodes, as root, and operators.
//!
//! What must come out stands in tables, which were written before the stories were first told.

// A story that panics has failed, and says where.
#![allow(clippy::indexing_slicing)]

mod agents;
mod conflicts;
mod exceptions;
mod explained;
mod files;
mod idle;
mod levels;
mod nodes;
mod programs;
mod recordings;
mod rollout;
mod unmatched;

use std::process::ExitCode;

use podfence_e2e::harness::{Case, tell_at_once};

/// They wait for kubelets most of the time, even on two cores.
const AT_ONCE: usize = 10;

fn main() -> ExitCode {
    let stories = vec![
        // With labs of their own; they take longest, so they begin first.
        Case::new(agents::that_are_gone_and_switches_that_reached_no_container_are_said),
        Case::new(recordings::of_denied_calls_warn_before_they_are_denied),
        // On the nodes that they share.
        Case::new(programs::that_need_a_denied_call_fail_until_they_are_mended),
        Case::new(exceptions::that_are_well_or_have_another_cause_are_not_accused),
        Case::new(conflicts::between_two_pods_of_one_node_are_shown),
        Case::new(levels::that_came_later_exempt_no_pod_and_rule_out_fixes),
        Case::new(unmatched::workloads_count_for_the_nodes_alone),
        Case::new(files::that_a_node_lacks_are_missed_and_found),
        // In a cluster of its own, whose nodes are objects and nothing else.
        Case::new(nodes::of_which_too_little_is_known_are_never_ready),
        // On the shared nodes again, when nothing else happens there.
        Case::new(idle::the_operator_writes_nothing_whatever_crashes),
    ];
    tell_at_once(AT_ONCE, stories)
}
