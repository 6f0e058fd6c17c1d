"""What a model says, as output items in the making. Each step gives the stream's events that tell it, bare: the
encoder numbers them.
"""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Protocol

import msgspec

from hoosh.codecs.json import JSON
from hoosh.core.events import Citation, Logprobs, Meaning, Media, Reasoning, Refusal, Text, ToolDelta
from hoosh.dialects.openai_responses.thoughts import ID_MARK, Carried, carry
from hoosh.dialects.openai_responses.tools import Called, Names, unwrapped

Status = str  # "in_progress", "completed" or "incomplete"
_json = msgspec.json.Decoder()
# Where a part of a message keeps its words.
_FIELD = MappingProxyType({"output_text": "text", "refusal": "refusal"})


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """How thoughts are told. `summarised`: as a summary, which is what a client that asked for one looks at.
    `carried`: also in the field that clients send back.
    """

    summarised: bool = False
    carried: bool = False


class _Open(Protocol):
    index: int

    def close(self, status: Status) -> Iterator[JSON]: ...

    def item(self, status: Status) -> JSON: ...


class _Message:
    def __init__(self, index: int, identity: str) -> None:
        self.index = index
        self._place: JSON = {"item_id": identity, "output_index": index}
        self._parts: list[JSON] = []
        self._pieces: list[str] = []  # of the last part

    def begin(self) -> Iterator[JSON]:
        yield _added(self, self.item("in_progress"))

    def say(self, kind: str, text: str) -> Iterator[JSON]:
        """`kind` is "output_text" or "refusal"."""
        if not self._parts or self._parts[-1]["type"] != kind:
            yield from self._end_part()
            part: JSON = {"type": kind, _FIELD[kind]: ""}
            if kind == "output_text":
                part |= {"annotations": [], "logprobs": []}
            self._parts.append(part)
            yield {"type": "response.content_part.added", **self._at(), "part": dict(part)}
        self._pieces.append(text)
        delta: JSON = {"type": f"response.{kind}.delta", **self._at(), "delta": text}
        yield delta | ({"logprobs": []} if kind == "output_text" else {})

    def cite(self, citation: Citation) -> Iterator[JSON]:
        annotation: JSON = {
            "type": "url_citation",
            "url": citation.url,
            "title": citation.title,
            "start_index": citation.start,
            "end_index": citation.end,
        }
        annotations = self._parts[-1].get("annotations") if self._parts else None
        if annotations is None:
            yield from self.say("output_text", "")
            annotations = self._parts[-1]["annotations"]
        annotations.append(annotation)
        told = {"annotation_index": len(annotations) - 1, "annotation": annotation}
        yield {"type": "response.output_text.annotation.added", **self._at(), **told}

    def weigh(self, logprobs: Logprobs) -> None:
        if self._parts and "logprobs" in self._parts[-1]:
            said: list[JSON] = _json.decode(logprobs.content)
            self._parts[-1]["logprobs"] += [{**token, "bytes": token.get("bytes") or []} for token in said]

    def close(self, status: Status) -> Iterator[JSON]:
        yield from self._end_part()
        yield _done(self, self.item(status))

    def item(self, status: Status) -> JSON:
        parts = [dict(part) for part in self._parts]
        if self._pieces:
            parts[-1][_FIELD[parts[-1]["type"]]] = "".join(self._pieces)
        identity = self._place["item_id"]
        return {"id": identity, "type": "message", "status": status, "role": "assistant", "content": parts}

    def _at(self) -> JSON:
        return {**self._place, "content_index": len(self._parts) - 1}

    def _end_part(self) -> Iterator[JSON]:
        if not self._parts:
            return
        part = self._parts[-1]
        kind, field = part["type"], _FIELD[part["type"]]
        part[field], self._pieces = "".join(self._pieces), []
        done: JSON = {"type": f"response.{kind}.done", **self._at(), field: part[field]}
        yield done | ({"logprobs": part["logprobs"]} if kind == "output_text" else {})
        yield {"type": "response.content_part.done", **self._at(), "part": dict(part)}


