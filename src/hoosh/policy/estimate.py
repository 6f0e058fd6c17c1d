"""Tokens without a tokenizer: an upper bound before the fact, a fair guess after it."""

import msgspec

from hoosh.core.asked import (
    ChatRequest,
    CompleteRequest,
    CountRequest,
    EmbedRequest,
    FilePart,
    ForeignPart,
    ImagePart,
    ModerationRequest,
    ReasoningPart,
    Request,
    RerankRequest,
    TextPart,
    ToolCall,
    ToolResult,
)
from hoosh.core.call import Account
from hoosh.core.events import Usage

# Measured ratios of English prose lie between 3.5 and 4.0 bytes a token.
CHARS_PER_TOKEN = 4
# Roles, separators and the like; no chat template in use spends more.
TOKENS_PER_MESSAGE = 16
# What vendors charge at most for one picture at full detail.
TOKENS_PER_IMAGE = 2048
# Held for an answer when the client set no limit of its own.
DEFAULT_OUTPUT_TOKENS = 4096


def bound(request: Request) -> int:
    """At most this many tokens of input, and what the answer may take."""
    return input_bound(request) + answers(request) * (output_limit(request) or DEFAULT_OUTPUT_TOKENS)


def input_bound(request: Request) -> int:
    """At most this many tokens: a BPE token covers at least one byte."""
    if not isinstance(request, ChatRequest):
        return _bytes_asked(request)
    return _input_bytes(request) + _overhead_tokens(request)


def answers(request: Request) -> int:
    """How many answers are asked for; 0 where what comes back is no text, and costs no tokens."""
    if isinstance(request, CompleteRequest):
        return len(request.prompts) * request.n
    return request.n if isinstance(request, ChatRequest) else 0


def output_limit(request: Request) -> int | None:
    """The client's own limit on each answer."""
    return request.max_output_tokens if isinstance(request, ChatRequest | CompleteRequest) else None


def boundless(request: Request) -> str:
    """What of a request nobody can bound beforehand, as the client calls it; "" where there is nothing."""
    if not isinstance(request, ChatRequest):
        return ""
    if request.foreign_tools:
        return f"tools ({request.foreign_tools[0].kind})"
    for message in request.messages:
        for part in message.parts:
            if type(part) is FilePart and not part.data:
                return "a file by reference"
    return ""


def guess(request: Request, seen_chars: int) -> Usage:
    """For an answer whose provider reported nothing: marked as estimated, never zero for what was seen."""
    return Usage(
        input=input_guess(request),
        output=output_guess(seen_chars),
        source="estimated",
    )


def input_guess(request: Request) -> int:
    """Tokens of input."""
    if not isinstance(request, ChatRequest):
        return -(-_bytes_asked(request) // CHARS_PER_TOKEN)
    return -(-_input_bytes(request) // CHARS_PER_TOKEN) + _overhead_tokens(request) // 4


def output_guess(seen_chars: int) -> int:
    """Tokens of what was seen of an answer."""
    return -(-seen_chars // CHARS_PER_TOKEN)


def _bytes_asked(request: CompleteRequest | EmbedRequest | RerankRequest | ModerationRequest | CountRequest) -> int:
    match request:
        case EmbedRequest(inputs=inputs) | CompleteRequest(prompts=inputs):
            return sum(len(text.encode()) if isinstance(text, str) else len(text) * CHARS_PER_TOKEN for text in inputs)
        case RerankRequest(query=query, documents=documents):
            # The query is read again with each document.
            return sum(len(text.encode()) for text in documents) + len(documents) * len(query.encode())
        case ModerationRequest(inputs=texts):
            return sum(len(text.encode()) for text in texts)
    return 0  # no provider charges for counting


def _overhead_tokens(request: ChatRequest) -> int:
    tokens = TOKENS_PER_MESSAGE * len(request.messages)
    for message in request.messages:
        for part in message.parts:
            if type(part) is ImagePart:
                tokens += TOKENS_PER_IMAGE
    return tokens


def _input_bytes(request: ChatRequest) -> int:
    size = 0
    for message in request.messages:
        for part in message.parts:
            size += _bytes(part)
    for tool in request.tools:
        size += len(tool.name.encode()) + len(tool.description.encode()) + len(tool.schema)
    return size + (len(request.response_format.schema) if request.response_format else 0)


def _bytes(part: object) -> int:
    if isinstance(part, TextPart):
        return len(part.text) if part.text.isascii() else len(part.text.encode())
    if isinstance(part, ReasoningPart):
        return len(part.text.encode()) + len(part.redacted.encode())
    if isinstance(part, ToolCall):
        return len(part.name.encode()) + len(part.arguments.encode())
    if isinstance(part, ToolResult):
        return sum(_bytes(inner) for inner in part.parts)
    if isinstance(part, FilePart):
        return len(part.data)
    return len(part.json) if isinstance(part, ForeignPart) else 0


def usage_of(account: Account) -> Usage:
    """What the provider reported, else an estimate of what was sent and seen; nothing if it refused or was not reached.

    Of an answer that broke off, a report may be from before it began: what was seen since counts then.
    """
    reported = account.reported
    if reported is None:
        return guess(account.call.request, account.seen_chars) if account.sent else Usage()
    if not account.finished and (seen_tokens := output_guess(account.seen_chars)) > reported.output:
        return msgspec.structs.replace(reported, output=seen_tokens, source="estimated")
    return reported
