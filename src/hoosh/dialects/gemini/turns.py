"""A client's `contents` as messages.

Source: https://ai.google.dev/api/caching#Content and gemini-api/docs/{function-calling,thought-signatures} there (read
2026-11). A call may have no id, and neither may its answer, which then belongs to the oldest call of that name that
has none: ids are made here, the same each time the conversation is read.
"""

from typing import Literal

import msgspec

from hoosh.core.asked import (
    FilePart,
    ForeignPart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
)
from hoosh.core.errors import BadRequest
from hoosh.core.open_calls import OpenCalls
from hoosh.dialects.gemini.request import NAME
from hoosh.dialects.gemini.signatures import unwrapped
from hoosh.dialects.openai.bodies import wrong

_NULL = msgspec.Raw(b"null")
# Beside the data of a part; what they ask is nothing that another dialect could say.
_BESIDE = ("videoMetadata", "mediaResolution")


class _Blob(msgspec.Struct, rename="camel"):
    mime_type: str | None = None
    data: str | None = None
    display_name: str | None = None


class _FileData(msgspec.Struct, rename="camel"):
    file_uri: str
    mime_type: str | None = None
    display_name: str | None = None


class _Call(msgspec.Struct):
    name: str
    id: str | None = None
    args: msgspec.Raw = _NULL


class _Response(msgspec.Struct):
    name: str = ""
    id: str | None = None
    response: msgspec.Raw = _NULL
    parts: msgspec.Raw = _NULL


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: _Blob | None = None
    file_data: _FileData | None = None
    function_call: _Call | None = None
    function_response: _Response | None = None


class _Content(msgspec.Struct):
    role: str | None = None
    parts: msgspec.Raw = _NULL


_KNOWN = frozenset({"text", "thought", "thoughtSignature", "inlineData", "fileData", "functionCall", *_BESIDE}) | {
    "functionResponse"
}
_content = msgspec.json.Decoder(_Content)
_part = msgspec.json.Decoder(_Part)
_items = msgspec.json.Decoder(list[msgspec.Raw])
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_json = msgspec.json.Decoder()


def listed(value: msgspec.Raw) -> list[msgspec.Raw]:
    """A repeated field; Google's own examples leave the brackets of a single value out."""
    text = bytes(value).strip()
    if text in (b"", b"null"):
        return []
    return _items.decode(value) if text[:1] == b"[" else [value]


def system(instruction: msgspec.Raw) -> tuple[Message, ...]:
    """What `systemInstruction` says: a Content, its role of no matter."""
    if bytes(instruction).strip() in (b"", b"null"):
        return ()
    content = _read_content(instruction, "systemInstruction")
    parts = [_read_part(raw, f"systemInstruction.parts[{k}]") for k, raw in enumerate(listed(content.parts))]
    return (Message("system", tuple(TextPart(part.text) for part in parts if part.text is not None)),)


def messages(contents: list[msgspec.Raw]) -> tuple[Message, ...]:
    """Raises BadRequest naming the part."""
    reading = _Reading()
    for i, raw in enumerate(contents):
        content = _read_content(raw, f"contents[{i}]")
        if content.role not in (None, "", "user", "function", "tool", "model"):
            where = f"contents[{i}].role"
            raise BadRequest(f'{where}: unknown role "{content.role[:64]}", use user or model', param=where)
        reading.turn(content, f"contents[{i}]")
    return tuple(Message(role, tuple(parts)) for role, parts in reading.turns)


def _read_content(raw: msgspec.Raw, where: str) -> _Content:
    if bytes(raw).lstrip()[:1] == b'"':  # a text alone
        return _Content(parts=msgspec.Raw(b'{"text":%b}' % bytes(raw)))
    try:
        return _content.decode(raw)
    except msgspec.ValidationError as error:
        raise wrong(error, where) from error


def _read_part(raw: msgspec.Raw, where: str) -> _Part:
    try:
        return _part.decode(raw)
    except msgspec.ValidationError as error:
        raise wrong(error, where) from error


