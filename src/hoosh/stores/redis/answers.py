"""Answers of the response cache in Valkey or Redis, each a key that ends by itself.

`max_bytes` is the server's business there (its maxmemory): to count all would be a step of every gateway's for each.
Those without an end are kept for a year.
"""

import msgspec

from hoosh.core.cached import KeptAnswer
from hoosh.policy.cache_key import is_of
from hoosh.stores.redis.keyspace import Keyspace

_LONGEST_S = 366 * 86_400
_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(KeptAnswer)


class RedisAnswers:
    """ports.AnswerStore."""

    def __init__(self, keyspace: Keyspace) -> None:
        self._keyspace = keyspace

    async def get(self, key: bytes, now_s: int) -> KeptAnswer | None:
        kept = _read(await self._keyspace.value_at("answers", key.hex()))
        return None if kept is None or kept.is_over(now_s) else kept

    async def put(self, kept: KeptAnswer, max_bytes: int) -> None:  # noqa: ARG002 - the server's own bound
        life_s = max(1, kept.expires_s - kept.stored_s) if kept.expires_s else _LONGEST_S
        await self._keyspace.set_value(_encode(kept), life_s, "answers", kept.key.hex())

    async def purge(self, tenant: str | None, model: str) -> int:
        def is_meant(body: bytes) -> bool:
            kept = _read(body)
            return kept is None or (tenant in (None, kept.tenant) and is_of(kept, model))

        return await self._keyspace.drop_values(is_meant, "answers")

    async def close(self) -> None:
        await self._keyspace.close()


def _read(body: bytes | None) -> KeptAnswer | None:
    try:
        return _decoder.decode(body) if body else None
    except msgspec.DecodeError:
        return None
