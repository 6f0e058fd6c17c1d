"""Events to completions, streamed and whole. Thoughts and calls have no place in them; a refusal is text."""

from collections.abc import Sequence

import msgspec

from hoosh.core.events import Event, Finish, Logprobs, Opened, Raw, Refusal, Text, Usage
from hoosh.dialects import JSON, Served
from hoosh.dialects.openai.usage import LastUsage, frame, usage_object, with_usage
from hoosh.dialects.openai_completions.logprobs import Offsets

_encode = msgspec.json.Encoder().encode
# What this API has a word for; a call is no end of its own here.
_REASONS = frozenset({"stop", "length", "content_filter"})


def _reason(event: Finish) -> str:
    return event.reason if event.reason in _REASONS else "stop"


class StreamEncoder:
    content_type = b"text/event-stream; charset=utf-8"

    def __init__(self, served: Served, *, includes_usage: bool) -> None:
        self._served = served
        self._model = served.model
        self._offsets = Offsets()
        self._usage = LastUsage(served, is_wanted=includes_usage)

    def feed(self, events: Sequence[Event]) -> bytes:
        return b"".join(self._usage.passed(event) if type(event) is Raw else self._event(event) for event in events)

    def finish(self, usage: Usage) -> bytes:
        return self._usage.rest(self._chunk([]), usage)

    def _event(self, event: Event) -> bytes:
        match event:
            case Opened(model=model):
                self._model = model or self._model
                return b""
            case Text(text=text, index=index) | Refusal(text=text, index=index):
                return self._choice(index, text=text)
            case Logprobs(index=index):
                return self._choice(index, logprobs=self._offsets.in_lists(event.content, index))
            case Finish(index=index):
                return self._choice(index, finish_reason=_reason(event))
        return b""

    def _choice(self, index: int, **said: object) -> bytes:
        return frame(self._chunk([{"text": "", "index": index, "logprobs": None, "finish_reason": None, **said}]))

    def _chunk(self, choices: list[JSON]) -> JSON:
        return {
            "id": f"cmpl-{self._served.id}",
            "object": "text_completion",
            "created": self._served.created_s,
            "model": self._model,
            "choices": choices,
        }


class _Answer:
    """One choice of a whole reply, being collected."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.finish = "stop"
        self.logprobs: dict[str, list[object]] = {}

    def choice(self, index: int) -> JSON:
        text, logprobs = "".join(self.text), self.logprobs or None
        return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": self.finish}


class WholeEncoder:
    content_type = b"application/json"

    def __init__(self, served: Served) -> None:
        self._served = served
        self._model = served.model
        self._raw = b""
        self._offsets = Offsets()
        self._answers: dict[int, _Answer] = {}

    def feed(self, events: Sequence[Event]) -> bytes:
        for event in events:
            self._take(event)
        return b""

    def finish(self, usage: Usage) -> bytes:
        told = usage_object(usage, self._served)
        if self._raw:
            return with_usage(self._raw, usage, told, self._served)
        return _encode(
            {
                "id": f"cmpl-{self._served.id}",
                "object": "text_completion",
                "created": self._served.created_s,
                "model": self._model,
                "choices": [answer.choice(index) for index, answer in sorted(self._answers.items())],
                "usage": told,
            }
        )

    def _take(self, event: Event) -> None:
        match event:
            case Raw(data=data):
                self._raw = data  # a whole reply is one frame
            case Opened(model=model):
                self._model = model or self._model
            case Text(text=text, index=index) | Refusal(text=text, index=index):
                self._answer(index).text.append(text)
            case Logprobs(index=index):
                for name, values in self._offsets.in_lists(event.content, index).items():
                    self._answer(index).logprobs.setdefault(name, []).extend(values)
            case Finish(index=index):
                self._answer(index).finish = _reason(event)

    def _answer(self, index: int) -> _Answer:
        return self._answers.setdefault(index, _Answer())
