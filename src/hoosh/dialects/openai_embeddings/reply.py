"""Replies of providers, read tolerantly: order, form and length of the vectors are put right here."""

from collections.abc import Sequence
from typing import Any

import msgspec

from hoosh.codecs import Frame
from hoosh.core.asked import EmbedRequest
from hoosh.core.errors import BadUpstream, Truncated
from hoosh.core.events import Meaning, Metered, Opened, Vector
from hoosh.dialects import JSON, Ways
from hoosh.dialects.openai.replies import UNREADABLE, foreign, mended, usage
from hoosh.dialects.openai.vectors import is_base64, packed, read, shortened


class _Item(msgspec.Struct):
    embedding: msgspec.Raw
    index: int | None = None


class _Reply(msgspec.Struct):
    data: list[_Item] | None = None
    model: str | None = None
    usage: Any = None
    error: Any = None


_reply = msgspec.json.Decoder(_Reply)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_encode = msgspec.json.Encoder().encode


class EmbeddingsReader:
    """`passes`: the reply goes to a client of the same dialect. Its values are then not decoded where it is as asked:
    the vectors that it means are empty, for nobody reads them.
    """

    __slots__ = ("_asked", "_done", "_mends", "_passes")

    def __init__(self, asked: EmbedRequest, ways: Ways, *, passes: bool) -> None:
        self._asked = asked
        self._mends = ways.mends
        self._passes = passes
        self._done = False

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        data = frame.data
        try:
            reply = _reply.decode(data)
        except UNREADABLE as error:
            raise foreign(data, "a list of embeddings") from error
        if reply.data is None or reply.error:
            raise foreign(data, "a list of embeddings")
        items = self._ordered(reply.data)
        events: list[Meaning] = [Opened(model=reply.model or "")]
        if self._passes:
            data = self._put_right(data, reply.data, items)
            events += [Vector((), index) for index, _ in enumerate(items)]
        else:
            dimensions = self._asked.dimensions
            events += [Vector(shortened(read(item), dimensions), index) for index, item in enumerate(items)]
        if used := usage(reply.usage):
            events.append(Metered(used))
        self._done = True
        return data, events

    def end(self) -> Sequence[Meaning]:
        if not self._done:
            raise Truncated("the provider's reply ended early")
        return ()

    def _ordered(self, items: list[_Item]) -> list[bytes]:
        """One vector for each input, in their order. Raises BadUpstream."""
        wanted = len(self._asked.inputs)
        if len(items) != wanted:
            raise BadUpstream(f"the provider gave {len(items)} vectors for {wanted} inputs")
        if _are_numbered(items):
            items = sorted(items, key=lambda item: item.index or 0)
        return [bytes(item.embedding) for item in items]

    def _put_right(self, data: bytes, given: list[_Item], ordered: list[bytes]) -> bytes:
        """The reply's own bytes, unless something in it is not as the client asked."""
        asked = self._asked
        is_in_form = all(is_base64(item) == asked.base64 for item in ordered)
        is_right = is_in_form and [item.index for item in given] == list(range(len(given)))
        if is_right and asked.dimensions is None:
            return mended(data, self._mends)
        vectors = [read(item) for item in ordered]
        kept = [shortened(vector, asked.dimensions) for vector in vectors]
        if is_right and kept == vectors:
            return mended(data, self._mends)
        fields: JSON = dict(_fields.decode(data))
        others = _items.decode(fields["data"])
        fields["data"] = [
            {**other, "index": index, "embedding": packed(vector) if asked.base64 else vector}
            for index, (other, vector) in enumerate(zip(others, kept, strict=True))
        ]
        return mended(_encode(fields), self._mends)


def _are_numbered(items: list[_Item]) -> bool:
    """Some servers number every vector 0, or none."""
    return sorted(item.index if item.index is not None else -1 for item in items) == list(range(len(items)))
