"""How a caller's limits stand, in the headers that OpenAI's clients read.

Source: https://platform.openai.com/docs/guides/rate-limits (headers; read 2026-11).
"""

from collections.abc import Sequence

from hoosh.core.limit import Gauge, Resource
from hoosh.core.wire import Headers
from hoosh.policy.limits import span

_RESOURCES: tuple[tuple[Resource, bytes], ...] = (("requests", b"requests"), ("tokens", b"tokens"))


def limit_headers(gauges: Sequence[Gauge]) -> Headers:
    """Of several limits on one resource the tightest is told."""
    told: list[tuple[bytes, bytes]] = []
    for resource, word in _RESOURCES:
        ours = [gauge for gauge in gauges if gauge.resource == resource]
        if not ours:
            continue
        tightest = min(ours, key=lambda gauge: (gauge.free, gauge.units))
        told += (
            (b"x-ratelimit-limit-" + word, b"%d" % tightest.units),
            (b"x-ratelimit-remaining-" + word, b"%d" % tightest.free),
            (b"x-ratelimit-reset-" + word, span(tightest.full_ns).encode()),
        )
    return tuple(told)
