"""Records in Valkey or Redis: every process on the keyspace sees them at once."""

from collections.abc import Mapping

import msgspec

from hoosh.stores.redis.keyspace import Keyspace

_number = msgspec.msgpack.Decoder(int)
_answer = msgspec.msgpack.Decoder(bool)


class RedisRecords:
    """ports.Records."""

    def __init__(self, keyspace: Keyspace) -> None:
        self._keyspace = keyspace

    async def put(self, kind: str, identity: str, body: bytes) -> None:
        await self._keyspace.run("put", kind, identity, body=body)

    async def get_all(self, kind: str) -> Mapping[str, bytes]:
        found = await self._keyspace.hash_at("records", kind)
        return {identity.decode(): found[identity] for identity in sorted(found)}

    async def drop(self, kind: str, identity: str) -> bool:
        return _answer.decode(await self._keyspace.run("drop", kind, identity))

    async def version(self) -> int:
        return _number.decode(await self._keyspace.run("version"))

    async def close(self) -> None:
        await self._keyspace.close()
