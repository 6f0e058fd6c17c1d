"""What a caller's limits look like in headers."""

from hoosh.core.limit import Gauge, Limit
from hoosh.http.limit_headers import limit_headers

KEY, POOL = Limit("key", "k", rpm=60, tpm=100), Limit("pool", "p", rpm=60, tpm=90)


def test_the_tightest_of_each_resource_is_told() -> None:
    gauges = [
        Gauge(KEY, "requests", 60, 60, 59, 1_000_000_000),
        Gauge(KEY, "tokens", 100, 100, 7, 360_000_000_000),
        Gauge(POOL, "requests", 60, 60, 60, 0),
        Gauge(POOL, "tokens", 90, 90, 8, 120_000_000),
    ]
    assert limit_headers(gauges) == limit_headers(gauges[::-1])
    assert dict(limit_headers(gauges)) == {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"59",
        b"x-ratelimit-reset-requests": b"1s",
        b"x-ratelimit-limit-tokens": b"100",
        b"x-ratelimit-remaining-tokens": b"7",
        b"x-ratelimit-reset-tokens": b"6m0s",
    }


def test_what_is_not_limited_is_not_told() -> None:
    assert limit_headers([]) == ()
    (limit, remaining, reset) = limit_headers([Gauge(KEY, "tokens", 100, 100, 0, 1)])
    assert (limit[1], remaining[1], reset[1]) == (b"100", b"0", b"1ms")
