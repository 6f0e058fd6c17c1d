"""Addresses that show wrong keys, and names that browsers are made to use."""

import pytest

from hoosh.core.errors import Forbidden
from hoosh.http.origin import check_origin
from hoosh.http.strangers import MAX_ADDRESSES, Strangers, TooManyFailures, network_of


class HandClock:
    now_s = 1000.0

    def monotonic_ns(self) -> int:
        return int(self.now_s * 1e9)

    def unix_s(self) -> int:
        return int(self.now_s)


def blocked(strangers: Strangers, peer: str) -> bool:
    try:
        strangers.check(peer)
    except TooManyFailures:
        return True
    return False


def test_so_many_are_told_no_and_the_next_is_not_listened_to() -> None:
    strangers = Strangers(20, HandClock())
    for _ in range(20):
        assert not blocked(strangers, "10.0.0.1")
        strangers.note("10.0.0.1")
    assert blocked(strangers, "10.0.0.1")
    with pytest.raises(TooManyFailures) as told:
        strangers.check("10.0.0.1")
    assert told.value.status == 429
    assert told.value.retry_after_s == pytest.approx(3.0)
    assert not blocked(strangers, "10.0.0.2")
    assert not blocked(strangers, "")


def test_time_lets_one_more_try_and_then_all() -> None:
    clock = HandClock()
    strangers = Strangers(20, clock)
    for _ in range(25):
        strangers.note("a")
    clock.now_s += 3.1
    assert not blocked(strangers, "a")
    strangers.note("a")
    assert blocked(strangers, "a")
    clock.now_s += 60
    for _ in range(20):
        assert not blocked(strangers, "a")
        strangers.note("a")


def test_a_socket_without_addresses_is_one() -> None:
    strangers = Strangers(1, HandClock())
    strangers.note("")
    assert blocked(strangers, "")


def test_zero_counts_nothing() -> None:
    strangers = Strangers(0, HandClock())
    for _ in range(100):
        strangers.note("a")
    assert not blocked(strangers, "a")


def test_a_subscriber_of_ipv6_is_one() -> None:
    strangers = Strangers(1, HandClock())
    strangers.note("2001:db8:1:2::1")
    assert blocked(strangers, "2001:db8:1:2:ffff::9")
    assert not blocked(strangers, "2001:db8:1:3::1")
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2")


def test_memory_stays_bounded_and_the_last_are_kept() -> None:
    strangers = Strangers(1, HandClock())
    for n in range(MAX_ADDRESSES + 10):
        strangers.note(f"a{n}")
    assert len(strangers._full_at_ns) == MAX_ADDRESSES
    assert blocked(strangers, f"a{MAX_ADDRESSES + 9}")
    assert not blocked(strangers, "a0")


HOSTS = frozenset({"gateway.example.com"})


@pytest.mark.parametrize(
    "host", [b"127.0.0.1:8089", b"localhost", b"[::1]:8089", b"gateway.example.com", b"GATEWAY.example.com."]
)
@pytest.mark.parametrize("origin", [None, b"http://localhost:3000", b"https://gateway.example.com"])
def test_names_of_ours(host: bytes, origin: bytes | None) -> None:
    check_origin({b"host": host} | ({b"origin": origin} if origin else {}), HOSTS)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (b"evil.example:8089", None),
        (b"127.0.0.1.evil.example", None),
        (b"", None),
        (b"[::1", None),
        (b"10.0.0.1", None),
        (b"localhost@evil.example", None),
        (b"localhost", b"https://evil.example"),
        (b"localhost", b"null"),
        (b"localhost", b""),
        (b"localhost", b"http://localhost.evil.example"),
    ],
)
def test_names_of_others(host: bytes, origin: bytes | None) -> None:
    with pytest.raises(Forbidden):
        check_origin({b"host": host} | ({} if origin is None else {b"origin": origin}), HOSTS)
