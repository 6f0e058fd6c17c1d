"""Where each call goes: the routes of the configuration over who there is and how they fare.

Deciding is policy.decide's, for dispatch and for explanations alike. Kept here: what can be known before a call comes,
and whose turn it is. While all are well, and the route's strategy looks at nothing else, a decision is made once.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from hoosh.core.asked import ChatRequest, Operation
from hoosh.core.call import Call, Wishes
from hoosh.core.errors import HooshError, Unpriced
from hoosh.core.events import Usage
from hoosh.core.plan import Target
from hoosh.core.pool import Terms
from hoosh.core.principal import ANONYMOUS, Principal
from hoosh.core.routing import ALWAYS, Candidate, Chance, Decision, Need, Passed, Route, Vital
from hoosh.policy.choose import Names, Wanted, choose, is_direct
from hoosh.policy.decide import Ask, decide, pick, refusal
from hoosh.policy.estimate import input_guess, output_limit
from hoosh.policy.globs import serves
from hoosh.policy.needs import needs_of
from hoosh.policy.scopes import may_use
from hoosh.policy.session import session_of

if TYPE_CHECKING:
    from hoosh.engine.backend import Backend
    from hoosh.engine.catalog import Catalog
    from hoosh.ports import Budgets, Prices

MAX_KNOWN = 1024
# What an answer is taken to have where the client sets no limit; it only orders prices.
USUAL_OUTPUT_TOKENS = 500
# No secret hangs on it.
draw = random.random
_STEADY = frozenset({"priority", "direct", "local_first"})

Key = tuple[str, Operation, str, bool]


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The part of routing that the configuration fixes. `default_models` answer to the names that clients send when
    nobody told them a model. `fallback` is the route of all that no other takes.
    """

    aliases: Mapping[str, str] = msgspec.field(default_factory=dict)
    default_models: Mapping[Operation, str] = msgspec.field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    fallback: Route = Route()


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """For an explanation: what is to be taken for true."""

    input_tokens: int | None = None
    budget_percent: int | None = None


class _Known(msgspec.Struct):
    """What a name means: its routes in order, the candidates of each or why there are none, and the decision where it
    is always the same.
    """

    routes: tuple[Route, ...]
    found: tuple[tuple[Candidate, ...] | HooshError, ...]
    steady: Decision | None = None

    def candidates(self, at: int) -> tuple[Candidate, ...]:
        """Raises UnknownModel, NoProvider, BadRequest."""
        found = self.found[at]
        if isinstance(found, HooshError):
            raise found
        return found


