"""Which call a tool's result answers, for clients that tell no ids: by the tool's name, else the oldest that waits."""

from hoosh.core.asked import ToolCall


class OpenCalls:
    """The calls of one conversation that wait for their results. Each step takes the same time however many wait."""

    __slots__ = ("_by_id", "_by_name", "_ids", "_made")

    def __init__(self) -> None:
        self._by_id: dict[str, ToolCall] = {}
        self._by_name: dict[str, dict[str, ToolCall]] = {}
        self._ids: set[str] = set()
        self._made = 0

    def add(self, call_id: str, name: str, arguments: str, signature: str = "") -> ToolCall:
        call = ToolCall(call_id or self.new_id(), name, arguments, signature)
        self._ids.add(call.id)
        self._by_id[call.id] = call
        self._by_name.setdefault(name, {})[call.id] = call
        return call

    def answered(self, call_id: str, name: str) -> ToolCall | None:
        """None where no such call waits; one that does waits no longer."""
        if call_id:
            call = self._by_id.get(call_id)
        else:
            waiting = self._by_name.get(name, {}) if name else self._by_id
            call = next(iter(waiting.values()), None)
        if call is not None:
            del self._by_id[call.id]
            del self._by_name[call.name][call.id]
        return call

    def new_id(self) -> str:
        """One that no call had before; the same again for the same conversation."""
        while True:
            self._made += 1
            if (made := f"call_{self._made}") not in self._ids:
                return made
