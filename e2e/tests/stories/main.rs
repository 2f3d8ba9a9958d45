//! Stories of Podfence in a real cluster, installed as users install it. Starts labs and operators.
//!
//! Most stories share one cluster with one operator, and own namespaces, policies and profiles in
//! it. Those that kill the operator, restart the API server or change the installation have a
//! cluster of their own.

// A story that panics has failed, and says where.
#![allow(clippy::indexing_slicing)]

mod cluster_wide;
mod definitions;
mod faults;
mod guarded;
mod idle;
mod kills;
mod labels;
mod leaders;
mod leaving;
mod loosening;
mod matching;
mod oddities;
mod ownership;
mod profiles;
mod restarts;
mod rights;
mod scale;
mod servers;
mod statuses;

use std::{process::ExitCode, time::Duration};

use podfence_e2e::harness::{Case, tell_at_once};

/// They wait for soaks and for the API server most of the time, even on two cores.
const AT_ONCE: usize = 12;
/// What `PODFENCE_STORIES=all` makes long: a hundred kills take eleven minutes, and each watch that
/// is refused one.
const ALL: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    let stories = vec![
        // With a cluster of their own; they take longest, so they begin first.
        Case::new(rights::are_each_there_for_something).within(ALL),
        Case::new(kills::at_any_write_change_nothing_in_the_end).within(ALL),
        Case::new(scale::costs_one_write_a_namespace_and_none_at_rest).within(ALL),
        Case::new(faults::a_watch_that_is_lost_tightens_nothing_until_it_is_back),
        Case::new(restarts::of_the_operator_cost_no_write_and_no_soak),
        Case::new(restarts::of_the_api_server_are_survived),
        Case::new(restarts::of_the_operator_find_what_happened_meanwhile),
        Case::new(leaders::one_leads_and_the_other_takes_over),
        Case::new(leaders::a_paused_leader_that_wakes_lowers_nothing),
        Case::new(definitions::deleted_under_a_policy_with_remove_strip_nothing),
        Case::new(cluster_wide::system_namespaces_stay_out_unless_asked_for),
        Case::new(cluster_wide::an_exempt_namespace_is_labelled_and_not_called_enforced),
        Case::new(servers::of_1_34_are_served),
        Case::new(servers::that_emulate_an_older_one_are_believed),
        Case::new(faults::a_pod_that_no_watch_has_shown_holds_enforcement),
        Case::new(faults::forgotten_watches_refused_writes_and_cut_connections_pass),
        // In the cluster that all the others share.
        Case::new(labels::reach_existing_and_new_namespaces),
        Case::new(guarded::holds_on_a_violating_deployment_until_it_is_fixed_and_soaked),
        Case::new(idle::a_dry_run_reports_and_writes_nothing),
        Case::new(idle::a_suspended_policy_wins_and_writes_nothing),
        Case::new(matching::goes_by_selector_and_exclusion),
        Case::new(matching::of_two_policies_the_higher_priority_wins_whole),
        Case::new(labels::come_back_after_a_removal),
        Case::new(labels::come_at_once_under_immediate),
        Case::new(labels::reach_an_empty_new_namespace_without_a_soak),
        Case::new(labels::of_modes_left_out_are_not_touched),
        Case::new(ownership::a_label_set_by_hand_is_yielded_to),
        Case::new(ownership::a_label_set_by_hand_is_taken_over_where_the_policy_says_so),
        Case::new(ownership::a_fight_stops_and_names_the_other),
        Case::new(guarded::enforces_the_strictest_passing_level_meanwhile),
        Case::new(guarded::starts_the_soak_again_for_a_pod_that_came_and_went),
        Case::new(guarded::counts_a_deployment_that_is_scaled_to_zero),
        Case::new(guarded::is_not_held_by_an_old_replica_set),
        Case::new(profiles::an_exception_is_listed_and_still_holds_enforcement),
        Case::new(profiles::latest_is_pinned_under_guarded_and_only_there),
        Case::new(profiles::a_pin_is_raised_through_the_soak_and_lowered_by_its_author),
        Case::new(profiles::a_missing_profile_freezes_and_comes_back),
        Case::new(loosening::a_level_set_by_hand_that_is_stricter_stays),
        Case::new(loosening::a_policy_lowers_what_it_set_itself),
        Case::new(loosening::a_winner_that_changed_keeps_what_the_other_set),
        Case::new(loosening::a_deleted_policy_leaves_its_level_to_nobody),
        Case::new(leaving::retain_keeps_the_labels_and_needs_no_finalizer),
        Case::new(leaving::remove_takes_exactly_our_own_labels),
        Case::new(leaving::remove_spares_what_another_policy_wins),
        Case::new(statuses::are_written_now_and_then_however_much_happens),
        Case::new(statuses::are_never_current_before_the_policy_was_seen),
        Case::new(oddities::a_finished_pod_holds_nothing),
        Case::new(oddities::a_label_that_cannot_be_read_is_said),
        Case::new(oddities::a_namespace_created_anew_begins_anew),
        Case::new(oddities::a_terminating_namespace_is_left_alone),
        Case::new(oddities::the_account_can_do_nothing_else),
    ];
    tell_at_once(AT_ONCE, stories)
}
