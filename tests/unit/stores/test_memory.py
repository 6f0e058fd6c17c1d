"""The keys of the configuration. Budgets have a contract of their own: tests/contract/test_budgets.py."""

import gc
from types import ModuleType

import pytest

from hoosh.core.errors import Unauthorized
from hoosh.core.principal import ANONYMOUS, Principal
from hoosh.stores.memory import StaticKeys

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
