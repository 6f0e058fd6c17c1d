"""
The error tree. Each class answers four questions: whose fault, which status, may we try again, when.

    HooshError
    ├── ClientError      BadRequest 400 · Unauthorized 401 · Forbidden 403 · NotFound 404 · UnknownModel 404
    │                    · MethodNotAllowed 405 · RequestTimeout 408 · TooLarge 413 · UnsupportedMedia 415
    │                    · Unpriced 403 · BudgetExceeded 429 · RateLimited 429
    ├── UpstreamError    the only ones that a plan may act on; `verdict` says how
    │   ├── retry        Overloaded · Throttled · HeldBack · ConnectFailed · Reset
    │   ├── next         Full · NoFirstEvent · EmptyStream · BadUpstream · CredentialRefused · OutOfCredit · ModelGone
    │   │                · Truncated · Idle · CircuitOpen · TooDear · Slower
    │   ├── stop         Refused · Shed
    │   └── wider, content   ContextTooLong, ContentRefused: "stop", where the route says nothing else
    ├── DeadlineExceeded the call's own time is over; nothing more is tried
    ├── Exhausted        every target failed; carries the last cause's status
    ├── NoProvider       a model is known but nothing may serve it now; NothingFree: for a while
    ├── ShuttingDown     the gateway ends
    ├── StoreFailed      what the gateway keeps cannot be read or written
    └── ConfigError      at start only; says file and line

Which reply of a provider becomes which error is the dialect's business (it read the body); what to do
about it is policy.attempts'; how to say it to the client is the client dialect's.
"""

from typing import ClassVar, Literal

import msgspec

# "wider" and "content": another target may take what this one refused, if the route says so.
Verdict = Literal["retry", "next", "stop", "wider", "content"]


class HooshError(Exception):
    """`message` is safe to show to the client; it never holds a secret or an upstream address."""

    status: int = 500
    code: str = "internal_error"
    kind: str = "api_error"
    is_ambiguous = False  # a provider may have answered, and charged: a client should not just ask again

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s


class ClientError(HooshError):
    """The caller can mend it."""

    status = 400
    kind = "invalid_request_error"
    code = "invalid_request"


class BadRequest(ClientError):
    pass


class Unauthorized(ClientError):
    status = 401
    kind = "authentication_error"
    code = "invalid_api_key"


class Forbidden(ClientError):
    status = 403
    kind = "permission_error"
    code = "forbidden"


class NotFound(ClientError):
    status = 404
    kind = "not_found_error"
    code = "not_found"


class UnknownModel(ClientError):
    status = 404
    kind = "invalid_request_error"
    code = "model_not_found"


class MethodNotAllowed(ClientError):
    status = 405
    code = "method_not_allowed"


class RequestTimeout(ClientError):
    """The client did not send its whole request in time."""

    status = 408
    kind = "timeout_error"
    code = "timeout"


class TooLarge(ClientError):
    status = 413
    code = "request_too_large"


class UnsupportedMedia(ClientError):
    status = 415
    code = "unsupported_media_type"


class Unpriced(ClientError):
    """Nobody knows what the call would cost, and the configuration lets no such call pass."""

    status = 403
    kind = "permission_error"
    code = "price_unknown"


class Shortage(msgspec.Struct, frozen=True, kw_only=True):
    """What a budget lacks. `pool` has too little of `unit` ("tokens", "micro_usd", "audio_ms"): of its `limit` in this
    period `left` remain, and `needed` were asked for. `resets_s` is when the next period begins (Unix), 0 for never.
    """

    pool: str
    unit: str
    limit: int
    left: int
    needed: int
    resets_s: int = 0


class BudgetExceeded(ClientError):
    status = 429
    kind = "rate_limit_error"
    code = "budget_exceeded"

    def __init__(self, message: str, shortage: Shortage | None = None, *, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.shortage = shortage


class RateLimited(ClientError):
    """The caller's own limit: of its key, or of its pool."""

    status = 429
    kind = "rate_limit_error"
    code = "rate_limit_exceeded"


class UpstreamError(HooshError):
    """
    A provider failed. `upstream_status` is what it answered, 0 if it did not answer.

    The client is told the provider's own status where the class `passes` it, else the class's.
    """

    status = 502
    code = "upstream_error"
    verdict: ClassVar[Verdict] = "next"
    passes: ClassVar[frozenset[int]] = frozenset()

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        upstream_status: int = 0,
    ) -> None:
        super().__init__(message, param=param, retry_after_s=retry_after_s)
        self.upstream_status = upstream_status
        if upstream_status in self.passes:
            self.status = upstream_status


