"""
Errors: a reply with a status of 400 or more, and an error inside a reply that had begun with 200.

Source: https://ai.google.dev/gemini-api/docs/troubleshooting (read 2026-11). The body is looked at, never its content
type: the error of a streamed call is plain JSON under text/event-stream, and without `alt=sse` a JSON array of one.
"""

import math
import re

import msgspec

from hoosh.core.errors import (
    BadUpstream,
    ContextTooLong,
    CredentialRefused,
    ModelGone,
    Overloaded,
    Refused,
    Throttled,
    UpstreamError,
)

MAX_MESSAGE_CHARS = 500

# Said with a 400: "API key not valid. Please pass a valid API key.", "API key expired. Please renew the API key."
# and "User location is not supported for the API use."
_OUR_KEY = ("api key", "location is not supported")
# "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576)."
_TOO_LONG = ("input token count", "maximum number of tokens")
# "Consumer 'api_key:AIza...' has been suspended." must not reach the client.
_SECRET = re.compile(r"(?:AIza|AQ\.)[\w.-]{8,}")


class _Detail(msgspec.Struct):
    reason: str = ""
    retry_delay: str = msgspec.field(default="", name="retryDelay")


class Fault(msgspec.Struct):
    code: int = 0
    message: str = ""
    details: list[_Detail] = []


class _Envelope(msgspec.Struct):
    error: Fault | str


_envelope = msgspec.json.Decoder(_Envelope | list[_Envelope])


def refusal(status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
    fault = _fault(body)
    asked_s = _retry_delay_s(fault)
    return _error(status, fault, _seconds(headers.get(b"retry-after", b"").decode("latin-1")) if asked_s is None else asked_s)


def in_reply(fault: Fault) -> UpstreamError:
    return _error(fault.code if 400 <= fault.code < 600 else 500, fault, _retry_delay_s(fault))


def _error(status: int, fault: Fault, retry_after_s: float | None) -> UpstreamError:
    text = _SECRET.sub("[key]", fault.message.strip())[:MAX_MESSAGE_CHARS]
    kind = _class(status, fault)
    return kind(
        text or f"the provider answered with status {status}", retry_after_s=retry_after_s, upstream_status=status
    )


def _class(status: int, fault: Fault) -> type[UpstreamError]:
    said = fault.message.lower()
    if status in (401, 402, 403):
        return CredentialRefused
    if status == 404:
        return ModelGone
    if status == 429:
        return Throttled
    if status == 503:
        return Overloaded
    if status >= 500:
        return BadUpstream
    if any(detail.reason == "API_KEY_INVALID" for detail in fault.details) or any(mark in said for mark in _OUR_KEY):
        return CredentialRefused
    return ContextTooLong if any(mark in said for mark in _TOO_LONG) else Refused


def _fault(body: bytes) -> Fault:
    try:
        said = _envelope.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body[: 4 * MAX_MESSAGE_CHARS].decode(errors="replace").strip()
        return Fault(message="" if text.startswith(("<", "{", "[")) else text)
    if isinstance(said, list):
        if not said:
            return Fault()
        said = said[0]
    return Fault(message=said.error) if isinstance(said.error, str) else said.error


def _retry_delay_s(fault: Fault) -> float | None:
    """RetryInfo's "34s" or "34.07s"."""
    delays = [delay for detail in fault.details if (delay := _seconds(detail.retry_delay.removesuffix("s"))) is not None]
    return max(delays, default=None)


def _seconds(text: str) -> float | None:
    """A date is not understood: that would need a clock."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None
