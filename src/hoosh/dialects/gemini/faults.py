"""
Errors: a reply with a status of 400 or more, and an error inside a reply that had begun with 200.

Source: https://ai.google.dev/gemini-api/docs/troubleshooting (read 2026-11). The body is looked at, never its content
type: the error of a streamed call is plain JSON under text/event-stream, and without `alt=sse` a JSON array of one.
"""

import re
from typing import Any

import msgspec

from hoosh.codecs.json import JSON
from hoosh.codecs.retry_hint import retry_after_s, seconds_in
from hoosh.core.errors import (
    BadUpstream,
    ContextTooLong,
    CredentialRefused,
    ModelGone,
    OutOfCredit,
    Overloaded,
    Refused,
    Throttled,
    UpstreamError,
)

MAX_MESSAGE_CHARS = 500

# Said with a 400: "API key not valid. Please pass a valid API key.", "API key expired. Please renew the API key."
# and "User location is not supported for the API use."
_OUR_KEY = ("api key", "location is not supported")
# Said as: The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).
_TOO_LONG = ("input token count", "maximum number of tokens")
# "Consumer 'api_key:AIza...' has been suspended." must not reach the client.
_SECRET = re.compile(r"(?:AIza|AQ\.)[\w.-]{8,}")


# https://cloud.google.com/apis/design/errors#handling_errors (read 2026-11)
_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class Fault(msgspec.Struct):
    """`status` is the word for `code`: INVALID_ARGUMENT, RESOURCE_EXHAUSTED, ..."""

    code: int | str | None = None
    message: str | None = None
    status: str | None = None
    details: Any = None

    @property
    def number(self) -> int:
        if isinstance(self.code, int) and 400 <= self.code < 600:
            return self.code
        return _STATUS.get(self.status or "", 500)

    @property
    def facts(self) -> list[JSON]:
        return [one for one in self.details if isinstance(one, dict)] if isinstance(self.details, list) else []


class _Envelope(msgspec.Struct):
    error: Fault | str


_envelope = msgspec.json.Decoder(_Envelope | list[_Envelope])


def refusal(status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
    fault = _fault(body)
    delay_s = _retry_delay_s(fault)
    return _error(status, fault, retry_after_s(headers) if delay_s is None else delay_s)


def in_reply(said: Fault | str) -> UpstreamError:
    fault = Fault(message=said) if isinstance(said, str) else said
    return _error(fault.number, fault, _retry_delay_s(fault))


def _error(status: int, fault: Fault, hint_s: float | None) -> UpstreamError:
    text = _SECRET.sub("[key]", (fault.message or "").strip())[:MAX_MESSAGE_CHARS]
    kind = _class(status, fault)
    return kind(text or f"the provider answered with status {status}", retry_after_s=hint_s, upstream_status=status)


def _class(status: int, fault: Fault) -> type[UpstreamError]:
    said = (fault.message or "").lower()
    if status == 402:
        return OutOfCredit
    if status in (401, 403):
        return CredentialRefused
    if status == 404:
        return ModelGone
    if status == 429:
        return Throttled
    if status == 503:
        return Overloaded
    if status >= 500:
        return BadUpstream
    if any(detail.get("reason") == "API_KEY_INVALID" for detail in fault.facts) or any(
        mark in said for mark in _OUR_KEY
    ):
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
    said = [seconds_in(str(detail.get("retryDelay", ""))) for detail in fault.facts]
    return max((delay_s for delay_s in said if delay_s is not None), default=None)