class Overloaded(UpstreamError):
    """429, 503 or 529 of a provider, or our own limit on it."""

    status = 503
    code = "overloaded"
    verdict: ClassVar[Verdict] = "retry"


class Throttled(Overloaded):
    """A provider's rate limit (429)."""

    status = 429
    kind = "rate_limit_error"
    code = "rate_limit_exceeded"


class HeldBack(Throttled):
    """Our own limit on a provider or a model: nothing was asked, and so nothing learnt of the provider."""


class Full(HeldBack):
    """It has all the calls that it can take, as far as we know; another target has room."""

    status = 503
    kind = "api_error"
    code = "overloaded"
    verdict: ClassVar[Verdict] = "next"


class Shed(Full):
    """Nobody has room, and the call cannot wait, or not any longer. `reason` is for the metrics."""

    verdict = "stop"

    def __init__(self, message: str, *, reason: str, retry_after_s: float) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.reason = reason


class CircuitOpen(UpstreamError):
    """Somebody else finds out just now whether the provider works again."""

    status = 503
    code = "overloaded"


class Slower(UpstreamError):
    """It was asked beside another, who answered first."""

    code = "slower"


class TooDear(UpstreamError):
    """The attempts of one call together may not cost so much."""

    status = 402
    code = "cost_limit"


class ConnectFailed(UpstreamError):
    verdict = "retry"


class Reset(UpstreamError):
    """The connection ended before the first byte of a reply."""

    verdict = "retry"


class NoFirstEvent(UpstreamError):
    status = 504
    kind = "timeout_error"
    code = "timeout"


class EmptyStream(UpstreamError):
    """A reply that ended well and held nothing."""


class BadUpstream(UpstreamError):
    """A 5xx, or bytes that are not the dialect."""

    passes = frozenset(range(500, 529))


class CredentialRefused(UpstreamError):
    """401 or 403: our key for that provider, not the client's. Some providers say it with a 400."""

    status = 401
    kind = "authentication_error"
    code = "provider_credential_refused"
    passes = frozenset({401, 403})


class OutOfCredit(UpstreamError):
    """The account behind our key may not go on, and waiting does not help: 402, or a 429 that says so."""

    status = 402
    code = "insufficient_quota"
    kind = "insufficient_quota"
    passes = frozenset({402, 429})


class ModelGone(UpstreamError):
    """The provider says that it does not have the model."""

    status = 404
    kind = "invalid_request_error"
    code = "model_not_found"


class Truncated(UpstreamError):
    """The reply stopped in the middle."""


class Idle(UpstreamError):
    """The reply went silent in the middle."""

    status = 504
    kind = "timeout_error"
    code = "timeout"


class Refused(UpstreamError):
    """The provider says that the request itself is wrong (400, 413, 422), or what it names is not there (404)."""

    status = 400
    passes = frozenset(range(400, 500)) - {401, 402, 403, 429}
    kind = "invalid_request_error"
    code = "invalid_request"
    verdict: ClassVar[Verdict] = "stop"


class ContextTooLong(Refused):
    code = "context_length_exceeded"
    verdict = "wider"


class ContentRefused(Refused):
    """The provider's own rules on content refuse the request."""

    code = "content_policy_violation"
    verdict = "content"


class DeadlineExceeded(HooshError):
    status = 504
    kind = "timeout_error"
    code = "timeout"


class Exhausted(HooshError):
    """Every target failed. Status, code and kind are the last cause's, so that a client can tell a 429 from a 502."""

    def __init__(self, message: str, cause: UpstreamError) -> None:
        super().__init__(message, param=cause.param, retry_after_s=cause.retry_after_s)
        self.status = cause.status
        self.code = cause.code
        self.kind = cause.kind


class NoProvider(HooshError):
    status = 503
    code = "no_provider"


class NothingFree(NoProvider):
    """All who could serve have asked to be left alone for a while."""

    status = 429
    code = "rate_limit_exceeded"
    kind = "rate_limit_error"


class ShuttingDown(HooshError):
    """The gateway ends, and the time that calls get for that is over."""

    status = 503
    code = "shutting_down"


class StoreFailed(HooshError):
    """What a store keeps cannot be read or written now. `code` tells why where it is known: "storage_full",
    "storage_read_only", "store_down", "store_slow", "store_replaced".
    """

    status = 503
    code = "store_failed"

    def __init__(self, message: str, *, code: str = "store_failed") -> None:
        super().__init__(message)
        self.code = code


class ConfigError(HooshError):
    """Start-up only. `message` begins with `file:line:` where a file is at fault."""

    code = "config_error"
