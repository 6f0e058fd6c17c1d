"""What providers offer and how they fare: lists of models, failures in a row, routes that follow both."""

import asyncio
from collections.abc import Mapping
from types import TracebackType

import msgspec
import pytest

from engine_world import FakeBudgets, FakeClock, FreeOfCharge
from hoosh.core.asked import ChatRequest, Message, TextPart
from hoosh.core.call import Call, Wishes
from hoosh.core.errors import (
    ConnectFailed,
    DeadlineExceeded,
    HeldBack,
    NoProvider,
    Refused,
    Throttled,
    TooDear,
    UnknownModel,
)
from hoosh.core.plan import Plan, Target
from hoosh.core.pool import Terms
from hoosh.core.routing import Route
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.dialects.openai_chat import DIALECT
from hoosh.engine.backend import Backend, tongues_of
from hoosh.engine.catalog import DOWN_AFTER, MAX_LIST_BYTES, Catalog
from hoosh.engine.router import MAX_KNOWN, Router, Rules
from hoosh.engine.vitals import Vitals
from hoosh.policy.breaker import BreakerRules
from hoosh.providers import Provider
from hoosh.providers.auth import bearer

Answer = tuple[int, bytes] | Exception
ONE = Target("one", "m")
TERMS = Terms(pools=("default",))


def listing(*names: str) -> Answer:
    return 200, b'{"data":[%b]}' % b",".join(b'{"id":"%b"}' % name.encode() for name in names)


