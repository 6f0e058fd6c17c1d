"""A streamed answer, sans I/O: bytes to pieces, and the pieces to the whole."""

from collections.abc import Mapping

import msgspec

from hoosh.client.errors import APIStreamError, in_stream
from hoosh.client.types import Message, Piece, ToolCall, Usage
from hoosh.codecs import Frame, FrameTooLarge
from hoosh.codecs.sse import SSEDecoder

# Of a delta's texts these are told whole, and some servers repeat them; all others come in parts.
_WHOLE = frozenset({"role", "id", "type", "name", "format", "signature", "thought_signature"})
_NULL = b"null"


class _Delta(msgspec.Struct):
    delta: msgspec.Raw = msgspec.Raw(b"{}")
    index: int = 0
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_Delta] | None = None
    usage: Usage | None = None
    error: object = None


_chunk = msgspec.json.Decoder(_Chunk).decode
_message = msgspec.json.Decoder(Message).decode
_fields = msgspec.json.Decoder(dict[str, object]).decode


class Gathered:
    """What a stream has said so far; of several choices, the first."""

    def __init__(self) -> None:
        self.id = ""
        self.model = ""
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self._deltas: list[msgspec.Raw] = []

    @property
    def text(self) -> str:
        return self._whole.text

    @property
    def reasoning(self) -> str:
        return self._whole.thought

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return self._whole.tool_calls

    @property
    def turn(self) -> dict[str, object]:
        """The assistant's message as it would have come unstreamed, to be put into the next request's messages."""
        turn: dict[str, object] = {"role": "assistant", "content": None}
        for delta in self._deltas:
            _add(turn, _fields(delta))
        calls = turn.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            call.pop("index", None)
        return turn

    @property
    def _whole(self) -> Message:
        return msgspec.convert(self.turn, Message)

    def take(self, chunk: _Chunk) -> None:
        self.id = self.id or chunk.id or ""
        self.model = self.model or chunk.model or ""
        self.usage = chunk.usage or self.usage
        for choice in chunk.choices or ():
            if choice.index == 0:
                if bytes(choice.delta) != _NULL:
                    self._deltas.append(choice.delta)
                self.finish_reason = choice.finish_reason or self.finish_reason


class PieceReader:
    """`feed` any split of a reply's bytes. `done` after the terminator; `error` once the stream told one, or is no
    stream: pieces before it are good, and nothing comes after it.
    """

    def __init__(self, request_id: str) -> None:
        self.gathered = Gathered()
        self.done = False
        self.error: APIStreamError | None = None
        self._request_id = request_id
        self._splitter = SSEDecoder()

    def feed(self, data: bytes) -> list[Piece]:
        pieces: list[Piece] = []
        try:
            for frame in self._splitter.feed(data):
                if self.done or self.error is not None:
                    break
                pieces += self._read(frame)
        except (FrameTooLarge, msgspec.DecodeError, UnicodeDecodeError) as error:
            self.error = APIStreamError(f"the stream is not what it should be: {error}", request_id=self._request_id)
        return pieces

    def eof(self) -> None:
        """The connection or the body ended. Raises: APIStreamError."""
        if not self.done and self.error is None:
            raise APIStreamError("the stream broke off before its end", request_id=self._request_id)

    def _read(self, frame: Frame) -> list[Piece]:
        if frame.data == b"[DONE]":
            self.done = True
            return []
        chunk = _chunk(frame.data)
        if frame.event == b"error" or chunk.error is not None:
            self.error = in_stream(frame.data, self._request_id)
            return []
        pieces = [_piece(choice, chunk.usage, frame.data) for choice in chunk.choices or ()]
        self.gathered.take(chunk)
        if not pieces and chunk.usage is not None:
            pieces.append(Piece(usage=chunk.usage, data=frame.data))
        return pieces


def _piece(choice: _Delta, usage: Usage | None, data: bytes) -> Piece:
    delta = Message() if bytes(choice.delta) == _NULL else _message(choice.delta)
    return Piece(
        text=delta.text,
        reasoning=delta.thought,
        refusal=delta.refusal or "",
        tool_calls=delta.tool_calls,
        index=choice.index,
        finish_reason=choice.finish_reason,
        usage=usage,
        data=data,
    )


def _add(whole: dict[str, object], part: Mapping[str, object]) -> None:
    """Texts grow, lists get longer, items of one `index` are one item."""
    for key, value in part.items():
        known = whole.get(key)
        if value is None:
            whole.setdefault(key, None)
        elif isinstance(known, str) and isinstance(value, str):
            whole[key] = (known or value) if key in _WHOLE else known + value
        elif isinstance(known, dict) and isinstance(value, dict):
            _add(known, value)
        elif isinstance(value, list):
            whole[key] = _lengthened(known if isinstance(known, list) else [], value)
        else:
            whole[key] = value


def _lengthened(known: list[object], more: list[object]) -> list[object]:
    for item in more:
        same = next((one for one in known if isinstance(item, dict) and _index(one) == _index(item) is not None), None)
        if isinstance(same, dict) and isinstance(item, dict):
            _add(same, item)
        else:
            known.append(item)
    return known


def _index(item: object) -> object:
    return item.get("index") if isinstance(item, dict) else None
