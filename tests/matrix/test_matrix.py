"""Every client dialect over every provider dialect, streamed and whole, in every scene: what is said arrives, and what
does not was declared.
"""

import asyncio
from typing import Any

import msgspec
import pytest

from hoosh.core.asked import ChatRequest, ImagePart, Message, TextPart
from hoosh.core.errors import BadRequest, HooshError, Overloaded, Throttled, Unauthorized, UnknownModel
from hoosh.core.features import lost
from hoosh.dialects import anthropic_messages, gemini, openai_chat, openai_completions, openai_responses
from hoosh.dialects.gemini.client import CLIENT as GEMINI
from hoosh.dialects.gemini.signatures import unwrapped
from hoosh.dialects.ollama import chat as ollama
from hoosh.dialects.ollama import words
from hoosh.dialects.ollama.client import CHAT as OLLAMA
from matrix.scenes import SCENES, USED, Scene
from matrix.stage import Tongue, play, provider_bytes
from wire_corpus import fold

TONGUES = {
    tongue.name: tongue
    for tongue in (
        Tongue(client=openai_chat.DIALECT, provider=openai_chat.DIALECT, losses=openai_chat.LOSSES),
        Tongue(client=openai_responses.DIALECT, provider=openai_responses.DIALECT, losses=openai_responses.LOSSES),
        Tongue(
            client=anthropic_messages.DIALECT, provider=anthropic_messages.DIALECT, losses=anthropic_messages.LOSSES
        ),
        Tongue(client=GEMINI, provider=gemini.DIALECT, losses=gemini.LOSSES),
        Tongue(client=OLLAMA, provider=ollama.DIALECT, losses=words.LOSSES),
    )
}
PAIRS = [(client, provider) for client in TONGUES for provider in TONGUES]
# The oldest dialect: one text asked, one text said. It is a client's here; as a provider's it passes through.
COMPLETIONS = Tongue(
    client=openai_completions.DIALECT, provider=openai_completions.DIALECT, losses=openai_completions.LOSSES
)
TEXTS = [scene for scene in SCENES if scene.name in ("text", "hostile text", "length", "cut")]
PLAYS = [(*pair, stream, scene) for pair in PAIRS for stream in (False, True) for scene in SCENES]
PLAYS += [
    (COMPLETIONS.name, provider, stream, scene) for provider in TONGUES for stream in (False, True) for scene in TEXTS
]


def name_of(value: object) -> str:
    if isinstance(value, bool):
        return "stream" if value else "whole"
    return value.name.replace(" ", "-") if isinstance(value, Scene) else str(value)


def expected(scene: Scene, losses: frozenset[str]) -> dict[str, Any]:
    """What the scene's reply adds up to, less what either dialect has no word for."""
    told = fold(scene.events)
    told["usage"] = {"in": USED.input, "out": USED.output, "cached": USED.cached, "reasoning": USED.reasoning}
    if "reply.refusal" in losses:
        told["finish"] = "content_filter" if told["refusal"] else told["finish"]
        told["text"], told["refusal"] = told["text"] + told["refusal"], ""
    if "reply.reasoning" in losses:
        told["reasoning"], told["signatures"] = "", []
    if "reply.signature" in losses:
        told["signatures"] = []
    if "reply.content_filter" in losses and told["finish"] == "content_filter":
        told["finish"] = "stop"
    for name, word in (("cached", "reply.cached"), ("reasoning", "reply.reasoning_tokens")):
        if word in losses:
            told["usage"][name] = 0
    return told


