"""Where one call goes. Dispatch and explanation are this one function; it changes nothing."""

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

import msgspec

from hoosh.core.call import Wishes
from hoosh.core.errors import HooshError, NoProvider, NothingFree
from hoosh.core.plan import Plan, Target
from hoosh.core.principal import ANONYMOUS, Principal
from hoosh.core.routing import (
    WELL,
    Candidate,
    Chance,
    Considered,
    Decision,
    Facts,
    Live,
    Passed,
    Route,
    Vital,
    When,
)
from hoosh.policy.rank import Weighed, rank
from hoosh.policy.scopes import may_use, not_this_model

MAX_TOLD = 512


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A call as routing sees it. `session` is what its stickiness hangs on, "" for nothing."""

    model: str
    operation: str = "chat"
    stream: bool = False
    principal: Principal = ANONYMOUS
    wishes: Wishes = Wishes()
    session: str = ""


def pick(routes: Sequence[Route], ask: Ask, facts: Facts) -> tuple[Route, Passed]:
    """The first route whose conditions hold; the last has none."""
    passed: list[tuple[str, str]] = []
    for route in routes:
        flaw = unmet(route.when, ask, facts)
        if not flaw:
            return route, tuple(passed)
        passed.append((route.name, flaw))
    return routes[-1], tuple(passed)


def decide(route: Route, candidates: Sequence[Candidate], ask: Ask, live: Live, chance: Chance) -> Decision:
    """A plan without targets where nobody may be asked: `refusal` says why."""
    considered: dict[int, Considered] = {}
    usable: list[Weighed] = []
    keys: dict[str, list[Target]] = {}
    for at, candidate in enumerate(candidates):
        target = candidate.target
        vital, open_keys = _vital(candidate, live, chance.turn)
        keys[str(target)] = open_keys
        skipped = candidate.shut or _shut(target, route, ask) or vital.blocked
        price = live.price_micros(target) if route.strategy == "cheapest" else None
        considered[at] = Considered(candidate=candidate, vital=vital, price_micros=price, skipped=skipped)
        if not skipped:
            usable.append(Weighed(candidate, vital, price))
    session = ask.session if route.sticky != "off" else ""
    targets: list[Target] = []
    for place, (one, score) in enumerate(rank(route.strategy, usable, chance, session), 1):
        at = candidates.index(one.candidate)
        considered[at] = msgspec.structs.replace(considered[at], score=score, place=place)
        targets += keys[str(one.candidate.target)]
    return Decision(
        route=route.name,
        strategy=route.strategy,
        considered=tuple(sorted(considered.values(), key=lambda one: one.place or len(candidates) + 1)),
        plan=_plan(route, targets, candidates, _last(considered.values())),
        session=session,
        chance=chance,
        told=_told(route, len(usable), len(candidates)),
    )


def refusal(ask: Ask, decision: Decision) -> HooshError:
    """Why nobody may be asked. Those that only rest will be back; those that are down may be."""
    if decision.considered and all(one.skipped.startswith("key '") for one in decision.considered):
        return not_this_model(ask.principal, ask.model)
    return nobody(ask.model, decision)


def nobody(model: str, decision: Decision) -> NoProvider:
    """Each that could serve the model, and why it does not now."""
    blocked = [one.vital for one in decision.considered if one.vital.blocked]
    why = "; ".join(f"{one.candidate.target}: {one.skipped}" for one in decision.considered)
    message = f"Nobody can serve model '{model}' now: {why}"
    if not blocked:
        return NoProvider(message)
    kind = NothingFree if all(vital.is_resting for vital in blocked) else NoProvider
    return kind(message, retry_after_s=min(vital.retry_s for vital in blocked))


def unmet(when: When, ask: Ask, facts: Facts) -> str:
    """The first condition that does not hold, in words; "" if all do. What costs most to find out comes last."""
    principal, wishes = ask.principal, ask.wishes
    if when.keys and not _fits(principal.key_id, when.keys):
        return "key"
    if when.pools and not _fits(wishes.pool or principal.pool, when.pools):
        return "pool"
    if when.agents and not _fits(wishes.agent, when.agents):
        return "agent"
    if not set(when.tags) <= set(wishes.tags):
        return "tags"
    if when.operations and ask.operation not in when.operations:
        return "operation"
    if when.local_only is not None and when.local_only != wishes.local_only:
        return "local_only"
    if when.stream is not None and when.stream != ask.stream:
        return "stream"
    if when.needs and not set(when.needs) <= facts.needs():
        return "needs"
    if not _within(when.input_tokens_from, when.input_tokens_below, facts.input_tokens):
        return "input_tokens"
    if not _within(when.budget_percent_from, when.budget_percent_below, facts.budget_percent):
        return "budget_percent"
    return ""


def _fits(name: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _within(least: int | None, below: int | None, value: Callable[[], int]) -> bool:
    if least is None and below is None:
        return True
    found = value()
    return (least is None or found >= least) and (below is None or found < below)


def _vital(candidate: Candidate, live: Live, turn: int) -> tuple[Vital, list[Target]]:
    """How the candidate fares, and its target once for each key that may be used, in turn."""
    target = candidate.target
    if candidate.keys == 1:
        vital = live.vital(target)
        return vital, [] if vital.blocked else [target]
    found: list[Target] = []
    first: Vital | None = None
    for key in range(candidate.keys):
        keyed = msgspec.structs.replace(target, key=key)
        vital = live.vital(keyed)
        if not vital.blocked:
            found.append(keyed)
        if first is None or (first.blocked and (not vital.blocked or vital.retry_s < first.retry_s)):
            first = vital
    at = turn % len(found) if found else 0
    return first or WELL, found[at:] + found[:at]


def _shut(target: Target, route: Route, ask: Ask) -> str:
    if route.locality == "only" and not target.local:
        return "the route is for local providers only"
    if route.locality == "never" and target.local:
        return "the route is for remote providers only"
    if not may_use(ask.principal, target.provider, target.model):
        return f"key '{ask.principal.key_id}' may not use it"
    return ""


def _last(considered: Iterable[Considered]) -> tuple[Target, ...]:
    """Who only is left alone for having failed, the first that would be asked again first. None of one alone: it has
    to come to itself.
    """
    able = [one for one in considered if not one.skipped or one.skipped == one.vital.blocked]
    if len({one.candidate.target.provider for one in able}) < 2:
        return ()
    blamed = sorted((one for one in able if one.vital.is_blamed), key=lambda one: one.vital.retry_s)
    return tuple(one.candidate.target for one in blamed)


def _plan(route: Route, targets: Sequence[Target], candidates: Sequence[Candidate], last: tuple[Target, ...]) -> Plan:
    """Whoever is not known to read less than all before it may have a prompt that was too long for them."""
    wider: tuple[Target, ...] = ()
    if "context" in route.fallback_on and len(targets) > 1:
        context = {str(one.target): one.context_tokens for one in candidates}
        models = {str(one.target): one.target.model for one in candidates}
        most, seen = 0, set[str]()
        for target in targets:
            name = str(msgspec.structs.replace(target, key=0))
            tokens = context[name]
            if seen and (tokens > most if tokens and most else models[name] not in seen):
                wider = (*wider, target)
            most = max(most, tokens)
            seen.add(models[name])
    return msgspec.structs.replace(
        route.plan, targets=tuple(targets), last=last, wider=wider, on_content="content" in route.fallback_on
    )


def _told(route: Route, usable: int, all_: int) -> bytes:
    name = route.name if route.name.isprintable() and route.name.isascii() else "?"
    return f"{name or 'default'}; strategy={route.strategy}; usable={usable}/{all_}"[:MAX_TOLD].encode()
