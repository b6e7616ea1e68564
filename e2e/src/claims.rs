//! The claims, in the order in which they are checked.

mod absence;
mod arrived;
mod articles;
mod bad_input;
mod canary;
mod conditions;
mod deadlines;
mod gitops;
mod identity;
mod isolation;
mod lifecycle;
mod rbac;
mod repair;
mod ring;
mod sampling;
mod signals;
mod strangers;
mod verdicts;

use crate::stage::Claim;

macro_rules! claims {
    ($($module:ident :: $name:ident),* $(,)?) => { &[$((stringify!($name), $module::$name)),*] };
}

/// What takes longer than `cargo xtask test` may: `cargo xtask soak`.
pub(crate) const SOAK: &[(&str, Claim)] =
    claims![absence::an_operator_away_for_120_s_changes_nothing];

pub(crate) const ALL: &[(&str, Claim)] = claims![
    signals::the_three_signals_of_an_app_pod_arrive_at_a_real_otel_collector,
    signals::the_quickstart_keeps_what_a_pod_of_the_shop_sends,
    identity::forged_attributes_are_overwritten,
    identity::a_claim_in_an_unusual_place_is_overwritten,
    identity::an_unknown_sender_is_marked,
    isolation::a_broken_pipeline_leaves_its_neighbour_alone,
    absence::the_agent_writes_its_checkpoint_as_uid_65532,
    absence::an_agent_killed_loses_no_log_line,
    absence::a_config_change_under_load_loses_nothing,
    absence::a_rolling_update_under_load_loses_nothing,
    absence::an_operator_away_for_30_s_changes_nothing,
    conditions::conditions_and_kstatus_agree_on_a_pipeline,
    conditions::a_missing_secret_is_waited_for,
    deadlines::a_new_object_is_in_progress,
    deadlines::conditions_and_kstatus_agree_as_time_passes,
    deadlines::a_child_that_a_quota_forbids_is_told,
    gitops::the_same_manifests_applied_20_times_change_nothing,
    repair::a_child_edited_or_deleted_by_hand_is_repaired,
    verdicts::sixty_bad_objects_get_the_same_verdict_from_check_and_the_api_server,
    sampling::traces_are_sampled_whole_by_the_gateways,
    articles::what_the_articles_policy_keeps_of_an_sdk_s_traces_arrives_whole,
    ring::no_planned_change_of_the_gateways_tears_a_trace,
    strangers::a_pod_without_an_agent_s_token_cannot_send_to_a_gateway,
    canary::a_secret_s_value_appears_nowhere,
    bad_input::malformed_otlp_gets_the_specified_code,
    // What all claims above used.
    rbac::the_verbs_used_equal_the_chart_s_rules,
    // Nothing is left after it.
    lifecycle::install_upgrade_uninstall_in_the_documented_order_leaves_nothing,
];