@pytest.mark.parametrize(("client", "provider", "stream", "scene"), PLAYS, ids=name_of)
def test_what_is_asked_and_said_arrives(client: str, provider: str, stream: bool, scene: Scene) -> None:
    speaks, hears = {**TONGUES, COMPLETIONS.name: COMPLETIONS}[client], TONGUES[provider]
    losses = speaks.losses | hears.losses
    asked = scene.asked(client, stream=stream)
    reply = provider_bytes(hears, scene, stream=stream)
    if scene.cut:
        whole = b"".join(reply)
        reply = [whole[: len(whole) // 2]]
    played = asyncio.run(play(speaks, hears, asked, reply))
    assert len(played.requests) == 1
    check_request(asked, played.asked, losses)
    dropped = played.sink.headers.get(b"x-hoosh-dropped", b"").decode().split(", ")
    if client != provider and not played.error:
        assert set(lost(played.heard, hears.losses, provider)) <= set(dropped)
    told = fold(played.events)
    # The provider's proof was wrapped, as any that is not Google's own.
    told["signatures"] = [unwrapped(proof)[0] for proof in told["signatures"]]
    if scene.cut:
        assert played.error is not None
        assert told["finish"] is None
        assert fold(scene.events)["text"].startswith(told["text"])
        assert played.settled[0].usage.source == "estimated" or not stream
        return
    assert played.error is None
    wanted = expected(scene, losses)
    assert {name: told[name] for name in wanted if name != "model"} == {
        name: wanted[name] for name in wanted if name != "model"
    }
    assert len({tool["id"] for tool in told["tools"]}) == len(told["tools"])
    usage = played.settled[0].usage
    assert (usage.input, usage.output, usage.source) == (USED.input, USED.output, "reported")


def check_request(asked: ChatRequest, got: ChatRequest | None, losses: frozenset[str]) -> None:
    """The provider is asked the same, but for what either dialect cannot say."""
    assert got is not None
    for name in ("model", "stream", "tools", "max_output_tokens", "n"):
        if name == "tools" and "tool.strict" in losses:
            continue
        assert getattr(got, name) == getattr(asked, name), name
    lacking = set(lost(asked, losses, asked.dialect))
    if not lacking & {"tool_choice.required", "tool_choice.named"}:
        assert got.tool_choice == asked.tool_choice
    if asked.response_format and not lacking & {"response_format"}:
        assert got.response_format is not None
        assert (got.response_format.kind, got.response_format.schema) == (
            asked.response_format.kind,
            asked.response_format.schema,
        )
    for name in ("temperature", "top_p", "seed", "stop"):
        if f"sampling.{name}" not in losses:
            assert getattr(got.sampling, name) == getattr(asked.sampling, name), name
    assert told(got.messages, lacking) == told(asked.messages, lacking)


def told(messages: tuple[Message, ...], lacking: set[str]) -> list[tuple[str, Any]]:
    """Who says what, in a row: dialects divide turns differently, and have one word for system and developer."""
    parts: list[tuple[str, Any]] = []
    if "image.position" in lacking:
        messages = tuple(
            msgspec.structs.replace(one, parts=sorted(one.parts, key=lambda part: isinstance(part, ImagePart)))
            for one in messages
        )
    for message in messages:
        role = {"developer": "system", "tool": "user"}.get(message.role, message.role)
        for part in message.parts:
            kind = type(part).__name__
            if kind == "ReasoningPart" and any(word.startswith("reasoning") for word in lacking):
                continue
            said: Any = part
            if kind == "ToolResult":
                said = (part.call_id, part.parts)  # type: ignore[union-attr]
            if kind == "TextPart" and parts and parts[-1][0] == role and isinstance(parts[-1][1], TextPart):
                parts[-1] = (role, TextPart(f"{parts[-1][1].text}{part.text}"))  # type: ignore[union-attr]
            else:
                parts.append((role, said))
    return parts


# What a provider answers, and what the client is told: the provider's key is the gateway's affair, but its status says
# best what happened.
REFUSALS = [
    (BadRequest("messages: bad"), 400, 400, "invalid_request"),
    (Unauthorized("bad key"), 401, 401, "provider_credential_refused"),
    (UnknownModel("model 'm' not found"), 404, 404, "model_not_found"),
    (Throttled("slow down"), 429, 429, "rate_limit_exceeded"),
    (HooshError("boom"), 500, 500, "upstream_error"),
    (Overloaded("busy"), 503, 503, "overloaded"),
]


@pytest.mark.parametrize("stream", [False, True], ids=name_of)
@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_a_providers_refusal_is_told_in_the_clients_words(client: str, provider: str, stream: bool) -> None:
    speaks, hears = TONGUES[client], TONGUES[provider]
    for said, status, told_status, code in REFUSALS:
        asked = SCENES[0].asked(client, stream=stream)
        played = asyncio.run(play(speaks, hears, asked, [hears.client.fault(said, "req-1")], status=status))
        assert len(played.requests) == 1
        error = played.error
        assert error is not None, code
        assert (error.status, error.code) == (told_status, code)
        assert said.message in error.message
        assert played.sink.out == b"", "nothing was sent before the error"
        assert said.message.encode() in speaks.client.fault(error, "req-1")
        assert played.settled[0].usage.total == 0


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_every_cut_of_a_stream_is_told_or_is_no_loss(client: str, provider: str) -> None:
    """Wherever the provider's stream breaks off, the client gets a part of the answer and an error, or all of it."""
    speaks, hears = TONGUES[client], TONGUES[provider]
    scene = next(scene for scene in SCENES if scene.name == "text, then tools")
    asked = scene.asked(client, stream=True)
    reply = b"".join(provider_bytes(hears, scene, stream=True))
    whole = fold(asyncio.run(play(speaks, hears, asked, [reply])).events)
    for size in range(0, len(reply), 7):
        played = asyncio.run(play(speaks, hears, asked, [reply[:size]]))
        got = fold(played.events)
        if played.error is None:
            assert (got["text"], got["tools"], got["finish"]) == (whole["text"], whole["tools"], whole["finish"])
        else:
            assert got["finish"] is None
            assert whole["text"].startswith(got["text"])
