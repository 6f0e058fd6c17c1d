"""
Errors, both ways: a provider's error body to the house's tree, and the house's error to an OpenAI error object.

The shapes seen in the wild: {"error": {message, type, param, code}} (code a string or a number), {"error": "text"}
beside a top-level "code" (xAI), {"detail": "text"} and {"detail": [{loc, msg}]} and a flat {"message", "type"}
(Mistral), text and HTML from proxies. The content type is not to be trusted.
"""

import re
from typing import Any

import msgspec

from hoosh.codecs.retry_hint import retry_after_s, seconds_in
from hoosh.core.errors import (
    BadUpstream,
    ContentRefused,
    ContextTooLong,
    CredentialRefused,
    HooshError,
    ModelGone,
    OutOfCredit,
    Overloaded,
    Refused,
    Throttled,
    UpstreamError,
)

MAX_CHARS = 500
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

# Inside a stream only words tell what happened, where no number does.
_STATUS = {
    "invalid_request_error": 400,
    "invalid_request": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "overloaded_error": 503,
}
# Groq answers 498 when its flexible tier is full, OpenRouter 408 when the vendor behind it is slow.
_BUSY = frozenset({408, 498, 503, 529})
_CONTEXT_WORDS = (
    "context_length_exceeded",
    "exceed_context_size",
    "context length",
    "context window",
    "maximum prompt length",
    "reduce the length",
    "token limit",
    "too large to process",  # llama.cpp of a text to embed, with a 500
    "input is too long",
    "prompt is too long",
    "available context size",
    "maximum number of tokens allowed",
)
# OpenAI, Moonshot ("exceeded_current_quota_error"), Together, xAI ("... used all available credits ...", with a 403).
_CREDIT_WORDS = ("insufficient_quota", "exceeded_current_quota", "credit_limit", "used all available credits")
# Said of the path, not of what the request names: the base URL is wrong.
_NO_SUCH_PATH = ("", "not found", "404 not found", "page not found", "404 page not found", "resource not found")
# Some answer 400 for what others call 401 and 404: xAI, Mistral ("invalid_model"), DeepSeek ("Model Not Exist"),
# OpenRouter ("is not a valid model ID"), Groq ("model_decommissioned"), Hugging Face ("model_not_supported"), Bedrock
# ("The provided model identifier is invalid.").
_KEY_WORDS = ("incorrect api key", "invalid api key", "api key not valid", "invalid_api_key", "api_key_invalid")
_MODEL_WORDS = (
    "model not found",
    "model_not_found",
    "model does not exist",
    "model not exist",
    "invalid_model",
    "not a valid model",
    "model_decommissioned",
    "model_not_supported",
    "model_not_available",
    "model identifier is invalid",
)
# Azure ("content_filter", "ResponsibleAIPolicyViolation"), OpenAI, OpenRouter's moderation (a 403).
_CONTENT_WORDS = (
    "content_filter",
    "content_policy",
    "content management policy",
    "responsibleaipolicyviolation",
    "was flagged",
)
_CONTENT_STATUS = frozenset({400, 403, 422, 451})
# OpenAI says "Incorrect API key provided: ..." and tells a short key in full. It is the gateway's, not the client's.
_KEY = re.compile(r"(key[^:\n]{0,24}: *)(?!//)\S+", re.IGNORECASE)


# "Please try again in 7.66s", "try again in 6m0s", "retry in 34.07s": OpenAI, Groq, vendors behind OpenRouter.
_AGAIN = re.compile(r"\b(?:try again|retry) in ((?:\d{1,9}(?:\.\d{1,9})?(?:ms|[dhms]))+)")


class _Said(msgspec.Struct, frozen=True):
    """`message` "" where the provider gave no reason."""

    message: str
    code: str = ""
    type: str = ""
    param: str | None = None
    status: int = 0


def body(error: HooshError, request_id: str) -> bytes:
    """The error object: OpenAI's four fields and the request's id."""
    return _encode(
        {
            "error": {
                "message": error.message,
                "type": error.kind,
                "param": error.param,
                "code": error.code,
                "request_id": request_id,
            }
        }
    )


