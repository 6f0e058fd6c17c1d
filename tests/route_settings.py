"""What the settings of routing change, for engine/test_configuration_has_effect.py: where a call would go."""

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from gateway import QUIET
from hoosh.core.call import Call, Wishes
from hoosh.core.pool import Terms
from hoosh.core.principal import Principal
from hoosh.core.routing import Decision
from hoosh.dialects.openai_chat import DIALECT
from hoosh.engine.router import WhatIf

if TYPE_CHECKING:
    from hoosh.app import Gateway

P = "[[providers]]\ntype = 'openai'\nname = 'p'\nmodels = ['m']\nbase_url = 'http://127.0.0.1:9/v1'\n"
Q = P.replace("'p'", "'q'")
BOTH = QUIET + P + Q
ROUTE = "[[routes]]\nname = 'r'\nmodels = ['m']\n"
TARGETS = "targets = [{model = 'q/m'}, {model = 'p/m'}]\n"
ROUTED = BOTH + ROUTE + TARGETS
WEIGHED = BOTH + ROUTE + "strategy = 'round_robin'\n"


def decided(gateway: "Gateway", model: str, what_if: WhatIf = WhatIf(), **said: Any) -> Decision:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **said.pop("body", {})}
    raw = json.dumps(body).encode()
    call = Call(
        id="call",
        dialect="openai_chat",
        request=DIALECT.parse(raw),
        body=raw,
        principal=Principal("batch-1", pool="team"),
        wishes=Wishes(**said),
    )
    return gateway.router.explain(call, Terms(pools=("default",)), what_if)


def order(gateway: "Gateway", **said: Any) -> list[str]:
    return [str(target) for target in decided(gateway, "m", **said).plan.targets]


def usual(gateway: "Gateway") -> object:
    """A call of key "batch-1" on pool "team", of agent "tarang", with a tag, tools and 500 tokens, at 50 percent."""
    tools = [{"type": "function", "function": {"name": "f"}}]
    what_if = WhatIf(input_tokens=500, budget_percent=50)
    return order(gateway, what_if=what_if, agent="tarang", tags=("gold",), body={"tools": tools})[0]


def sticks(gateway: "Gateway") -> object:
    """Whether twenty sessions are spread over both providers."""
    first = {order(gateway, session=f"s{n}")[0] for n in range(20)}
    return len(first) == 2


def first_turns(gateway: "Gateway") -> object:
    """How often each goes first in a hundred turns, roughly."""
    body = b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}'
    call = Call(id="call", dialect="openai_chat", request=DIALECT.parse(body), body=body)
    found = [gateway.router.route(call, Terms(pools=("default",))).plan.targets[0].provider for _ in range(100)]
    return round(found.count("q") / 25)


def of_plan(field: str) -> Any:
    return lambda gateway: getattr(decided(gateway, "m").plan, field)


def of_rules(field: str) -> Any:
    return lambda gateway: getattr(gateway.catalog.vitals.rules, field)


Cells: TypeAlias = tuple[str, str, str, Any, object, object]


def when(name: str, holds: str, fails: str) -> Cells:
    before, after = (f"{ROUTED}[routes.when]\n{name} = {value}\n" for value in (holds, fails))
    return (f"routes.when.{name}", before, after, usual, "q/m", "p/m")


