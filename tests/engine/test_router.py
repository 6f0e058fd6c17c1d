"""Routes over real vitals: what is decided, what is explained, and that they are the same."""

import random
from collections.abc import Callable
from functools import partial

import msgspec
import pytest

from engine_world import FakeBudgets, FakeClock, FakeTransport
from hoosh.core.asked import ChatRequest, Message, TextPart
from hoosh.core.call import Call, Wishes
from hoosh.core.errors import (
    BadRequest,
    ConnectFailed,
    Forbidden,
    HooshError,
    NoProvider,
    NothingFree,
    Throttled,
    UnknownModel,
)
from hoosh.core.events import Usage
from hoosh.core.ledger import Priced
from hoosh.core.plan import Plan, Target
from hoosh.core.pool import Terms
from hoosh.core.principal import ANONYMOUS, Principal
from hoosh.core.quote import Quote
from hoosh.core.routing import Decision, Leg, Route, Strategy, When
from hoosh.dialects.openai_chat import DIALECT
from hoosh.engine import router as engine_router
from hoosh.engine.backend import Backend, tongues_of
from hoosh.engine.catalog import Catalog
from hoosh.engine.router import Router, Rules, WhatIf
from hoosh.engine.vitals import Vitals
from hoosh.policy.breaker import BreakerRules
from hoosh.providers import Provider

TERMS = Terms(pools=("default",))
STRATEGIES: tuple[Strategy, ...] = (
    "priority",
    "round_robin",
    "lowest_latency",
    "least_busy",
    "cheapest",
    "local_first",
    "direct",
)


class AtRate(msgspec.Struct, frozen=True):
    """core.quote.Quote."""

    micros: int
    priced: Priced = "known"

    def cost(self, usage: Usage, audio_ms: int = 0) -> int:
        return self.micros * usage.total

    def bound(self, input_tokens: int, output_tokens: int, audio_ms: int = 0) -> int:
        return self.micros * (input_tokens + output_tokens)


class Rates:
    """ports.Prices: the longer the provider's name, the dearer."""

    def quote(self, target: Target, kind: str) -> Quote:
        return AtRate(len(target.provider))


def backend(name: str, *models: str, priority: int = 10, keys: int = 0, local: bool = False) -> Backend:
    kind = Provider(name=name, title=name, dialect=DIALECT, base_url=f"http://fake/{name}", docs="")
    auths = tuple(((b"authorization", b"Bearer %d" % n),) for n in range(keys))
    return Backend(
        name=name,
        provider=kind,
        base_url=kind.base_url,
        models=models or ("m",),
        tongues=tongues_of(kind),
        priority=priority,
        local=local,
        auths=auths,
    )


class Crossing:
    def __init__(self, rules: Rules, *backends: Backend) -> None:
        self.clock = FakeClock()
        self.vitals = Vitals(self.clock, BreakerRules())
        self.catalog = Catalog(backends, FakeTransport({}), self.clock, self.vitals)
        self.budgets = FakeBudgets()
        self.router = Router(self.catalog, rules, Rates(), self.budgets)

    def decide(self, model: str = "m", wishes: Wishes = Wishes(), principal: Principal = ANONYMOUS) -> Decision:
        return self.router.route(call(model, wishes, principal), TERMS)

    def order(self, model: str = "m", wishes: Wishes = Wishes()) -> list[str]:
        return [str(target) for target in self.decide(model, wishes).plan.targets]

    def fail(self, target: Target, error: HooshError, times: int = 1) -> None:
        for _ in range(times):
            self.vitals.ended(self.vitals.began(target), error)


def call(model: str = "m", wishes: Wishes = Wishes(), principal: Principal = ANONYMOUS) -> Call:
    request = ChatRequest(model=model, messages=(Message("user", (TextPart("Hi"),)),))
    return Call(id="call", dialect="openai_chat", request=request, body=b"", wishes=wishes, principal=principal)


def by(strategy: Strategy, **more: object) -> Rules:
    return Rules(fallback=Route(strategy=strategy, **more))  # type: ignore[arg-type]


THREE = (backend("a"), backend("b"), backend("c"))


