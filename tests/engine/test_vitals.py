"""What is held against whom, and for how long."""

import pytest

from engine_world import FakeClock
from hoosh.core.errors import (
    BadUpstream,
    CircuitOpen,
    ConnectFailed,
    CredentialRefused,
    HooshError,
    ModelGone,
    NoFirstEvent,
    OutOfCredit,
    Overloaded,
    Refused,
    Reset,
    Throttled,
)
from hoosh.core.plan import Target
from hoosh.engine.vitals import KEY_REST_S, LOCAL_S, MAX_PARTS, MAX_REST_S, UNTOLD_429, Vitals
from hoosh.policy.breaker import BreakerRules

A = Target("p", "a")
A2 = Target("p", "a", key=1)
B = Target("p", "b")
OTHER = Target("q", "a")
NEAR = Target("near", "a", local=True)
RULES = BreakerRules()


class Ward:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.vitals = Vitals(self.clock, RULES)

    def fail(self, target: Target, error: HooshError, times: int = 1) -> None:
        for _ in range(times):
            self.vitals.ended(self.vitals.began(target), error)

    def serve(self, target: Target, first_event_s: float = 0.1) -> None:
        ticket = self.vitals.began(target)
        self.vitals.answered(ticket, first_event_s)
        self.vitals.ended(ticket, None)

    def blocked(self, *targets: Target) -> list[Target]:
        return [target for target in targets if self.vitals.vital(target).blocked]

    def later(self, seconds: float) -> None:
        self.clock.now_ns += int(seconds * 1e9)


ALL = (A, A2, B, OTHER)


@pytest.mark.parametrize(
    ("error", "times", "whom"),
    [
        (ConnectFailed("no"), RULES.failures, [A, A2, B]),
        (Reset("no"), RULES.failures, [A, A2, B]),
        (BadUpstream("bad"), RULES.failures, [A, A2]),
        (NoFirstEvent("silent"), RULES.failures, [A, A2]),
        (Overloaded("busy"), RULES.failures, [A, A2]),
        (Overloaded("busy", retry_after_s=3), 1, [A, A2]),
        (ModelGone("gone"), 1, [A, A2]),
        (Throttled("slow", retry_after_s=3), 1, [A]),
        (Throttled("slow"), UNTOLD_429, [A]),
        (CredentialRefused("wrong"), 1, [A, B]),
        (OutOfCredit("empty"), 1, [A, B]),
        (Refused("your fault"), 50, []),
    ],
)
def test_what_failed_is_blamed_and_no_more(error: HooshError, times: int, whom: list[Target]) -> None:
    ward = Ward()
    ward.fail(A, error, times)
    assert ward.blocked(*ALL) == whom
    assert ward.vitals.is_well == (not whom)


def test_whoever_wants_none_of_this_has_none_of_it() -> None:
    ward = Ward()
    ward.vitals.set_rules(BreakerRules(enabled=False))
    ward.fail(A, ConnectFailed("no"), 50)
    ward.fail(A, CredentialRefused("wrong"), 50)
    ward.vitals.looked("p", ConnectFailed("no"), is_down=True, local=False)
    assert ward.vitals.is_well


def test_one_failure_less_and_nobody_is_shut() -> None:
    ward = Ward()
    ward.fail(A, ConnectFailed("no"), RULES.failures - 1)
    ward.fail(A, Throttled("slow"), UNTOLD_429 - 1)
    assert ward.blocked(*ALL) == []


def test_a_provider_rests_as_long_as_it_asks_and_not_for_ever() -> None:
    ward = Ward()
    ward.fail(A, Throttled("slow", retry_after_s=7))
    vital = ward.vitals.vital(A)
    assert vital.is_resting
    assert 6.9 < vital.retry_s <= 7
    ward.later(7)
    assert ward.blocked(A) == []
    assert ward.vitals.is_well
    ward.fail(A, Throttled("slow", retry_after_s=1e9))
    assert ward.vitals.vital(A).retry_s <= MAX_REST_S
    ward.fail(B, CredentialRefused("wrong"))
    assert MAX_REST_S < ward.vitals.vital(B).retry_s <= KEY_REST_S


def test_what_runs_here_is_asked_again_soon() -> None:
    ward = Ward()
    for _ in range(5):
        ward.fail(NEAR, ConnectFailed("no"), RULES.failures if ward.vitals.is_well else 1)
        assert ward.vitals.vital(NEAR).retry_s <= LOCAL_S
        ward.later(LOCAL_S)
    ward.fail(NEAR, ModelGone("not pulled yet"))
    assert ward.vitals.vital(NEAR).retry_s <= LOCAL_S