# (key, one file, another, what is looked at, what is seen under each)
ROUTE_ROWS: tuple[Cells, ...] = (
    ("routing.strategy", BOTH, f"{BOTH}[routing]\nstrategy = 'direct'\n", order, ["p/m", "q/m"], ["p/m"]),
    (
        "routing.sticky",
        f"{BOTH}[routing]\nstrategy = 'round_robin'\n",
        f"{BOTH}[routing]\nstrategy = 'round_robin'\nsticky = 'off'\n",
        sticks,
        True,
        False,
    ),
    (
        "routing.keep_decisions",
        BOTH,
        f"{BOTH}[routing]\nkeep_decisions = 7\n",
        lambda gateway: gateway.decisions._at_most,
        10_000,
        7,
    ),
    ("routes.name", ROUTED, ROUTED.replace("'r'", "'s'"), lambda gateway: decided(gateway, "m").route, "r", "s"),
    (
        "routes.models",
        ROUTED,
        ROUTED.replace("['m']\ntargets", "['n']\ntargets"),
        order,
        ["q/m", "p/m"],
        ["p/m", "q/m"],
    ),
    ("routes.targets.model", ROUTED, ROUTED.replace("'q/m'", "'q/n'"), order, ["q/m", "p/m"], ["q/n", "p/m"]),
    (
        "routes.targets.tier",
        ROUTED,
        ROUTED.replace("{model = 'q/m'}", "{model = 'q/m', tier = 1}"),
        order,
        ["q/m", "p/m"],
        ["p/m", "q/m"],
    ),
    (
        "routes.targets.weight",
        WEIGHED + TARGETS,
        WEIGHED + TARGETS.replace("'q/m'", "'q/m', weight = 3"),
        first_turns,
        2,
        3,
    ),
    (
        "routes.targets.context_tokens",
        ROUTED,
        ROUTED.replace("'q/m'", "'q/m', context_tokens = 10").replace("'p/m'", "'p/m', context_tokens = 20"),
        lambda gateway: [str(target) for target in decided(gateway, "m").plan.wider],
        [],
        ["p/m"],
    ),
    ("routes.strategy", ROUTED, f"{ROUTED}strategy = 'direct'\n", order, ["q/m", "p/m"], ["q/m"]),
    ("routes.sticky", WEIGHED, f"{WEIGHED}sticky = 'off'\n", sticks, True, False),
    (
        "routes.locality",
        ROUTED,
        f"{ROUTED}locality = 'only'\n",
        lambda gateway: {one.skipped for one in decided(gateway, "m").considered},
        {""},
        {"the route is for local providers only"},
    ),
    ("routes.fallback_on", ROUTED, f"{ROUTED}fallback_on = ['content']\n", of_plan("on_content"), False, True),
    ("routes.hedge_after_s", ROUTED, f"{ROUTED}hedge_after_s = 2\n", of_plan("hedge_s"), 0, 2),
    ("routes.max_cost_usd", ROUTED, f"{ROUTED}max_cost_usd = 0.5\n", of_plan("max_micros"), 0, 500_000),
    ("routes.max_s", ROUTED, f"{ROUTED}max_s = 7\n", of_plan("total_s"), 600, 7),
    when("keys", "['batch-*']", "['batch']"),
    when("pools", "['team']", "['default']"),
    when("agents", "['tarang']", "['daimon']"),
    when("tags", "['gold']", "['silver']"),
    when("operations", "['chat']", "['embed']"),
    when("needs", "['tools']", "['images']"),
    when("local_only", "false", "true"),
    when("stream", "false", "true"),
    when("input_tokens_from", "500", "501"),
    when("input_tokens_below", "501", "500"),
    when("budget_percent_from", "50", "51"),
    when("budget_percent_below", "51", "50"),
    ("retry.tries", BOTH, f"{BOTH}[retry]\ntries = 7\n", of_plan("tries"), 2, 7),
    ("retry.max_attempts", BOTH, f"{BOTH}[retry]\nmax_attempts = 7\n", of_plan("attempts"), 6, 7),
    ("retry.base_delay_s", BOTH, f"{BOTH}[retry]\nbase_delay_s = 7\n", of_plan("base_s"), 0.25, 7),
    ("retry.max_delay_s", BOTH, f"{BOTH}[retry]\nmax_delay_s = 7\n", of_plan("max_s"), 8, 7),
    ("retry.max_s", BOTH, f"{BOTH}[retry]\nmax_s = 7\n", of_plan("total_s"), 600, 7),
    ("retry.ambiguous", BOTH, f"{BOTH}[retry]\nambiguous = 'always'\n", of_plan("ambiguous"), "free", "always"),
    (
        "retry.budget_percent",
        BOTH,
        f"{BOTH}[retry]\nbudget_percent = 50\n",
        lambda gateway: gateway.engine.world.retries._part,
        0.1,
        0.5,
    ),
    ("health.enabled", BOTH, f"{BOTH}[health]\nenabled = false\n", of_rules("enabled"), True, False),
    ("health.failures", BOTH, f"{BOTH}[health]\nfailures = 7\n", of_rules("failures"), 5, 7),
    ("health.failure_percent", BOTH, f"{BOTH}[health]\nfailure_percent = 7\n", of_rules("percent"), 50, 7),
    ("health.open_s", BOTH, f"{BOTH}[health]\nopen_s = 7\n", of_rules("open_s"), 1, 7),
    ("health.max_open_s", BOTH, f"{BOTH}[health]\nmax_open_s = 7\n", of_rules("max_open_s"), 30, 7),
)