def test_round_robin_counts_for_each_set_of_candidates() -> None:
    crossing = Crossing(by("round_robin"), backend("a", "m", "n"), backend("b", "m", "n"), backend("z", priority=20))
    firsts = [(crossing.order("m")[0], crossing.order("n")[0]) for _ in range(4)]
    assert firsts == [("a/m", "a/n"), ("b/m", "b/n")] * 2
    assert crossing.order("m")[-1] == "z/m"  # the tier after it gets no turn


def test_a_virtual_model_has_tiers_weights_and_names_of_its_own() -> None:
    legs = (Leg(model="a/big", weight=3), Leg(model="b/small"), Leg(model="c/spare", tier=1))
    rules = Rules(routes=(Route(name="fast", models=("fast",), strategy="round_robin", legs=legs),))
    crossing = Crossing(rules, *THREE)
    firsts = [crossing.order("fast")[0] for _ in range(1000)]
    assert abs(firsts.count("a/big") - 750) < 20
    assert crossing.order("fast")[-1] == "c/spare"
    assert crossing.router.virtual_models == ("fast",)
    with pytest.raises(UnknownModel, match="Did you mean fast"):
        crossing.order("fasd")


def test_conditions_choose_between_routes_and_what_failed_is_told() -> None:
    rules = Rules(
        routes=(
            Route(name="spent", models=("fast",), when=When(budget_percent_from=80), legs=(Leg(model="b/cheap"),)),
            Route(name="gold", models=("fast",), when=When(tags=("gold",)), legs=(Leg(model="a/best"),)),
            Route(name="plain", models=("fast",), legs=(Leg(model="c/good"),)),
        )
    )
    crossing = Crossing(rules, *THREE)
    plain = crossing.decide("fast")
    assert (plain.route, plain.passed) == ("plain", (("spent", "budget_percent"), ("gold", "tags")))
    assert crossing.order("fast", Wishes(tags=("gold",))) == ["a/best"]
    spent = crossing.router.explain(call("fast"), TERMS, WhatIf(budget_percent=95))
    assert (spent.route, [str(target) for target in spent.plan.targets]) == ("spent", ["b/cheap"])


def test_who_names_a_provider_passes_by_every_route() -> None:
    rules = Rules(routes=(Route(name="all", models=("*",), legs=(Leg(model="a/m"),)),))
    crossing = Crossing(rules, *THREE)
    assert crossing.order("m") == ["a/m"]
    assert crossing.order("b/m") == ["b/m"]
    assert crossing.order("m", Wishes(provider="c")) == ["c/m"]


def test_a_route_for_local_providers_never_leaves_the_machine() -> None:
    near, far = backend("near", local=True, priority=20), backend("far")
    only = Crossing(by("priority", locality="only"), near, far)
    assert only.order() == ["near/m"]
    only.fail(Target("near", "m", local=True), ConnectFailed("no"), 5)
    with pytest.raises(NoProvider, match="local providers only"):
        only.order()
    assert Crossing(by("priority", locality="never"), near, far).order() == ["far/m"]
    assert Crossing(by("local_first"), near, far).order() == ["near/m", "far/m"]


def test_all_down_is_said_with_reasons_and_when_to_come_again() -> None:
    crossing = Crossing(by("priority"), *THREE)
    for name in "abc":
        crossing.fail(Target(name, "m"), ConnectFailed(f"{name} is away"), 5)
    with pytest.raises(NoProvider, match=r"a/m: a is away; b/m: b is away; c/m: c is away") as told:
        crossing.order()
    assert told.value.status == 503
    assert told.value.retry_after_s is not None
    assert 0 < told.value.retry_after_s <= 1


def test_where_all_are_left_alone_for_failing_one_may_be_asked_all_the_same() -> None:
    crossing = Crossing(by("priority"), *THREE)
    for name in "abc":
        crossing.fail(Target(name, "m"), ConnectFailed("away"), 5)
    plan = crossing.router.route(call(), TERMS, lambda: True).plan
    assert plan.targets == ()
    assert {target.provider for target in plan.last} == {"a", "b", "c"}
    with pytest.raises(NoProvider):
        crossing.router.route(call(), TERMS, lambda: False)


