"""The keys of one hoosh on a server of Valkey or Redis, and the script that is every step on them.

All keys begin with the same `{namespace}`, so that they lie in one slot. The client, redis-py, comes with
`hoosh[redis]` and is loaded only where a store is on such a server.
"""

import asyncio
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

import msgspec

from hoosh.core.errors import ConfigError, StoreFailed

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.commands.core import AsyncScript

# As long as SQLite's: what a step may wait for those of other gateways before it gives up.
PATIENCE_S = 15.0
CONNECT_S = 5.0
CONNECTIONS = 4
VERSION = 1
# By the word that a refusal begins with; one of a script's commands comes within a sentence about the script.
_WORD = re.compile(r"(?:^|[ -])(OOM|MISCONF|READONLY|MASTERDOWN|BUSY) ")
_CODES = {
    "OOM": "storage_full",
    "MISCONF": "storage_full",  # it cannot write to its disk
    "READONLY": "storage_read_only",
    "MASTERDOWN": "storage_unreachable",
    "BUSY": "store_slow",
}
SCRIPT = Path(__file__).with_name("ledger.lua")


class Keyspace:
    """`url` is redis://, rediss:// (TLS), unix://, or valkey:// and valkeys://; it may name a user, a password and the
    number of a database.
    """

    def __init__(
        self,
        url: str,
        namespace: str = "hoosh",
        *,
        allow_volatile: bool = False,
        durable: bool = False,
        script: str | None = None,
    ) -> None:
        """`durable`: what was said to be kept must be on the server's disk. Raises ConfigError without the client."""
        self._client = _client()
        self._errors = (importlib.import_module("redis.exceptions").RedisError, OSError, TimeoutError)
        self._url = f"redis{url.removeprefix('valkey')}" if url.startswith("valkey") else url
        self.namespace = namespace
        self._home = f"{{{namespace}}}"
        self._allow_volatile = allow_volatile
        self._durable = durable
        self._text = SCRIPT.read_text("utf-8") if script is None else script
        self._opened: tuple[Redis, AsyncScript] | None = None
        self._opening = asyncio.Lock()

    async def run(self, step: str, *told: object, body: bytes = b"") -> bytes:
        """The answer of a step of the script, in MessagePack. Raises StoreFailed."""
        try:
            _, script = await self._open()
            answer = await script(keys=[self._home], args=[step, msgspec.msgpack.encode(told), body])
        except self._errors as error:
            raise _failed(error) from error
        return bytes(answer)

    async def hash_at(self, *name: str) -> dict[bytes, bytes]:
        """All fields of one hash. Raises StoreFailed."""
        try:
            redis, _ = await self._open()
            return cast("dict[bytes, bytes]", await redis.hgetall(":".join((self._home, *name))))
        except self._errors as error:
            raise _failed(error) from error

    async def value_at(self, *name: str) -> bytes | None:
        """What `set_value` has put there, while it lives. Raises StoreFailed."""
        try:
            redis, _ = await self._open()
            return cast("bytes | None", await redis.get(":".join((self._home, *name))))
        except self._errors as error:
            raise _failed(error) from error

    async def set_value(self, body: bytes, life_s: int, *name: str) -> None:
        """Raises StoreFailed."""
        try:
            redis, _ = await self._open()
            await redis.set(":".join((self._home, *name)), body, ex=life_s)
        except self._errors as error:
            raise _failed(error) from error

    async def drop_values(self, is_meant: Callable[[bytes], bool], *name: str) -> int:
        """Of those below a name; how many they were. Raises StoreFailed."""
        dropped = 0
        try:
            redis, _ = await self._open()
            async for key in redis.scan_iter(match=":".join((self._home, *name, "*")), count=1000):
                body = await redis.get(key)
                if isinstance(body, bytes) and is_meant(body):
                    dropped += int(await redis.delete(key))
        except self._errors as error:
            raise _failed(error) from error
        return dropped

    async def pending(self) -> int:
        """How many migrations are to be done: all where there is nothing yet. Changes nothing. Raises StoreFailed."""
        redis = self._connect()
        try:
            return VERSION - self._checked(await redis.hget(self._home, "version"))
        except self._errors as error:
            raise _failed(error) from error
        finally:
            await redis.aclose()

    async def drop(self) -> None:
        """All keys. Raises StoreFailed."""
        redis = self._connect()
        try:
            async for key in redis.scan_iter(match=f"{self._home}*", count=1000):
                await redis.delete(key)
        except self._errors as error:
            raise _failed(error) from error
        finally:
            await redis.aclose()

    async def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened[0].aclose()

    async def _open(self) -> "tuple[Redis, AsyncScript]":
        async with self._opening:
            if self._opened is not None:
                return self._opened
            redis = self._connect()
            try:
                await self._check(redis)
                script = redis.register_script(self._text)
                self._checked(await redis.hget(self._home, "version"))
            except BaseException:
                await redis.aclose()
                raise
            self._opened = redis, script
            return self._opened

    def _connect(self) -> "Redis":
        client, retry = self._client, importlib.import_module("redis.asyncio.retry")
        # Once more over a new connection, for the server may have closed the old one long ago; a step done twice does
        # no more than one done once.
        backoff = importlib.import_module("redis.backoff").NoBackoff()
        pool = client.BlockingConnectionPool.from_url(
            self._url,
            max_connections=CONNECTIONS,
            timeout=PATIENCE_S,
            socket_timeout=PATIENCE_S,
            socket_connect_timeout=CONNECT_S,
            retry=retry.Retry(backoff, 1),
        )
        redis: Redis = client.Redis.from_pool(pool)
        return redis

    async def _check(self, redis: "Redis") -> None:
        if self._allow_volatile:
            return
        told = {**await redis.info("persistence"), **await redis.info("memory")}
        if told.get("loading"):  # until that is done, it says of no file that it is kept
            raise StoreFailed("the Redis server is reading its data", code="storage_unreachable")
        if not told.get("aof_enabled"):
            raise _volatile("keeps no append-only file", "appendonly yes")
        policy = told.get("maxmemory_policy", "")
        if told.get("maxmemory") and policy.startswith("allkeys"):
            raise _volatile(f"throws keys away when it is full (maxmemory-policy {policy})", "noeviction")
        if self._durable and (fsync := await self._fsync(redis)) != "always":
            raise _volatile(f"writes to its disk later (appendfsync {fsync})", "appendfsync always")

    async def _fsync(self, redis: "Redis") -> str:
        try:
            return str((await redis.config_get("appendfsync")).get("appendfsync", "unknown"))
        except importlib.import_module("redis.exceptions").ResponseError:  # its owner may not tell
            return "unknown"

    def _checked(self, told: bytes | str | None) -> int:
        version = int(told or 0)
        if version > VERSION:
            raise StoreFailed(
                f"the keys {self._home} were made by a later hoosh (their version is {version}, this one knows "
                f"{VERSION}): run that one, or set store.namespace",
                code="storage_newer",
            )
        return version


def _client() -> ModuleType:
    try:
        return importlib.import_module("redis.asyncio")
    except ImportError:
        raise ConfigError('store.kind is "redis", which needs a client: pip install "hoosh[redis]"') from None


def _volatile(how: str, wanted: str) -> StoreFailed:
    told = f"the server {how}: what it has said to have, a crash may take away. Set {wanted}, or store.allow_volatile"
    return StoreFailed(told, code="store_volatile")


def _failed(error: Exception) -> StoreFailed:
    text = str(error) or type(error).__name__
    word = _WORD.search(text)
    code = _CODES[word[1]] if word else _by_kind(error)
    return StoreFailed(f"the store on the Redis server failed: {text}", code=code)


def _by_kind(error: Exception) -> str:
    kinds = importlib.import_module("redis.exceptions")
    if isinstance(error, TimeoutError | kinds.TimeoutError):
        return "store_slow"
    if isinstance(error, OSError | kinds.ConnectionError):
        return "storage_unreachable"
    return "storage_read_only" if isinstance(error, kinds.ReadOnlyError) else "store_failed"