class _Thought:
    def __init__(self, index: int, identity: str, style: Style) -> None:
        self.index = index
        self._style = style
        self._place: JSON = {"item_id": identity, "output_index": index}
        self._pieces: list[str] = []
        self.proof = Carried()

    def begin(self) -> Iterator[JSON]:
        yield _added(self, self.item("in_progress"))

    def say(self, text: str) -> Iterator[JSON]:
        if not self._pieces:
            yield {"type": f"response.{self._part_event}.added", **self._at(), "part": self._part("")}
        self._pieces.append(text)
        yield {"type": f"response.{self._text_event}.delta", **self._at(), "delta": text}

    def close(self, status: Status) -> Iterator[JSON]:
        if self._pieces:
            text = "".join(self._pieces)
            yield {"type": f"response.{self._text_event}.done", **self._at(), "text": text}
            yield {"type": f"response.{self._part_event}.done", **self._at(), "part": self._part(text)}
        yield _done(self, self.item(status))

    def item(self, status: Status) -> JSON:
        text = "".join(self._pieces)
        parts = [self._part(text)] if self._pieces else []
        fields: JSON = {"id": self._place["item_id"], "type": "reasoning", "status": status, "summary": []}
        if self._style.summarised:
            fields["summary"] = parts
        elif parts:
            fields["content"] = parts
        proof = self.proof
        if proof.signature or proof.redacted or (self._style.carried and status != "in_progress"):
            fields["encrypted_content"] = carry(Carried(text, proof.signature, proof.redacted, proof.call_id))
        return fields

    @property
    def _part_event(self) -> str:
        return "reasoning_summary_part" if self._style.summarised else "content_part"

    @property
    def _text_event(self) -> str:
        return "reasoning_summary_text" if self._style.summarised else "reasoning_text"

    def _part(self, text: str) -> JSON:
        return {"type": "summary_text" if self._style.summarised else "reasoning_text", "text": text}

    def _at(self) -> JSON:
        return {**self._place, "summary_index" if self._style.summarised else "content_index": 0}


class _Call:
    def __init__(self, index: int, identity: str, call_id: str, called: Called) -> None:
        self.index = index
        self._place: JSON = {"item_id": identity, "output_index": index}
        self._call_id = call_id
        self._called = called
        self._pieces: list[str] = []

    def begin(self) -> Iterator[JSON]:
        yield _added(self, self.item("in_progress"))

    def say(self, arguments: str) -> Iterator[JSON]:
        """A custom tool's input is told at the end: until then it is a part of some JSON."""
        self._pieces.append(arguments)
        if arguments and not self._called.custom:
            yield {"type": "response.function_call_arguments.delta", **self._place, "delta": arguments}

    def close(self, status: Status) -> Iterator[JSON]:
        item = self.item(status)
        if self._called.custom:
            yield {"type": "response.custom_tool_call_input.delta", **self._place, "delta": item["input"]}
            yield {"type": "response.custom_tool_call_input.done", **self._place, "input": item["input"]}
        else:
            done = {"name": item["name"], "arguments": item["arguments"]}
            yield {"type": "response.function_call_arguments.done", **self._place, **done}
        yield _done(self, item)

    def item(self, status: Status) -> JSON:
        said = "".join(self._pieces)
        fields: JSON = {"id": self._place["item_id"], "type": "function_call", "status": status}
        fields |= {"call_id": self._call_id, "name": self._called.name}
        if self._called.namespace:
            fields["namespace"] = self._called.namespace
        if self._called.custom:
            return fields | {"type": "custom_tool_call", "input": unwrapped(said) if said else ""}
        return fields | {"arguments": said}


class _Picture:
    def __init__(self, index: int, identity: str, data: str) -> None:
        self.index = index
        self._fields: JSON = {"id": identity, "type": "image_generation_call", "result": data}

    def begin(self) -> Iterator[JSON]:
        yield _added(self, self._fields | {"status": "in_progress", "result": None})

    def close(self, status: Status) -> Iterator[JSON]:
        yield _done(self, self.item(status))

    def item(self, status: Status) -> JSON:
        return self._fields | {"status": status}


def _added(item: _Open, said: JSON) -> JSON:
    return {"type": "response.output_item.added", "output_index": item.index, "item": said}


def _done(item: _Open, said: JSON) -> JSON:
    return {"type": "response.output_item.done", "output_index": item.index, "item": said}


