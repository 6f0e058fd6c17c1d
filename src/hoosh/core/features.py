"""What a request and its reply may make use of, in words that every dialect shares: a dialect's LOSSES are some of
these words, so what it drops of one request is the intersection. The fidelity table of the documentation has a row for
each.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from types import MappingProxyType

from hoosh.core.asked import (
    ChatRequest,
    EmbedRequest,
    FilePart,
    ForeignPart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    Request,
    TextPart,
    ToolCall,
    ToolResult,
)

# What is lost where a dialect has no word for it. The first half of a word is where it stands.
FEATURES = MappingProxyType(
    {
        "cache": "marks of what is worth caching",
        "effort": "how hard to think",
        "effort.level": "more than two degrees of thinking",
        "file.data": "files within the request",
        "file.id": "files that were uploaded before",
        "file.url": "files by address",
        "audio": "sound in the request",
        "image": "pictures in the request",
        "image.detail": "how closely to look at a picture",
        "image.position": "where in a text a picture stands",
        "image.url": "pictures by address",
        "message.name": "who speaks",
        "n": "several answers at once",
        "parallel_tools": "whether several tools may be called at once",
        "part.order": "the order of thoughts, words and calls in one turn",
        "reasoning": "thoughts of earlier turns",
        "reasoning.parts": "several thoughts apart from each other",
        "reasoning.redacted": "encrypted thoughts of earlier turns",
        "reasoning.signature": "proofs of earlier thoughts",
        "reasoning.unsigned": "thoughts of earlier turns without a proof",
        "response_format": "the form of the answer",
        "response_format.json_object": "any JSON object as the answer",
        "response_format.name": "the name of the answer's schema",
        "response_format.strict": "whether the answer must follow its schema",
        "sampling.frequency_penalty": "frequency_penalty",
        "sampling.logprobs": "logprobs",
        "sampling.min_p": "min_p",
        "sampling.presence_penalty": "presence_penalty",
        "sampling.seed": "seed",
        "sampling.stop": "stop sequences",
        "sampling.temperature": "temperature",
        "sampling.top_k": "top_k",
        "sampling.top_logprobs": "top_logprobs",
        "sampling.top_p": "top_p",
        "system.position": "system messages after the first turn",
        "text.empty": "empty texts",
        "thinking_tokens": "how many tokens to think",
        "tool.strict": "whether calls must follow their schema",
        "tool_call.signature": "proofs of tool calls",
        "tool_choice.named": "which tool must be called",
        "tool_choice.required": "that some tool must be called",
        "tool_result.error": "that a tool failed",
        "tool_result.media": "pictures and files from tools",
        "tools": "tools",
        "user": "the end user's id",
        "verbosity": "how long-winded to be",
    }
)

# Of a request for vectors, besides `user`.
EMBED_FEATURES = MappingProxyType({"dimensions": "how long a vector to make", "purpose": "what a vector is for"})

# Of a reply: what a client's dialect has no word for.
REPLY_FEATURES = MappingProxyType(
    {
        "reply.cached": "how many input tokens came from the cache",
        "reply.choices": "several answers",
        "reply.citations": "sources",
        "reply.content_filter": "that a filter ended the answer",
        "reply.logprobs": "probabilities of tokens",
        "reply.media": "pictures and sound",
        "reply.reasoning": "thoughts",
        "reply.reasoning_tokens": "how many output tokens were thoughts",
        "reply.refusal": "that the model declined (it is said as text)",
        "reply.signature": "proofs of thoughts",
        "reply.tool_signature": "proofs of tool calls",
        "reply.tools": "tool calls",
    }
)


def lost(asked: Request, losses: AbstractSet[str], dialect: str) -> tuple[str, ...]:
    """What `dialect`, which has no words for `losses`, drops of this request; foreign fields and parts by name."""
    words = [word for word in dict.fromkeys(_features(asked)) if word in losses]
    return (*words, *dict.fromkeys(_foreign(asked, dialect)))


def _foreign(asked: Request, dialect: str) -> Iterator[str]:
    if asked.dialect != dialect:
        yield from (f"extra.{name}" for name, _ in asked.extra if name not in OWN_FIELDS)
    if not isinstance(asked, ChatRequest):
        return
    yield from (f"tools.{tool.kind}" for tool in asked.foreign_tools if tool.dialect != dialect)
    for message in asked.messages:
        for part in message.parts:
            if type(part) is ForeignPart and part.dialect != dialect:
                yield f"part.{part.kind}"


# Keys of a request's body that are the gateway's own and never go to a provider.
OWN_FIELDS = ("pool",)


def _features(asked: Request) -> Iterator[str]:
    match asked:
        case ChatRequest():
            yield from _chat(asked)
        case EmbedRequest():
            used = {"dimensions": asked.dimensions is not None, "purpose": asked.purpose, "user": asked.user}
            yield from (word for word, is_used in used.items() if is_used)


def _chat(asked: ChatRequest) -> Iterator[str]:
    yield from _settings(asked)
    yield from _sampling(asked)
    for i, message in enumerate(asked.messages):
        yield from _message(message)
        if i and message.role in ("system", "developer") and asked.messages[i - 1].role not in ("system", "developer"):
            yield "system.position"


def _settings(asked: ChatRequest) -> Iterator[str]:
    wanted, choice = asked.response_format, asked.tool_choice
    used = {
        "effort": asked.effort is not None,
        "effort.level": asked.effort not in (None, "none"),
        "n": asked.n > 1,
        "parallel_tools": asked.parallel_tools is not None,
        "thinking_tokens": asked.thinking_tokens is not None,
        "tools": bool(asked.tools),
        "tool.strict": any(tool.strict is not None for tool in asked.tools),
        "tool_choice.named": choice is not None and choice.mode == "named",
        "tool_choice.required": choice is not None and choice.mode == "required",
        "user": bool(asked.user),
        "verbosity": bool(asked.verbosity),
        "cache": any(tool.cache for tool in asked.tools),
        "response_format": wanted is not None and wanted.kind != "text",
        "response_format.json_object": wanted is not None and wanted.kind == "json_object",
        "response_format.name": wanted is not None and bool(wanted.name),
        "response_format.strict": wanted is not None and wanted.strict is not None,
    }
    yield from (word for word, is_used in used.items() if is_used)


def _sampling(asked: ChatRequest) -> Iterator[str]:
    given = asked.sampling
    for name in given.__struct_fields__:
        if getattr(given, name) not in (None, ()):
            yield f"sampling.{name}"


def _message(message: Message) -> Iterator[str]:
    if message.name:
        yield "message.name"
    thoughts = [part for part in message.parts if type(part) is ReasoningPart]
    if len(thoughts) > 1:
        yield "reasoning.parts"
    ranks = [_RANKS.get(type(part), 1) for part in message.parts]
    if message.role == "assistant" and ranks != sorted(ranks):
        yield "part.order"
    kinds = [type(part) for part in message.parts]
    if ImagePart in kinds and TextPart in kinds[kinds.index(ImagePart) :]:
        yield "image.position"
    for part in message.parts:
        yield from _part(part)


# Thoughts, then words, then calls: the one order that a dialect with a field for each can say.
_RANKS = MappingProxyType({ReasoningPart: 0, ToolCall: 2})


def _part(part: Part) -> Iterator[str]:
    if getattr(part, "cache", b""):
        yield "cache"
    match part:
        case TextPart(text=""):
            yield "text.empty"
        case ImagePart(url=url, detail=detail):
            yield "image"
            yield from (word for word, is_used in (("image.url", url), ("image.detail", detail)) if is_used)
        case FilePart():
            yield from _file(part)
        case ReasoningPart():
            yield "reasoning"
            proof = "signature" if part.signature else "redacted" if part.redacted else "unsigned"
            yield f"reasoning.{proof}"
        case ToolCall(signature=signature) if signature:
            yield "tool_call.signature"
        case ToolResult(parts=parts, is_error=is_error):
            if is_error:
                yield "tool_result.error"
            if any(type(inner) is not TextPart for inner in parts):
                yield "tool_result.media"
            for inner in parts:
                yield from _part(inner)


def _file(part: FilePart) -> Iterator[str]:
    if part.media_type.startswith("audio/"):
        yield "audio"
    elif part.file_id:
        yield "file.id"
    else:
        yield "file.url" if part.url else "file.data"
