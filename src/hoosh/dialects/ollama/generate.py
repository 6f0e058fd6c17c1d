"""
Ollama's /api/generate, the provider's face, for clients that ask there: `suffix`, `template`, `raw` and `context` are
known to no other API.

Source: https://docs.ollama.com/api/generate (read 2026-11).
"""

from collections.abc import Sequence

import msgspec

from hoosh.codecs import Frame
from hoosh.core.asked import ChatRequest
from hoosh.core.events import Meaning
from hoosh.core.wire import WireRequest
from hoosh.dialects import Reader, Ways
from hoosh.dialects.ollama.chat import Ollama, OllamaReader
from hoosh.dialects.ollama.words import GENERATE

PATH = "/api/generate"
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class OllamaGenerate(Ollama):
    """Another client's request is said to /api/chat, as by the main dialect; either reply is understood."""

    name = GENERATE

    def pass_on(self, asked: ChatRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
        return msgspec.structs.replace(super().pass_on(asked, body, model, ways), path=PATH)

    def reader(self, asked: ChatRequest, ways: Ways) -> Reader:
        return _GenerateReader(super().reader(asked, ways))


class _GenerateReader:
    """Its words stand beside the message's place and not in it."""

    def __init__(self, inner: Reader | OllamaReader) -> None:
        self._inner = inner

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        try:
            fields = _fields.decode(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._inner.read(frame)  # which says what is wrong with it
        message = {"content": fields.pop("response", None), "thinking": fields.pop("thinking", None)}
        data = _encode({"message": message, **fields})
        return frame.raw, self._inner.read(Frame(data, data + b"\n"))[1]

    def end(self) -> Sequence[Meaning]:
        return self._inner.end()


DIALECT = OllamaGenerate()
