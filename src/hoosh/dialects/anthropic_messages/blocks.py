"""The blocks of an answer, one after the other, made of events that may come in any order."""

from collections import deque
from typing import TypeAlias

import msgspec

from hoosh.codecs.json import JSON
from hoosh.core.events import Citation, Finish, Meaning, Reasoning, Refusal, Text, ToolDelta
from hoosh.dialects.anthropic_messages.words import CALL_PROOF

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_Shown: TypeAlias = Text | Refusal | Reasoning | ToolDelta | Citation


def is_whole(data: bytes) -> bool:
    """A JSON object rather than events."""
    return data.lstrip()[:1] == b"{"


class Blocks:
    """
    Events in, the stream's events for blocks out. A call stays open until its arguments are a JSON object: what comes
    before that and is no part of it (a second call whose pieces are mixed with it, say) waits.
    """

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self._index = -1
        self._open = ""  # the type of the block that is open
        self._call = -1
        self._arguments: list[str] = []
        self._is_complete: bool | None = None  # None: not looked at since the last piece
        self._waiting: deque[_Shown] = deque()

    def take(self, event: Meaning) -> list[JSON]:
        if isinstance(event, Finish):
            return self.end()
        if not isinstance(event, Text | Refusal | Reasoning | ToolDelta | Citation):
            return []
        if self._is_next(event):
            return [*self._say(event), *(self._resume() if self._waiting else ())]
        self._waiting.append(event)
        return []

    def end(self) -> list[JSON]:
        said: list[JSON] = []
        while self._waiting:  # the open call will not become whole
            said += self._close()
            said += self._say(self._waiting.popleft())
            said += self._resume()
        return said + self._close()

    def _resume(self) -> list[JSON]:
        said: list[JSON] = []
        while (event := next(filter(self._is_next, self._waiting), None)) is not None:
            self._waiting.remove(event)
            said += self._say(event)
        return said

    def _is_next(self, event: _Shown) -> bool:
        if self._open != "tool_use" or (isinstance(event, ToolDelta) and event.call == self._call):
            return True
        if self._is_complete is None:
            # The last brace tells most pieces apart from the last one without a look at all of them.
            ended = bool(self._arguments) and self._arguments[-1].rstrip()[-1:] in ("}", "")
            self._is_complete = ended and _is_object("".join(self._arguments))
        return self._is_complete

    def _say(self, event: _Shown) -> list[JSON]:
        match event:
            case Text() | Refusal():
                return self._piece("text", {"type": "text_delta", "text": event.text}) if event.text else []
            case Citation():
                return self._piece("text", {"type": "citations_delta", "citation": _citation(event)})
            case Reasoning():
                return self._thought(event)
        return self._call_piece(event)

    def _thought(self, event: Reasoning) -> list[JSON]:
        said: list[JSON] = []
        if event.redacted:
            said += self._single({"type": "redacted_thinking", "data": event.redacted})
        if event.text:
            said += self._piece("thinking", {"type": "thinking_delta", "thinking": event.text})
        if event.signature:  # it proves what went before it, and ends it
            said += self._piece("thinking", {"type": "signature_delta", "signature": event.signature})
            said += self._close()
        return said

    def _call_piece(self, event: ToolDelta) -> list[JSON]:
        said: list[JSON] = []
        if self._open != "tool_use" or event.call != self._call:
            if event.call <= self._call:  # blanks after a call that is complete
                return []
            if event.signature:
                said += self._single({"type": "redacted_thinking", "data": CALL_PROOF + event.signature})
            self._call, self._arguments, self._is_complete = event.call, [], None
            call_id = event.id or f"toolu_{self._call_id}_{event.call}"
            said += self._begin({"type": "tool_use", "id": call_id, "name": event.name, "input": {}})
        if event.arguments:
            self._arguments.append(event.arguments)
            self._is_complete = None
            said.append(self._delta({"type": "input_json_delta", "partial_json": event.arguments}))
        return said

    def _piece(self, kind: str, delta: JSON) -> list[JSON]:
        said = [] if self._open == kind else self._begin(_empty(kind))
        return [*said, self._delta(delta)]

    def _single(self, block: JSON) -> list[JSON]:
        return [*self._begin(block), *self._close()]

    def _begin(self, block: JSON) -> list[JSON]:
        said = self._close()
        self._index += 1
        self._open = block["type"]
        return [*said, {"type": "content_block_start", "index": self._index, "content_block": block}]

    def _delta(self, delta: JSON) -> JSON:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _close(self) -> list[JSON]:
        if not self._open:
            return []
        self._open = ""
        return [{"type": "content_block_stop", "index": self._index}]


class Block:
    """One block of a whole reply, being collected."""

    def __init__(self, begun: JSON) -> None:
        self._begun = begun
        self._parts: list[str] = []
        self._citations: list[JSON] = []

    def add(self, delta: JSON) -> None:
        match delta["type"]:
            case "citations_delta":
                self._citations.append(delta["citation"])
            case "signature_delta":
                self._begun["signature"] = delta["signature"]
            case kind:
                self._parts.append(delta[{"input_json_delta": "partial_json"}.get(kind, kind.removesuffix("_delta"))])

    def content(self) -> JSON:
        said = "".join(self._parts)
        kind = self._begun["type"]
        if kind == "tool_use":
            return {**self._begun, "input": _arguments(said)}
        if kind == "redacted_thinking":
            return self._begun
        block = {**self._begun, kind: said}
        return {**block, "citations": self._citations} if self._citations else block


def _empty(kind: str) -> JSON:
    return {"type": "text", "text": ""} if kind == "text" else {"type": "thinking", "thinking": "", "signature": ""}


def _citation(event: Citation) -> JSON:
    """As those of Claude's own web search, without what proves them to Anthropic."""
    return {
        "type": "web_search_result_location",
        "url": event.url,
        "title": event.title or None,
        "cited_text": event.quote,
        "encrypted_index": "",
    }


def _is_object(text: str) -> bool:
    try:
        _object.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _arguments(text: str) -> object:
    """Arguments that broke off are wrapped as Anthropic's guide to fine-grained tool streaming says (read 2026-11)."""
    if not text.strip():
        return {}
    return msgspec.Raw(text.encode()) if _is_object(text) else {"INVALID_JSON": text}
