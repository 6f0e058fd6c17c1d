"""Addresses that show keys which are none: each may be wrong so often in a minute, and is then not listened to.

A key that was good before goes on working from such an address: behind one proxy there may be many clients, and one
of them must not shut out the others.
"""

import ipaddress
import logging

from hoosh.core.errors import ClientError
from hoosh.policy.limits import cost_ns, rate, wait_ns
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
        self._rate = rate(per_minute) if per_minute else None
        self._clock = clock
        self._full_at_ns: dict[str, int] = {}

    def check(self, peer: str) -> None:
        """Raises TooManyFailures where one more failure would be too much."""
        if not self._full_at_ns or self._rate is None:
            return
        owed_ns = self._full_at_ns.get(network_of(peer), 0) - self._clock.monotonic_ns()
        if left_ns := wait_ns(self._rate, max(0, owed_ns), 1):
            raise TooManyFailures(
                "Too many requests with a wrong API key came from this address.", retry_after_s=left_ns / 1e9
            )

    def note(self, peer: str) -> None:
        """One failure. Those of requests that were on their way already are no more than the whole minute's."""
        if self._rate is None:
            return
        network, now_ns = network_of(peer), self._clock.monotonic_ns()
        owed_ns = max(0, self._full_at_ns.pop(network, 0) - now_ns)
        if not wait_ns(self._rate, owed_ns, 1):
            owed_ns += cost_ns(self._rate, 1)
        while len(self._full_at_ns) >= MAX_ADDRESSES:
            del self._full_at_ns[next(iter(self._full_at_ns))]
        self._full_at_ns[network] = now_ns + owed_ns
        if wait_ns(self._rate, owed_ns, 1):
            log.warning("%s showed wrong keys %d times in a minute", network or "a local socket", self._rate.burst)


def network_of(peer: str) -> str:
    """The address, of IPv6 its first 64 bits; one of IPv4 that comes mapped is the same as without."""
    if ":" not in peer:
        return peer
    address = ipaddress.IPv6Address(peer.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, IPV6_PREFIX), strict=False))
