"""The Messages dialect held against the recorded exchanges with Anthropic in ../shared/wire."""

import pytest

from hoosh.core.errors import BadRequest, Truncated
from hoosh.dialects import JSON, Ways
from hoosh.dialects.anthropic_messages import DIALECT
from wire_corpus import (
    How,
    Record,
    body_of,
    check_render,
    differences,
    expected,
    passed_on,
    records,
    require_corpus,
    run_reader,
)

# What is said otherwise than it was recorded, by the place where it differs, and why.
ON_PURPOSE: dict[str, tuple[str | tuple[str, ...], str]] = {
    "anthropic-rig-399ec4a4": ("tools[", "21 strict tools were refused, so none of them is strict"),
    "anthropic-rig-50043f97": ("tools[0].input_schema", "the schema `true` was refused"),
    "anthropic-rig-55f75ad8": ("tools[0].input_schema.type", "a schema without a type was refused"),
    "anthropic-rig-d9520717": ("tools[0].input_schema.type", "a schema without a type was refused"),
    "anthropic-rig-d32fed39": ("tools[0].input_schema.type", "a schema of another type was refused"),
    "anthropic-pydanticai-2e2948d7": (
        ("messages", "system"),
        "a system message within the conversation, which only the newest models take, is said before it",
    ),
}
# Not even sent: they were refused by the provider too.
REFUSED_HERE = {
    "anthropic-rig-bdbd4964": "temperature",  # -5
}


def messages() -> list[Record]:
    found = records("anthropic", ("messages",))
    assert len(found) >= 263
    return found


@pytest.mark.parametrize("how", ["event", "random", "byte", "whole"])
def test_every_recorded_reply_means_what_it_should(how: How) -> None:
    found = messages()
    bad = {}
    for record in found:
        wanted = expected(record)
        assert wanted is not None, record["id"]
        if unlike := differences(wanted, run_reader(DIALECT, Ways(), record, how)):
            bad[record["id"]] = unlike
    assert not bad, f"{len(bad)} of {len(found)} replies differ"


def test_every_recorded_reply_passes_on_unchanged() -> None:
    for record in messages():
        if record["status"] < 400:
            data, meant = passed_on(DIALECT, Ways(), record, "random")
            body = body_of(record)
            # The last event may lack its blank line, and gets it.
            assert data == body or data.rstrip(b"\n") == body.rstrip(b"\n"), record["id"]
            assert meant["finish"], record["id"]


def test_thoughts_are_recorded_with_their_proof() -> None:
    """Else the tests above could agree on nothing."""
    folded = [run_reader(DIALECT, Ways(), record, "event") for record in messages()]
    proved = [one for one in folded if isinstance(one, dict) and (one["signatures"] or one["redacted"])]
    assert len(proved) >= 10


def plain(body: JSON) -> JSON:
    """One form for what means the same: text as blocks, one turn for what one side says in a row, no defaults."""
    said = {name: value for name, value in body.items() if value and name not in ("messages", "system")}
    system = body.get("system") or ""
    said["system"] = system if isinstance(system, str) else "\n".join(block["text"] for block in system)
    turns: list[JSON] = []
    for message in body["messages"]:
        blocks = [_plain_block(block) for block in _blocks(message["content"])]
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": message["role"], "content": blocks})
    said["messages"] = turns
    if body.get("temperature") == 0:
        said["temperature"] = 0
    said["tools"] = [{name: value for name, value in tool.items() if value} for tool in body.get("tools", ())]
    return said


def _blocks(content: str | list[JSON]) -> list[JSON]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _plain_block(block: JSON) -> JSON:
    if block["type"] != "tool_result":
        return block
    said = {name: value for name, value in block.items() if value}
    if "content" in said:
        said["content"] = _blocks(said["content"])
    return said


def test_every_recorded_request_that_openai_has_words_for_is_said_again() -> None:
    checked = 0
    for record in messages():
        if record["request_body"] is None:
            continue
        name = record["id"]
        if name in REFUSED_HERE:
            with pytest.raises(BadRequest) as caught:
                check_render(DIALECT, Ways(), record, plain)
            assert caught.value.param == REFUSED_HERE[name]
            continue
        unlike = check_render(DIALECT, Ways(), record, plain)
        if unlike is None:
            continue
        checked += 1
        where, _why = ON_PURPOSE.get(name, ((), ""))
        assert [line for line in unlike if not line.startswith(where)] == [], name
        assert bool(unlike) == (name in ON_PURPOSE), name
    assert checked >= 80


def test_models_are_listed() -> None:
    require_corpus()
    listed = [DIALECT.models(body_of(one)) for one in records("anthropic", ("models",)) if one["status"] == 200]
    assert listed
    assert all(name.startswith("claude-") for names in listed for name in names)


def test_a_cut_anywhere_gives_the_whole_answer_or_is_told() -> None:
    streams = [one for one in messages() if one["stream"] and b'"tool_use"' in body_of(one)]
    record = min(streams, key=lambda one: len(body_of(one)))
    complete = run_reader(DIALECT, Ways(), record, "whole")
    body = record["response_body"]
    for size in range(len(body)):
        got = run_reader(DIALECT, Ways(), {**record, "response_body": body[:size]}, "whole")
        assert isinstance(got, Truncated) or (got == complete and size > body.index('"message_delta"'))
