"""Of a field that is there twice, one reader takes the first and another the last."""

import json

import msgspec
import pytest

from hoosh.core.errors import BadRequest
from hoosh.dialects import ClientDialect
from hoosh.dialects.anthropic_messages import DIALECT as ANTHROPIC
from hoosh.dialects.gemini.client import CLIENT as GEMINI
from hoosh.dialects.openai.once import check_once
from hoosh.dialects.openai_chat import DIALECT as OPENAI

GOOD = {"model": "m", "n": 1, "messages": [{"role": "user", "content": 'a "model": "x", "b":1} \u00e9'}], "ö": None}


def check(body: bytes) -> None:
    check_once(body, msgspec.json.decode(body, type=dict[str, msgspec.Raw]))


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(GOOD, separators=(",", ":"), ensure_ascii=False),
        json.dumps(GOOD, ensure_ascii=False),
        json.dumps(GOOD, indent=2, ensure_ascii=False),
        json.dumps(GOOD, indent="\t", ensure_ascii=False).replace("\n", "\r\n"),
        json.dumps({"a": json.dumps(GOOD)}) + "\n",
        "{}",
        " { } \n",
        '{"": 1}',
        '{"a": {"b": 1, "b": 2}}',
    ],
)
def test_each_field_once_in_any_layout(body: str) -> None:
    check(body.encode())


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","model":"a"}',
        b'{"model":"a","x":1,"model":"bb"}',
        b'{ "model" : "a" , "x" : 1 , "model" : "b" }\n',
        b'{"x":1,"a":2,"x":1}',
        b'{"model":"a","mod\\u0065l":"b"}',
        b'{"mod\\u0065l":"a"}',
        b'{"n":1,"n":12,"m":1}',
        b'{"a":1,"z":{"q":1,"b":2},"b":2,"a":1}',
    ],
)
def test_a_field_twice_or_in_disguise_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="twice"):
        check(body)


def test_every_place_of_a_second_field_is_seen() -> None:
    """Also where its length is just that of the blanks of another layout."""
    fields = [f'"f{n}": {n}' for n in range(12)]
    for style in (", ", ","):
        for at in range(len(fields) + 1):
            for again in ('"f3": 9', '"f3":9', '"f0": 100', '"f11": "' + "x" * 16 + '"'):
                body = "{" + style.join([*fields[:at], again, *fields[at:]]) + "}"
                with pytest.raises(BadRequest):
                    check(body.encode())


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def test_a_second_model_is_told_by_its_name(dialect: ClientDialect) -> None:
    body = b'{"model":"dear","max_tokens":9,"messages":[{"role":"user","content":"x"}],"model":"cheap"}'
    with pytest.raises(BadRequest) as told:
        dialect.parse(body)
    assert told.value.param == "model"


@pytest.mark.parametrize(
    "inner", ['{"max_output_tokens":9,"maxOutputTokens":1}', '{"max_output_tokens":9,"max_output_tokens":1}']
)
def test_geminis_two_spellings_are_one_field(inner: str) -> None:
    body = '{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":' + inner + "}"
    with pytest.raises(BadRequest, match="twice"):
        GEMINI.at("m:generateContent").parse(body.encode())
