"""What a provider's refusal becomes: bodies as providers send them."""

import pytest

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
from hoosh.dialects.openai_chat import DIALECT


def refusal(status: int, body: bytes, **headers: bytes) -> UpstreamError:
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return DIALECT.refusal(status, named, body)


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"),
    [
        (400, b'{"error":{"message":"m","code":"unsupported_parameter","param":"stop"}}', Refused, 400),
        (400, b'{"error":{"message":"m","code":"context_length_exceeded"}}', ContextTooLong, 400),
        (400, b'{"error":{"code":400,"message":"the request exceeds the available context size",'
              b'"type":"exceed_context_size_error","n_ctx":4096}}', ContextTooLong, 400),
        (400, b'{"error":"This model\'s maximum prompt length is 131072"}', ContextTooLong, 400),
        (401, b'{"error":{"message":"m","code":"invalid_api_key"}}', CredentialRefused, 401),
        (401, b'{"detail":"Invalid API Key"}', CredentialRefused, 401),
        (402, b'{"error":{"message":"Insufficient Balance"}}', OutOfCredit, 402),
        (403, b'{"error":{"message":"m"}}', CredentialRefused, 403),
        # xAI: a wrong key and an unknown model, both with 400
        (400, b'{"code":"invalid-argument","error":"Incorrect API key provided: xa***XX."}', CredentialRefused, 401),
        (400, b'{"code":"invalid-argument","error":"Model not found: grok-nope"}', ModelGone, 404),
        (400, b'{"error":{"message":"Model Not Exist"}}', ModelGone, 404),
        (400, b'{"object":"error","message":"Invalid model: x","type":"invalid_model","code":"1500"}', ModelGone, 404),
        (400, b'{"error":{"message":"x/y is not a valid model ID","code":400}}', ModelGone, 404),
        (400, b'{"error":{"message":"m","code":"model_decommissioned"}}', ModelGone, 404),
        (404, b'{"error":{"message":"m","code":"model_not_found"}}', ModelGone, 404),
        (404, b'{"error":{"message":"No endpoints found that support tool use","code":404}}', ModelGone, 404),
        (404, b'{"detail":"Not Found"}', BadUpstream, 502),
        (404, b"<html>nginx</html>", BadUpstream, 502),
        (404, b"404 page not found", BadUpstream, 502),
        (404, b'{"error":{"code":"404","message":"Resource not found"}}', BadUpstream, 502),
        (404, b'{"error":{"code":"DeploymentNotFound","message":"It does not exist."}}', ModelGone, 404),
        (404, b'{"error":{"message":"No such file: f-1","type":"invalid_request_error"}}', Refused, 404),
        (403, b'{"code":"x","error":"Your team has used all available credits."}', OutOfCredit, 402),
        (429, b'{"error":{"message":"m","type":"exceeded_current_quota_error"}}', OutOfCredit, 429),
        (408, b"", Overloaded, 503),
        (413, b'{"error":{"message":"m"}}', Refused, 413),
        (422, b'{"detail":[{"loc":["body","x"],"msg":"m","type":"extra_forbidden"}]}', Refused, 422),
        (429, b'{"error":{"message":"m","code":"rate_limit_exceeded"}}', Throttled, 429),
        (429, b'{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}', OutOfCredit, 429),
        (498, b'{"error":{"message":"capacity"}}', Overloaded, 503),
        (500, b'{"error":{"code":500,"message":"m","type":"server_error"}}', BadUpstream, 500),
        (502, b"<html>", BadUpstream, 502),
        (503, b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}', Overloaded, 503),
        (529, b"", Overloaded, 503),
        (530, b"", BadUpstream, 502),
    ],
)  # fmt: skip
def test_which_error_it_is(status: int, body: bytes, kind: type[UpstreamError], told: int) -> None:
    error = refusal(status, body)
    assert (type(error), error.upstream_status, error.status) == (kind, status, told)
    assert error.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"m"}}', "m"),
        (b'{"error":"m","code":"c"}', "m"),
        (b'{"message":"m","type":"t"}', "m"),
        (b'{"detail":"m"}', "m"),
        (b'{"detail":[{"loc":["body","messages",0],"msg":"m"},{"loc":7},"n"]}', "body.messages.0: m; {'loc': 7}; n"),
        (b'{"object":"error","message":{"detail":[{"loc":["body","x"],"msg":"m"}]}}', "body.x: m"),
        (b'{"error":{"message":{"message":"m"}}}', "m"),
        (b'[{"error":{"message":"m"}}]', "m"),
        (b'"m"', "m"),
        (b"m\n", "m"),
        (b"\xff", "\ufffd"),
        (b"", "the provider answered with status 418"),
        (b"<html>", "the provider answered with status 418"),
        (b'{"error":', "the provider answered with status 418"),
        (b'{"error":{}}', "the provider answered with status 418"),
        (b"{}", "the provider answered with status 418"),
        (b"[]", "the provider answered with status 418"),
        (b"null", "the provider answered with status 418"),
        (b'{"a":' * 10**5, "the provider answered with status 418"),
        (b'{"error":{"message":"' + b"m" * 1000 + b'"}}', "m" * 500),
    ],
)
def test_the_providers_words(body: bytes, message: str) -> None:
    assert refusal(418, body).message == message


def test_what_the_provider_names_is_named() -> None:
    error = refusal(400, b'{"error":{"message":"m","type":"t","param":"stop","code":"unsupported_parameter"}}')
    assert (error.param, error.code, error.kind) == ("stop", "unsupported_parameter", "invalid_request_error")
    assert refusal(400, b'{"error":{"message":"m","param":7,"code":7}}').code == "invalid_request"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "Incorrect API key provided: sk-secret. You can find your API key at https://e.com/keys.",
            "Incorrect API key provided: (not shown) You can find your API key at https://e.com/keys.",
        ),
        ("Your api key: abc.def/g is invalid", "Your api key: (not shown) is invalid"),
        ("You can get a key from https://e.com", "You can get a key from https://e.com"),
    ],
)
def test_the_gateways_key_is_not_shown_to_its_clients(said: str, shown: str) -> None:
    assert refusal(401, b'{"error":{"message":"%b"}}' % said.encode()).message == shown


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": b"2"}, 2.0),
        ({"retry_after": b" 1.5 "}, 1.5),
        ({"retry_after": b"2", "retry_after_ms": b"250"}, 0.25),
        ({"retry_after": b"Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry_after": b"-1"}, None),
        ({"retry_after": b"9" * 400}, None),
        ({"retry_after": b""}, None),
    ],
)
def test_when_to_come_back(headers: dict[str, bytes], seconds: float | None) -> None:
    assert refusal(429, b"{}", **headers).retry_after_s == seconds


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached for gpt-5. Please try again in 7.66s. Visit ...", 7.66),
        ("Limit 30, used 30. Please try again in 2m59.56s.", 179.56),
        ("Please try again in 120ms", 0.12),
        ("Please retry in 34s.", 34.0),
        ("Please try again in a while", None),
        ("Please try again later", None),
    ],
)
def test_when_to_try_again_may_stand_in_the_words_alone(message: str, seconds: float | None) -> None:
    body = b'{"error":{"message":"%b","code":"rate_limit_exceeded"}}' % message.encode()
    assert refusal(429, body).retry_after_s == seconds
    assert refusal(429, body, retry_after=b"2").retry_after_s == 2.0


def test_what_the_vendor_behind_openrouter_said_is_told() -> None:
    body = b'{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"busy","provider_name":"G"}}}'
    error = refusal(429, body)
    assert (type(error), error.message) == (Throttled, "Provider returned error: busy")
