"""
Errors, both ways: a provider's error body to the house's tree, and the house's error to an OpenAI error object.

The shapes seen in the wild: {"error": {message, type, param, code}} (code a string or a number), {"error": "text"}
beside a top-level "code" (xAI), {"detail": "text"} and {"detail": [{loc, msg}]} and a flat {"message", "type"}
(Mistral), text and HTML from proxies. The content type is not to be trusted.
"""

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

CONTEXT_WORDS = (
    "context_length_exceeded",
    "exceed_context_size",
    "maximum context length",
    "context window",
    "token limit",
)
# xAI and llama.cpp behind a proxy answer 400 for what others call 401 and 404.
KEY_WORDS = ("incorrect api key", "invalid api key", "api key not valid", "invalid_api_key", "api_key_invalid")
MODEL_WORDS = ("model not found", "model_not_found", "model does not exist")


class _Said(msgspec.Struct):
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
    return classify(status, _read(body), _retry_after_s(headers))


def in_stream(payload: dict[str, Any]) -> UpstreamError:
    """An error object inside a reply that began with 200."""
    said = _said(payload)
    return classify(said.status if 400 <= said.status < 600 else 502, said, None)


def classify(status: int, said: _Said, retry_after_s: float | None) -> UpstreamError:
    words = f"{said.code} {said.type} {said.message}".lower()
    kind: type[UpstreamError] = BadUpstream
    if status in (401, 402, 403) or (status == 400 and any(word in words for word in KEY_WORDS)):
        kind = CredentialRefused
    elif status == 404 or (status == 400 and any(word in words for word in MODEL_WORDS)):
        kind = ModelGone
    elif status == 429:
        # Used-up credit does not come back by waiting.
        kind = CredentialRefused if "insufficient_quota" in words else Throttled
    elif status in (503, 529):
        kind = Overloaded
    elif any(word in words for word in CONTEXT_WORDS):
        kind = ContextTooLong
    elif status < 500:
        kind = Refused
    error = kind(said.message[:MAX_CHARS], param=said.param, retry_after_s=retry_after_s, upstream_status=status)
    if kind is Refused and said.code:
        error.code = said.code[:64]
    return error


def _read(body: bytes) -> _Said:
    try:
        payload = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body.decode("utf-8", "replace").strip()
        return _Said("the provider answered without a reason" if not text or text[:1] == "<" else text)
    if isinstance(payload, list) and payload:
        payload = payload[0]
    return _said(payload) if isinstance(payload, dict) else _Said(str(payload))


def _said(payload: dict[str, Any]) -> _Said:
    error = payload.get("error")
    if isinstance(error, dict):
        inner = error
    else:
        inner = dict(payload)
        inner["message"] = error or payload.get("message") or payload.get("detail")
    message = inner.get("message")
    if isinstance(message, list):  # validation errors: [{"loc": ["body", "x"], "msg": "..."}]
        message = "; ".join(_located(item) for item in message)
    code, param = inner.get("code"), inner.get("param")
    status = inner.get("status_code", code)
    return _Said(
        str(message or "the provider answered without a reason"),
        code if isinstance(code, str) else "",
        str(inner.get("type") or ""),
        param if isinstance(param, str) else None,
        status if isinstance(status, int) else 0,
    )


def _located(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    return f"{'.'.join(str(step) for step in item.get('loc') or ())}: {item.get('msg', '')}"


def _retry_after_s(headers: dict[bytes, bytes]) -> float | None:
    """Seconds; the date form needs a clock and is left out. Absurd values are the plan's to bound."""
    for name, scale in ((b"retry-after-ms", 0.001), (b"retry-after", 1.0)):
        value = headers.get(name, b"").strip()
        if value and value.replace(b".", b"", 1).isdigit():
            return float(value) * scale
    return None
