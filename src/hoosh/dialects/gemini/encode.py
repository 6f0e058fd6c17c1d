"""
Events to generateContent replies: whole, as server-sent events, and as one JSON array that grows. A reply of Google's
own goes out as it came.

Source: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse (read 2026-11) and recorded replies.
"""

from collections.abc import Sequence
from types import MappingProxyType

import msgspec

from hoosh.codecs.sse import SSEDecoder
from hoosh.core.events import (
    Citation,
    Event,
    Finish,
    FinishReason,
    Logprobs,
    Media,
    Opened,
    Raw,
    Reasoning,
    Refusal,
    Spoken,
    Text,
    ToolDelta,
    Usage,
)
from hoosh.core.whole_calls import WholeCall, WholeCalls
from hoosh.dialects import JSON, Served, one_line
from hoosh.dialects.gemini.signatures import wrapped

# Calls are no reason of their own here.
_REASONS: MappingProxyType[FinishReason, str] = MappingProxyType(
    {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
)
_MALFORMED = "MALFORMED_FUNCTION_CALL"
_encode = msgspec.json.Encoder().encode
_json = msgspec.json.Decoder()
_items = msgspec.json.Decoder(list[msgspec.Raw])


class _Candidate:
    """One answer: what it said is given out in parts, what concerns all of it is kept to the end."""

    __slots__ = ("_calls", "_has_declined", "_has_thought", "_malformed", "_reason", "_said", "_sources")

    def __init__(self) -> None:
        self._calls = WholeCalls()
        self._has_declined = False
        self._has_thought = False  # of which the proof is still to come
        self._malformed = ""
        self._reason = "STOP"
        self._said: list[str] = []
        self._sources: list[Citation] = []

    def parts(self, event: Spoken) -> list[JSON]:
        """What the event adds. A call goes out when it is whole."""
        if isinstance(event, ToolDelta):
            self._calls.add(event)
            return []
        if isinstance(event, Finish):
            self._reason = "SAFETY" if self._has_declined and event.reason == "stop" else _REASONS[event.reason]
            return self._whole_calls()
        before = self._whole_calls() if self._calls.are_complete() else []
        return before + self._shown(event)

    def end(self) -> tuple[list[JSON], JSON]:
        """(the last parts, the fields of the candidate that only its end tells)"""
        parts = self._whole_calls()
        fields: JSON = {"finishReason": self._reason}
        if self._malformed and self._reason == "STOP":
            fields = {"finishReason": _MALFORMED, "finishMessage": f"Malformed function call: {self._malformed}"}
        if self._sources:
            fields["groundingMetadata"] = self._grounding()
        return parts, fields

    def _shown(self, event: Spoken) -> list[JSON]:
        match event:
            case Text(text=text) | Refusal(text=text):
                self._has_declined = self._has_declined or isinstance(event, Refusal)
                self._said.append(text)
                self._has_thought = False
                return [{"text": text}] if text else []
            case Reasoning():
                return self._thought(event)
            case Media(media_type=media_type, data=data, url=url):
                if url and not data:
                    return [{"fileData": {"mimeType": media_type, "fileUri": url} if media_type else {"fileUri": url}}]
                return [{"inlineData": {"mimeType": media_type, "data": data}}]
            case Citation():
                self._sources.append(event)
        return []

    def _thought(self, event: Reasoning) -> list[JSON]:
        proof = wrapped(event.signature, event.redacted)
        if not (event.text or proof):
            return []
        part: JSON = {"text": event.text}
        if event.text or event.redacted or self._has_thought:
            part["thought"] = True
        if proof:
            part["thoughtSignature"] = proof
        self._has_thought = not proof
        return [part]

    def _whole_calls(self) -> list[JSON]:
        parts: list[JSON] = []
        for call in self._calls.take():
            if call.is_object:
                parts.append(_call(call))
            else:
                self._malformed = self._malformed or f"{call.name}({call.arguments[:200]})"
        return parts

    def _grounding(self) -> JSON:
        sources = list(dict.fromkeys((source.url, source.title) for source in self._sources))
        chunks = [{"web": {"uri": url, "title": title} if title else {"uri": url}} for url, title in sources]
        text = "".join(self._said)
        supports = [
            {
                "segment": _segment(text, source),
                "groundingChunkIndices": [sources.index((source.url, source.title))],
            }
            for source in self._sources
            if source.end > source.start
        ]
        return {"groundingChunks": chunks, "groundingSupports": supports} if supports else {"groundingChunks": chunks}


def _segment(text: str, source: Citation) -> JSON:
    """Gemini counts bytes."""
    return {
        "startIndex": len(text[: source.start].encode()),
        "endIndex": len(text[: source.end].encode()),
        "text": text[source.start : source.end],
    }


def _call(call: WholeCall) -> JSON:
    function: JSON = {"id": call.id} if call.id else {}
    part: JSON = {"functionCall": function | {"name": call.name, "args": msgspec.Raw(call.arguments.encode())}}
    if proof := wrapped(call.signature, ""):
        part["thoughtSignature"] = proof
    return part


def _logprobs(event: Logprobs) -> JSON:
    said: list[JSON] = _json.decode(event.content)
    return {
        "chosenCandidates": [_token(token) for token in said],
        "topCandidates": [{"candidates": [_token(top) for top in token.get("top_logprobs") or ()]} for token in said],
    }


def _token(said: JSON) -> JSON:
    return {"token": said.get("token", ""), "logProbability": said.get("logprob", 0.0)}


def usage_metadata(usage: Usage) -> JSON:
    """Thoughts are counted beside the candidates."""
    said: JSON = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "totalTokenCount": usage.total,
    }
    if usage.reasoning:
        said["thoughtsTokenCount"] = usage.reasoning
    if usage.cached:
        said["cachedContentTokenCount"] = usage.cached
    return said