class Listed:
    """One reply, in pieces of 7 bytes."""

    def __init__(self, transport: "Lists", answer: Answer) -> None:
        self._transport = transport
        self._answer = answer
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self._left = b""

    async def __aenter__(self) -> "Listed":
        if self._transport.together is not None:
            await self._transport.together.wait()
        if isinstance(self._answer, Exception):
            raise self._answer
        self.status, self._left = self._answer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._transport.closed += 1

    async def read(self) -> bytes:
        size = max(7, len(self._left) // 4)
        piece, self._left = self._left[:size], self._left[size:]
        return piece


class Lists:
    """ports.Transport over models' lists. `together`: nobody is answered before all have asked."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.answers = dict(answers)
        self.together: asyncio.Barrier | None = None
        self.requests: list[WireRequest] = []
        self.closed = 0

    def exchange(self, base_url: str, request: WireRequest, timeouts: Timeouts) -> Listed:
        self.requests.append(request)
        return Listed(self, self.answers[base_url.rpartition("/")[2]])


def backend(name: str, *globs: str, priority: int = 10, key: str = "", serves: tuple[str, ...] = ()) -> Backend:
    kind = Provider(name=name, title=name, dialect=DIALECT, base_url=f"http://fake/{name}", docs="", serves=serves)
    return Backend(
        name=name,
        provider=kind,
        base_url=kind.base_url,
        models=globs,
        tongues=tongues_of(kind),
        priority=priority,
        auths=(bearer(key),) if key else (),
    )


def catalog(lists: Lists, *backends: Backend) -> Catalog:
    clock = FakeClock()
    return Catalog(backends, lists, clock, Vitals(clock, BreakerRules()))


def router(offers: Catalog) -> Router:
    plan = Plan(targets=(), tries=3, attempts=5, base_s=0.5, max_s=2.0)
    rules = Rules(aliases={"fast": "two/x"}, fallback=Route(plan=plan))
    return Router(offers, rules, FreeOfCharge(), FakeBudgets())


def call(model: str, wishes: Wishes = Wishes()) -> Call:
    request = ChatRequest(model=model, messages=(Message("user", (TextPart("Hi"),)),))
    return Call(id="call", dialect="openai_chat", request=request, body=b"", wishes=wishes)


def route(asks: Router, model: str = "m", wishes: Wishes = Wishes()) -> list[str]:
    return [str(target) for target in asks.route(call(model, wishes), TERMS).plan.targets]


def served(offers: Catalog, target: Target) -> None:
    ticket = offers.vitals.began(target)
    offers.answered(ticket, 0.25)
    offers.ended(ticket, None)


def clock_of(offers: Catalog) -> FakeClock:
    assert isinstance(offers._clock, FakeClock)
    return offers._clock


def test_all_are_asked_at_once() -> None:
    async def main() -> None:
        lists = Lists({"one": listing("a"), "two": listing("b"), "three": ConnectFailed("refused")})
        lists.together = asyncio.Barrier(3)
        offers = catalog(lists, backend("one", key="k"), backend("two"), backend("three"))
        async with asyncio.timeout(60):
            await offers.refresh(["one", "two", "three"])
        assert [offers.standing(name).models for name in ("one", "two", "three")] == [("a",), ("b",), ()]
        assert offers.standing("three").last_error == "refused"
        assert lists.closed == 2
        assert (lists.requests[0].method, lists.requests[0].path) == (b"GET", "/models")
        assert dict(lists.requests[0].headers)[b"authorization"] == b"Bearer k"
        assert b"authorization" not in dict(lists.requests[1].headers)
        assert offers.standing("one").checked_ns > 0
        assert offers.standing("one").latency_ms is not None

    asyncio.run(main())


def test_only_the_named_are_asked() -> None:
    async def main() -> None:
        offers = catalog(lists := Lists({"one": listing("a")}), backend("one"), backend("two"))
        await offers.refresh(["one"])
        assert len(lists.requests) == 1
        assert offers.standing("two").status == "unknown"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ConnectFailed("refused"), "refused"),
        (DeadlineExceeded("too late"), "too late"),
        ((503, b'{"error":{"message":"busy"}}'), "busy"),
        ((200, b"<html>"), "list of models"),
        ((200, b"[" * (MAX_LIST_BYTES + 1)), "too long"),
    ],
)
def test_a_failure_keeps_the_last_list(answer: Answer, words: str) -> None:
    async def main() -> None:
        lists = Lists({"one": listing("a", "b")})
        offers = catalog(lists, backend("one"))
        await offers.refresh(["one"])
        lists.answers["one"] = answer
        for failures in range(1, DOWN_AFTER + 1):
            assert offers.standing("one").status == "healthy"
            await offers.refresh(["one"])
            assert offers.standing("one").failures == failures
        assert offers.standing("one").models == ("a", "b")
        assert offers.standing("one").status == "unhealthy"
        assert words in offers.standing("one").last_error
        if isinstance(answer, ConnectFailed):
            with pytest.raises(NoProvider, match="it is down"):
                route(router(offers), "a")
            clock_of(offers).now_ns += int(offers.vitals.rules.open_s * 1e9)
        assert route(router(offers), "a") == ["one/a"]  # one call may try; who answers at all may serve
        lists.answers["one"] = listing("c")
        await offers.refresh(["one"])
        standing = offers.standing("one")
        assert (standing.status, standing.failures, standing.last_error) == ("healthy", 0, "")
        assert standing.models == ("c",)
        with pytest.raises(UnknownModel):
            router(offers).route(call("a"), TERMS)

    asyncio.run(main())


def test_a_provider_that_never_answered_is_down_at_its_first_failure() -> None:
    async def main() -> None:
        offers = catalog(
            Lists({"one": ConnectFailed("refused")}), backend("one", "m"), backend("two", "m", priority=20)
        )
        assert route(router(offers)) == ["one/m", "two/m"]
        await offers.refresh(["one"])
        assert offers.standing("one").status == "unhealthy"
        assert route(router(offers)) == ["two/m"]

    asyncio.run(main())


def test_models_outside_the_configured_globs_are_not_offered() -> None:
    async def main() -> None:
        offers = catalog(Lists({"one": listing("gpt-4", "tts-1", "gpt-5")}), backend("one", "gpt-*"))
        await offers.refresh(["one"])
        assert offers.standing("one").models == ("gpt-4", "gpt-5")
        with pytest.raises(UnknownModel):
            router(offers).route(call("tts-1"), TERMS)

    asyncio.run(main())


def test_a_vendors_own_globs_hold_until_configured_ones_replace_them() -> None:
    lists = Lists({})
    assert route(router(catalog(lists, backend("one", serves=("m*",))))) == ["one/m"]
    with pytest.raises(UnknownModel):
        router(catalog(lists, backend("one", "x-*", serves=("m*",)))).route(call("m"), TERMS)


def test_calls_that_fail_take_a_provider_down_and_one_that_succeeds_brings_it_back() -> None:
    offers = catalog(Lists({}), backend("one", "m"), backend("two", "m", priority=20))
    asks = router(offers)
    served(offers, ONE)
    for _ in range(offers.vitals.rules.failures):
        assert route(asks) == ["one/m", "two/m"]
        offers.ended(offers.vitals.began(ONE), ConnectFailed("refused"))
    assert route(asks) == ["two/m"]  # the decision that was kept is not asked
    clock_of(offers).now_ns += int(offers.vitals.rules.open_s * 1e9)
    assert route(asks) == ["one/m", "two/m"]
    served(offers, ONE)
    assert offers.vitals.is_well
    assert offers.standing("one").failures == 0


def test_a_success_between_failures_begins_the_count_anew() -> None:
    offers = catalog(Lists({}), backend("one", "m"))
    served(offers, ONE)
    for _ in range(DOWN_AFTER * 2):
        offers.ended(offers.vitals.began(ONE), Throttled("slow"))
        served(offers, ONE)
    assert offers.standing("one").status == "healthy"


def test_what_says_nothing_of_the_provider_does_not_count() -> None:
    offers = catalog(Lists({}), backend("one", "m"))
    for _ in range(10):
        offers.ended(offers.vitals.began(ONE), Refused("no such field", upstream_status=400))
        offers.ended(offers.vitals.began(ONE), DeadlineExceeded("the call's own time"))
        offers.ended(offers.vitals.began(ONE), HeldBack("our own limit"))
        offers.ended(offers.vitals.began(ONE), TooDear("our own bound"))
    assert offers.standing("one").failures == 0
    assert offers.standing("one").status == "unknown"
    assert offers.vitals.is_well


def test_priority_orders_and_the_configurations_order_breaks_ties() -> None:
    three = (backend("one", "m"), backend("two", "m", priority=5), backend("three", "m"))
    assert route(router(catalog(Lists({}), *three))) == ["two/m", "one/m", "three/m"]


def test_a_decision_has_the_rules_delays_and_is_kept_for_each_wish() -> None:
    asks = router(catalog(Lists({}), backend("one", "m"), backend("two", "m")))
    decision = asks.route(call("m"), TERMS)
    plan = decision.plan
    assert (plan.tries, plan.attempts, plan.base_s, plan.max_s) == (3, 5, 0.5, 2.0)
    assert asks.route(call("m", Wishes(agent="another")), TERMS) is decision
    assert route(asks, wishes=Wishes(provider="two")) == ["two/m"]
    assert asks.route(call("m"), TERMS) is decision
    assert route(asks, "fast") == ["two/x"]


def test_the_decisions_that_are_kept_are_bounded() -> None:
    asks = router(catalog(Lists({}), backend("one")))
    for n in range(MAX_KNOWN + 10):
        asks.route(call(f"one/{n}"), TERMS)
    assert len(asks._known) <= MAX_KNOWN


def test_a_provider_that_changes_its_address_begins_anew_and_one_that_stays_does_not() -> None:
    one, two = backend("one", "m"), backend("two", "m")
    offers = catalog(Lists({}), one, two)
    for target in (ONE, Target("two", "m")):
        for _ in range(offers.vitals.rules.failures):
            offers.ended(offers.vitals.began(target), ConnectFailed("refused"))
    offers.define([msgspec.structs.replace(one, base_url="http://elsewhere/one"), two])
    assert route(router(offers)) == ["one/m"]
    assert (offers.standing("one").failures, offers.standing("two").failures) == (0, offers.vitals.rules.failures)