def test_nobody_is_asked_past_a_rest_that_it_asked_for_nor_who_is_the_only_one() -> None:
    crossing = Crossing(by("priority"), *THREE)
    for name in "abc":
        crossing.fail(Target(name, "m"), Throttled("slow", retry_after_s=9))
    with pytest.raises(NothingFree):
        crossing.router.route(call(), TERMS, lambda: True)
    alone = Crossing(by("priority"), backend("a"))
    alone.fail(Target("a", "m"), ConnectFailed("away"), 5)
    with pytest.raises(NoProvider):
        alone.router.route(call(), TERMS, lambda: True)


def test_who_only_rests_is_a_rate_limit_and_no_fault() -> None:
    crossing = Crossing(by("priority"), backend("a"))
    crossing.fail(Target("a", "m"), Throttled("slow", retry_after_s=9))
    with pytest.raises(NothingFree, match="rate limited") as told:
        crossing.order()
    assert (told.value.status, told.value.code) == (429, "rate_limit_exceeded")


def test_keys_take_turns_and_one_that_rests_is_passed_over() -> None:
    crossing = Crossing(by("priority"), backend("a", keys=3), backend("b", priority=20))
    assert [crossing.order() for _ in range(3)] == [
        ["a/m", "a/m (key 2)", "a/m (key 3)", "b/m"],
        ["a/m (key 2)", "a/m (key 3)", "a/m", "b/m"],
        ["a/m (key 3)", "a/m", "a/m (key 2)", "b/m"],
    ]
    crossing.fail(Target("a", "m", key=1), Throttled("slow", retry_after_s=9))
    assert all("a/m (key 2)" not in crossing.order() for _ in range(3))
    for key in (0, 2):
        crossing.fail(Target("a", "m", key=key), Throttled("slow", retry_after_s=9))
    assert crossing.order() == ["b/m"]


def test_a_session_stays_where_it_is_whoever_else_asks() -> None:
    crossing = Crossing(by("round_robin"), *THREE)
    first = {name: crossing.order(wishes=Wishes(session=name))[0] for name in "abcdefgh"}
    assert len(set(first.values())) == 3
    for _ in range(3):
        crossing.order()
        assert {name: crossing.order(wishes=Wishes(session=name))[0] for name in first} == first
    away = Target(first["a"].partition("/")[0], "m")
    crossing.fail(away, ConnectFailed("no"), 5)
    moved = {name: crossing.order(wishes=Wishes(session=name))[0] for name in first}
    assert all(moved[name] == first[name] for name in first if first[name] != str(away))
    crossing.clock.now_ns += 10**9
    ticket = crossing.vitals.began(away)
    crossing.vitals.answered(ticket, 0.1)
    crossing.vitals.ended(ticket, None)
    assert {name: crossing.order(wishes=Wishes(session=name))[0] for name in first} == first


def test_the_cheapest_for_this_very_call_goes_first() -> None:
    crossing = Crossing(by("cheapest"), backend("dearest"), backend("dear"), backend("a"))
    assert crossing.order() == ["a/m", "dear/m", "dearest/m"]


def test_a_key_is_held_to_its_models_on_every_route() -> None:
    crossing = Crossing(by("round_robin"), *THREE)
    held = Principal("k", models=("b/*",))
    assert [str(target) for target in crossing.decide(principal=held).plan.targets] == ["b/m"]
    with pytest.raises(Forbidden):
        crossing.decide(principal=Principal("k", models=("x",)))


def test_what_no_target_can_do_is_the_callers_error() -> None:
    request = msgspec.structs.replace(
        call(), request=DIALECT.parse(b'{"model":"m","messages":[{"role":"user","content":"x"}]}')
    )
    crossing = Crossing(by("priority"), *THREE)
    assert crossing.router.route(request, TERMS).plan.targets
    with pytest.raises(BadRequest):
        crossing.router.who("m", Wishes(), "rerank")


def test_an_explanation_takes_no_turn() -> None:
    crossing = Crossing(by("round_robin"), *THREE)
    for _ in range(5):
        crossing.router.explain(call(), TERMS, WhatIf())
    assert crossing.order()[0] == "a/m"


def test_a_steady_decision_is_made_once_and_not_while_anybody_is_unwell() -> None:
    crossing = Crossing(by("priority"), *THREE)
    first = crossing.decide()
    assert crossing.decide() is first
    crossing.fail(Target("c", "m"), Throttled("slow", retry_after_s=1))
    assert crossing.decide() is not first
    assert crossing.order() == ["a/m", "b/m"]


