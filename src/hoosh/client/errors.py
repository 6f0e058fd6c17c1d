"""What can go wrong with a call.

    HooshError
    └── APIError                   code, param, request_id, retry_after_s
        ├── APIConnectionError     no whole reply; `sent` says whether the request may have been acted on
        │   └── APITimeoutError
        ├── APIStreamError         a stream that broke off, or told an error
        └── APIStatusError         status
            ├── BadRequestError 400, 413, 415, 422 · AuthenticationError 401 · PermissionDeniedError 403
            ├── NotFoundError 404
            ├── RateLimitError 429 ── BudgetExceededError
            └── InternalServerError 5xx

The names are those of OpenAI's own client, so that a caller may change from one to the other.
"""

from collections.abc import Mapping

import msgspec

from hoosh.core.errors import HooshError

MAX_CHARS = 500


class APIError(HooshError):
    """`status` is 0 where the server refused nothing."""

    status = 0
    code = "api_error"

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        param: str | None = None,
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, param=param, retry_after_s=retry_after_s)
        self.code = code or type(self).code
        self.request_id = request_id


class APIConnectionError(APIError):
    """`sent` False: nothing of the request left this machine, so nothing was done and it can be asked again.
    `lasting` says that asking again would end the same way.
    """

    code = "connection_error"

    def __init__(self, message: str, *, request_id: str = "", sent: bool = True, lasting: bool = False) -> None:
        super().__init__(message, request_id=request_id)
        self.sent = sent
        self.lasting = lasting


class APITimeoutError(APIConnectionError):
    code = "timeout"


class APIStreamError(APIError):
    """What came before it is good; the answer is not whole."""

    code = "stream_error"


class APIStatusError(APIError):
    """Any other status than success."""


class BadRequestError(APIStatusError):
    pass


class AuthenticationError(APIStatusError):
    pass


class PermissionDeniedError(APIStatusError):
    pass


class NotFoundError(APIStatusError):
    """A path, a model or a token pool that the gateway does not have; `code` says which."""


class RateLimitError(APIStatusError):
    pass


class BudgetExceededError(RateLimitError):
    """A token pool has too little left."""


class InternalServerError(APIStatusError):
    pass


_BY_STATUS = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    413: BadRequestError,
    415: BadRequestError,
    422: BadRequestError,
    429: RateLimitError,
}


class _Said(msgspec.Struct):
    message: str = ""
    code: str | int | None = None
    type: str | None = None
    param: str | None = None
    request_id: str | None = None


class _Body(msgspec.Struct):
    """The older gateway's token endpoints say `{"error": "<text>", "code": "pool_not_found"}`."""

    error: _Said | str
    code: str | int | None = None


def said(data: bytes) -> _Said | None:
    """The error object of a body or of a stream's event; None where there is none."""
    try:
        body = msgspec.json.decode(data, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if isinstance(body.error, str):
        return _Said(body.error, body.code)
    return body.error


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> APIStatusError:
    """The error for a reply with that status."""
    told = said(body) or _Said()
    code = str(told.code or "")
    kind = _BY_STATUS.get(status, InternalServerError if status >= 500 else APIStatusError)
    if code == "budget_exceeded":
        kind = BudgetExceededError
    error = kind(
        told.message[:MAX_CHARS] or f"the server answered with status {status}",
        code=code,
        param=told.param,
        request_id=told.request_id or headers.get("x-request-id", ""),
        retry_after_s=_retry_after_s(headers),
    )
    error.status = status
    error.kind = told.type or error.kind
    return error


def in_stream(data: bytes, request_id: str) -> APIStreamError:
    told = said(data) or _Said()
    return APIStreamError(
        told.message[:MAX_CHARS] or "the stream told an error without a message",
        code=str(told.code or ""),
        param=told.param,
        request_id=told.request_id or request_id,
    )


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """In seconds, or in milliseconds as OpenAI also sends them; a date is not understood."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "")
        if value.replace(".", "", 1).isdecimal():
            return float(value) * unit_s
    return None
