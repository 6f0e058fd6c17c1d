"""The client's faces of /api/chat and /api/generate."""

import re

import msgspec

from hoosh.core.asked import ChatRequest
from hoosh.core.errors import HooshError
from hoosh.dialects import ClientDialect, Encoder, Served, one_line
from hoosh.dialects.ollama import encode, parse, words
from hoosh.dialects.ollama.chat import NAME

# A number of seconds, or a text with its unit.
_ZERO = re.compile(rb'"?0+(?:\.0*)?(?:ms|[smh])?"?')
_encode = msgspec.json.Encoder().encode


def fault(error: HooshError) -> bytes:
    """{"error": "text"} is all there is (https://docs.ollama.com/api/errors, read 2026-11)."""
    return one_line(_encode({"error": error.message}))


class OllamaChatClient:
    name = NAME
    relays: frozenset[bytes] = frozenset()
    shape = staticmethod(encode.chat)

    def at(self, tail: str) -> ClientDialect:  # noqa: ARG002 (its path says nothing)
        return self

    def parse(self, body: bytes) -> ChatRequest:
        return parse.chat(body)

    def encoder(self, asked: ChatRequest, served: Served) -> Encoder:
        encoder = encode.LinesEncoder if asked.stream else encode.WholeEncoder
        return encoder(asked, served, self.shape)

    def loaded(self, asked: ChatRequest, unix_s: int) -> bytes:
        """The answer to a request that asks nothing but to have the model ready, or to have done with it."""
        reason = "unload" if _ZERO.fullmatch(dict(asked.extra).get("keep_alive", b"")) else "load"
        said = {"model": asked.model, "created_at": encode.when(unix_s), **self.shape({})}
        return one_line(_encode({**said, "done": True, "done_reason": reason}))

    def fault(self, error: HooshError, request_id: str) -> bytes:  # noqa: ARG002 (it has no place here)
        return fault(error)

    def fault_frame(self, error: HooshError, request_id: str) -> bytes:  # noqa: ARG002 (it has no place here)
        return fault(error) + b"\n"


class OllamaGenerateClient(OllamaChatClient):
    name = words.GENERATE
    shape = staticmethod(encode.generate)

    def parse(self, body: bytes) -> ChatRequest:
        return parse.generate(body)


CHAT = OllamaChatClient()
GENERATE = OllamaGenerateClient()
