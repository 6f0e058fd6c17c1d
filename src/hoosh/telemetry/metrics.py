"""Counts what becomes of calls, attempts and errors, for /metrics.

Law: a call costs one look-up and some additions of integers. Text is made when somebody asks for it, not before. The
number of rows is bounded whatever clients send.
"""

import re
from bisect import bisect_left
from collections.abc import Callable
from typing import TypeAlias

from hoosh.core.call import Outcome, Receipt, Ticket
from hoosh.core.errors import HooshError
from hoosh.core.plan import Target
from hoosh.telemetry.families import DURATION, FIRST, Numbers, Rows

# Names of models that are told apart, and how long one may be; the rest are OTHER.
MAX_MODELS = 200
MAX_MODEL_CHARS = 128
# Errors that are told apart: a provider may say a code of its own.
MAX_ERRORS = 1000
OTHER = "other"
_DURATION_NS, _FIRST_NS = DURATION.bounds_ns, FIRST.bounds_ns
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])")
_Asked: TypeAlias = tuple[Target | None, str, int]


class _Times:
    """The histograms of one provider."""

    __slots__ = ("duration_ns", "durations", "first_ns", "firsts")

    def __init__(self) -> None:
        self.durations = [0] * (len(_DURATION_NS) + 1)
        self.duration_ns = 0
        self.firsts = [0] * (len(_FIRST_NS) + 1)
        self.first_ns = 0


class _Cell:
    """What calls with the same labels add up to."""

    __slots__ = ("cached", "input", "labels", "micros", "output", "reasoning", "requests", "times", "unpriced")

    def __init__(self, labels: tuple[str, str, str, str], times: _Times | None) -> None:
        self.labels = labels
        self.times = times
        self.requests = 0
        self.input = 0
        self.cached = 0
        self.output = 0
        self.reasoning = 0
        self.micros = 0
        self.unpriced = 0


class Metrics:
    """ports.Journal and ports.Observer. `is_known` says whether the gateway itself has a name for the model that a
    client asked for; a name that it has not is told apart only once a provider has answered to it.
    """

    def __init__(self, is_known: Callable[[Target], bool]) -> None:
        self._is_known = is_known
        self._found: dict[_Asked, _Cell] = {}
        self._cells: dict[tuple[str, str, str, str], _Cell] = {}
        self._times: dict[str, _Times] = {}
        self._models: set[str] = set()
        self._attempts: dict[tuple[str, type[HooshError | Ticket] | None], int] = {}
        self._errors: dict[tuple[str, str], int] = {}

    def note(self, receipt: Receipt) -> None:
        outcome, usage, micros = receipt.outcome, receipt.usage, receipt.cost_micros
        asked = (None if outcome is Outcome.REJECTED else receipt.target, outcome.value, receipt.status // 100)
        cell = self._found.get(asked)
        if cell is None:
            cell = self._cell(asked)
        cell.requests += 1
        cell.input += usage.input
        cell.cached += usage.cached
        cell.output += usage.output
        cell.reasoning += usage.reasoning
        if micros is None:
            cell.unpriced += 1
        else:
            cell.micros += micros
        times = cell.times
        if times is not None:
            total_ns = receipt.total_ns
            times.durations[bisect_left(_DURATION_NS, total_ns)] += 1
            times.duration_ns += total_ns
            first_ns = receipt.first_event_ns
            if first_ns and receipt.stream:
                times.firsts[bisect_left(_FIRST_NS, first_ns)] += 1
                times.first_ns += first_ns

    def ended(self, ticket: Ticket, error: HooshError | None) -> None:
        result = type(error) if error is not None else None if ticket.first_event_s is not None else Ticket
        attempt = (ticket.target.provider, result)
        self._attempts[attempt] = self._attempts.get(attempt, 0) + 1

    def error(self, route: str, code: str) -> None:
        """A client was told an error."""
        errors, told = self._errors, (route, code)
        if told not in errors and (len(errors) >= MAX_ERRORS or len(code) > MAX_MODEL_CHARS):
            told = (route, OTHER)
        errors[told] = errors.get(told, 0) + 1

    def _cell(self, asked: _Asked) -> _Cell:
        """Of labels that were not met yet, or of a model that has no label of its own: then it stays not found, for it
        may get one.
        """
        target, outcome, status = asked
        provider = target.provider if target else ""
        model = self._label(target, is_answered=outcome == Outcome.OK.value) if target else ""
        labels = (provider, model, outcome, f"{status}xx")
        cell = self._cells.get(labels)
        if cell is None:
            times = self._times.setdefault(provider, _Times()) if target else None
            cell = self._cells[labels] = _Cell(labels, times)
        if target is None or model == target.model:
            self._found[asked] = cell
        return cell

    def _label(self, target: Target, *, is_answered: bool) -> str:
        model, models = target.model, self._models
        if model in models:
            return model
        if len(models) >= MAX_MODELS or len(model) > MAX_MODEL_CHARS or not (is_answered or self._is_known(target)):
            return OTHER
        models.add(model)
        return model

    def numbers(self) -> Numbers:
        requests: Rows = {}
        tokens: Rows = {}
        cost: Rows = {}
        unpriced: Rows = {}
        for cell in self._cells.values():
            provider, model, _, _ = cell.labels
            requests[cell.labels] = [cell.requests]
            for kind, count in (
                ("input", cell.input),
                ("cached", cell.cached),
                ("output", cell.output),
                ("reasoning", cell.reasoning),
            ):
                if count:
                    _add(tokens, (provider, model, kind), count)
            if cell.micros:
                _add(cost, (provider, model), cell.micros)
            if cell.unpriced:
                _add(unpriced, (provider, model), cell.unpriced)
        return {
            "hoosh_requests_total": requests,
            "hoosh_tokens_total": tokens,
            "hoosh_cost_micro_usd_total": cost,
            "hoosh_unpriced_requests_total": unpriced,
            DURATION.name: {(name,): [*times.durations, times.duration_ns] for name, times in self._times.items()},
            FIRST.name: {(name,): [*times.firsts, times.first_ns] for name, times in self._times.items()},
            "hoosh_attempts_total": {(name, _result(kind)): [n] for (name, kind), n in self._attempts.items()},
            "hoosh_errors_total": {labels: [count] for labels, count in self._errors.items()},
        }


def _add(rows: Rows, labels: tuple[str, ...], count: int) -> None:
    row = rows.setdefault(labels, [0])
    row[0] += count


def _result(kind: type[HooshError] | type[Ticket] | None) -> str:
    """The class says more than its code, of which several share one; and a provider may choose a code."""
    if kind is Ticket:
        return "left"
    return "ok" if kind is None else _HUMPS.sub("_", kind.__name__).lower()
