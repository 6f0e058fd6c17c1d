"""Addresses that show keys which are none: each may be wrong so often in a minute, and is then not listened to.

A key that was good before goes on working from such an address: behind one proxy there may be many clients, and one
of them must not shut out the others.
"""

import ipaddress
import logging

from hoosh.core.errors import ClientError
from hoosh.policy.limits import gcra
from hoosh.ports import Clock

log = logging.getLogger("hoosh.keys")
# Some 150 bytes each; where more come at once, the oldest are forgotten.
MAX_ADDRESSES = 10_000
# What one subscriber has of IPv6, at least (RFC 6177).
IPV6_PREFIX = 64


class TooManyFailures(ClientError):
    status = 429
    kind = "rate_limit_error"
    code = "too_many_failed_keys"


class Strangers:
    """`per_minute` 0 counts nothing."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._full_at_s: dict[str, float] = {}

    def check(self, peer: str) -> None:
        """Raises TooManyFailures where one more failure would be too much."""
        if not self._full_at_s or not self._per_minute:
            return
        full_at_s = self._full_at_s.get(network_of(peer))
        if full_at_s is None:
            return
        verdict = gcra(full_at_s, self._now_s(), self._per_minute, self._per_minute)
        if verdict.wait_s:
            raise TooManyFailures(
                "Too many requests with a wrong API key came from this address.", retry_after_s=verdict.wait_s
            )

    def note(self, peer: str) -> None:
        """One failure."""
        if not self._per_minute:
            return
        network, now_s = network_of(peer), self._now_s()
        verdict = gcra(self._full_at_s.pop(network, 0.0), now_s, self._per_minute, self._per_minute)
        while len(self._full_at_s) >= MAX_ADDRESSES:
            del self._full_at_s[next(iter(self._full_at_s))]
        self._full_at_s[network] = verdict.full_at_s
        if gcra(verdict.full_at_s, now_s, self._per_minute, self._per_minute).wait_s:
            log.warning("%s showed wrong keys %d times in a minute", network or "a local socket", self._per_minute)

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def network_of(peer: str) -> str:
    """The address, of IPv6 its first 64 bits; one of IPv4 that comes mapped is the same as without."""
    if ":" not in peer:
        return peer
    address = ipaddress.IPv6Address(peer.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, IPV6_PREFIX), strict=False))
