"""A streamed answer over a connection, for both clients. Its request goes out when it is entered or first read."""

from collections import deque

from hoosh.client.calls import Call
from hoosh.client.errors import APIConnectionError, APIStreamError
from hoosh.client.exchange import Caller, Exchange
from hoosh.client.stream import PieceReader
from hoosh.client.types import Piece, Reply, ToolCall, Usage


class Streaming:
    """What has come so far can be asked for at any time. Of several choices, `text` and the like are the first's."""

    def __init__(self, caller: Caller, call: Call[Reply]) -> None:
        self._caller = caller
        self._call = call
        self._exchange: Exchange | None = None
        self._reader = PieceReader("")
        self._pieces: deque[Piece] = deque()
        self._closed = False

    @property
    def reply(self) -> Reply:
        """Status and headers, once the stream is open."""
        return self._exchange.reply if self._exchange else Reply()

    @property
    def model(self) -> str:
        return self._reader.gathered.model

    @property
    def text(self) -> str:
        return self._reader.gathered.text

    @property
    def reasoning(self) -> str:
        return self._reader.gathered.reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return self._reader.gathered.tool_calls

    @property
    def finish_reason(self) -> str | None:
        return self._reader.gathered.finish_reason

    @property
    def usage(self) -> Usage | None:
        """It comes last."""
        return self._reader.gathered.usage

    @property
    def turn(self) -> dict[str, object]:
        """The assistant's message as it would have come unstreamed, to be put into the next request's messages."""
        return self._reader.gathered.turn

    async def _open(self) -> Exchange:
        if self._exchange is None:
            if self._closed:
                raise APIStreamError("the stream was closed")
            self._exchange = await self._caller.open(self._call)
            self._reader = PieceReader(self._exchange.request_id)
        return self._exchange

    async def _next(self) -> Piece | None:
        """None at the good end. Raises: APIError before the stream has begun, APIStreamError after."""
        exchange = await self._open()
        while not self._pieces:
            if self._reader.error is not None:
                self._close()
                raise self._reader.error
            if self._reader.done:
                self._close()
                return None
            self._pieces.extend(self._reader.feed(await self._data(exchange)))
        return self._pieces.popleft()

    async def _data(self, exchange: Exchange) -> bytes:
        if self._closed:
            raise APIStreamError("the stream was closed", request_id=exchange.request_id)
        try:
            data = await exchange.read()
        except APIConnectionError as error:
            raise APIStreamError(error.message, code=error.code, request_id=exchange.request_id) from error
        if not data:
            self._close()
            raise APIStreamError("the stream broke off before its end", request_id=exchange.request_id)
        return data

    def _close(self) -> None:
        """Unless all has come, the connection is closed, which ends the answer at the gateway and its provider too."""
        self._closed = True
        if self._exchange is not None:
            self._exchange.close()
