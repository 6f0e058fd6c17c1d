"""Everything that may be asked, in the house's own words: what every dialect parses into and renders from. `Request` is
any of it.

JSON that nobody here reads (tool schemas, unknown fields) stays JSON text, so nothing is lost or reordered. Each keeps
in `extra` what the canon has no word for; it means something in the client's `dialect` alone.
"""

from typing import ClassVar, Literal, TypeAlias

import msgspec

Operation = Literal["chat", "complete", "embed", "rerank", "moderate", "count"]
Role = Literal["system", "developer", "user", "assistant", "tool"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]


class TextPart(msgspec.Struct, frozen=True, tag="text"):
    """`cache` is the JSON text of a mark that the prompt up to here is worth keeping (Anthropic's `cache_control`)."""

    text: str
    cache: bytes = b""


class ImagePart(msgspec.Struct, frozen=True, tag="image"):
    """Either `url` (http or https) or `data` (base64, no prefix) with its `media_type`."""

    url: str = ""
    data: str = ""
    media_type: str = ""
    detail: str = ""
    cache: bytes = b""


class FilePart(msgspec.Struct, frozen=True, tag="file"):
    """A document, a recording or the like: inline (`data`, base64 without prefix), by address, or by the id that the
    provider gave it (`file_id`). `media_type` is "" where nobody told it; for sound it is audio/*.
    """

    media_type: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""
    name: str = ""
    cache: bytes = b""


class ReasoningPart(msgspec.Struct, frozen=True, tag="reasoning"):
    """What the model thought on an earlier turn, with the provider's proof of it and its name for it, if any."""

    text: str = ""
    signature: str = ""
    redacted: str = ""
    id: str = ""


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call"):
    """`arguments` is JSON text of an object ("" counts as {})."""

    id: str
    name: str
    arguments: str = ""
    signature: str = ""


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result"):
    """The answer to the call `call_id`; `name` is the tool's name where the client or the history tells it."""

    call_id: str
    parts: tuple["TextPart | ImagePart | FilePart", ...] = ()
    name: str = ""
    is_error: bool = False
    cache: bytes = b""


class ForeignPart(msgspec.Struct, frozen=True, tag="foreign"):
    """A part that only `dialect` understands (a server tool's result, say): JSON text, rendered in that dialect alone
    and elsewhere declared as dropped.
    """

    dialect: str
    kind: str
    json: bytes


Part: TypeAlias = TextPart | ImagePart | FilePart | ReasoningPart | ToolCall | ToolResult | ForeignPart


class Message(msgspec.Struct, frozen=True):
    role: Role
    parts: tuple[Part, ...] = ()
    name: str = ""

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if type(part) is TextPart)


class ForeignTool(msgspec.Struct, frozen=True):
    """A tool that is no function of the client's (web search, say): JSON text that only `dialect` understands."""

    dialect: str
    kind: str
    json: bytes


class Tool(msgspec.Struct, frozen=True):
    """`schema` is the JSON text of the parameters' JSON Schema, b"" for none. `native` is what the client declared
    where a function only stands for it: its own dialect says that, others the function.
    """

    name: str
    description: str = ""
    schema: bytes = b""
    strict: bool | None = None
    cache: bytes = b""
    native: ForeignTool | None = None


class ToolChoice(msgspec.Struct, frozen=True):
    """`name` only with mode "named"."""

    mode: Literal["auto", "none", "required", "named"]
    name: str = ""


class ResponseFormat(msgspec.Struct, frozen=True):
    """`schema` is JSON text; only with kind "json_schema"."""

    kind: Literal["text", "json_object", "json_schema"]
    name: str = ""
    schema: bytes = b""
    strict: bool | None = None


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool | None = None
    top_logprobs: int | None = None


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`extra` keeps the fields that the canon has no word for: (name, JSON text) in the client's order; they mean
    something in `dialect`, the client's, alone. `thinking_tokens` bounds the thoughts where a client counts them
    instead of saying an `effort`; 0 forbids them.
    """

    operation: ClassVar[Literal["chat"]] = "chat"

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    foreign_tools: tuple[ForeignTool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    response_format: ResponseFormat | None = None
    sampling: Sampling = Sampling()
    max_output_tokens: int | None = None
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    effort: Effort | None = None
    thinking_tokens: int | None = None
    verbosity: str = ""
    user: str = ""
    dialect: str = ""
    extra: tuple[tuple[str, bytes], ...] = ()


class CompleteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Prompts to be gone on with, as no chat can ask it: several at once, or in tokens."""

    operation: ClassVar[Literal["complete"]] = "complete"

    model: str
    prompts: tuple[str | tuple[int, ...], ...]
    max_output_tokens: int | None = None
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    dialect: str = ""
    extra: tuple[tuple[str, bytes], ...] = ()


class EmbedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An input is a text or its tokens. `purpose` is what the vectors are for (Gemini's `taskType`, Cohere's
    `input_type`) in the client's word.
    """

    operation: ClassVar[Literal["embed"]] = "embed"
    stream: ClassVar[bool] = False

    model: str
    inputs: tuple[str | tuple[int, ...], ...]
    dimensions: int | None = None
    base64: bool = False
    purpose: str = ""
    user: str = ""
    dialect: str = ""
    extra: tuple[tuple[str, bytes], ...] = ()


class RerankRequest(msgspec.Struct, frozen=True, kw_only=True):
    operation: ClassVar[Literal["rerank"]] = "rerank"
    stream: ClassVar[bool] = False

    model: str
    query: str
    documents: tuple[str, ...]
    top_n: int | None = None
    return_documents: bool = False
    dialect: str = ""
    extra: tuple[tuple[str, bytes], ...] = ()


class ModerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    operation: ClassVar[Literal["moderate"]] = "moderate"
    stream: ClassVar[bool] = False

    model: str
    inputs: tuple[str, ...]
    dialect: str = ""
    extra: tuple[tuple[str, bytes], ...] = ()


class CountRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How many input tokens `chat` would take."""

    operation: ClassVar[Literal["count"]] = "count"
    stream: ClassVar[bool] = False

    chat: ChatRequest

    @property
    def model(self) -> str:
        return self.chat.model

    @property
    def dialect(self) -> str:
        return self.chat.dialect

    @property
    def extra(self) -> tuple[tuple[str, bytes], ...]:
        return self.chat.extra


Request: TypeAlias = ChatRequest | CompleteRequest | EmbedRequest | RerankRequest | ModerationRequest | CountRequest