class _Reading:
    """The turns so far, and the calls that wait for their answers."""

    def __init__(self) -> None:
        self.turns: list[tuple[Literal["user", "assistant", "tool"], list[Part]]] = []
        self._open = OpenCalls()

    def turn(self, content: _Content, where: str) -> None:
        role: Literal["user", "assistant"] = "assistant" if content.role == "model" else "user"
        begun = role == "assistant" and bool(self.turns) and self.turns[-1][0] == "assistant"
        for k, raw in enumerate(listed(content.parts)):
            said = _read_part(raw, f"{where}.parts[{k}]")
            if said.function_response is not None:
                self.turns.append(("tool", [self._result(said.function_response, f"{where}.parts[{k}]")]))
                begun = False
                continue
            parts = self._parts(said, raw, role)
            if not begun:
                self.turns.append((role, []))
                begun = True
            if said.thought:
                _think_on(self.turns[-1][1], parts[0])
            else:
                self.turns[-1][1].extend(parts)

    def _parts(self, said: _Part, raw: msgspec.Raw, role: str) -> list[Part]:
        signature, redacted = unwrapped(said.thought_signature or "")
        if said.thought:
            return [ReasoningPart("" if redacted else said.text or "", signature, redacted)]
        if said.function_call is not None:
            return [self._call(said.function_call, signature)]
        parts = _shown(said, raw)
        if signature and role == "assistant":  # it proves the part that follows it
            parts = [ReasoningPart(signature=signature), *(part for part in parts if part != TextPart(""))]
        return parts

    def _call(self, said: _Call, signature: str) -> ToolCall:
        arguments = bytes(said.args).decode()
        return self._open.add(said.id or "", said.name, "{}" if arguments == "null" else arguments, signature)

    def _result(self, said: _Response, where: str) -> ToolResult:
        call = self._open.answered(said.id or "", said.name)
        text, is_error = _said(said.response, where)
        media = [_shown(_read_part(raw, f"{where}.functionResponse.parts"), raw) for raw in listed(said.parts)]
        shown = [part for parts in media for part in parts if isinstance(part, ImagePart | FilePart)]
        return ToolResult(
            said.id or (call.id if call else self._open.new_id()),
            (*((TextPart(text),) if text else ()), *shown),
            said.name or (call.name if call else ""),
            is_error,
        )


def _think_on(parts: list[Part], thought: Part) -> None:
    """Streamed thoughts come back in the pieces that they were sent in, the proof with the last: one thought again."""
    last = parts[-1] if parts else None
    is_open = isinstance(last, ReasoningPart) and bool(last.text) and not last.signature
    if is_open and isinstance(last, ReasoningPart) and isinstance(thought, ReasoningPart) and not thought.redacted:
        parts[-1] = ReasoningPart(last.text + thought.text, thought.signature)
    else:
        parts.append(thought)


def _shown(said: _Part, raw: msgspec.Raw) -> list[Part]:
    if said.text is not None:
        return [TextPart(said.text)]
    fields = _fields.decode(raw)
    beside: list[Part] = [
        ForeignPart(NAME, name, b'{"%b":%b}' % (name.encode(), bytes(fields[name])))
        for name in _BESIDE
        if name in fields
    ]
    if said.inline_data is not None:
        return [_inline(said.inline_data), *beside]
    if said.file_data is not None:
        return [_file(said.file_data), *beside]
    kind = next((name for name in fields if name not in _KNOWN), "")
    return [ForeignPart(NAME, kind, bytes(raw))] if kind else []


def _inline(blob: _Blob) -> ImagePart | FilePart:
    media_type, data = blob.mime_type or "", blob.data or ""
    if media_type.startswith("image/"):
        return ImagePart(data=data, media_type=media_type)
    return FilePart(media_type=media_type, data=data, name=blob.display_name or "")


def _file(file: _FileData) -> ImagePart | FilePart:
    media_type = file.mime_type or ""
    if media_type.startswith("image/"):
        return ImagePart(url=file.file_uri, media_type=media_type)
    return FilePart(media_type=media_type, url=file.file_uri, name=file.display_name or "")


def _said(response: msgspec.Raw, where: str) -> tuple[str, bool]:
    """(text, whether it tells a failure). An object of the one field that Google's documents name for either is that
    field; any other is its JSON text.
    """
    text = bytes(response).decode().strip()
    if text in ("", "null"):
        return "", False
    try:
        fields = _fields.decode(text)
    except msgspec.ValidationError as error:
        raise wrong(error, f"{where}.functionResponse.response") from error
    if len(fields) == 1:
        ((name, value),) = fields.items()
        if name in ("result", "output", "error"):
            inner = _json.decode(value)
            return inner if isinstance(inner, str) else bytes(value).decode(), name == "error"
    return text, False
