"""Requests: parse a client's body, render the canon, or pass a body on with only the model's name changed."""

import msgspec

from hoosh.core.asked import ChatRequest, CompleteRequest, Message, Sampling, TextPart
from hoosh.core.errors import BadRequest
from hoosh.core.features import FEATURES, OWN_FIELDS, REPLY_FEATURES, lost
from hoosh.core.wire import WireRequest
from hoosh.dialects import JSON, Ways
from hoosh.dialects.openai import bodies, prompts

NAME = "openai_completions"
PATH = "/completions"
_SAYS = frozenset(
    {
        "n",
        "reply.cached",
        "reply.choices",
        "reply.content_filter",
        "reply.logprobs",
        "reply.reasoning_tokens",
        "user",
    }
)
LOSSES = frozenset(
    word for word in (*FEATURES, *REPLY_FEATURES) if word not in _SAYS and not word.startswith("sampling.")
)
# Fields that say nothing: many clients send every field that there is.
_SILENT = frozenset({b"null", b"false"})


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    model: str | None = None
    prompt: prompts.Given | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    logprobs: int | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    user: str | None = None


_KNOWN = frozenset(_Body.__struct_fields__)
_KNOWN_OF_MANY = frozenset({"model", "prompt", "max_tokens", "n", "stream", "stream_options"})
_body = msgspec.json.Decoder(_Body)


def parse(body: bytes) -> ChatRequest | CompleteRequest:
    """Raises BadRequest naming the field."""
    asked, fields = bodies.decode(_body, body)
    model = bodies.checked_model(asked.model)
    given = prompts.read(asked.prompt, "prompt")
    _check(asked)
    include_usage = bool(asked.stream_options and asked.stream_options.include_usage)
    if len(given) > 1 or not isinstance(given[0], str):
        return CompleteRequest(
            model=model,
            prompts=given,
            max_output_tokens=asked.max_tokens,
            n=asked.n or 1,
            stream=bool(asked.stream),
            include_usage=include_usage,
            dialect=NAME,
            extra=bodies.unknown(fields, _KNOWN_OF_MANY),
        )
    extra = bodies.unknown(fields, _KNOWN)
    return ChatRequest(
        model=model,
        messages=(Message("user", (TextPart(given[0]),)),),
        sampling=_sampling(asked),
        max_output_tokens=asked.max_tokens,
        n=asked.n or 1,
        stream=bool(asked.stream),
        include_usage=include_usage,
        user=asked.user or "",
        dialect=NAME,
        extra=tuple((name, value) for name, value in extra if value not in _SILENT),
    )


def _check(asked: _Body) -> None:
    for name, value, top in (("temperature", asked.temperature, 2.0), ("top_p", asked.top_p, 1.0)):
        if value is not None and not 0.0 <= value <= top:
            raise BadRequest(f"{name} must be between 0.0 and {top}, got {value}", param=name)
    counts = (("max_tokens", asked.max_tokens, 0), ("n", asked.n, 1), ("logprobs", asked.logprobs, 0))
    for name, number, least in counts:
        if number is not None and number < least:
            raise BadRequest(f"{name} must be at least {least}, got {number}", param=name)


def _sampling(asked: _Body) -> Sampling:
    stop = asked.stop
    return Sampling(
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        min_p=asked.min_p,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        seed=asked.seed,
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        logprobs=True if asked.logprobs is not None else None,
        top_logprobs=asked.logprobs,
    )


def pass_on(asked: ChatRequest | CompleteRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
    """As in chat: a stream is asked for its usage, whether the client wants to know it or not. Raises BadRequest."""
    own = any(name in OWN_FIELDS for name, _ in asked.extra)
    usage_settled = not asked.stream or (asked.include_usage and ways.stream_usage)
    if model == asked.model and usage_settled and not own and not ways.quirks:
        return WireRequest(path=PATH, body=body, headers=(bodies.JSON_TYPE,))
    return bodies.passed_on(PATH, body, model, (bodies.usage_asked(asked, ways), *ways.quirks))


def render(asked: ChatRequest | CompleteRequest, model: str, ways: Ways) -> WireRequest:
    """Raises BadRequest for what is no prompt."""
    fields: JSON = {"model": model, **(_many(asked) if isinstance(asked, CompleteRequest) else _one(asked))}
    if asked.max_output_tokens is not None:
        fields["max_tokens"] = asked.max_output_tokens
    if asked.n > 1:
        fields["n"] = asked.n
    if asked.stream:
        fields["stream"] = True
    if asked.stream and asked.include_usage:
        fields["stream_options"] = {"include_usage": True}
    if asked.dialect == NAME:
        fields |= {name: msgspec.Raw(value) for name, value in asked.extra}
    request = bodies.request(PATH, fields, (bodies.usage_asked(asked, ways), *ways.quirks))
    return msgspec.structs.replace(request, dropped=lost(asked, LOSSES, NAME))


def _many(asked: CompleteRequest) -> JSON:
    given = asked.prompts
    return {"prompt": given[0] if len(given) == 1 else given}


def _one(asked: ChatRequest) -> JSON:
    if [message.role for message in asked.messages] != ["user"] or not asked.messages[0].text:
        raise BadRequest("messages: a completion is asked with one text of the user's", param="messages")
    sampling = asked.sampling
    values = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "logprobs": sampling.top_logprobs or (0 if sampling.logprobs else None),
        "user": asked.user or None,
    }
    return {"prompt": asked.messages[0].text} | {name: value for name, value in values.items() if value is not None}
