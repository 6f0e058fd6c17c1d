"""Every recorded reply of every provider, said in Gemini's and in Ollama's words and read again: the same words,
thoughts, calls and counts, in what the vendors' own types take.
"""

import json

import ollama
import pytest
from google.genai import types

from hoosh.core.asked import ChatRequest
from hoosh.core.errors import BadUpstream
from hoosh.core.events import Event
from hoosh.dialects import Served
from hoosh.dialects import gemini as gemini_dialect
from hoosh.dialects.gemini.client import CLIENT
from hoosh.dialects.gemini.signatures import unwrapped
from hoosh.dialects.ollama import chat as ollama_dialect
from hoosh.dialects.ollama.client import CHAT
from recorded_replies import read, replies, said
from wire_corpus import Folded, fold

SERVED = Served(id="1", created_s=5, provider="p", model="m", elapsed_ns=lambda: 9)
NO_COUNTS = dict.fromkeys(("in", "out", "cached", "reasoning"), 0)


def plain(folded: Folded) -> Folded:
    """Without what is said in other words: a refusal is text, and a filter's doing."""
    return {
        "text": folded["text"] + folded["refusal"],
        "reasoning": folded["reasoning"],
        "tools": [(tool["name"], tool["args"]) for tool in folded["tools"]],
        "finish": _finish(folded),
        "usage": folded["usage"] or NO_COUNTS,
    }


def _finish(folded: Folded) -> object:
    if folded["finish"] == "stop" and (folded["tools"] or folded["refusal"]):
        return "tool_calls" if folded["tools"] else "content_filter"
    return folded["finish"]


def unlike(wanted: Folded, got: Folded) -> list[tuple[str, object, object]]:
    return [(name, wanted[name], got[name]) for name in wanted if wanted[name] != got[name]]


def is_broken(events: list[Event]) -> bool:
    """Its arguments broke off, which neither dialect can say."""
    return any(not isinstance(tool["args"], dict) for tool in fold(events)["tools"])


@pytest.mark.parametrize("tail", ["m:generateContent", "m:streamGenerateContent?alt=sse", "m:streamGenerateContent"])
def test_what_a_provider_said_is_what_a_gemini_client_reads(tail: str) -> None:
    bad, seen = {}, 0
    for record, events in replies():
        if is_broken(events):
            continue
        seen += 1
        body = said(CLIENT.at(tail).encoder(None, SERVED), events)
        for reply in _gemini_replies(tail, body):
            types.GenerateContentResponse.model_validate_json(reply)
        wanted, got = fold(events), read(gemini_dialect.DIALECT, body, stream="stream" in tail)
        proofs = [*map(unwrapped, got["signatures"])]
        proved = [signature for signature, _ in proofs if signature], [redacted for _, redacted in proofs if redacted]
        found = unlike(plain(wanted), plain(got))
        if found or proved != (wanted["signatures"], wanted["redacted"]):
            bad[record["id"]] = found or proved
    assert seen > 900
    assert not bad, f"{len(bad)} of {seen} differ: {list(bad.items())[:3]}"


def _gemini_replies(tail: str, body: bytes) -> list[str]:
    if "alt=sse" in tail:
        return [line.removeprefix("data: ") for line in body.decode().splitlines() if line]
    whole = json.loads(body)
    return [json.dumps(reply) for reply in (whole if isinstance(whole, list) else [whole])]


@pytest.mark.parametrize("stream", [True, False])
def test_what_a_provider_said_is_what_an_ollama_client_reads(stream: bool) -> None:
    asked = ChatRequest(model="m", messages=(), stream=stream)
    bad, seen = {}, 0
    for record, events in replies():
        if is_broken(events):
            continue
        seen += 1
        body = said(CHAT.encoder(asked, SERVED), events)
        for line in body.decode().splitlines():
            ollama.ChatResponse.model_validate_json(line)
        wanted, got = plain(fold(events)), plain(read(ollama_dialect.DIALECT, body, stream=stream))
        wanted["usage"] = {**wanted["usage"], "cached": 0, "reasoning": 0}
        if wanted["finish"] == "content_filter":  # a word that Ollama's own readers do not know
            wanted["finish"] = got["finish"]
        if found := unlike(wanted, got):
            bad[record["id"]] = found
    assert seen > 900
    assert not bad, f"{len(bad)} of {seen} differ: {list(bad.items())[:3]}"


def test_arguments_that_broke_off_are_an_error_to_ollamas_clients_and_no_call_to_geminis() -> None:
    for _, events in replies():
        if is_broken(events) and fold(events)["finish"] != "length":
            with pytest.raises(BadUpstream):
                said(CHAT.encoder(ChatRequest(model="m", messages=()), SERVED), events)
            whole = json.loads(said(CLIENT.at("m:generateContent").encoder(None, SERVED), events))
            assert whole["candidates"][0]["finishReason"] == "MALFORMED_FUNCTION_CALL"
