"""
Events to OpenAI replies, streamed and whole. Raw frames of the same dialect go out as they came; only a
`usage` object gains two fields of the gateway's own (`provider`, `cost_micro_usd`).
"""

from collections.abc import Sequence

import msgspec

from hoosh.core.chat import ChatRequest
from hoosh.core.events import Event, Finish, Metered, Opened, Raw, Reasoning, Refusal, Text, ToolDelta
from hoosh.core.usage import Usage
from hoosh.dialects import JSON, Served
from hoosh.dialects.openai_chat.render import detail

DONE = b"data: [DONE]\n\n"
_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def usage_object(usage: Usage, served: Served) -> JSON:
    """OpenAI's usage with the gateway's additions; `estimated` only where the provider reported nothing."""
    fields: JSON = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        "provider": served.provider,
    }
    if served.cost_micros is not None:
        fields["cost_micro_usd"] = served.cost_micros
    if usage.source == "estimated":
        fields["estimated"] = True
    return fields


def annotate(payload: bytes, served: Served) -> bytes:
    """The same JSON object with the gateway's fields in its `usage`; all other values keep their bytes."""
    try:
        fields = _fields.decode(payload)
        usage = _fields.decode(fields["usage"])
    except (msgspec.DecodeError, KeyError):
        return payload
    usage["provider"] = msgspec.Raw(_encode(served.provider))
    if served.cost_micros is not None:
        usage["cost_micro_usd"] = msgspec.Raw(_encode(served.cost_micros))
    fields["usage"] = msgspec.Raw(_encode(usage))
    return _encode(fields)


def _is_metered(events: Sequence[object]) -> bool:
    return any(type(event) is Metered for event in events)


class StreamEncoder:
    content_type = b"text/event-stream; charset=utf-8"

    def __init__(self, asked: ChatRequest, served: Served) -> None:
        self._asked = asked
        self._served = served
        self._model = served.model
        self._begun: set[int] = set()
        self._told_usage = False

    def feed(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if type(event) is Raw:
                out.append(self._raw(event) if _is_metered(event.events) else event.data)
            else:
                out.append(self._event(event))
        return out[0] if len(out) == 1 else b"".join(out)

    def finish(self, usage: Usage) -> bytes:
        if not self._asked.include_usage or self._told_usage:
            return DONE
        chunk = self._chunk([])
        chunk["usage"] = usage_object(usage, self._served)
        return _frame(chunk) + DONE

    def _raw(self, event: Raw) -> bytes:
        self._told_usage = True
        data = event.data
        if data[:6] != b"data: " or data.count(b"\n") != 2:  # comments or CRLF: leave the frame as it is
            return data
        return b"data: %b\n\n" % annotate(data[6:-2], self._served)

    def _event(self, event: Event) -> bytes:
        if isinstance(event, Opened):
            self._model = event.model or self._model
            return b""
        if isinstance(event, Metered | Raw):
            return b""
        if isinstance(event, Finish):
            return _frame(self._chunk([{"index": event.index, "delta": {}, "finish_reason": event.reason}]))
        delta = _delta(event)
        if event.index not in self._begun:
            self._begun.add(event.index)
            delta = {"role": "assistant", **delta}
        return _frame(self._chunk([{"index": event.index, "delta": delta, "finish_reason": None}]))

    def _chunk(self, choices: list[JSON]) -> JSON:
        return {
            "id": self._served.id,
            "object": "chat.completion.chunk",
            "created": self._served.created_s,
            "model": self._model,
            "choices": choices,
        }


def _frame(chunk: JSON) -> bytes:
    return b"data: %b\n\n" % _encode(chunk)


def _delta(event: Text | Refusal | Reasoning | ToolDelta) -> JSON:
    if isinstance(event, Text):
        return {"content": event.text}
    if isinstance(event, Refusal):
        return {"refusal": event.text}
    if isinstance(event, Reasoning):
        delta: JSON = {"reasoning_content": event.text} if event.text else {}
        if event.signature or event.redacted:
            delta["reasoning_details"] = [detail(event.text, event.signature, event.redacted)]
        return delta
    call: JSON = {"index": event.call, "function": {"arguments": event.arguments}}
    if event.id:
        call |= {"id": event.id, "type": "function"}
    if event.name:
        call["function"] = {"name": event.name, "arguments": event.arguments}
    if event.signature:
        call["extra_content"] = {"google": {"thought_signature": event.signature}}
    return {"tool_calls": [call]}


class _Answer:
    """One choice of a whole reply, being collected."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.refusal: list[str] = []
        self.reasoning: list[str] = []
        self.details: list[JSON] = []
        self.calls: dict[int, JSON] = {}
        self.finish: str | None = None

    def take(self, event: Text | Refusal | Reasoning | ToolDelta | Finish) -> None:
        if isinstance(event, Text):
            self.text.append(event.text)
        elif isinstance(event, Refusal):
            self.refusal.append(event.text)
        elif isinstance(event, Finish):
            self.finish = event.reason
        elif isinstance(event, Reasoning):
            self.reasoning.append(event.text)
            if event.signature or event.redacted:
                self.details.append(detail(event.text, event.signature, event.redacted))
        else:
            self._call(event)

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
        return fields


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
                self._raw += event.data
            elif isinstance(event, Opened):
                self._model = event.model or self._model
            elif not isinstance(event, Metered):
                self._answers.setdefault(event.index, _Answer()).take(event)
        return b""

    def finish(self, usage: Usage) -> bytes:
        if self._raw:
            return annotate(self._raw, self._served)
        return _encode(
            {
                "id": self._served.id,
                "object": "chat.completion",
                "created": self._served.created_s,
                "model": self._model,
                "choices": [
                    {"index": index, "message": answer.message(), "logprobs": None, "finish_reason": answer.finish}
                    for index, answer in sorted(self._answers.items())
                ],
                "usage": usage_object(usage, self._served),
            }
        )
