"""Vectors to OpenAI's list of embeddings. A reply of the same dialect goes out as it came; only its `usage` object
gains fields of the gateway's own.
"""

from collections.abc import Sequence

import msgspec

from hoosh.core.asked import EmbedRequest
from hoosh.core.events import Event, Opened, Raw, Usage, Vector
from hoosh.dialects import JSON, Served
from hoosh.dialects.openai.usage import input_usage_object, with_usage
from hoosh.dialects.openai.vectors import packed

_encode = msgspec.json.Encoder().encode


class EmbeddingsEncoder:
    content_type = b"application/json"

    def __init__(self, asked: EmbedRequest, served: Served) -> None:
        self._asked = asked
        self._served = served
        self._model = served.model
        self._raw = b""
        self._vectors: list[Vector] = []

    def feed(self, events: Sequence[Event]) -> bytes:
        for event in events:
            if isinstance(event, Raw):
                self._raw = event.data  # a whole reply is one frame
            elif isinstance(event, Opened):
                self._model = event.model or self._model
            elif isinstance(event, Vector):
                self._vectors.append(event)
        return b""

    def finish(self, usage: Usage) -> bytes:
        if not self._raw:
            return _encode(
                {
                    "object": "list",
                    "data": [self._item(vector) for vector in sorted(self._vectors, key=lambda vector: vector.index)],
                    "model": self._model,
                    "usage": input_usage_object(usage, self._served),
                }
            )
        return with_usage(self._raw, usage, input_usage_object(usage, self._served), self._served)

    def _item(self, vector: Vector) -> JSON:
        values = packed(vector.values) if self._asked.base64 else vector.values
        return {"object": "embedding", "index": vector.index, "embedding": values}
