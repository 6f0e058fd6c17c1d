"""Tool calls put together from their pieces, for dialects that know whole calls with an object only."""

import msgspec

from hoosh.core.events import ToolDelta

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class WholeCall(msgspec.Struct, frozen=True, kw_only=True):
    """`arguments` is what the model said; `is_object` tells whether that is a JSON object, as it has to be."""

    id: str
    name: str
    arguments: str
    signature: str
    is_object: bool


class _Open:
    __slots__ = ("arguments", "id", "name", "signature")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.signature = ""
        self.arguments: list[str] = []


class WholeCalls:
    """The calls of one choice. Providers may mix the pieces of several, so none is over before all are."""

    __slots__ = ("_are_complete", "_open")

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._are_complete: bool | None = True  # None: not looked at since the last piece

    def add(self, delta: ToolDelta) -> None:
        call = self._open.setdefault(delta.call, _Open())
        call.id = call.id or delta.id
        call.name = call.name or delta.name
        call.signature = delta.signature or call.signature
        call.arguments.append(delta.arguments)
        self._are_complete = None

    def are_complete(self) -> bool:
        if self._are_complete is None:
            self._are_complete = all(_is_object("".join(call.arguments)) for call in self._open.values())
        return self._are_complete

    def take(self) -> list[WholeCall]:
        """All since the last time, in order."""
        taken = [_whole(call) for _, call in sorted(self._open.items())]
        self._open.clear()
        self._are_complete = True
        return taken


def _whole(call: _Open) -> WholeCall:
    arguments = "".join(call.arguments).strip() or "{}"
    return WholeCall(
        id=call.id,
        name=call.name,
        arguments=arguments,
        signature=call.signature,
        is_object=_is_object(arguments),
    )


def _is_object(text: str) -> bool:
    try:
        _object.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