class Answer:
    """Words and thoughts follow each other; calls stay open until the end, for a provider may add to any of them."""

    def __init__(self, identity: str, names: Names, style: Style) -> None:
        self._identity = identity
        self._names = names
        self._style = style
        self._closed: dict[int, JSON] = {}
        self._open: _Message | _Thought | None = None
        self._calls: dict[int, _Call] = {}

    def take(self, event: Meaning) -> Iterator[JSON]:
        match event:
            case Text(text=text) if text:
                yield from self._message()
                yield from self._said.say("output_text", text)
            case Refusal(text=text):
                yield from self._message()
                yield from self._said.say("refusal", text)
            case Reasoning() if event.text or event.signature or event.redacted:
                yield from self._thought(event)
            case ToolDelta():
                yield from self._call(event)
            case Citation():
                yield from self._message()
                yield from self._said.cite(event)
            case Logprobs() if isinstance(self._open, _Message):
                self._open.weigh(event)
            case Media() if event.data and not event.media_type.startswith("audio/"):
                yield from self._whole(_Picture(self._next, f"ig_{self._identity}_{self._next}", event.data))
            case Media(url=url) if url:
                yield from self._message()
                yield from self._said.say("output_text", f"![]({url})")

    def close(self, status: Status) -> Iterator[JSON]:
        """The end. An answer without a word is still an answer."""
        if not self._next:
            yield from self._message()
            yield from self._said.say("output_text", "")
        yield from self._end(status)
        for call in self._calls.values():
            self._closed[call.index] = call.item(status)
            yield from call.close(status)
        self._calls = {}

    def items(self, status: Status) -> list[JSON]:
        """In their order; those that are still open have `status`."""
        found = dict(self._closed)
        found.update((item.index, item.item(status)) for item in (self._open, *self._calls.values()) if item)
        return [item for _, item in sorted(found.items())]

    @property
    def _next(self) -> int:
        return len(self._closed) + (self._open is not None) + len(self._calls)

    @property
    def _said(self) -> _Message:
        if not isinstance(self._open, _Message):
            raise TypeError("no message is open")
        return self._open

    def _message(self) -> Iterator[JSON]:
        if isinstance(self._open, _Message):
            return
        yield from self._end()
        self._open = _Message(self._next, f"msg_{self._identity}_{self._next}")
        yield from self._open.begin()

    def _thought(self, event: Reasoning) -> Iterator[JSON]:
        """A proof ends the thought that it proves; what is redacted is a thought of its own."""
        if event.redacted or not isinstance(self._open, _Thought):
            yield from self._end()
            self._open = _Thought(self._next, f"{ID_MARK}{self._identity}_{self._next}", self._style)
            yield from self._open.begin()
        if event.text:
            yield from self._open.say(event.text)
        if event.signature or event.redacted:
            self._open.proof = Carried("", event.signature, event.redacted)
            yield from self._end()

    def _call(self, event: ToolDelta) -> Iterator[JSON]:
        call = self._calls.get(event.call)
        if call is None:
            yield from self._end()
            if event.signature:
                yield from self._proof(event)
            index = self._next
            called = self._names.of(event.name)
            prefix = "ctc" if called.custom else "fc"
            call = self._calls[event.call] = _Call(index, f"{prefix}_{self._identity}_{index}", event.id, called)
            yield from call.begin()
        yield from call.say(event.arguments)

    def _proof(self, event: ToolDelta) -> Iterator[JSON]:
        """A call has no field for its proof: an empty thought before it carries that."""
        thought = _Thought(self._next, f"{ID_MARK}{self._identity}_{self._next}", self._style)
        thought.proof = Carried("", event.signature, call_id=event.id)
        yield from self._whole(thought)

    def _whole(self, item: _Thought | _Picture) -> Iterator[JSON]:
        yield from self._end()
        yield from item.begin()
        self._closed[item.index] = item.item("completed")
        yield from item.close("completed")

    def _end(self, status: Status = "completed") -> Iterator[JSON]:
        if (open_item := self._open) is None:
            return
        events = list(open_item.close(status))
        self._closed[open_item.index] = open_item.item(status)
        self._open = None
        yield from events
