"""The Responses dialect held against the exchanges with the providers that speak it, recorded in ../shared/wire."""

import base64
import json
from typing import Any

import pytest

from hoosh.core.errors import BadRequest
from hoosh.dialects import JSON, Ways
from hoosh.dialects.openai_responses import DIALECT
from wire_corpus import (
    Folded,
    How,
    Record,
    body_of,
    differences,
    expected,
    headers_of,
    norm,
    passed_on,
    records,
    require_corpus,
    run_reader,
)

# How many exchanges of each were recorded, at least.
COUNTS = {"openai": 162, "xai": 45, "deepseek": 14, "openrouter": 9, "azure": 3, "mistralrs": 4}
# The provider took them, for their path or a stored prompt named the model; the gateway must know where to send them.
WITHOUT_A_MODEL = {"openai-ddtracepy-5c9d89d9", "openai-ddtracepy-5f03dad1", "openai-ddtracepy-ba3d908b"}


def responses(provider: str) -> list[Record]:
    require_corpus()
    found = [_unpacked(record) for record in records(provider, ("responses",))]
    assert len(found) >= COUNTS[provider]
    return found


def _unpacked(record: Record) -> Record:
    """Some recorders kept bodies in base64, whole replies too."""
    try:
        text = base64.b64decode(record["response_body"], validate=True).decode()
    except ValueError:
        return record
    return {**record, "response_body": text}


def wanted(record: Record) -> Folded:
    """norm.py reads summaries alone; a model's own thoughts are thoughts, too."""
    told = expected(record)
    assert told is not None, record["id"]
    if not told.get("error") and not told["reasoning"]:
        told["reasoning"] = "".join(
            part["text"]
            for item in _response(record).get("output", ())
            if item["type"] == "reasoning"
            for part in item.get("content") or ()
        )
    return told


def _response(record: Record) -> JSON:
    if not record["stream"]:
        return _object(record["response_body"])
    lines = [line for line in record["response_body"].splitlines() if line.startswith("data:")]
    last = next(line for line in reversed(lines) if "[DONE]" not in line)
    return _object(json.dumps(_object(last.removeprefix("data:"))["response"]))


def _object(text: str) -> JSON:
    value: Any = json.loads(text)
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("how", ["event", "random", "byte"])
@pytest.mark.parametrize("provider", COUNTS)
def test_every_reply_means_what_it_should(provider: str, how: How) -> None:
    bad = {}
    for record in responses(provider):
        if unlike := differences(wanted(record), run_reader(DIALECT, Ways(), record, how)):
            bad[record["id"]] = unlike
    assert bad == {}


@pytest.mark.parametrize("how", ["event", "random"])
@pytest.mark.parametrize("provider", COUNTS)
def test_a_reply_passes_on_byte_for_byte(provider: str, how: How) -> None:
    for record in responses(provider):
        if record["status"] < 400:
            sent, _ = passed_on(DIALECT, Ways(), record, how)
            assert (record["id"], sent) == (record["id"], body_of(record)[: len(sent)])
            assert body_of(record)[len(sent) :].strip(b"\n: keepalive") == b""
            assert norm().expect({**record, "response_body": sent.decode()}) == expected(record)


@pytest.mark.parametrize("provider", COUNTS)
def test_every_request_that_the_provider_took_is_accepted_and_passes_on_unchanged(provider: str) -> None:
    refused = set()
    for record in responses(provider):
        if not isinstance(record["request_body"], dict):
            continue
        body = json.dumps(record["request_body"]).encode()
        try:
            asked = DIALECT.parse(body)
        except BadRequest:
            refused.add(record["id"])
            continue
        assert DIALECT.pass_on(asked, body, asked.model, Ways()).body == body
        again = json.loads(DIALECT.pass_on(asked, body, "other", Ways()).body)
        assert again == {**record["request_body"], "model": "other"}
        assert DIALECT.parse(DIALECT.render(asked, asked.model, Ways()).body).tools == asked.tools
    assert refused <= WITHOUT_A_MODEL


def test_refusals_have_the_recorded_status() -> None:
    """xAI says 400 for what others call 404 and 401."""
    seen = 0
    for provider in COUNTS:
        for record in responses(provider):
            if record["status"] >= 400:
                error = DIALECT.refusal(record["status"], headers_of(record), body_of(record))
                assert error.message
                assert error.upstream_status == record["status"]
                seen += 1
    assert seen >= 10


def test_the_recordings_hold_what_these_tests_are_about() -> None:
    text = {provider: "".join(record["response_body"] or "" for record in responses(provider)) for provider in COUNTS}
    assert "response.reasoning_summary_text.delta" in text["openai"]
    assert "response.reasoning_text.delta" in text["deepseek"]
    assert "[DONE]" in text["openrouter"]
    assert ": keepalive" in text["xai"]
    assert "response.incomplete" in text["openai"]
