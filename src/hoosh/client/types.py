"""What a gateway answers, as values. Fields that are not here stand in `reply.body`; nothing is lost."""

from collections.abc import Mapping

import msgspec

Fields = Mapping[str, object]


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """`connect_s`: TCP and TLS. `read_s`: the longest silence, which for an answer that is not streamed is the whole
    time that the model takes.
    """

    connect_s: float = 10.0
    read_s: float = 600.0


TIMEOUTS = Timeouts()


class Reply(msgspec.Struct, frozen=True):
    """The HTTP side of a result. Header names are lower case. `body` is empty for a stream."""

    status: int = 0
    headers: Mapping[str, str] = {}
    body: bytes = b""

    @property
    def request_id(self) -> str:
        return self.headers.get("x-request-id", "")


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """`reply` is filled in by the client; its wire name is one that no JSON of a gateway has."""

    reply: Reply = msgspec.field(default_factory=Reply, name="x-hoosh-client-reply")


class ToolCall(msgspec.Struct, frozen=True):
    """`arguments` is JSON text as the model wrote it, which is not always right."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    index: int = 0


class PromptDetails(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None


class CompletionDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int | None = None


class Usage(msgspec.Struct, frozen=True):
    """`provider`, `cost_micro_usd` and `estimated` are the gateway's own: who served it, for how much where that is
    known, and whether the provider told no numbers.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    provider: str | None = None
    cost_micro_usd: int | None = None
    estimated: bool = False


class _Function(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, frozen=True):
    """In a stream's later parts some servers leave out what was told before, others say null."""

    id: str | None = None
    function: _Function | None = None
    index: int | None = None


class Message(msgspec.Struct, frozen=True):
    """Also a delta of a stream. `content` may come in parts, and reasoning under either of two names."""

    content: str | list[dict[str, object]] | None = None
    reasoning_content: str | None = None
    reasoning: object = None
    refusal: str | None = None
    calls: tuple[_Call, ...] | None = msgspec.field(default=None, name="tool_calls")

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(text for part in self.content if isinstance(text := part.get("text"), str))
        return self.content or ""

    @property
    def thought(self) -> str:
        return self.reasoning_content or (self.reasoning if isinstance(self.reasoning, str) else "")

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        nothing = _Function()
        return tuple(
            ToolCall(call.id or "", said.name or "", said.arguments or "", call.index or 0)
            for call in self.calls or ()
            for said in (call.function or nothing,)
        )


class Choice(msgspec.Struct, frozen=True):
    message: Message = Message()
    index: int = 0
    finish_reason: str | None = None


class Completion(Answered, frozen=True, kw_only=True):
    """An answer. The properties speak of the first choice."""

    id: str = ""
    model: str = ""
    created: int | None = None
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None

    @property
    def text(self) -> str:
        return self._first.message.text

    @property
    def reasoning(self) -> str:
        return self._first.message.thought

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return self._first.message.tool_calls

    @property
    def finish_reason(self) -> str | None:
        return self._first.finish_reason

    @property
    def turn(self) -> dict[str, object]:
        """The assistant's message as it came, to be put into the next request's messages: some providers want
        back what this client has no name for (signatures of reasoning).
        """
        return msgspec.json.decode(self.reply.body, type=_Turns).choices[0].message

    @property
    def _first(self) -> Choice:
        return self.choices[0] if self.choices else Choice()


class _Turn(msgspec.Struct):
    message: dict[str, object]


class _Turns(msgspec.Struct):
    choices: list[_Turn]


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a streamed answer. `tool_calls` holds parts too: those of one `index` belong together.

    `data` is the chunk's JSON, for fields that are not here.
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    index: int = 0
    finish_reason: str | None = None
    usage: Usage | None = None
    data: bytes = b""


class Model(msgspec.Struct, frozen=True):
    id: str
    owned_by: str = ""
    created: int | None = None
    provider: str | None = None
    available: bool = True
    context_length: int | None = None
    capabilities: object = None


class Models(Answered, frozen=True, kw_only=True):
    data: tuple[Model, ...]


class Health(Answered, frozen=True, kw_only=True):
    """`status`: "ok", or "degraded" while a provider is down."""

    status: str
    version: str = ""
    uptime_seconds: float = 0.0
    providers_configured: int = 0
    providers_healthy: int = 0


class ProviderHealth(msgspec.Struct, frozen=True):
    provider: str
    status: str
    base_url: str = ""
    enabled: bool = True
    healthy: bool = False
    consecutive_failures: int = 0
    last_error: str | None = None
    latency_ms: float | None = None
    last_check_ms: float | None = None


class ProvidersHealth(Answered, frozen=True, kw_only=True):
    providers: tuple[ProviderHealth, ...]
    check_interval_secs: float | None = None


class Check(Answered, frozen=True, kw_only=True):
    """Whether `requested` tokens would be granted now; it holds nothing."""

    allowed: bool
    available: int
    pool: str = ""
    requested: int | None = None
    remaining: int | None = None
    project: str | None = None


class Reserved(Answered, frozen=True, kw_only=True):
    """`reserved` False is the refusal: it is an answer and no error."""

    reserved: bool
    available: int
    reservation_id: str | None = None
    expires_at: float | str | None = None
    pool: str = ""
    remaining: int | None = None


class Reported(Answered, frozen=True, kw_only=True):
    used: int
    available: int
    pool: str = ""
    remaining: int | None = None


class Released(Answered, frozen=True, kw_only=True):
    """What is told depends on what was released."""

    available: int | None = None
    pool: str = ""
    remaining: int | None = None


class Pool(msgspec.Struct, frozen=True):
    """`total` and `remaining` are other names for `capacity` and `available`, which some consumers read."""

    name: str
    capacity: int
    used: int
    reserved: int = 0
    available: int | None = None
    total: int | None = None
    remaining: int | None = None
    utilization: float | None = None
    period_seconds: float | None = None
    period_remaining_seconds: float | None = None


class Pools(Answered, frozen=True, kw_only=True):
    pools: tuple[Pool, ...]


class Segment(msgspec.Struct, frozen=True):
    """Times are in seconds from the start."""

    text: str
    start: float
    end: float
    id: int | None = None
    confidence: float | None = None


class Word(msgspec.Struct, frozen=True):
    word: str
    start: float
    end: float


class Transcript(Answered, frozen=True, kw_only=True):
    """For `response_format` text, srt or vtt all is in `text`."""

    text: str
    language: str | None = None
    duration: float | None = None
    confidence: float | None = None
    segments: tuple[Segment, ...] = ()
    words: tuple[Word, ...] = ()


class Embeddings(msgspec.Struct, frozen=True, kw_only=True):
    """`vectors` stand in the order of the inputs."""

    vectors: tuple[list[float], ...]
    model: str = ""
    usage: Usage | None = None
    reply: Reply = Reply()