def test_only_one_call_finds_out_whether_it_works_again() -> None:
    ward = Ward()
    ward.fail(A, ConnectFailed("no"), RULES.failures)
    with pytest.raises(CircuitOpen, match="p/a"):
        ward.vitals.began(A)
    ward.later(RULES.open_s)
    assert ward.blocked(A) == []
    probe = ward.vitals.began(A)
    assert ward.blocked(A, B) == [A, B]
    with pytest.raises(CircuitOpen):
        ward.vitals.began(B)
    ward.vitals.answered(probe, 0.1)
    assert ward.vitals.is_well
    ward.vitals.ended(probe, None)


def test_an_attempt_past_an_open_breaker_closes_it_if_it_succeeds_and_else_changes_nothing() -> None:
    ward = Ward()
    ward.fail(A, ConnectFailed("no"), RULES.failures)
    before = ward.vitals.vital(A)
    assert before.is_blamed
    ward.vitals.ended(ward.vitals.began(A, anyhow=True), ConnectFailed("no"))
    after = ward.vitals.vital(A)
    assert after.is_blamed
    assert after.retry_s < before.retry_s
    ward.later(RULES.open_s)
    probe = ward.vitals.began(A)
    past = ward.vitals.began(A, anyhow=True)
    assert ward.blocked(A) == [A]  # still one call finds out
    ward.vitals.answered(past, 0.1)
    assert ward.vitals.is_well
    for ticket in (probe, past):
        ward.vitals.ended(ticket, None)


def test_a_rest_is_no_blame() -> None:
    ward = Ward()
    ward.fail(A, Throttled("slow", retry_after_s=3))
    assert not ward.vitals.vital(A).is_blamed


def test_a_call_from_before_it_opened_says_nothing_of_now() -> None:
    ward = Ward()
    old = [ward.vitals.began(A) for _ in range(3)]
    ward.fail(A, ConnectFailed("no"), RULES.failures)
    ward.later(RULES.open_s)
    probe = ward.vitals.began(A)
    ward.vitals.ended(old[0], ConnectFailed("late"))
    ward.vitals.answered(old[1], 0.1)
    ward.vitals.ended(old[2], None)
    assert ward.blocked(A) == [A]
    ward.vitals.ended(probe, None)  # its client left
    assert ward.blocked(A) == []
    assert not ward.vitals.is_well


def test_a_probe_opens_a_provider_and_closes_it_but_says_nothing_of_models() -> None:
    ward = Ward()
    ward.vitals.looked("p", ConnectFailed("no"), is_down=False, local=False)
    assert ward.vitals.is_well
    ward.vitals.looked("p", ConnectFailed("no"), is_down=True, local=False)
    assert ward.blocked(*ALL) == [A, A2, B]
    ward.fail(OTHER, BadUpstream("bad"), RULES.failures)
    ward.vitals.looked("p", None, is_down=False, local=False)
    ward.vitals.looked("q", None, is_down=False, local=False)
    assert ward.blocked(*ALL) == [OTHER]


def test_latency_is_of_the_first_token_fades_and_a_failure_weighs() -> None:
    ward = Ward()
    assert ward.vitals.vital(A).latency_s is None
    ward.serve(A, 0.2)
    ward.serve(B, 0.3)
    found = ward.vitals.vital(A).latency_s
    assert found is not None
    assert 0.19 < found <= 0.2
    ward.fail(A, BadUpstream("bad"))
    slow = ward.vitals.vital(A).latency_s
    assert slow is not None
    assert slow > 5
    ward.later(60)
    faded = ward.vitals.vital(A).latency_s
    assert faded is not None
    assert faded < 0.1


def test_calls_in_flight_are_counted_however_they_end() -> None:
    ward = Ward()
    tickets = [ward.vitals.began(A) for _ in range(3)]
    assert ward.vitals.vital(A2).in_flight == 3
    for ticket, error in zip(tickets, (None, ConnectFailed("no"), BadUpstream("bad")), strict=True):
        ward.vitals.ended(ticket, error)
    assert ward.vitals.vital(A).in_flight == 0


def test_names_that_clients_make_up_do_not_pile_up() -> None:
    ward = Ward()
    for n in range(MAX_PARTS + 100):
        target = Target("p", f"m{n}")
        ward.serve(target)
        ward.fail(target, BadUpstream("bad"))
    vitals = ward.vitals
    assert max(len(vitals._breakers), len(vitals._latency), len(vitals._in_flight)) <= MAX_PARTS
