"""Keys and rate limits of this process. Budgets have a contract of their own: tests/contract/test_budgets.py."""

import asyncio
import gc
from types import ModuleType

import pytest

from hoosh.core.errors import Throttled, Unauthorized
from hoosh.core.principal import ANONYMOUS, Principal
from hoosh.stores.memory import MemoryLimits, StaticKeys

TOKEN = "a-token-of-good-length"
LAPTOP = Principal("laptop", "small")
DESKTOP = Principal("desktop")


def keys() -> StaticKeys:
    return StaticKeys([(TOKEN, LAPTOP), ("another-token-of-length", DESKTOP)])


def test_each_token_names_its_owner() -> None:
    assert keys().identify(TOKEN) == LAPTOP
    assert keys().identify("another-token-of-length") == DESKTOP


@pytest.mark.parametrize("token", [None, "", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é", "\udcff"])
def test_any_other_token_is_refused_without_being_repeated(token: str | None) -> None:
    with pytest.raises(Unauthorized) as told:
        keys().identify(token)
    assert told.value.message.startswith("Invalid or missing API key")
    if token:
        assert token not in told.value.message


def test_without_keys_everyone_is_anonymous() -> None:
    assert StaticKeys([]).identify(None) is ANONYMOUS
    assert StaticKeys([]).identify("anything") is ANONYMOUS


def reachable(root: object) -> list[object]:
    seen: dict[int, object] = {}
    todo = [root]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, type | ModuleType):
            continue
        seen[id(thing)] = thing
        todo += gc.get_referents(thing)
    return list(seen.values())


def test_no_token_is_kept() -> None:
    def holds(root: object, text: str) -> bool:
        return any(
            (isinstance(thing, str) and text in thing) or (isinstance(thing, bytes) and text.encode() in thing)
            for thing in reachable(root)
        )

    plain = f"made-at-run-time-{id(keys)}"
    made = StaticKeys([(plain, LAPTOP)])
    assert holds(made, "laptop")  # the search finds what is there
    assert not holds(made, plain)


class SetClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_ns(self) -> int:
        return round(self.now_s * 1e9)

    def unix_s(self) -> int:
        return 0


def test_a_limit_lets_its_number_pass_and_says_when_to_come_back() -> None:
    async def main() -> None:
        clock = SetClock()
        limits = MemoryLimits(clock)
        await limits.take("one", 3)  # a tenth at once, and one at least
        with pytest.raises(Throttled, match="provider 'one'") as told:
            await limits.take("one", 3)
        assert told.value.retry_after_s == pytest.approx(20.0)
        assert told.value.status == 429
        await limits.take("two", 3)  # another name, another limit
        clock.now_s += 19.9
        with pytest.raises(Throttled):
            await limits.take("one", 3)
        clock.now_s += 0.2
        await limits.take("one", 3)
        with pytest.raises(Throttled):
            await limits.take("one", 3)

    asyncio.run(main())
