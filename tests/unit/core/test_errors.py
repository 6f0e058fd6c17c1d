"""What each error says of itself to a client: one table, and the two classes that take another's word."""

import inspect

import pytest

from hoosh.core import errors
from hoosh.core.errors import (
    BadUpstream,
    ContextTooLong,
    CredentialRefused,
    Exhausted,
    HooshError,
    OutOfCredit,
    Overloaded,
    Refused,
    Throttled,
    UpstreamError,
)

INVALID, SLOW, TIME, API = "invalid_request_error", "rate_limit_error", "timeout_error", "api_error"
WORDS: dict[str, tuple[int, str, str]] = {
    "HooshError": (500, "internal_error", API),
    "ClientError": (400, "invalid_request", INVALID),
    "BadRequest": (400, "invalid_request", INVALID),
    "Unauthorized": (401, "invalid_api_key", "authentication_error"),
    "Forbidden": (403, "forbidden", "permission_error"),
    "NotFound": (404, "not_found", "not_found_error"),
    "UnknownModel": (404, "model_not_found", INVALID),
    "MethodNotAllowed": (405, "method_not_allowed", INVALID),
    "RequestTimeout": (408, "timeout", TIME),
    "TooLarge": (413, "request_too_large", INVALID),
    "UnsupportedMedia": (415, "unsupported_media_type", INVALID),
    "Unpriced": (403, "price_unknown", "permission_error"),
    "BudgetExceeded": (429, "budget_exceeded", SLOW),
    "RateLimited": (429, "rate_limit_exceeded", SLOW),
    "HeldBack": (429, "rate_limit_exceeded", SLOW),
    "Full": (503, "overloaded", API),
    "Shed": (503, "overloaded", API),
    "UpstreamError": (502, "upstream_error", API),
    "Overloaded": (503, "overloaded", API),
    "Throttled": (429, "rate_limit_exceeded", SLOW),
    "ConnectFailed": (502, "upstream_error", API),
    "Reset": (502, "upstream_error", API),
    "NoFirstEvent": (504, "timeout", TIME),
    "EmptyStream": (502, "upstream_error", API),
    "BadUpstream": (502, "upstream_error", API),
    "CredentialRefused": (401, "provider_credential_refused", "authentication_error"),
    "OutOfCredit": (402, "insufficient_quota", "insufficient_quota"),
    "ModelGone": (404, "model_not_found", INVALID),
    "Truncated": (502, "upstream_error", API),
    "Idle": (504, "timeout", TIME),
    "Refused": (400, "invalid_request", INVALID),
    "ContextTooLong": (400, "context_length_exceeded", INVALID),
    "ContentRefused": (400, "content_policy_violation", INVALID),
    "CircuitOpen": (503, "overloaded", API),
    "TooDear": (402, "cost_limit", API),
    "Slower": (502, "slower", API),
    "NothingFree": (429, "rate_limit_exceeded", SLOW),
    "DeadlineExceeded": (504, "timeout", TIME),
    "Exhausted": (500, "internal_error", API),
    "NoProvider": (503, "no_provider", API),
    "ShuttingDown": (503, "shutting_down", API),
    "StoreFailed": (503, "store_failed", API),
    "ConfigError": (500, "config_error", API),
}
VERDICTS = {
    "retry": {"Overloaded", "Throttled", "HeldBack", "ConnectFailed", "Reset"},
    "stop": {"Refused", "Shed"},
    "wider": {"ContextTooLong"},
    "content": {"ContentRefused"},
    "next": {
        "UpstreamError",
        "NoFirstEvent",
        "EmptyStream",
        "BadUpstream",
        "CredentialRefused",
        "OutOfCredit",
        "ModelGone",
        "Truncated",
        "Idle",
        "CircuitOpen",
        "Full",
        "TooDear",
        "Slower",
    },
}


def classes() -> dict[str, type[HooshError]]:
    found = inspect.getmembers(errors, inspect.isclass)
    return {name: kind for name, kind in found if issubclass(kind, HooshError)}


def test_every_class_has_its_status_code_and_kind() -> None:
    assert {name: (kind.status, kind.code, kind.kind) for name, kind in classes().items()} == WORDS


def test_every_upstream_error_has_its_verdict() -> None:
    told: dict[str, set[str]] = {}
    for name, kind in classes().items():
        if issubclass(kind, UpstreamError):
            told.setdefault(kind.verdict, set()).add(name)
    assert told == VERDICTS


@pytest.mark.parametrize(
    ("kind", "upstream_status", "status"),
    [
        (BadUpstream, 500, 500),
        (BadUpstream, 502, 502),
        (BadUpstream, 504, 504),
        (BadUpstream, 528, 528),
        (BadUpstream, 529, 502),
        (BadUpstream, 200, 502),
        (BadUpstream, 0, 502),
        (Overloaded, 503, 503),
        (Overloaded, 529, 503),
        (Overloaded, 429, 503),
        (Throttled, 429, 429),
        (Throttled, 0, 429),
        (CredentialRefused, 401, 401),
        (CredentialRefused, 402, 401),
        (OutOfCredit, 402, 402),
        (OutOfCredit, 429, 429),
        (OutOfCredit, 400, 402),
        (CredentialRefused, 403, 403),
        (CredentialRefused, 400, 401),
        (Refused, 400, 400),
        (Refused, 413, 413),
        (Refused, 422, 422),
        (Refused, 499, 499),
        (Refused, 401, 400),
        (Refused, 404, 404),
        (Refused, 429, 400),
        (ContextTooLong, 413, 413),
        (ContextTooLong, 500, 400),
    ],
)
def test_a_providers_status_is_passed_on_only_where_it_means_the_same(
    kind: type[UpstreamError], upstream_status: int, status: int
) -> None:
    error = kind("no", upstream_status=upstream_status)
    assert (error.status, error.upstream_status) == (status, upstream_status)
    assert kind("no").status == kind.status  # the class itself is untouched


def test_exhausted_speaks_as_its_cause() -> None:
    cause = Throttled("slow down", param="model", retry_after_s=7.5, upstream_status=429)
    error = Exhausted("All 2 attempts failed", cause)
    assert (error.status, error.code, error.kind) == (429, "rate_limit_exceeded", SLOW)
    assert (error.retry_after_s, error.param) == (7.5, "model")
    assert Exhausted("All failed", BadUpstream("broken", upstream_status=500)).status == 500
    assert not isinstance(error, UpstreamError)


def test_the_message_is_the_text_of_the_exception() -> None:
    assert str(HooshError("said")) == "said"
