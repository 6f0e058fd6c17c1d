"""The fault table: each row, what must hold, and the tests that show it. docs/reliability.md is written from it.

`reached` of a row is what its tests in this folder measured when `make faults` last ran (reached.json); of tests
elsewhere it is what they assert. A row without a test says "not yet", and why.
"""

import json
from pathlib import Path
from typing import NamedTuple

REACHED = Path(__file__).parent / "reached.json"
HERE = "tests/fault"


class Row(NamedTuple):
    name: str
    fault: str
    must_hold: str
    tests: tuple[str, ...]
    asserted: str = ""  # in words; what was measured comes beside it


HEAD = """\
# Reliability

What is done to a running gateway on purpose, what must hold all the same, and how near it comes. Each row names the tests
that show it; `make test-all` runs them, and a test fails while a named one is not there. Figures with a day were measured by
`make faults` on that day, on a machine of 2 shared cores; the others are what the tests assert at every run.

The gateways are real processes, the faults are made by a TCP proxy ([faultproxy.py](../tests/fault/faultproxy.py)) between
them and upstreams that keep an account of their own of what they were asked. Runs by chance print their seed;
`HOOSH_CHAOS_SEED` takes the same weather again, `HOOSH_CHAOS_S` and `HOOSH_SOAK_S` make it longer.

| row | what is done | must hold | reached | shown by |
|---|---|---|---|---|
"""

LEDGER = "tests/contract/test_ledger_sqlite.py"
SIMULATION = "tests/simulation/test_simulation.py"
SERVERS = "tests/contract/test_ledger_servers.py"
DOOR = "tests/edge/test_door.py"
UPSTREAM = f"{HERE}/test_upstream_faults.py"
CLIENT = f"{HERE}/test_client_faults.py"
BOUNDS = f"{HERE}/test_bounds.py"

