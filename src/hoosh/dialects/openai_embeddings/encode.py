"""Vectors to OpenAI's list of embeddings. A reply of the same dialect goes out as it came; only its `usage` object
gains fields of the gateway's own.
"""

from collections.abc import Sequence

import msgspec

from hoosh.core.asked import EmbedRequest
from hoosh.core.events import Event, Opened, Raw, Vector
from hoosh.core.usage import Usage
from hoosh.dialects import JSON, Served
from hoosh.dialects.openai.bodies import additions, annotated
from hoosh.dialects.openai.vectors import packed

_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


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
                    "usage": self._usage(usage),
                }
            )
        reply: JSON = dict(_fields.decode(self._raw))
        is_told = usage.source == "reported" and "usage" in reply
        told = annotated(bytes(reply["usage"]), self._served) if is_told else self._usage(usage)
        return _encode({**reply, "usage": told})

    def _item(self, vector: Vector) -> JSON:
        values = packed(vector.values) if self._asked.base64 else vector.values
        return {"object": "embedding", "index": vector.index, "embedding": values}

    def _usage(self, usage: Usage) -> JSON:
        fields: JSON = {"prompt_tokens": usage.input, "total_tokens": usage.input}
        if usage.source == "estimated":
            fields["estimated"] = True
        return fields | additions(self._served)
