"""
Events to OpenAI replies, streamed and whole. Raw frames of the same dialect go out as they came; only a
`usage` object gains fields of the gateway's own (`provider`, `cost_micro_usd`).
"""

from collections.abc import Sequence

import msgspec

from hoosh.core.asked import ChatRequest
from hoosh.core.events import (
    Citation,
    Event,
    Finish,
    Logprobs,
    Meaning,
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
from hoosh.dialects import JSON, Served
from hoosh.dialects.openai.usage import LastUsage, frame, usage_object, with_usage
from hoosh.dialects.openai_chat.render import detail

_encode = msgspec.json.Encoder().encode
_json = msgspec.json.Decoder()


class StreamEncoder:
    content_type = b"text/event-stream; charset=utf-8"

    def __init__(self, asked: ChatRequest, served: Served) -> None:
        self._served = served
        self._model = served.model
        self._begun: set[int] = set()
        self._usage = LastUsage(served, is_wanted=asked.include_usage)

    def feed(self, events: Sequence[Event]) -> bytes:
        out = [self._usage.passed(event) if type(event) is Raw else self._event(event) for event in events]
        return out[0] if len(out) == 1 else b"".join(out)

    def finish(self, usage: Usage) -> bytes:
        return self._usage.rest(self._chunk([]), usage)

    def _event(self, event: Event) -> bytes:
        if isinstance(event, Opened):
            self._model = event.model or self._model
            return b""
        if not isinstance(event, Spoken):
            return b""
        delta = _delta(event)
        if event.index not in self._begun:
            self._begun.add(event.index)
            delta = {"role": "assistant", **(delta or {"content": ""})}
        reason = event.reason if isinstance(event, Finish) else None
        choice: JSON = {"index": event.index, "delta": delta, "finish_reason": reason}
        if isinstance(event, Logprobs):
            choice["logprobs"] = {"content": msgspec.Raw(event.content), "refusal": None}
        return frame(self._chunk([choice]))

    def _chunk(self, choices: list[JSON]) -> JSON:
        return {
            "id": f"chatcmpl-{self._served.id}",
            "object": "chat.completion.chunk",
            "created": self._served.created_s,
            "model": self._model,
            "choices": choices,
        }


def _delta(event: Spoken) -> JSON:
    match event:
        case Text(text=text):
            return {"content": text}
        case Refusal(text=text):
            return {"refusal": text}
        case Reasoning():
            delta: JSON = {"reasoning_content": event.text} if event.text else {}
            if event.signature or event.redacted:
                delta["reasoning_details"] = [detail(event.text, event.signature, event.redacted)]
            return delta
        case ToolDelta():
            return {"tool_calls": [_call_delta(event)]}
        case Citation():
            return {"annotations": [_annotation(event)]}
        case Media():
            return _media(event)
    return {}


def _annotation(event: Citation) -> JSON:
    cited = {"url": event.url, "title": event.title, "start_index": event.start, "end_index": event.end}
    return {"type": "url_citation", "url_citation": cited}


def _media(event: Media) -> JSON:
    """Pictures in OpenRouter's form, for OpenAI's chat has none; sound in OpenAI's."""
    if event.media_type.startswith("audio/"):
        return {"audio": {"data": event.data}}
    url = event.url or f"data:{event.media_type};base64,{event.data}"
    return {"images": [{"type": "image_url", "image_url": {"url": url}}]}


def _call_delta(event: ToolDelta) -> JSON:
    call: JSON = {"index": event.call, "function": {"arguments": event.arguments}}
    if event.id:
        call |= {"id": event.id, "type": "function"}
    if event.name:
        call["function"] = {"name": event.name, "arguments": event.arguments}
    if event.signature:
        call["extra_content"] = {"google": {"thought_signature": event.signature}}
    return call


class _Answer:
    """One choice of a whole reply, being collected."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.refusal: list[str] = []
        self.reasoning: list[str] = []
        self.details: list[JSON] = []
        self.calls: dict[int, JSON] = {}
        self.logprobs: list[object] = []
        self.more: JSON = {}  # annotations, images, audio
        self.finish = "stop"

    def take(self, event: Spoken) -> None:
        match event:
            case Text(text=text):
                self.text.append(text)
            case Refusal(text=text):
                self.refusal.append(text)
            case Finish(reason=reason):
                self.finish = reason
            case Reasoning():
                self.reasoning.append(event.text)
                if event.signature or event.redacted:
                    self.details.append(detail(event.text, event.signature, event.redacted))
            case ToolDelta():
                self._call(event)
            case Logprobs(content=content):
                self.logprobs += _json.decode(content)
            case Citation():
                self.more.setdefault("annotations", []).append(_annotation(event))
            case Media():
                self._media(_media(event))

    def _media(self, said: JSON) -> None:
        """Pictures add up; of sound there is one piece, which a whole message names by an id."""
        self.more["images"] = self.more.get("images", []) + said.pop("images", [])
        if "audio" in said:
            self.more["audio"] = {"id": "", "expires_at": 0, "transcript": "", **said["audio"]}

    def _call(self, event: ToolDelta) -> None:
        call = self.calls.setdefault(
            event.call, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        call["id"] = call["id"] or event.id
        call["function"]["name"] = call["function"]["name"] or event.name
        call["function"]["arguments"] += event.arguments
        if event.signature:
            call["extra_content"] = {"google": {"thought_signature": event.signature}}

    def message(self) -> JSON:
        text = "".join(self.text)
        fields: JSON = {"role": "assistant", "content": text or (None if self.calls or self.refusal else "")}
        if self.refusal:
            fields["refusal"] = "".join(self.refusal)
        if any(self.reasoning):
            fields["reasoning_content"] = "".join(self.reasoning)
        if self.details:
            fields["reasoning_details"] = self.details
        if self.calls:
            fields["tool_calls"] = [call for _, call in sorted(self.calls.items())]
        return fields | {name: value for name, value in self.more.items() if value}

    def choice(self, index: int) -> JSON:
        logprobs = {"content": self.logprobs, "refusal": None} if self.logprobs else None
        return {"index": index, "message": self.message(), "logprobs": logprobs, "finish_reason": self.finish}


class WholeEncoder:
    content_type = b"application/json"

    def __init__(self, served: Served) -> None:
        self._served = served
        self._model = served.model
        self._raw = b""
        self._answers: dict[int, _Answer] = {}

    def feed(self, events: Sequence[Event]) -> bytes:
        for event in events:
            if isinstance(event, Raw):
                self._raw = event.data  # a whole reply is one frame
            else:
                self._take(event)
        return b""

    def finish(self, usage: Usage) -> bytes:
        if self._raw:
            return with_usage(self._raw, usage, usage_object(usage, self._served), self._served)
        return _encode(
            {
                "id": f"chatcmpl-{self._served.id}",
                "object": "chat.completion",
                "created": self._served.created_s,
                "model": self._model,
                "choices": [answer.choice(index) for index, answer in sorted(self._answers.items())],
                "usage": usage_object(usage, self._served),
            }
        )

    def _take(self, event: Meaning) -> None:
        if isinstance(event, Opened):
            self._model = event.model or self._model
        elif isinstance(event, Spoken):
            self._answers.setdefault(event.index, _Answer()).take(event)
