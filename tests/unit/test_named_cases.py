"""Every test case that the operators of others own has a test here, by its name."""

import ast
from collections.abc import Mapping
from functools import cache

import pytest

from tests.support.speech import ROOT

CONTROLLER = "tests/cluster/controller"
CREATION = f"{CONTROLLER}/test_creation.py"
LIFECYCLE = f"{CONTROLLER}/test_lifecycle.py"
SUSPENSION = f"{CONTROLLER}/test_suspension.py"
RETENTION = f"{CONTROLLER}/test_retention.py"
DEADLINES = f"{CONTROLLER}/test_deadlines.py"
FORGED = f"{CONTROLLER}/test_forged.py"
CRASHES = "tests/cluster/controller/faults/test_crash_points.py"
WATCHES = "tests/cluster/controller/faults/test_watch_faults.py"
SCHEMA = f"{CONTROLLER}/test_schema.py"
SCOPE = f"{CONTROLLER}/test_scope.py"
EVENTS = f"{CONTROLLER}/test_events.py"
ADMISSION = "tests/cluster/test_admission.py"
CHART = "tests/programs/chart/test_chart_objects.py"
METRICS = "tests/unit/controller/test_controller_metrics.py"

CASES: dict[str, tuple[str, ...]] = {
    "creation: one child": (f"{CREATION}::test_one_job_is_made_with_its_owner_when_a_transcription_is_made",),
    "creation: operator restarted between create and status write": (
        f"{CREATION}::test_one_job_is_made_when_the_controller_dies_between_status_and_job",
        f"{CREATION}::test_one_job_is_made_when_the_controller_dies_right_after_the_job",
    ),
    "creation: same-name Job owned by somebody else": (
        f"{CREATION}::test_it_fails_and_leaves_the_other_alone_when_its_jobs_name_is_taken",
    ),
    "creation: invalid Job template gives a Warning event and a condition, no hot loop": (
        f"{CREATION}::test_a_warning_and_a_condition_tell_it_and_no_loop_runs_when_the_job_template_is_invalid",
    ),
    "creation: maximum-length name": (
        f"{CREATION}::test_a_name_of_52_characters_makes_a_job_and_a_pod_with_the_whole_name",
    ),
    "creation: name too long": (f"{CREATION}::test_a_name_is_refused_when_it_is_too_long",),
    "creation: generateName": (
        f"{CREATION}::test_each_gets_a_name_of_its_own_when_one_is_generated",
        f"{CREATION}::test_a_generated_name_is_refused_when_its_beginning_is_too_long",
    ),
    "lifecycle: Job complete": (f"{LIFECYCLE}::test_it_succeeds_when_its_job_completes_with_a_result",),
    "lifecycle: Job failed": (f"{LIFECYCLE}::test_it_fails_with_the_workers_reason_when_its_job_fails",),
    "lifecycle: complete after one failure": (
        f"{LIFECYCLE}::test_it_succeeds_when_its_job_completes_after_one_failure",
    ),
    "lifecycle: max attempts reached": (f"{LIFECYCLE}::test_it_fails_when_all_attempts_are_used_up",),
    "lifecycle: failure reason matches vs not": (
        f"{LIFECYCLE}::test_it_fails_at_once_when_the_exit_code_is_a_permanent_one",
        f"{LIFECYCLE}::test_its_job_tries_again_when_the_exit_code_is_a_transient_one",
    ),
    "lifecycle: rule order": (f"{LIFECYCLE}::test_a_permanent_exit_code_counts_when_the_pod_was_disrupted_too",),
    "lifecycle: Pod deleted while running recovers": (
        f"{LIFECYCLE}::test_it_recovers_in_the_same_job_when_its_pod_is_deleted_while_it_runs",
    ),
    "lifecycle: Job deleted by hand": (
        f"{LIFECYCLE}::test_it_recovers_in_another_job_when_its_job_is_deleted_by_hand",
    ),
    "lifecycle: node lost (Pod stuck Running+deletionTimestamp)": (
        f"{DEADLINES}::test_it_recovers_elsewhere_when_its_node_is_lost_and_its_pod_never_ends",
    ),
    "lifecycle: success without result marker": (
        f"{LIFECYCLE}::test_it_fails_when_its_job_completes_without_a_result",
        f"{LIFECYCLE}::test_it_fails_when_its_job_completes_with_a_result_that_is_not_its_own",
    ),
    "lifecycle: late progress from attempt n-1 after n started": (
        f"{LIFECYCLE}::test_progress_of_an_attempt_is_refused_when_the_next_one_has_started",
    ),
    "suspend: created suspended": (f"{SUSPENSION}::test_no_job_is_made_when_it_is_made_suspended",),
    "suspend: suspend while running": (
        f"{SUSPENSION}::test_the_worker_is_stopped_when_it_is_suspended_while_it_runs",
        f"{CONTROLLER}/test_real_workers.py::test_the_words_are_right_when_it_was_suspended_and_resumed",
    ),
    "suspend: resume": (f"{SUSPENSION}::test_the_next_attempt_starts_when_it_is_resumed",),
    "suspend: quick toggle": (f"{SUSPENSION}::test_it_comes_to_rest_as_was_said_last_when_it_is_toggled_quickly",),
    "suspend: update of template while suspended allowed, while running refused": (
        f"{SUSPENSION}::test_priority_may_change_while_it_is_suspended_and_counts_for_the_next_attempt",
        f"{SUSPENSION}::test_the_job_of_one_that_runs_is_not_changed_when_its_priority_changes",
        f"{SUSPENSION}::test_what_is_wanted_may_not_change_whether_it_runs_or_is_suspended",
    ),
    "suspend: deadline timer reset": (f"{SUSPENSION}::test_deadlines_start_anew_when_it_is_resumed",),
    "TTL: deleted after; not deleted before": (f"{RETENTION}::test_it_is_deleted_after_its_time_and_not_before",),
    "TTL: operator default": (f"{RETENTION}::test_the_installations_time_counts_when_it_says_none_itself",),
    "TTL: zero": (f"{RETENTION}::test_it_is_deleted_at_once_when_its_time_is_zero",),
    "TTL: operator down across the expiry": (
        f"{RETENTION}::test_it_is_deleted_when_its_time_ended_while_the_controller_was_down",
    ),
    "deadlines: active": (
        f"{DEADLINES}::test_it_fails_when_it_runs_too_long",
        f"{DEADLINES}::test_it_fails_when_it_takes_too_long_in_all",
        f"{DEADLINES}::test_it_fails_when_the_kubelet_ends_its_pod_for_running_too_long",
        f"{DEADLINES}::test_it_fails_when_its_jobs_own_deadline_ends_it_first",
    ),
    "deadlines: queue (initializing/waiting)": (
        f"{DEADLINES}::test_it_fails_when_it_waits_too_long_for_its_first_place",
        f"{DEADLINES}::test_it_fails_when_it_waits_too_long_for_its_place_back",
    ),
    "deadlines: status heartbeat": (
        f"{DEADLINES}::test_a_silent_worker_is_stopped_fenced_and_replaced",
        f"{DEADLINES}::test_a_worker_is_left_alone_while_it_reports",
    ),
    "managedBy other: nothing created, status untouched": (
        f"{SCOPE}::test_nothing_is_made_and_the_status_stays_when_another_manages_it",
    ),
    "status endpoint: valid update": (f"{ADMISSION}::test_a_worker_may_write",),
    "status endpoint: >100 % refused with a useful message": (
        f"{SCHEMA}::test_progress_outside_0_to_100_is_refused_with_a_message_that_says_so",
    ),
    "status endpoint: unknown job": (f"{FORGED}::test_a_report_about_nobody_is_not_found",),
    "status endpoint: empty update keeps old status": (f"{FORGED}::test_an_empty_report_keeps_the_last_one",),
    "status endpoint: update overwrites, not merges": (
        f"{FORGED}::test_a_report_overwrites_what_it_names_and_takes_back_what_it_says_is_gone",
    ),
    "status endpoint: wrong job's token": (
        f"{FORGED}::test_nothing_changes_when_a_worker_forges",
        f"{FORGED}::test_a_worker_writes_nothing_to_a_namesake",
        f"{FORGED}::test_nothing_changes_when_the_token_of_a_real_worker_is_stolen",
    ),
    "status endpoint: expired token": (
        f"{FORGED}::test_a_token_is_refused_when_its_time_is_over",
        f"{ADMISSION}::test_a_token_dies_with_its_pod",
    ),
    "API: immutability of each field": (
        f"{SCHEMA}::test_every_field_of_the_spec_is_known_to_be_mutable_or_not",
        f"{SCHEMA}::test_a_field_is_immutable",
        f"{SCHEMA}::test_a_field_is_immutable_when_it_would_be_taken_away",
    ),
    "API: defaults": (f"{SCHEMA}::test_defaults_are_those_of_the_typed_view",),
    "API: CEL costs accepted by a real API server": (
        f"{SCHEMA}::test_the_rules_are_cheap_enough_when_they_are_new_to_the_api_server",
        f"{SCHEMA}::test_the_rules_are_cheap_enough_when_every_field_is_full",
    ),
    "API: SSA re-apply does not bump generation": (f"{SCHEMA}::test_generation_stays_when_the_same_is_applied_again",),
    "metrics endpoint e2e": (f"{EVENTS}::test_the_metrics_endpoint_tells_what_has_happened",),
    "namespace filtering e2e": (f"{SCOPE}::test_transcriptions_and_jobs_of_other_namespaces_are_left_alone",),
    "Prometheus names stable": (f"{METRICS}::test_names_and_labels_stay",),
    "CRD drift test": (
        f"{SCHEMA}::test_the_charts_definition_is_ours",
        f"{SCHEMA}::test_the_clusters_definition_has_not_drifted_from_ours",
    ),
    "Helm/kustomize build tests": (f"{CHART}::test_every_part_is_there_with_any_values",),
    "upgrade with running jobs": (f"{SCOPE}::test_one_that_runs_goes_on_when_the_controller_is_upgraded",),
    "restart: kill operator at every API call": (
        "tests/programs/controller/test_controller_stories.py::test_end_is_the_same_when_it_dies_at_any_write",
        f"{CRASHES}::test_f59_and_o1_to_o8_the_end_is_the_same_when_it_is_hit_at",
    ),
    "restart: drop each event once": (f"{WATCHES}::test_f33_what_was_lost_is_found_by_the_resync",),
    "restart: serve an older state": (
        f"{WATCHES}::test_f32_final_stays_final_when_events_come_again_and_old_ones_too",
    ),
}


def find_missing(cases: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The cases without a test, and the tests that are not there."""
    tests = [test for named in cases.values() for test in named]
    return [case for case, named in cases.items() if not named] + [test for test in tests if not is_there(test)]


def is_there(test: str) -> bool:
    path, _, name = test.partition("::")
    return name in read_tests(path)


@cache
def read_tests(path: str) -> frozenset[str]:
    """Names of the tests in a file; none when there is no file."""
    file = ROOT / path
    tree = ast.parse(file.read_text() if file.exists() else "")
    defined = (node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(name for name in defined if name.startswith("test_"))


def test_every_case_has_a_test() -> None:
    assert find_missing(CASES) == []


@pytest.mark.parametrize("named", [(), (f"{CREATION}::test_that_nobody_wrote",), ("tests/gone.py::test_gone",)])
def test_a_case_is_missed_when_its_test_is_not_there(named: tuple[str, ...]) -> None:
    assert find_missing({"a case": named}) == list(named or ["a case"])