class _Reply:
    """What each reply, or each piece of one, says beside its candidates."""

    __slots__ = ("_id", "_model")

    def __init__(self, served: Served) -> None:
        self._id = served.id
        self._model = served.model

    def open(self, event: Opened) -> None:
        self._model = event.model or self._model

    def said(self, candidates: list[JSON], usage: Usage | None = None) -> bytes:
        fields: JSON = {"candidates": candidates}
        if usage is not None:
            fields["usageMetadata"] = usage_metadata(usage)
        return one_line(_encode({**fields, "modelVersion": self._model, "responseId": self._id}))


class _Events:
    """How server-sent events are framed: as Google does it, with CRLF."""

    content_type = b"text/event-stream"

    def said(self, reply: bytes) -> bytes:
        return b"data: %b\r\n\r\n" % reply

    def passed(self, raw: bytes) -> bytes:
        """A frame of Google's; a whole body, which comes where an event was asked for, becomes one."""
        return raw if raw.lstrip()[:1] not in (b"{", b"[") else b"".join(map(self.said, _payloads(raw)))

    def end(self) -> bytes:
        return b""


class _Array:
    """One JSON array, an item at a time: what is streamed without `alt=sse`."""

    content_type = b"application/json"

    def __init__(self) -> None:
        self._has_begun = False
        self._is_whole = False

    def said(self, reply: bytes) -> bytes:
        begun, self._has_begun = self._has_begun, True
        return b",\r\n%b" % reply if begun else b"[%b" % reply

    def passed(self, raw: bytes) -> bytes:
        if not self._has_begun and raw.lstrip()[:1] == b"[":
            self._is_whole = True
            return raw
        return b"".join(map(self.said, _payloads(raw)))

    def end(self) -> bytes:
        if self._is_whole:
            return b""
        return b"\r\n]\r\n" if self._has_begun else b"[]\r\n"


