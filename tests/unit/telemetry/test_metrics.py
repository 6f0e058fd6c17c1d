"""What is counted of a call, and that no client can make it grow without bound."""

import msgspec
import pytest

from hoosh.core.call import Outcome, Receipt, Ticket
from hoosh.core.errors import BadUpstream, ConnectFailed, HeldBack
from hoosh.core.events import Usage
from hoosh.core.plan import Target
from hoosh.core.principal import ANONYMOUS
from hoosh.telemetry.families import DURATION, FIRST, exposition
from hoosh.telemetry.metrics import MAX_ERRORS, MAX_MODEL_CHARS, MAX_MODELS, Metrics
from prometheus_text import Page

OK = Receipt(
    call_id="c",
    model="said",
    outcome=Outcome.OK,
    status=200,
    principal=ANONYMOUS,
    target=Target("p", "m"),
    attempts=1,
    usage=Usage(input=10, cached=4, output=7, reasoning=2),
    cost_micros=30,
    stream=True,
    first_event_ns=50_000_000,
    total_ns=100_000_000,
)
REJECTED = msgspec.structs.replace(
    OK, outcome=Outcome.REJECTED, status=429, target=None, usage=Usage(), cost_micros=0, first_event_ns=0
)


def told(metrics: Metrics) -> Page:
    return Page(exposition(metrics.numbers()))


def counted(*receipts: Receipt, is_known: bool = True) -> Page:
    metrics = Metrics(lambda target: is_known)
    for receipt in receipts:
        metrics.note(receipt)
    return told(metrics)


def test_a_call_is_counted_once_in_each_family() -> None:
    page = counted(OK, OK)
    labels = {"provider": "p", "model": "m"}
    (requests,) = page.all("hoosh_requests_total")
    assert (requests.labels, requests.value) == ({**labels, "outcome": "ok", "status": "2xx"}, 2)
    tokens = {sample.labels["type"]: sample.value for sample in page.all("hoosh_tokens_total")}
    assert tokens == {"input": 20, "cached": 8, "output": 14, "reasoning": 4}
    assert page.value("hoosh_cost_micro_usd_total", **labels) == 60
    assert page.all("hoosh_unpriced_requests_total") == []


def test_outcomes_and_classes_of_status_are_apart_but_their_tokens_are_not() -> None:
    left = msgspec.structs.replace(OK, outcome=Outcome.CANCELLED, status=499)
    failed = msgspec.structs.replace(OK, outcome=Outcome.FAILED, status=502)
    slow = msgspec.structs.replace(OK, outcome=Outcome.FAILED, status=504)
    page = counted(OK, left, failed, slow)
    told = {(s.labels["outcome"], s.labels["status"]): s.value for s in page.all("hoosh_requests_total")}
    assert told == {("ok", "2xx"): 1, ("cancelled", "4xx"): 1, ("failed", "5xx"): 2}
    assert page.value("hoosh_tokens_total", type="input") == 40
    assert len(page.all("hoosh_tokens_total")) == 4
    assert page.value(f"{DURATION.name}_count", provider="p") == 4


def test_what_was_rejected_names_no_model_and_is_not_in_the_latencies() -> None:
    held_back = msgspec.structs.replace(REJECTED, target=Target("p", "m"), status=403)
    page = counted(REJECTED, held_back)
    assert {(s.labels["provider"], s.labels["model"]) for s in page.all("hoosh_requests_total")} == {("", "")}
    assert page.value("hoosh_requests_total", outcome="rejected", status="4xx") == 2
    assert page.all(f"{DURATION.name}_count") == []


def test_a_call_of_unknown_cost_is_no_call_that_costs_nothing() -> None:
    page = counted(OK, msgspec.structs.replace(OK, cost_micros=None))
    assert page.value("hoosh_cost_micro_usd_total") == 30
    assert page.value("hoosh_unpriced_requests_total", model="m") == 1


@pytest.mark.parametrize("n", range(len(DURATION.bounds_ns)))
def test_a_bound_belongs_to_its_bucket(n: int) -> None:
    bound_ns = DURATION.bounds_ns[n]
    page = counted(*(msgspec.structs.replace(OK, total_ns=ns) for ns in (bound_ns, bound_ns + 1)))
    buckets = [sample.value for sample in page.all(f"{DURATION.name}_bucket")]
    assert buckets[:n] == [0] * n
    assert buckets[n] == 1
    assert buckets[n + 1] == 2
    assert page.value(f"{DURATION.name}_sum") == pytest.approx((2 * bound_ns + 1) / 1e9, rel=1e-12)