def refusal(status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
    said = _read(body)
    hint_s = retry_after_s(headers)
    return _error(status, said, _told_s(said) if hint_s is None else hint_s)


def in_stream(payload: dict[str, Any]) -> UpstreamError:
    """An error object inside a reply that began with 200."""
    said = _said(payload)
    status = said.status if 400 <= said.status < 600 else _STATUS.get(said.code) or _STATUS.get(said.type, 502)
    return _error(status, said, _told_s(said))


def _told_s(said: _Said) -> float | None:
    found = _AGAIN.search(said.message)
    return seconds_in(found[1]) if found else None


def _error(status: int, said: _Said, hint_s: float | None) -> UpstreamError:
    kind = _class(status, said)
    message = _KEY.sub(r"\1(not shown)", said.message[:MAX_CHARS]) or f"the provider answered with status {status}"
    error = kind(message, param=said.param, retry_after_s=hint_s, upstream_status=status)
    if kind in (Refused, ContentRefused) and said.code:
        error.code = said.code[:64]
    return error


def _class(status: int, said: _Said) -> type[UpstreamError]:
    words = f"{said.code} {said.type} {said.message}".lower()
    if status == 402 or (status in (400, 403, 429) and _any(_CREDIT_WORDS, words)):
        return OutOfCredit
    if status in _CONTENT_STATUS and _any(_CONTENT_WORDS, words):
        return ContentRefused
    if status in (401, 403) or (status == 400 and _any(_KEY_WORDS, words)):
        return CredentialRefused
    if status == 429:
        return Throttled
    if status in _BUSY:
        return Overloaded
    if status == 404:
        if said.message.lower().rstrip(".") in _NO_SUCH_PATH:
            return BadUpstream
        return ModelGone if _any(("model", "endpoint", "deployment"), words) else Refused
    if status == 400 and _any(_MODEL_WORDS, words):
        return ModelGone
    if _any(_CONTEXT_WORDS, words):
        return ContextTooLong
    return Refused if status < 500 else BadUpstream


def _any(marks: tuple[str, ...], words: str) -> bool:
    return any(mark in words for mark in marks)


def _read(body: bytes) -> _Said:
    try:
        payload = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body[: 4 * MAX_CHARS].decode("utf-8", "replace").strip()
        return _Said("" if text[:1] in ("", "<", "{") else text)
    if isinstance(payload, list) and payload:
        payload = payload[0]
    return _said(payload) if isinstance(payload, dict) else _Said(str(payload or ""))


def _said(payload: dict[str, Any]) -> _Said:
    error = payload.get("error")
    if isinstance(error, dict):
        inner, message = error, error.get("message")
    else:
        inner, message = payload, error or payload.get("message") or payload.get("detail")
    code, param = inner.get("code"), inner.get("param")
    status = inner.get("status_code", code)
    return _Said(
        _text(message) + _behind(inner.get("metadata")),
        code if isinstance(code, str) else "",
        str(inner.get("type") or ""),
        param if isinstance(param, str) else None,
        status if isinstance(status, int) else 0,
    )


def _behind(metadata: Any) -> str:
    """OpenRouter says "Provider returned error", and what the vendor behind it said beside it."""
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return f": {raw}" if isinstance(raw, str) and raw else ""


def _text(message: Any) -> str:
    if isinstance(message, dict):  # Mistral wraps its validation errors: {"message": {"detail": [...]}}
        message = message.get("detail") or message.get("message")
    if isinstance(message, list):  # [{"loc": ["body", "x"], "msg": "..."}]
        return "; ".join(_located(item) for item in message)
    return "" if message is None else str(message)


def _located(item: Any) -> str:
    if not isinstance(item, dict) or not isinstance(item.get("loc"), list):
        return str(item)
    return f"{'.'.join(str(step) for step in item['loc'])}: {item.get('msg', '')}"
