"""
Errors, both ways: a provider's error body to the house's tree, and the house's error to an OpenAI error object.

The shapes seen in the wild: {"error": {message, type, param, code}} (code a string or a number), {"error": "text"}
beside a top-level "code" (xAI), {"detail": "text"} and {"detail": [{loc, msg}]} and a flat {"message", "type"}
(Mistral), text and HTML from proxies. The content type is not to be trusted.
"""

import re
from typing import Any

import msgspec

from hoosh.core.errors import (
    BadUpstream,
    ContextTooLong,
    CredentialRefused,
    HooshError,
    ModelGone,
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
)
# Some answer 400 for what others call 401 and 404: xAI, Mistral ("invalid_model"), DeepSeek ("Model Not Exist"),
# OpenRouter ("is not a valid model ID"), Groq ("model_decommissioned").
_KEY_WORDS = ("incorrect api key", "invalid api key", "api key not valid", "invalid_api_key", "api_key_invalid")
_MODEL_WORDS = (
    "model not found",
    "model_not_found",
    "model does not exist",
    "model not exist",
    "invalid_model",
    "not a valid model",
    "model_decommissioned",
)
# OpenAI says "Incorrect API key provided: ..." and tells a short key in full. It is the gateway's, not the client's.
_KEY = re.compile(r"(key[^:\n]{0,24}: *)(?!//)\S+", re.IGNORECASE)


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
    return _error(status, _read(body), _retry_after_s(headers))


def in_stream(payload: dict[str, Any]) -> UpstreamError:
    """An error object inside a reply that began with 200."""
    said = _said(payload)
    status = said.status if 400 <= said.status < 600 else _STATUS.get(said.code) or _STATUS.get(said.type, 502)
    return _error(status, said, None)


def _error(status: int, said: _Said, retry_after_s: float | None) -> UpstreamError:
    kind = _class(status, said)
    message = _KEY.sub(r"\1(not shown)", said.message[:MAX_CHARS]) or f"the provider answered with status {status}"
    error = kind(message, param=said.param, retry_after_s=retry_after_s, upstream_status=status)
    if kind is Refused and said.code:
        error.code = said.code[:64]
    if kind is CredentialRefused and status == 429:
        error.status = 402  # a client that sees 429 would try again
    return error


def _class(status: int, said: _Said) -> type[UpstreamError]:
    words = f"{said.code} {said.type} {said.message}".lower()
    if status in (401, 402, 403) or (status == 400 and _any(_KEY_WORDS, words)):
        return CredentialRefused
    if status == 429:
        return CredentialRefused if "insufficient_quota" in words else Throttled
    if status in _BUSY:
        return Overloaded
    if status == 404:  # without a word of the model: the address is wrong
        return ModelGone if "model" in words or "endpoint" in words else BadUpstream
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
        _text(message),
        code if isinstance(code, str) else "",
        str(inner.get("type") or ""),
        param if isinstance(param, str) else None,
        status if isinstance(status, int) else 0,
    )


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


def _retry_after_s(headers: dict[bytes, bytes]) -> float | None:
    """Seconds; the date form needs a clock and is left out. Absurd values are the plan's to bound."""
    for name, scale in ((b"retry-after-ms", 0.001), (b"retry-after", 1.0)):
        value = headers.get(name, b"").strip()
        if len(value) < 16 and value.replace(b".", b"", 1).isdigit():
            return float(value) * scale
    return None