def test_the_first_token_is_timed_of_streams_that_had_one() -> None:
    whole = msgspec.structs.replace(OK, stream=False)
    silent = msgspec.structs.replace(OK, first_event_ns=0)
    page = counted(OK, whole, silent)
    assert page.value(f"{FIRST.name}_count") == 1
    assert page.value(f"{FIRST.name}_sum") == 0.05


def test_attempts_are_told_by_the_kind_of_failure() -> None:
    metrics = Metrics(lambda target: True)
    target = Target("p", "m")
    metrics.ended(Ticket(target), None)
    for error in (None, ConnectFailed(""), BadUpstream(""), BadUpstream("", upstream_status=503), HeldBack("")):
        ticket = Ticket(target)
        ticket.first_event_s = 0.1 if error is None else None
        metrics.ended(ticket, error)
    told_of = {s.labels["result"]: s.value for s in told(metrics).all("hoosh_attempts_total")}
    assert told_of == {"ok": 1, "left": 1, "connect_failed": 1, "bad_upstream": 2, "held_back": 1}


def test_made_up_models_do_not_grow_it() -> None:
    """A client may ask for a hundred thousand names that a glob of the configuration lets pass."""
    metrics = Metrics(lambda target: False)
    failed = msgspec.structs.replace(OK, outcome=Outcome.FAILED, status=404)
    for n in range(100_000):
        metrics.note(msgspec.structs.replace(failed, target=Target("p", f"made-up-{n}")))
    page = told(metrics)
    assert [s.labels["model"] for s in page.all("hoosh_requests_total")] == ["other"]
    assert page.value("hoosh_requests_total") == 100_000
    assert metrics._found == {}
    metrics.note(OK)  # there is room for one that answers
    assert told(metrics).value("hoosh_requests_total", model="m") == 1


def test_a_provider_that_answers_to_every_name_does_not_grow_it() -> None:
    metrics = Metrics(lambda target: False)
    for n in range(100_000):
        metrics.note(msgspec.structs.replace(OK, target=Target("p", f"made-up-{n}")))
    page = told(metrics)
    assert len(page.all("hoosh_requests_total")) == MAX_MODELS + 1
    assert page.value("hoosh_requests_total") == 100_000
    assert page.value("hoosh_requests_total", model="other") == 100_000 - MAX_MODELS
    assert page.value("hoosh_requests_total", model="made-up-0") == 1
    assert len(metrics._found) == len(metrics._models) == MAX_MODELS


def test_a_name_has_its_label_once_it_is_known_or_has_answered() -> None:
    failed = msgspec.structs.replace(OK, outcome=Outcome.FAILED, status=502)
    assert counted(failed, is_known=True).value("hoosh_requests_total", model="m") == 1
    assert counted(failed, is_known=False).value("hoosh_requests_total", model="other") == 1
    page = counted(failed, OK, failed, is_known=False)
    assert page.value("hoosh_requests_total", model="other") == 1
    assert page.value("hoosh_requests_total", model="m") == 2


def test_a_name_that_is_too_long_is_no_label() -> None:
    longest = msgspec.structs.replace(OK, target=Target("p", "x" * MAX_MODEL_CHARS))
    longer = msgspec.structs.replace(OK, target=Target("p", "x" * (MAX_MODEL_CHARS + 1)))
    page = counted(longest, longer)
    assert {s.labels["model"] for s in page.all("hoosh_requests_total")} == {"x" * MAX_MODEL_CHARS, "other"}


def test_codes_that_a_provider_makes_up_do_not_grow_it() -> None:
    metrics = Metrics(lambda target: True)
    for n in range(10 * MAX_ERRORS):
        metrics.error("chat", f"code-{n}")
    metrics.error("chat", "code-1")
    metrics.error("models", "y" * 1000)
    page = told(metrics)
    assert len(page.all("hoosh_errors_total")) == MAX_ERRORS + 2
    assert page.value("hoosh_errors_total") == 10 * MAX_ERRORS + 2
    assert page.value("hoosh_errors_total", code="code-1") == 2
    assert page.value("hoosh_errors_total", route="models", code="other") == 1