def drawn(draws: random.Random) -> tuple[Rules, list[Backend]]:
    """A configuration by chance."""
    names = [f"p{n}" for n in range(draws.randint(1, 5))]
    backends = [
        backend(
            name,
            *draws.sample(["m", "n", "*"], draws.randint(1, 2)),
            priority=draws.choice([5, 10, 10, 20]),
            keys=draws.choice([0, 1, 1, 3]),
            local=draws.random() < 0.3,
        )
        for name in names
    ]
    routes = tuple(
        Route(
            name=f"r{n}",
            models=(draws.choice(["m", "n", "fast", "*"]),),
            when=draws.choice([When(), When(tags=("gold",)), When(budget_percent_from=50), When(stream=True)]),
            strategy=draws.choice(STRATEGIES),
            legs=tuple(
                Leg(
                    model=draws.choice(["", "m", *(f"{name}/m" for name in names)]),
                    tier=draws.randint(0, 2),
                    weight=draws.randint(0, 4),
                    context_tokens=draws.choice([0, 0, 1000, 2000]),
                )
                for _ in range(draws.randint(0, 3))
            ),
            locality=draws.choice(["any", "any", "only", "never"]),
            sticky=draws.choice(["off", "session", "prefix"]),
        )
        for n in range(draws.randint(0, 3))
    )
    fallback = Route(strategy=draws.choice(STRATEGIES), plan=Plan(targets=(), attempts=draws.randint(1, 6)))
    return Rules(routes=routes, fallback=fallback), backends


def hurt(crossing: Crossing, draws: random.Random) -> None:
    for name in crossing.catalog.backends:
        target = Target(name, draws.choice(["m", "n"]), crossing.catalog.backends[name].local)
        if draws.random() < 0.3:
            error = draws.choice([ConnectFailed("no"), Throttled("slow", retry_after_s=5)])
            crossing.fail(target, error, 1 if isinstance(error, Throttled) else 5)
        elif draws.random() < 0.5:
            ticket = crossing.vitals.began(target)
            crossing.vitals.answered(ticket, draws.random())
            if draws.random() < 0.7:
                crossing.vitals.ended(ticket, None)


def outcome(decision: Decision) -> object:
    """All that is told of it, but for what time alone has changed."""
    return (
        decision.route,
        decision.strategy,
        decision.passed,
        decision.plan,
        [(one.candidate, one.skipped.partition(":")[0], one.place, one.price_micros) for one in decision.considered],
    )


def tried(what: Callable[[], Decision]) -> Decision | HooshError:
    try:
        return what()
    except HooshError as error:
        return error


@pytest.mark.parametrize("seed", range(10))
def test_an_explanation_and_the_dispatch_after_it_agree_on_a_thousand_configurations(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand in all. The chances are the same for both: the turn is not taken, the draws are."""
    draws, compared, refused = random.Random(seed), 0, 0
    for n in range(1000):
        rules, backends = drawn(draws)
        crossing = Crossing(rules, *backends)
        hurt(crossing, draws)
        wishes = Wishes(
            tags=draws.choice([(), ("gold",)]),
            session=draws.choice(["", "s1", "s2"]),
            local_only=draws.random() < 0.1,
            provider=draws.choice(["", "", "", "p0"]),
        )
        asked = call(draws.choice(["m", "n", "fast", "p0/m"]), wishes)
        monkeypatch.setattr(engine_router, "draw", random.Random(n).random)
        told = tried(partial(crossing.router.explain, asked, TERMS, WhatIf()))
        monkeypatch.setattr(engine_router, "draw", random.Random(n).random)
        done = tried(partial(crossing.router.route, asked, TERMS))
        if isinstance(told, Decision) and not told.plan.targets:
            refused += 1
            assert isinstance(done, HooshError)
            assert all(str(one.candidate.target) in done.message for one in told.considered)
            continue
        compared += 1
        if isinstance(told, HooshError) or isinstance(done, HooshError):
            assert (type(told), str(told)) == (type(done), str(done))
        else:
            assert outcome(told) == outcome(done)
    assert compared > 500
    assert refused > 20