class Router:
    """`backends` are those that it decides between now; a new mapping takes their place when others are configured."""

    def __init__(self, catalog: "Catalog", rules: Rules, prices: "Prices", budgets: "Budgets") -> None:
        self._catalog = catalog
        self._budgets = budgets
        self._turns: dict[tuple[Target, ...], int] = {}
        self.define(rules, prices)

    def define(self, rules: Rules, prices: "Prices") -> None:
        """Decide by these from now on, and between those of the catalogue."""
        self._rules = rules
        self._prices = prices
        self.backends: Mapping[str, Backend] = self._catalog.backends
        self._known: dict[Key, _Known] = {}
        self._generation = -1

    @property
    def aliases(self) -> Mapping[str, str]:
        return self._rules.aliases

    @property
    def virtual_models(self) -> tuple[str, ...]:
        """Names that routes make: no patterns."""
        names = (name for route in self._rules.routes if route.legs for name in route.models)
        return tuple(dict.fromkeys(name for name in names if not set(name) & set("*?[")))

    def default_model(self, operation: Operation) -> str:
        return self._rules.default_models.get(operation, "")

    def route(self, call: Call, terms: Terms, may_force: Callable[[], bool] = lambda: False) -> Decision:
        """`may_force`: whether one of those may be asked that are left alone, where they are all there are. Raises
        UnknownModel, NoProvider, NothingFree, BadRequest, Forbidden.
        """
        request, wishes = call.request, call.wishes
        known = self._look_up(request.model, request.operation, wishes)
        if known.steady is not None and self._catalog.vitals.is_well and not call.principal.models:
            return known.steady
        ask, decision = self._decide(known, call, terms, WhatIf(), takes_turn=True)
        plan = decision.plan
        if not plan.targets and not (plan.last and may_force()):
            raise refusal(ask, decision)
        return decision

    def explain(self, call: Call, terms: Terms, what_if: WhatIf) -> Decision:
        """What `route` would decide now; nothing changes by it. Raises UnknownModel, NoProvider, BadRequest."""
        known = self._look_up(call.request.model, call.request.operation, call.wishes)
        return self._decide(known, call, terms, what_if, takes_turn=False)[1]

    def within_reach(self, call: Call, terms: Terms) -> Sequence[Target]:
        """All who may be asked for it, whoever is up. Raises as `who` does."""
        principal = call.principal
        self.who(call.request.model, call.wishes, call.request.operation, principal)
        considered = self.explain(call, terms, WhatIf()).considered
        targets = (one.candidate.target for one in considered if not one.candidate.shut)
        return [target for target in targets if may_use(principal, target.provider, target.model)]

    def who(
        self, model: str, wishes: Wishes, operation: Operation = "chat", principal: Principal = ANONYMOUS
    ) -> Target:
        """Whom a name means first, whoever is up. Raises UnknownModel, NoProvider, BadRequest, Forbidden."""
        known = self._look_up(model, operation, wishes)
        ask = Ask(model=model, operation=operation, principal=principal, wishes=wishes)
        route = msgspec.structs.replace(known.routes[-1], strategy="priority")
        candidates = next((one for one in known.found if not isinstance(one, HooshError)), None)
        decision = decide(route, candidates or known.candidates(-1), ask, _Anyhow(), Chance())
        if not decision.plan.targets:
            raise refusal(ask, decision)
        return decision.plan.targets[0]

    def price_micros(self, call: Call, target: Target) -> int | None:
        """What the call may cost there, as far as it can be guessed."""
        return _Now(self._catalog, self._prices, self.backends, call).price_micros(target)

    def percent_used(self, terms: Terms) -> int:
        return self._budgets.percent_used(terms.pools)

    def _decide(
        self, known: _Known, call: Call, terms: Terms, what_if: WhatIf, *, takes_turn: bool
    ) -> tuple[Ask, Decision]:
        request, wishes = call.request, call.wishes
        ask = Ask(
            model=request.model,
            operation=request.operation,
            stream=request.stream,
            principal=call.principal,
            wishes=wishes,
        )
        passed: Passed = ()
        at = 0
        if len(known.routes) > 1:
            route, passed = pick(known.routes, ask, _CallFacts(call, terms, self._budgets, what_if))
            at = len(passed)
        route, candidates = known.routes[at], known.candidates(at)
        if session := session_of(wishes.session, request, route.sticky):
            ask = msgspec.structs.replace(ask, session=session)
        chance = self._chance(route, candidates, takes_turn=takes_turn)
        decision = decide(route, candidates, ask, _Now(self._catalog, self._prices, self.backends, call), chance)
        return ask, msgspec.structs.replace(decision, passed=passed) if passed else decision

    def _chance(self, route: Route, candidates: Sequence[Candidate], *, takes_turn: bool) -> Chance:
        if route.strategy in _STEADY and all(candidate.keys == 1 for candidate in candidates):
            return Chance()
        targets = tuple(candidate.target for candidate in candidates)
        turn = self._turns.get(targets, 0)
        if takes_turn:
            if targets not in self._turns and len(self._turns) >= MAX_KNOWN:
                self._turns.clear()
            self._turns[targets] = turn + 1
        draws = (draw(), draw()) if route.strategy == "lowest_latency" else (0.0, 0.0)
        return Chance(turn, draws)

    def _look_up(self, model: str, operation: Operation, wishes: Wishes) -> _Known:
        catalog = self._catalog
        if catalog.generation != self._generation:
            self._known.clear()
            self._generation = catalog.generation
        key = (model, operation, wishes.provider, wishes.local_only)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[key] = self._find(model, operation, wishes)
        return known

    def _find(self, model: str, operation: Operation, wishes: Wishes) -> _Known:
        rules, offers = self._rules, self._catalog.offers
        asked = Wishes(provider=wishes.provider, local_only=wishes.local_only)  # the rest is no matter of candidates
        wanted = Wanted(model=model, operation=operation, wishes=asked)
        names = Names(
            aliases=rules.aliases,
            default=rules.default_models.get(operation, ""),
            routes=self.virtual_models,
        )
        routes = [] if is_direct(model, offers) or wishes.provider else list(self._routes_for(model))
        if not routes or routes[-1].when != ALWAYS:
            routes.append(rules.fallback)
        found: list[tuple[Candidate, ...] | HooshError] = []
        for route in routes:
            try:
                found.append(choose(wanted, offers, names, route.legs))
            except HooshError as error:
                found.append(error)
        if all(isinstance(one, HooshError) for one in found):
            raise next(one for one in found if isinstance(one, HooshError))
        known = _Known(tuple(routes), tuple(found))
        first = found[0]
        is_steady = len(routes) == 1 and routes[0].strategy in _STEADY
        if is_steady and not isinstance(first, HooshError) and all(one.keys == 1 for one in first):
            steady = decide(routes[0], first, Ask(model=model, operation=operation), _Anyhow(), Chance())
            known.steady = steady if steady.plan.targets else None
        return known

    def _routes_for(self, model: str) -> Sequence[Route]:
        """Up to the first that has no conditions: those after it are never asked."""
        names = (model, self._rules.aliases.get(model, model))
        routes = []
        for route in self._rules.routes:
            if any(serves(name, route.models) for name in names):
                routes.append(route)
                if route.when == ALWAYS:
                    break
        return routes


class _CallFacts:
    """core.routing.Facts of one call."""

    def __init__(self, call: Call, terms: Terms, budgets: "Budgets", what_if: WhatIf) -> None:
        self._call = call
        self._terms = terms
        self._budgets = budgets
        self._what_if = what_if

    def input_tokens(self) -> int:
        told = self._what_if.input_tokens
        return input_guess(self._call.request) if told is None else told

    def budget_percent(self) -> int:
        told = self._what_if.budget_percent
        return self._budgets.percent_used(self._terms.pools) if told is None else told

    def needs(self) -> frozenset[Need]:
        return needs_of(self._call.request)


class _Now:
    """core.routing.Live."""

    def __init__(self, catalog: "Catalog", prices: "Prices", backends: "Mapping[str, Backend]", call: Call) -> None:
        self._vitals = catalog.vitals
        self._prices = prices
        self._backends = backends
        self._call = call

    def vital(self, target: Target) -> Vital:
        return self._vitals.vital(target)

    def price_micros(self, target: Target) -> int | None:
        request = self._call.request
        output_tokens = (output_limit(request) or USUAL_OUTPUT_TOKENS) if isinstance(request, ChatRequest) else 0
        try:
            quote = self._prices.quote(target, self._backends[target.provider].provider.name)
        except Unpriced:
            return None
        return quote.cost(Usage(input=input_guess(request), output=output_tokens))


class _Anyhow:
    """core.routing.Live: everybody is well."""

    def vital(self, target: Target) -> Vital:  # noqa: ARG002
        return Vital()

    def price_micros(self, target: Target) -> int | None:  # noqa: ARG002
        return None
