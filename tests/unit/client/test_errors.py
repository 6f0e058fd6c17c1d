"""Which error a reply becomes."""

import json
from typing import Any

import pytest

from hoosh.client import errors
from hoosh.core.errors import HooshError


def refusal(status: int, told: Any = None, **headers: str) -> errors.APIStatusError:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return errors.refusal(status, names, b"" if told is None else json.dumps(told).encode())


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, errors.APIStatusError),
        (400, errors.BadRequestError),
        (401, errors.AuthenticationError),
        (403, errors.PermissionDeniedError),
        (404, errors.NotFoundError),
        (405, errors.APIStatusError),
        (413, errors.BadRequestError),
        (415, errors.BadRequestError),
        (422, errors.BadRequestError),
        (429, errors.RateLimitError),
        (500, errors.InternalServerError),
        (529, errors.InternalServerError),
    ],
)
def test_by_status(status: int, kind: type[errors.APIError]) -> None:
    error = refusal(status)
    assert type(error) is kind
    assert isinstance(error, HooshError)
    assert error.status == status
    assert str(error) == f"the server answered with status {status}"


def test_what_the_server_says() -> None:
    told = {"message": "no", "type": "t", "code": "budget_exceeded", "param": "pool", "request_id": "r"}
    error = refusal(429, {"error": told}, retry_after="2")
    assert isinstance(error, errors.BudgetExceededError)
    assert (error.message, error.kind, error.code, error.param) == ("no", "t", "budget_exceeded", "pool")
    assert (error.request_id, error.retry_after_s) == ("r", 2.0)


def test_other_shapes() -> None:
    old = refusal(404, {"error": "pool 'p' is not there", "code": "pool_not_found"}, x_request_id="h")
    assert (old.message, old.code, old.request_id) == ("pool 'p' is not there", "pool_not_found", "h")
    assert refusal(400, {"error": {"message": "no", "code": 1003}}).code == "1003"
    assert refusal(502, ["x"]).message == "the server answered with status 502"
    assert errors.refusal(502, {}, b"\xff<html>").status == 502
    assert len(refusal(500, {"error": {"message": "x" * 9999}}).message) == errors.MAX_CHARS


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "0"}, 0.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after": "9", "retry_after_ms": "250"}, 0.25),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry_after": "inf"}, None),
        ({}, None),
    ],
)
def test_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    assert refusal(429, **headers).retry_after_s == seconds
