"""Input items to the canon's messages. What one turn of the assistant's is in the canon is several items here."""

from collections.abc import Sequence
from typing import Any, cast, get_args

import msgspec

from hoosh.core.asked import (
    FilePart,
    ForeignPart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    Role,
    TextPart,
    ToolCall,
    ToolResult,
)
from hoosh.core.errors import BadRequest
from hoosh.dialects.openai_responses.thoughts import carried_in, part_of
from hoosh.dialects.openai_responses.tools import NAME, Names, decode, wrapped

# Agents send hundreds of items in one conversation; the bound only stops abuse.
MAX_ITEMS = 20_000
_ROLES = tuple(role for role in get_args(Role) if role != "tool")


class _Head(msgspec.Struct):
    type: str | None = None
    role: str | None = None


class _Said(msgspec.Struct):
    content: str | list[msgspec.Raw]


class _Content(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: "_Audio | None" = None


class _Audio(msgspec.Struct):
    data: str
    format: str = "wav"


class _Call(msgspec.Struct):
    call_id: str
    name: str
    arguments: str = ""
    input: str = ""
    namespace: str | None = None


class _Output(msgspec.Struct):
    call_id: str
    output: str | list[msgspec.Raw]


class _Words(msgspec.Struct):
    text: str = ""


class _Thought(msgspec.Struct):
    id: str | None = None
    summary: list[_Words] | None = None
    content: list[_Words] | None = None
    encrypted_content: str | None = None


_head = msgspec.json.Decoder(_Head)
_said = msgspec.json.Decoder(_Said)
_content = msgspec.json.Decoder(_Content)
_call = msgspec.json.Decoder(_Call)
_output = msgspec.json.Decoder(_Output)
_thought = msgspec.json.Decoder(_Thought)


def messages(instructions: str | None, given: str | Sequence[msgspec.Raw] | None, names: Names) -> tuple[Message, ...]:
    """Raises BadRequest, Misplaced."""
    reading = _Reading(names)
    if instructions:
        reading.told("system", (TextPart(instructions),))
    if isinstance(given, str):
        reading.told("user", (TextPart(given),) if given else ())
        return reading.end()
    if len(given or ()) > MAX_ITEMS:
        raise BadRequest(f"input: too many items: {len(given or ())} (max {MAX_ITEMS})", param="input")
    for i, raw in enumerate(given or ()):
        reading.take(raw, f"input[{i}]")
    return reading.end()


class _Reading:
    def __init__(self, names: Names) -> None:
        self._names = names
        self._messages: list[Message] = []
        self._turn: list[Part] = []  # of the assistant, not yet ended
        self._called: dict[str, str] = {}  # call id to the tool's name
        self._proofs: dict[str, str] = {}  # call id to what the vendor gave as proof of the call

    def take(self, raw: msgspec.Raw, where: str) -> None:
        head = decode(_head, raw, where)
        match head.type or "message":
            case "message":
                self._message(head, raw, where)
            case "reasoning":
                self._reasoning(decode(_thought, raw, where), raw)
            case "function_call" | "custom_tool_call" as kind:
                self._call(decode(_call, raw, where), custom=kind == "custom_tool_call")
            case "function_call_output" | "custom_tool_call_output":
                output = decode(_output, raw, where)
                parts = _parts(output.output, f"{where}.output")
                self.told("tool", (ToolResult(output.call_id, parts, self._called.get(output.call_id, "")),))
            case kind:
                self._turn.append(ForeignPart(NAME, kind, bytes(raw)))

    def told(self, role: Role, parts: tuple[Part, ...]) -> None:
        """By anyone but the assistant."""
        self._end_turn()
        self._messages.append(Message(role, parts))

    def end(self) -> tuple[Message, ...]:
        self._end_turn()
        if self._turn:
            last = self._messages.pop() if self._messages else Message("assistant")
            self._messages.append(Message(last.role, (*last.parts, *self._turn)))
        if not self._proofs:
            return tuple(self._messages)
        return tuple(Message(said.role, tuple(map(self._proven, said.parts)), said.name) for said in self._messages)

    def _end_turn(self) -> None:
        """What a provider's own tools did is no turn by itself: in another dialect it would be one without a word."""
        if any(type(part) is not ForeignPart for part in self._turn):
            self._messages.append(Message("assistant", tuple(self._turn)))
            self._turn = []

    def _message(self, head: _Head, raw: msgspec.Raw, where: str) -> None:
        role = head.role
        if role is None:
            named = "type" if head.type is None else "role"
            raise BadRequest(f"{where}.{named} is required", param=f"{where}.{named}")
        if role not in _ROLES:
            known = ", ".join(_ROLES)
            message = f'{where}.role: unknown role "{role[:64]}", use one of {known}'
            raise BadRequest(message, param=f"{where}.role")
        parts = _parts(decode(_said, raw, where).content, f"{where}.content")
        if role == "assistant":
            self._turn += parts
        else:
            self.told(cast("Role", role), parts)

    def _reasoning(self, thought: _Thought, raw: msgspec.Raw) -> None:
        encrypted = thought.encrypted_content or ""
        if carried := carried_in(encrypted):
            if carried.call_id:
                self._proofs[carried.call_id] = carried.signature
            else:
                self._turn.append(part_of(carried))
            return
        text = "".join(words.text for words in thought.summary or thought.content or ())
        if text or encrypted:
            self._turn.append(ReasoningPart(text, redacted=encrypted, id=thought.id or ""))
        else:  # only a name, of what the provider keeps
            self._turn.append(ForeignPart(NAME, "reasoning", bytes(raw)))

    def _call(self, call: _Call, *, custom: bool) -> None:
        name = self._names.flat(call.namespace or "", call.name)
        self._called[call.call_id] = name
        self._turn.append(ToolCall(call.call_id, name, wrapped(call.input) if custom else call.arguments))

    def _proven(self, part: Part) -> Part:
        if type(part) is ToolCall and part.id in self._proofs:
            return msgspec.structs.replace(part, signature=self._proofs[part.id])
        return part


def _parts(content: str | list[msgspec.Raw], where: str) -> tuple[Any, ...]:
    if isinstance(content, str):
        return (TextPart(content),) if content else ()
    return tuple(_part(decode(_content, raw, f"{where}[{k}]"), raw) for k, raw in enumerate(content))


def _part(part: _Content, raw: msgspec.Raw) -> Part:
    match part.type:
        case "input_text" | "output_text" | "text" if part.text is not None:
            return TextPart(part.text)
        case "refusal" if part.refusal is not None:
            return TextPart(part.refusal)
        case "input_image" if part.image_url:
            inline = _inline(part.image_url)
            if inline:
                return ImagePart(media_type=inline[0], data=inline[1], detail=part.detail or "")
            return ImagePart(url=part.image_url, detail=part.detail or "")
        case "input_file":
            return _file(part)
        case "input_audio" if part.input_audio is not None:
            return FilePart(media_type=f"audio/{part.input_audio.format}", data=part.input_audio.data)
    return ForeignPart(NAME, part.type, bytes(raw))


def _file(part: _Content) -> FilePart:
    name, data = part.filename or "", part.file_data or ""
    if inline := _inline(data):
        return FilePart(media_type=inline[0], data=inline[1], name=name)
    return FilePart(data=data, url=part.file_url or "", file_id=part.file_id or "", name=name)


def _inline(url: str) -> tuple[str, str] | None:
    """(media type, base64) of a data URL."""
    head, comma, data = url.partition(",")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        return head[5:].partition(";")[0], data
    return None