def _payloads(raw: bytes) -> list[bytes]:
    """The JSON texts in a frame of either form."""
    text = raw.strip()
    if text[:1] == b"[":
        return [bytes(item) for item in _items.decode(text)]
    return [text] if text[:1] == b"{" else [frame.data for frame in SSEDecoder().feed(raw)]


class StreamEncoder:
    def __init__(self, served: Served, *, as_events: bool) -> None:
        self._frames = _Events() if as_events else _Array()
        self.content_type = self._frames.content_type
        self._reply = _Reply(served)
        self._candidates: dict[int, _Candidate] = {}
        self._is_raw = False

    def feed(self, events: Sequence[Event]) -> bytes:
        return b"".join([self._event(event) for event in events])

    def finish(self, usage: Usage) -> bytes:
        if self._is_raw:
            return self._frames.end()
        ends: list[JSON] = []
        for index, candidate in sorted(self._candidates.items()):
            parts, fields = candidate.end()
            ends.append({"content": {"parts": parts or [{"text": ""}], "role": "model"}, **fields, "index": index})
        return self._frames.said(self._reply.said(ends, usage)) + self._frames.end()

    def _event(self, event: Event) -> bytes:
        if isinstance(event, Raw):
            self._is_raw = True
            return self._frames.passed(event.data)
        if isinstance(event, Opened):
            self._reply.open(event)
        if self._is_raw or not isinstance(event, Spoken):
            return b""
        candidate = self._candidates.setdefault(event.index, _Candidate())
        said: JSON = {}
        if parts := candidate.parts(event):
            said["content"] = {"parts": parts, "role": "model"}
        if isinstance(event, Logprobs):
            said["logprobsResult"] = _logprobs(event)
        return self._frames.said(self._reply.said([{**said, "index": event.index}])) if said else b""


class _Answer:
    """One candidate of a whole reply, being collected."""

    __slots__ = ("candidate", "chosen", "parts", "top")

    def __init__(self) -> None:
        self.candidate = _Candidate()
        self.parts: list[JSON] = []
        self.chosen: list[JSON] = []
        self.top: list[JSON] = []

    def take(self, event: Spoken) -> None:
        if isinstance(event, Logprobs):
            said = _logprobs(event)
            self.chosen += said["chosenCandidates"]
            self.top += said["topCandidates"]
        for part in self.candidate.parts(event):
            self._add(part)

    def whole(self, index: int) -> JSON:
        parts, fields = self.candidate.end()
        for part in parts:
            self._add(part)
        if self.chosen:
            fields["logprobsResult"] = {"chosenCandidates": self.chosen, "topCandidates": self.top}
        content: JSON = {"parts": self.parts, "role": "model"} if self.parts else {"role": "model"}
        return {"content": content, **fields, "index": index}

    def _add(self, part: JSON) -> None:
        """Pieces of one text, or of one thought and its proof, become one part."""
        last = self.parts[-1] if self.parts else {}
        is_more = "text" in part and "text" in last and part.get("thought") == last.get("thought")
        if is_more and "thoughtSignature" not in last and (part.get("thought") or "thoughtSignature" not in part):
            self.parts[-1] = {**last, **part, "text": last["text"] + part["text"]}
        else:
            self.parts.append(part)


class WholeEncoder:
    content_type = b"application/json"

    def __init__(self, served: Served) -> None:
        self._reply = _Reply(served)
        self._raw = b""
        self._answers: dict[int, _Answer] = {}

    def feed(self, events: Sequence[Event]) -> bytes:
        for event in events:
            if isinstance(event, Raw):
                self._raw += event.data
            elif isinstance(event, Opened):
                self._reply.open(event)
            elif isinstance(event, Spoken):
                self._answers.setdefault(event.index, _Answer()).take(event)
        return b""

    def finish(self, usage: Usage) -> bytes:
        if self._raw:
            return self._raw
        return self._reply.said([answer.whole(index) for index, answer in sorted(self._answers.items())], usage)