ROWS = (
    Row(
        "C1",
        "4 processes of 16 callers on one budget",
        "admitted is what it pays for, exactly",
        (
            "tests/edge/test_prove.py::test_budgets_hold_over_four_workers_each_with_sixteen_callers",
            f"{LEDGER}::test_processes_share_a_pool_and_never_pass_its_ceiling_for_long",
            "tests/edge/test_workers.py::test_a_budget_is_exact_over_all_workers_and_all_of_them_work",
        ),
        "0 overspent; the books equal the provider's own account",
    ),
    Row(
        "C2",
        "many make or take the first of a budget at once",
        "one budget, nothing overspent",
        (
            f"{SERVERS}::test_many_may_open_it_at_once",
            f"{SERVERS}::test_gateways_at_once_spend_all_there_is_and_no_more",
        ),
        "all of it spent and no more",
    ),
    Row(
        "C3",
        "any steps in any order, clocks that jump, crashes between them, messages twice and late",
        "every store does what the plain one does",
        (
            "tests/contract/test_ledger_lockstep.py::test_a_store_does_what_the_plain_one_does_for_long",
            "tests/simulation/test_planted_bugs.py::test_the_lockstep_catches",
        ),
        "0 divergences; each planted bug is caught",
    ),
    Row(
        "C4",
        "gateways on leases in virtual time: kills, cut lines, doubled messages",
        "no budget overspent, all adds up",
        (
            f"{SIMULATION}::test_all_adds_up_for_a_million_operations",
            "tests/simulation/test_planted_bugs.py::test_the_simulator_catches",
        ),
        "0 violations in a million operations of each kind; each planted bug is caught",
    ),
    Row(
        "D1",
        "clients leave after 0, 1, half and all but one piece, by FIN and by RST, 1,000 of each",
        "nothing held, nothing left running, the upstream is let go",
        (
            f"{CLIENT}::test_who_leaves_leaves_nothing_behind",
            "tests/edge/test_settling.py::test_a_client_leaves_at_each_piece",
        ),
    ),
    Row(
        "D2",
        "the same where answers are read to their end",
        "charged is what the upstream says, exactly",
        (
            f"{CLIENT}::test_who_leaves_leaves_nothing_behind",
            "tests/engine/test_draining.py::test_one_too_many_and_one_too_long_end_as_estimates",
        ),
    ),
    Row(
        "D3",
        "cancelled at every single suspension point, once and twice",
        "settled once, nothing open",
        (
            "tests/engine/test_cancel_sweep.py::test_single_cancels",
            "tests/engine/test_cancel_sweep.py::test_double_cancels",
            "tests/engine/test_cancel_sweep.py::test_the_sweep_catches_a_planted_mutant",
        ),
        "0 leaks at any of them",
    ),
    Row(
        "K1",
        "gateways are killed at random while calls run",
        "no acknowledged booking lost, holds end with their leases",
        (
            "tests/edge/test_prove.py::test_budgets_hold_though_gateways_and_the_store_are_killed",
            f"{LEDGER}::test_what_was_acknowledged_survives_two_hundred_kills",
            "tests/edge/test_workers.py::test_a_worker_that_is_killed_is_followed_by_another_and_nothing_is_lost",
        ),
        "0 lost of 200 kills; not yet: 100 rounds of 200 streams each",
    ),
    Row(
        "K2, K3",
        "Redis or PostgreSQL is killed under load and comes back",
        "no acknowledged booking lost, refused meanwhile",
        (
            f"{SERVERS}::test_a_server_that_was_killed_has_all_that_it_took",
            "tests/edge/test_store_servers.py::test_a_server_that_dies_is_told_and_nothing_that_was_used_is_lost",
        ),
        "0 lost",
    ),
    Row(
        "K4",
        "the store comes back empty or is another one",
        "refused, never without a limit",
        (
            "tests/contract/test_ledger_redis.py::test_another_ledger_in_its_place_is_noticed",
            "tests/contract/test_ledger_postgres.py::test_another_ledger_in_its_place_is_noticed",
            "tests/contract/test_ledger.py::test_a_ledger_that_was_replaced_is_not_spent_from",
        ),
        "nothing is lent from it; not yet: a replica that is promoted",
    ),
    Row(
        "K5",
        "SIGTERM while 200 streams run",
        "each comes to its end, or to an error event when the time for that is over",
        (
            f"{CLIENT}::test_two_hundred_streams_come_to_their_end_when_the_gateway_is_told_to_end",
            f"{CLIENT}::test_two_hundred_streams_are_broken_off_when_their_time_to_end_is_over",
            f"{CLIENT}::test_who_has_heard_nothing_when_the_time_is_over_is_told_by_a_status",
            "tests/edge/test_workers.py::test_the_end_lets_calls_come_to_theirs",
        ),
    ),
    Row(
        "F1",
        "the disk is full",
        "nothing is acknowledged that is not stored; goes on by itself",
        (
            f"{LEDGER}::test_a_full_disk_books_nothing_by_halves_and_works_again_when_there_is_room",
            "tests/contract/test_records.py::test_a_full_disk_is_named_and_mends_itself",
        ),
        "0 false acknowledgements; spending is refused with `storage_full`",
    ),
    Row(
        "F2",
        "256 files, 600 clients",
        "who is in is served; no spinning, no flood in the log",
        (f"{BOUNDS}::test_more_clients_than_files_stop_the_accepting_and_nothing_else",),
    ),
    Row(
        "F3",
        "the clock of a gateway or of the store leaps, or is set back",
        "leases and periods keep their order, nothing is lent twice",
        (
            f"{LEDGER}::test_a_clock_that_is_set_back_revives_nothing_and_goes_on",
            "tests/engine/test_escrow_rare.py::test_a_clock_that_is_set_right_does_not_lend_a_window_twice",
            f"{SIMULATION}::test_all_adds_up",
        ),
        "0 violations, in virtual time and on files; not yet: a real process under another clock",
    ),
    Row(
        "F4",
        "512 MB and more load than it can bear",
        "it sheds and is not killed",
        (),
        "not yet",
    ),
    Row(
        "U1",
        "the upstream resets before its head, after it, in the middle",
        "made good before the first token, told after it, asked once",
        (
            f"{UPSTREAM}::test_a_reset_is_made_good_before_the_first_token_and_told_after_it",
            f"{UPSTREAM}::test_an_answer_that_is_not_streamed_is_asked_elsewhere_after_a_reset_in_its_middle",
            "tests/edge/test_settling.py::test_a_provider_breaks_off_at_each_piece",
        ),
    ),
    Row(
        "U2",
        "silence: at the connect, before the head, between tokens",
        "ends at its limit, counts against the upstream, frees its place",
        (
            f"{UPSTREAM}::test_silence_ends_at_its_limit_counts_against_the_upstream_and_frees_its_place",
            "tests/edge/test_transport_timeouts.py::test_connecting_has_its_own_time",
            "tests/edge/test_transport_timeouts.py::test_a_timeout_ends_the_exchange",
        ),
    ),
    Row(
        "U3",
        "garbage for a reply, at every split",
        "an error of ours, never a crash; memory bounded",
        (
            "tests/test_fuzz.py::test_bytes_from_outside_give_an_answer_or_an_error_of_ours",
            "tests/matrix/test_matrix.py::test_every_cut_of_a_stream_is_told_or_is_no_loss",
            "tests/unit/codecs/test_sse.py::test_a_frame_that_never_ends_is_refused",
            "tests/edge/test_settling.py::test_usage_counts_once_however_it_is_told",
        ),
        "0 unhandled; `make fuzz` goes on from there",
    ),
    Row(
        "U4",
        "a compressed bomb from an upstream",
        "nothing is unpacked",
        (
            "tests/edge/test_transport_framing.py::test_what_is_not_a_reply_is_refused_before_it_is_entered",
            "tests/edge/test_security_ssrf.py::test_no_header_changes_where_a_request_goes_or_what_it_shows",
        ),
        "`identity` is asked for; replies are bounded by `network.max_reply_bytes`",
    ),
    Row(
        "U5",
        "429 and 503 with a Retry-After of seconds, dates, nonsense, 10^9; all upstreams fail",
        "obeyed, 60 s at most; upstream calls to client calls up to 1.10",
        (
            f"{UPSTREAM}::test_a_storm_in_which_every_upstream_fails_stays_the_size_of_the_traffic",
            "tests/unit/codecs/test_retry_hint.py::test_nonsense_says_nothing",
            "tests/engine/test_vitals.py::test_a_provider_rests_as_long_as_it_asks_and_not_for_ever",
        ),
    ),
    Row(
        "U6",
        "one upstream fails every other call beside two that work",
        "99.9 in 100 answered; one call at a time finds out; never is nobody asked",
        (
            f"{UPSTREAM}::test_one_upstream_that_flaps_beside_two_that_work_is_not_noticed",
            f"{UPSTREAM}::test_one_call_at_a_time_finds_out_whether_an_upstream_works_again",
            f"{UPSTREAM}::test_a_call_is_served_by_who_works_again_though_all_breakers_are_open",
        ),
    ),
    Row(
        "U7",
        "a model's text that looks like events, headers or lines",
        "it is text",
        (
            "tests/edge/test_security_injection.py::test_what_a_model_says_is_text",
            "tests/edge/test_security_injection.py::test_what_a_provider_says_of_a_failure_is_text",
        ),
        "0 events injected",
    ),
    Row(
        "B1, B2",
        "the same Idempotency-Key a hundred times at once, with another body, by another tenant",
        "one upstream call and one answer; 422; each tenant by itself",
        (
            "tests/edge/test_idempotency.py::test_100_at_once_ask_once",
            "tests/edge/test_idempotency.py::test_another_request_may_not_have_its_key",
            "tests/edge/test_idempotency.py::test_tenants_do_not_share_keys",
        ),
        "1 call of 100; not yet: over several processes",
    ),
    Row(
        "B3",
        "the answer is lost after the upstream has made it",
        "a paid call is not made again unless `retry.ambiguous` says so; each attempt is booked",
        (f"{UPSTREAM}::test_a_paid_call_that_may_have_been_answered_is_made_again_only_where_that_is_said",),
    ),
    Row(
        "B4",
        "a reservation is reported twice, late, by an unknown id, for more than it held",
        "booked once",
        (
            "tests/edge/test_tokens.py::test_a_reservation_holds_until_it_is_reported_once",
            "tests/contract/test_ledger.py::test_a_line_is_booked_once_whatever_is_told_again",
            "tests/contract/test_ledger.py::test_what_ran_out_is_corrected_once",
        ),
        "0 booked twice",
    ),
    Row(
        "Q1",
        "half a head, half a body, and then nothing",
        "408 when the time is over",
        (
            f"{DOOR}::test_half_a_head_and_half_a_body_are_told_when_their_time_is_over",
            "tests/edge/test_malformed.py::test_a_slow_body",
        ),
        "told at the limit; not yet: 5,000 of them beside good traffic",
    ),
    Row(
        "Q2",
        "1,000 idle connections (the aim is 10,000)",
        "up to 25 kB each, others are served",
        (f"{BOUNDS}::test_a_thousand_idle_connections_cost_little",),
    ),
    Row(
        "Q3",
        "10,000 open streams",
        "all go on",
        (),
        "not yet: more than this machine's files and cores bear beside the tests",
    ),
    Row(
        "Q4",
        "bodies without end or measure",
        "413 or 400 early, memory bounded",
        (
            "tests/edge/test_security_http.py::test_a_gigabyte_is_refused_by_what_it_says",
            "tests/edge/test_security_http.py::test_a_compressed_body_is_not_unpacked",
            "tests/edge/test_security_json.py::test_a_million_keys_are_refused_and_memory_stays_bounded",
            "tests/edge/test_security_json.py::test_a_hundred_thousand_levels_are_refused_in_every_dialect",
        ),
        "all refused",
    ),
    Row(
        "Q5",
        "heads that two servers could read in two ways",
        "400 and the end of the connection",
        (
            "tests/edge/test_security_http.py::test_what_could_be_read_in_two_ways_is_refused_and_nothing_after_it_is_served",
        ),
        "0 requests smuggled",
    ),
    Row(
        "Q6",
        "uploads with names that are paths, and broken forms",
        "a name never touches a path; refused",
        (
            "tests/edge/test_files.py::test_what_is_no_form_is_refused",
            "tests/unit/http/test_multipart.py::test_every_cut_of_a_form_is_refused_or_read",
        ),
        "kept in the database under ids of ours; not yet: audio",
    ),
    Row(
        "Q7",
        "a client reads slowly what comes fast",
        "a bounded buffer; the upstream waits",
        (
            f"{DOOR}::test_a_slow_reader_stops_the_writing_and_loses_nothing",
            "tests/edge/test_transport_pool.py::test_a_reader_that_does_not_read_stops_the_provider",
        ),
        "nothing lost, nothing piled up",
    ),
    Row(
        "L1",
        "prompts of a million tokens, four at once",
        "the loop is late by less than 250 ms",
        (f"{BOUNDS}::test_prompts_of_a_million_tokens_hold_up_nobody",),
        "not reached: less than 100 ms",
    ),
    Row(
        "M1",
        "all faults, clients that leave, and nonsense, for a while",
        "memory and files are what they are after a first shower, nothing runs, nothing is held",
        (f"{HERE}/test_soak.py::test_after_bad_weather_it_is_as_large_as_before",),
        "not reached: within 5 % of what it is in calm; 600 s (2026-11-25) took RSS from 48.4 to 54.0 MiB, flat in the last "
        "minutes, with nothing in flight or held; not yet: 24 h",
    ),
    Row(
        "M2",
        "100,000 requests of made-up models, keys, users, prompts",
        "every map is bounded: less than 64 MiB, and no slope",
        (
            f"{BOUNDS}::test_a_hundred_thousand_made_up_models_keys_and_prompts_fill_no_map",
            "tests/unit/telemetry/test_metrics.py::test_made_up_models_do_not_grow_it",
        ),
    ),
    Row(
        "G1",
        "100 reloads under load, a third of them of a bad file",
        "no call fails, none sees half of two configurations",
        ("tests/edge/test_reload.py::test_a_hundred_reloads_under_load_fail_no_call_and_mix_no_two_configurations",),
        "0 failed, 0 mixed",
    ),
    Row(
        "G2",
        "a thousand identical requests at once to a cold cache",
        "one upstream call",
        ("tests/edge/test_cache.py::test_1000_identical_calls_ask_once",),
        "1 call of 1,000",
    ),
    Row(
        "R1",
        "every route, with every kind of key and an empty budget",
        "refused, but for what is meant to be open",
        (
            "tests/edge/test_key_matrix.py::test_the_data_plane",
            "tests/edge/test_key_matrix.py::test_what_is_open_is_what_is_meant_to_be",
            "tests/edge/test_every_route_is_metered.py::test_no_provider_hears_of_a_call_that_nobody_can_pay",
        ),
        "all routes; 0 answered that should not be",
    ),
    Row(
        "S3",
        "secrets everywhere, all failures provoked, everything written is searched",
        "found nowhere",
        ("tests/edge/test_security_canaries.py::test_a_secret_is_nowhere",),
        "0 found",
    ),
    Row(
        "chaos",
        "three upstreams of which any two are killed, stalled, reset, cut or garbled at any time",
        "none is lost that one healthy upstream could serve; attempts to calls up to 1.10",
        (f"{HERE}/test_chaos.py::test_what_one_healthy_upstream_can_serve_is_served",),
    ),
)


def page() -> str:
    """docs/reliability.md, whole."""
    kept = json.loads(REACHED.read_text("utf-8"))
    text = HEAD
    for row in ROWS:
        found = (f"{one['figure']} ({one['day']})" for one in kept.values() if one["row"] == row.name)
        figures = dict.fromkeys(found)
        reached = "; ".join([*figures, row.asserted] if row.asserted else figures)
        tests = ", ".join(f"`{test}`" for test in row.tests) or "-"
        text += f"| {row.name} | {row.fault} | {row.must_hold} | {reached} | {tests} |\n"
    return text
