"""What the response cache keeps: the events of an answer, so that a hit is one more source of events."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from hoosh.core.events import Event, Raw, Usage

# What an entry takes beside its body: keys, names, places in tables.
ENTRY_BYTES = 512


class CacheRules(msgspec.Struct, frozen=True, kw_only=True):
    """`scope` is who shares answers. `sampled`: also those of a request with a temperature above 0; `tool_calls`: also
    those that call tools. `ttl_s` 0 keeps them until there is no room.
    """

    scope: Literal["key", "pool", "global"] = "key"
    sampled: bool = False
    tool_calls: bool = False
    ttl_s: float = 300.0
    max_bytes: int = 64 << 20
    max_entry_bytes: int = 1 << 20


class Answer(msgspec.Struct, frozen=True):
    """A complete one. `stream` is how it came."""

    stream: bool
    usage: Usage
    events: tuple[Event, ...]


class KeptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`body` is an Answer. `tenant` is who may have it, `asked` the model that was asked for; the others say who
    answered. Times are Unix seconds; `expires_s` 0 is never.
    """

    key: bytes
    tenant: str
    asked: str
    provider: str
    model: str
    stored_s: int
    expires_s: int
    body: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.body) + ENTRY_BYTES

    def is_over(self, now_s: int) -> bool:
        return 0 < self.expires_s <= now_s


class CacheStanding(msgspec.Struct, frozen=True):
    entries: int
    size_bytes: int


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Answer)


def packed(answer: Answer) -> bytes | None:
    """None where a text in it is none (half of a surrogate pair)."""
    try:
        return _encode(answer)
    except UnicodeEncodeError:
        return None


def unpacked(body: bytes) -> Answer | None:
    """None where it is not what this version writes."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def bare(events: Sequence[Event]) -> tuple[Event, ...]:
    """What they mean, without the bytes of the dialect that they came in."""
    found: list[Event] = []
    for event in events:
        if isinstance(event, Raw):
            found += event.events
        else:
            found.append(event)
    return tuple(found)
