"""What /metrics tells, as a table, and how it is written down (Prometheus' text format 0.0.4).

https://prometheus.io/docs/instrumenting/exposition_formats/ (read 2026-11-25).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
NS = 1_000_000_000


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One metric. Counts of several workers are added up, or the least of them is taken (`merge`).

    A histogram's row is how many were at most each of `bounds_ns`, how many were more, and the sum of all in ns.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()
    merge: Literal["sum", "min"] = "sum"
    bounds_ns: tuple[int, ...] = ()


Row: TypeAlias = list[int | float]
Rows: TypeAlias = dict[tuple[str, ...], Row]
Numbers: TypeAlias = dict[str, Rows]  # by the family's name


def _ns(*seconds: float) -> tuple[int, ...]:
    return tuple(int(each * NS) for each in seconds)


DURATION = Family(
    name="hoosh_request_duration_seconds",
    kind="histogram",
    text="From the request's arrival to the end of its answer, of calls that were sent to a provider.",
    labels=("provider",),
    bounds_ns=_ns(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640),
)
FIRST = Family(
    name="hoosh_time_to_first_token_seconds",
    kind="histogram",
    text="From the request's arrival to the first content, of streamed calls.",
    labels=("provider",),
    bounds_ns=_ns(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 10, 20, 40, 80),
)
COUNTERS = (
    Family(
        name="hoosh_requests_total",
        kind="counter",
        text="Calls that are over. What was rejected unsent or came from the cache has no provider and no model.",
        labels=("provider", "model", "outcome", "status"),
    ),
    Family(
        name="hoosh_tokens_total",
        kind="counter",
        text="Tokens of calls; input includes cached, output includes reasoning.",
        labels=("provider", "model", "type"),
    ),
    Family(
        name="hoosh_cost_micro_usd_total",
        kind="counter",
        text="What calls cost, in millionths of a US dollar.",
        labels=("provider", "model"),
    ),
    Family(
        name="hoosh_unpriced_requests_total",
        kind="counter",
        text="Calls whose cost is not known, and so is not in hoosh_cost_micro_usd_total.",
        labels=("provider", "model"),
    ),
    DURATION,
    FIRST,
    Family(
        name="hoosh_attempts_total",
        kind="counter",
        text="Attempts at a provider that came to an end, by how: ok, left by its client, or the kind of failure.",
        labels=("provider", "result"),
    ),
    Family(name="hoosh_cache_hits_total", kind="counter", text="Calls that the cache answered."),
    Family(
        name="hoosh_cache_joined_total",
        kind="counter",
        text="Calls that waited for another one with the same request, and got its answer or its failure.",
    ),
    Family(
        name="hoosh_cache_misses_total",
        kind="counter",
        text="Calls that the cache might have answered, and a provider was asked.",
    ),
    Family(
        name="hoosh_cache_evictions_total",
        kind="counter",
        text="Answers that went from memory to make room for others.",
    ),
    Family(
        name="hoosh_errors_total",
        kind="counter",
        text="Errors that clients were told, by the route's name and the error's code.",
        labels=("route", "code"),
    ),
    Family(
        name="hoosh_shed_total",
        kind="counter",
        text="Calls that were turned away because there were too many, by why.",
        labels=("reason",),
    ),
)
GAUGES = (
    Family(name="hoosh_in_flight", kind="gauge", text="Calls that are being answered."),
    Family(name="hoosh_cache_entries", kind="gauge", text="Answers that are kept in memory."),
    Family(name="hoosh_cache_bytes", kind="gauge", text="What they take."),
    Family(
        name="hoosh_concurrency_limit",
        kind="gauge",
        text="Calls at once that the provider's models are given now, of those that were called.",
        labels=("provider",),
    ),
    Family(name="hoosh_queue_depth", kind="gauge", text="Calls that wait for the provider.", labels=("provider",)),
    Family(name="hoosh_budget_holds", kind="gauge", text="Attempts that hold a part of a budget now."),
    Family(name="hoosh_budget_held_tokens", kind="gauge", text="Tokens that attempts hold now."),
    Family(
        name="hoosh_provider_up",
        kind="gauge",
        text="0 while a worker takes the provider to be down.",
        labels=("provider",),
        merge="min",
    ),
    Family(
        name="hoosh_provider_state",
        kind="gauge",
        text="How many workers take the provider to be in this state.",
        labels=("provider", "state"),
    ),
    Family(
        name="hoosh_provider_circuits_open",
        kind="gauge",
        text="How many circuit breakers keep calls from the provider, a model or a key of it.",
        labels=("provider",),
    ),
    Family(
        name="hoosh_store_up",
        kind="gauge",
        text="0 while a worker cannot reach the store of budgets.",
        merge="min",
    ),
    Family(name="hoosh_workers", kind="gauge", text="Processes whose numbers are in this page."),
    Family(
        name="hoosh_event_loop_lag_seconds",
        kind="gauge",
        text="How late a timer came at most, in the last 15 to 30 seconds.",
        labels=("worker",),
    ),
    Family(
        name="hoosh_process_resident_memory_bytes",
        kind="gauge",
        text="Memory of the process.",
        labels=("worker",),
    ),
    Family(name="hoosh_process_open_fds", kind="gauge", text="Open file descriptors.", labels=("worker",)),
    Family(
        name="hoosh_build_info",
        kind="gauge",
        text="Always 1.",
        labels=("version", "python"),
        merge="min",
    ),
)
# Read from the ledger, which is one for all workers.
POOLS = (
    Family(
        name="hoosh_pool_used_tokens",
        kind="gauge",
        text="What the budget has used of this period, in tokens.",
        labels=("pool",),
    ),
    Family(name="hoosh_pool_held_tokens", kind="gauge", text="What calls hold of it.", labels=("pool",)),
    Family(name="hoosh_pool_ceiling_tokens", kind="gauge", text="Its limit, where it has one.", labels=("pool",)),
    Family(
        name="hoosh_pool_used_micro_usd",
        kind="gauge",
        text="What it has used, in millionths of a US dollar.",
        labels=("pool",),
    ),
    Family(
        name="hoosh_pool_ceiling_micro_usd",
        kind="gauge",
        text="Its limit of money, where it has one.",
        labels=("pool",),
    ),
    Family(
        name="hoosh_pool_used_percent",
        kind="gauge",
        text="Of its limit; of the fuller one where it has two.",
        labels=("pool",),
    ),
)
FAMILIES: tuple[Family, ...] = (*COUNTERS, *GAUGES, *POOLS)


def merged(parts: Iterable[Numbers]) -> Numbers:
    """Of several processes, or of several lives of one."""
    whole: Numbers = {}
    least = {family.name for family in FAMILIES if family.merge == "min"}
    for part in parts:
        for name, rows in part.items():
            sums = whole.setdefault(name, {})
            for labels, row in rows.items():
                known = sums.get(labels)
                if known is None or len(known) != len(row):
                    sums[labels] = list(row)
                elif name in least:
                    sums[labels] = [min(a, b) for a, b in zip(known, row, strict=True)]
                else:
                    sums[labels] = [a + b for a, b in zip(known, row, strict=True)]
    return whole


def exposition(numbers: Mapping[str, Rows], families: Sequence[Family] = FAMILIES) -> bytes:
    lines: list[str] = []
    for family in families:
        lines += (f"# HELP {family.name} {_help(family.text)}", f"# TYPE {family.name} {family.kind}")
        for labels, row in sorted(numbers.get(family.name, {}).items()):
            lines += _samples(family, labels, row)
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _samples(family: Family, labels: tuple[str, ...], row: Row) -> Iterator[str]:
    pairs = [f'{name}="{_value(value)}"' for name, value in zip(family.labels, labels, strict=True)]
    if family.kind != "histogram":
        yield f"{family.name}{_braced(pairs)} {row[0]!r}"
        return
    *counts, sum_ns = row
    total: int | float = 0
    for bound_ns, count in zip((*family.bounds_ns, None), counts, strict=True):
        total += count
        bound = "+Inf" if bound_ns is None else f"{bound_ns / NS:g}"
        limit = f'le="{bound}"'
        yield f"{family.name}_bucket{_braced([*pairs, limit])} {total}"
    yield f"{family.name}_sum{_braced(pairs)} {sum_ns / NS!r}"
    yield f"{family.name}_count{_braced(pairs)} {total}"


def _braced(pairs: Sequence[str]) -> str:
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _value(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
