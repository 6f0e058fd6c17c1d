"""Plain text: a prompt in, the answer's text out. What a person at a terminal speaks."""

from collections.abc import Sequence

from hoosh.core.asked import ChatRequest, Message, TextPart
from hoosh.core.errors import BadRequest, HooshError
from hoosh.core.events import Event, Refusal, Text, Usage
from hoosh.dialects import ClientDialect, Encoder, Served


class TextEncoder:
    """Only the first choice's text; thoughts and tool calls have no place in it."""

    content_type = b"text/plain; charset=utf-8"

    def feed(self, events: Sequence[Event]) -> bytes:
        texts = (event for event in events if isinstance(event, Text | Refusal) and event.index == 0)
        return b"".join(event.text.encode() for event in texts)

    def finish(self, usage: Usage) -> bytes:  # noqa: ARG002 - the protocol's shape
        return b""


class PlainText:
    name = "plain_text"
    relays: frozenset[bytes] = frozenset()

    def at(self, tail: str) -> ClientDialect:  # noqa: ARG002 - the protocol's shape
        return self

    def parse(self, body: bytes) -> ChatRequest:
        prompt = body.decode("utf-8", "replace")
        if not prompt.strip():
            raise BadRequest("the prompt is empty", param="prompt")
        return ChatRequest(model="default", messages=(Message("user", (TextPart(prompt),)),))

    def encoder(self, request: ChatRequest, served: Served) -> Encoder:  # noqa: ARG002 - the protocol's shape
        return TextEncoder()

    def fault(self, error: HooshError, request_id: str) -> bytes:  # noqa: ARG002 - the protocol's shape
        return error.message.encode()

    def fault_frame(self, error: HooshError, request_id: str) -> bytes:
        return b"\n" + self.fault(error, request_id)


DIALECT = PlainText()
