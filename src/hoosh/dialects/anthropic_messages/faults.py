"""Errors, both ways: a provider's (a status of 400 or more, or the end of a stream that had begun with 200), and the
gateway's to a client.

Source: https://platform.claude.com/docs/en/api/errors (read 2026-11). The body is looked at, never its content type.
"""

import msgspec

from hoosh.codecs.retry_hint import retry_after_s
from hoosh.core.errors import (
    BadUpstream,
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

MAX_MESSAGE_CHARS = 500

# Inside a stream only the type tells what happened.
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
# The other way round; 503 is said of a provider that Anthropic would call overloaded.
_TYPES = {status: kind for kind, status in _STATUS.items()} | {408: "timeout_error", 503: "overloaded_error"}
# Said of a prompt alone, and of a prompt together with `max_tokens`.
_TOO_LONG = ("prompt is too long", "exceed context limit")
# Said with a 400: "Your credit balance is too low to access the Anthropic API.",
# "You have reached your specified API usage limits."
_UNPAID = ("credit balance is too low", "api usage limits")


class Fault(msgspec.Struct):
    type: str = ""
    message: str = ""


class _Envelope(msgspec.Struct):
    error: Fault | str


_envelope = msgspec.json.Decoder(_Envelope)
_encode = msgspec.json.Encoder().encode


def body(error: HooshError, request_id: str) -> bytes:
    kind = _TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
    return _encode({"type": "error", "error": {"type": kind, "message": error.message}, "request_id": request_id})


def frame(error: HooshError, request_id: str) -> bytes:
    """Inside a stream."""
    return b"event: error\ndata: %b\n\n" % body(error, request_id)


def refusal(status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
    fault = _fault(body)
    kind = _class(status, fault)
    again = headers.get(b"x-should-retry")
    if again == b"true" and (status >= 500 or status in (408, 409)):
        kind = Overloaded
    elif again == b"false" and kind.verdict == "retry":
        kind = OutOfCredit if status == 429 else BadUpstream
    return _error(kind, status, fault.message, retry_after_s(headers))


def in_stream(fault: Fault) -> UpstreamError:
    status = _STATUS.get(fault.type, 500)
    return _error(_class(status, fault), status, fault.message, None)


def _error(kind: type[UpstreamError], status: int, message: str, hint_s: float | None) -> UpstreamError:
    text = message.strip()[:MAX_MESSAGE_CHARS] or f"the provider answered with status {status}"
    return kind(text, retry_after_s=hint_s, upstream_status=status)


def _class(status: int, fault: Fault) -> type[UpstreamError]:
    said = fault.message.lower()
    if status == 402 or (status == 400 and any(mark in said for mark in _UNPAID)):
        return OutOfCredit
    if status in (401, 403):
        return CredentialRefused
    if status == 404:
        if "model" in said:
            return ModelGone
        # A file or a container that does not exist is the client's; any other 404 is a wrong address.
        return Refused if fault.type else BadUpstream
    if status == 429:
        return Throttled
    if status in (503, 529):
        return Overloaded
    if status >= 500:
        return BadUpstream
    return ContextTooLong if any(mark in said for mark in _TOO_LONG) else Refused


def _fault(body: bytes) -> Fault:
    try:
        error = _envelope.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body[: 4 * MAX_MESSAGE_CHARS].decode(errors="replace").strip()
        return Fault(message="" if text.startswith(("<", "{")) else text)
    return Fault(message=error) if isinstance(error, str) else error
