"""What a wrong key costs: the same as a right one that is not remembered, so that its time tells nothing."""

import asyncio
from collections.abc import Mapping

import pytest

from hoosh.core.errors import Unauthorized
from hoosh.core.principal import Principal
from hoosh.core.stored_key import KeyTerms
from hoosh.engine import key_ring
from hoosh.engine.key_office import KeyOffice
from hoosh.engine.key_ring import TRIES, KeyRing, RingRules
from hoosh.policy.secret_keys import digest, pepper_id, public_id, secret_key
from hoosh.stores import memory
from hoosh.stores.memory import StaticKeys
from hoosh.stores.records_memory import MemoryRecords


class Clock:
    def monotonic_ns(self) -> int:
        return 10**9

    def unix_s(self) -> int:
        return 1_800_000_000


class Peppers:
    async def known(self) -> Mapping[str, bytes]:
        return {pepper_id(b"p" * 32): b"p" * 32}

    async def newest(self) -> bytes:
        return b"p" * 32


def test_an_unknown_key_takes_as_many_digests_as_a_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counted(pepper: bytes, token: str) -> str:
        made.append(token)
        return digest(pepper, token)

    monkeypatch.setattr(key_ring, "digest", counted)

    async def main() -> None:
        records, clock = MemoryRecords(), Clock()
        office = KeyOffice(records, Peppers(), clock, {"default"})
        ring = KeyRing(None, records, Peppers(), clock, RingRules())
        secret = (await office.create(KeyTerms("a"))).secret
        await ring.look()
        identity = secret.split("_")[1]
        tokens = {
            "right": secret,
            "wrong secret of a known id": secret_key(identity, b"x" * 32),
            "unknown id": secret_key(public_id(b"y" * 9), b"z" * 32),
        }
        counts = {}
        for name, token in tokens.items():
            made.clear()
            if name == "right":
                ring.identify(token)
            else:
                with pytest.raises(Unauthorized, match=r"^Invalid or missing API key\.$"):
                    ring.identify(token)
            counts[name] = len(made)
        assert counts == dict.fromkeys(tokens, TRIES)

    asyncio.run(main())


def test_each_key_of_the_configuration_is_compared_whichever_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    compare = memory.hmac.compare_digest  # type: ignore[attr-defined]

    def counted(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return bool(compare(one, other))

    monkeypatch.setattr(memory.hmac, "compare_digest", counted)  # type: ignore[attr-defined]
    names = [f"token-number-{n}-of-five" for n in range(5)]
    keys = StaticKeys([(name, Principal(key_id=name)) for name in names])
    for token in (*names, "token-that-nobody-has", "", "token-number-0", "ö" * 40, "\udcff"):
        compared.clear()
        found = keys.recall(token)
        assert (found.key_id if found else None) == (token if token in names else None)
        assert len(compared) == (5 if token else 0)
