"""What may be asked besides a chat, and everything that may be asked: `Request`.

Like ChatRequest, each keeps in `extra` what the canon has no word for, meaningful in the client's `dialect` alone.
"""

from typing import ClassVar, Literal, TypeAlias

import msgspec

from hoosh.core.chat import ChatRequest

Operation = Literal["chat", "complete", "embed", "rerank", "moderate", "count"]


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
