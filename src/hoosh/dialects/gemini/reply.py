"""
Replies: a whole one, an event of a stream and an item of the JSON array have the same shape.

Source: https://ai.google.dev/api/generate-content#FinishReason and #UsageMetadata, and
https://ai.google.dev/gemini-api/docs/thought-signatures (read 2026-11). Parts that are not known here
(executableCode, codeExecutionResult, toolCall, ...) are the provider's own tools at work: passed on, and no event.
"""

from collections.abc import Sequence

import msgspec

from hoosh.codecs import Frame
from hoosh.codecs.json import JSON
from hoosh.core.errors import BadUpstream, Truncated
from hoosh.core.events import (
    Citation,
    Finish,
    FinishReason,
    Logprobs,
    Meaning,
    Media,
    Metered,
    Opened,
    Reasoning,
    Text,
    ToolDelta,
    Usage,
)
from hoosh.dialects.gemini.faults import Fault, in_reply
from hoosh.dialects.gemini.pieces import Piece, Pieces

_NULL = msgspec.Raw(b"null")
_Reason = str | int | None

# What is not here counts as stop: OTHER, NO_IMAGE, and words to come.
_FINISH: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
# Vertex may say the number of the word. From 6 on the two APIs number otherwise, but 6 to 8 are filters in both.
_NUMBERED: dict[int, FinishReason] = {
    1: "stop",
    2: "length",
    3: "content_filter",
    4: "content_filter",
    6: "content_filter",
    7: "content_filter",
    8: "content_filter",
}
# The model failed: what came before is not an answer.
_FAILED = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
        "TOO_MANY_TOOL_CALLS",
        "UNEXPECTED_TOOL_CALL",
    }
)
# OpenAI takes no tool call id of more than 40 characters back.
_MAX_ID_CHARS = 32


class _Call(msgspec.Struct):
    name: str | None = None
    id: str | None = None
    args: msgspec.Raw = _NULL
    partial_args: list[Piece] | None = msgspec.field(default=None, name="partialArgs")
    will_continue: bool | None = msgspec.field(default=None, name="willContinue")


class _Blob(msgspec.Struct):
    media_type: str | None = msgspec.field(default=None, name="mimeType")
    data: str | None = None
    url: str | None = msgspec.field(default=None, name="fileUri")


class _Part(msgspec.Struct):
    text: str | None = None
    thought: bool | None = None
    signature: str | None = msgspec.field(default=None, name="thoughtSignature")
    call: _Call | None = msgspec.field(default=None, name="functionCall")
    inline: _Blob | None = msgspec.field(default=None, name="inlineData")
    file: _Blob | None = msgspec.field(default=None, name="fileData")


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Web(msgspec.Struct):
    uri: str | None = None
    title: str | None = None


class _Ground(msgspec.Struct):
    web: _Web | None = None


class _Grounding(msgspec.Struct):
    chunks: list[_Ground] | None = msgspec.field(default=None, name="groundingChunks")


class _Token(msgspec.Struct):
    token: str = ""
    logprob: float = msgspec.field(default=0.0, name="logProbability")


class _Top(msgspec.Struct):
    candidates: list[_Token] = []


class _Logprobs(msgspec.Struct):
    chosen: list[_Token] = msgspec.field(default=[], name="chosenCandidates")
    top: list[_Top] = msgspec.field(default=[], name="topCandidates")


class _Candidate(msgspec.Struct):
    index: int | None = None
    content: _Content | None = None
    finish_reason: _Reason = msgspec.field(default=None, name="finishReason")
    finish_message: str | None = msgspec.field(default=None, name="finishMessage")
    grounding: msgspec.Raw = msgspec.field(default=_NULL, name="groundingMetadata")
    logprobs: msgspec.Raw = msgspec.field(default=_NULL, name="logprobsResult")


class _Share(msgspec.Struct, gc=False):
    modality: str | int | None = None
    tokens: int | None = msgspec.field(default=None, name="tokenCount")


class _Usage(msgspec.Struct):
    prompt: int | None = msgspec.field(default=None, name="promptTokenCount")
    tool_use: int | None = msgspec.field(default=None, name="toolUsePromptTokenCount")
    cached: int | None = msgspec.field(default=None, name="cachedContentTokenCount")
    candidates: int | None = msgspec.field(default=None, name="candidatesTokenCount")
    thoughts: int | None = msgspec.field(default=None, name="thoughtsTokenCount")
    read: list[_Share] | None = msgspec.field(default=None, name="promptTokensDetails")
    said: list[_Share] | None = msgspec.field(default=None, name="candidatesTokensDetails")


class _Feedback(msgspec.Struct, gc=False):
    block_reason: _Reason = msgspec.field(default=None, name="blockReason")


class _Reply(msgspec.Struct):
    candidates: list[_Candidate] | None = None
    usage: msgspec.Raw = msgspec.field(default=_NULL, name="usageMetadata")
    feedback: _Feedback | None = msgspec.field(default=None, name="promptFeedback")
    id: str | None = msgspec.field(default=None, name="responseId")
    model: str | None = msgspec.field(default=None, name="modelVersion")
    error: Fault | str | None = None


class _Model(msgspec.Struct):
    name: str
    methods: list[str] = msgspec.field(default=[], name="supportedGenerationMethods")


class _Models(msgspec.Struct):
    models: list[_Model]


_reply = msgspec.json.Decoder(_Reply | list[_Reply])
_used: "msgspec.json.Decoder[_Usage | None]" = msgspec.json.Decoder(_Usage | None, strict=False)
_grounding = msgspec.json.Decoder(_Grounding)
_logprobs = msgspec.json.Decoder(_Logprobs)
_models = msgspec.json.Decoder(_Models)
_encode = msgspec.json.Encoder().encode


def model_ids(body: bytes) -> tuple[str, ...]:
    try:
        models = _models.decode(body).models
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadUpstream("the provider's list of models is not in the Gemini format") from error
    return tuple(model.name.removeprefix("models/") for model in models if "generateContent" in model.methods)


class _Choice:
    __slots__ = ("calls", "cited", "open", "reason")

    def __init__(self) -> None:
        self.calls = 0
        self.cited: set[str] = set()  # chunks repeat their sources
        self.open: Pieces | None = None  # the call whose arguments go on
        self.reason: FinishReason | None = None


class GeminiReader:
    """
    A finish reason is told at the end alone: a stream in which code was run has one in its middle, too, and a call
    makes "tool_calls" of STOP. There is no end mark, so a choice without a reason is a cut reply, unless the reply came
    whole.
    """

    __slots__ = ("_choices", "_id", "_made", "_opened", "_whole")

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._id = ""
        self._made = 0  # call ids made here
        self._opened = False
        self._whole = False

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        events: list[Meaning] = []
        try:
            said = _reply.decode(frame.data)
            self._whole = frame.raw is frame.data
            for reply in said if isinstance(said, list) else (said,):
                self._take(reply, events)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadUpstream("the provider's reply is not in the Gemini format") from error
        return frame.raw, events

    def end(self) -> Sequence[Meaning]:
        events: list[Meaning] = []
        for index, choice in sorted(self._choices.items()):
            reason = choice.reason or ("stop" if self._whole else None)
            if reason is None:
                raise _cut()
            self._close(choice, index, events)
            called = choice.calls and reason == "stop"
            events.append(Finish("tool_calls" if called else reason, index))
        if not events:
            raise _cut()
        return events

    def _take(self, reply: _Reply, events: list[Meaning]) -> None:
        if reply.error:
            raise in_reply(reply.error)
        if not self._opened and (reply.id or reply.model):
            self._opened = True
            self._id = reply.id or ""
            events.append(Opened(self._id, reply.model or ""))
        for candidate in reply.candidates or ():
            self._candidate(candidate, events)
        if not reply.candidates and reply.feedback and reply.feedback.block_reason:
            self._choices.setdefault(0, _Choice()).reason = "content_filter"
        used = _counts(reply.usage)
        if used is not None and (used.prompt is not None or used.candidates is not None):
            events.append(Metered(_usage(used)))

    def _candidate(self, candidate: _Candidate, events: list[Meaning]) -> None:
        index = candidate.index or 0
        choice = self._choices.setdefault(index, _Choice())
        if candidate.content is not None:
            for part in candidate.content.parts or ():
                self._part(part, choice, index, events)
        if candidate.logprobs != _NULL:
            events += _logprobs_of(candidate.logprobs, index)
        if candidate.grounding != _NULL:
            for source in _sources(candidate.grounding, index):
                if source.url not in choice.cited:
                    choice.cited.add(source.url)
                    events.append(source)
        reason = candidate.finish_reason
        if reason in _FAILED:
            raise BadUpstream(f"the model failed: {candidate.finish_message or reason}"[:500])
        if isinstance(reason, int):
            choice.reason = _NUMBERED.get(reason, "stop") if reason else choice.reason
        elif reason:
            choice.reason = _FINISH.get(reason, "stop")

    def _part(self, part: _Part, choice: _Choice, index: int, events: list[Meaning]) -> None:
        text, signature = part.text or "", part.signature or ""
        if part.call is not None:
            self._call(part.call, signature, choice, index, events)
        elif part.thought:
            if text or signature:
                events.append(Reasoning(text, signature, index=index))
        else:
            if text:
                events.append(Text(text, index))
            if (blob := part.inline or part.file) and (blob.data or blob.url):
                events.append(Media(blob.media_type or "", blob.data or "", blob.url or "", index))
            if signature:
                events.append(Reasoning(signature=signature, index=index))

    def _call(self, call: _Call, signature: str, choice: _Choice, index: int, events: list[Meaning]) -> None:
        if choice.open is None:
            number, choice.calls = choice.calls, choice.calls + 1
            whole = not (call.partial_args or call.will_continue)
            arguments = _arguments(call.args) if whole else ""
            name = call.name or ""
            events.append(ToolDelta(number, call.id or self._make_id(), name, arguments, signature, index))
            if whole:
                return
            choice.open = Pieces(number)
        for piece in call.partial_args or ():
            choice.open.add(piece)
        if not call.will_continue:
            self._close(choice, index, events)

    def _close(self, choice: _Choice, index: int, events: list[Meaning]) -> None:
        if choice.open is not None:
            arguments = _encode(choice.open.arguments).decode()
            events.append(ToolDelta(choice.open.call, arguments=arguments, index=index))
            choice.open = None

    def _make_id(self) -> str:
        """Unique among all turns of a conversation, and the same each time the reply is read."""
        self._made += 1
        return f"call_{self._id[-_MAX_ID_CHARS:]}_{self._made}" if self._id else f"call_{self._made}"


def _arguments(args: msgspec.Raw) -> str:
    return "{}" if args == _NULL else bytes(args).decode()


def _sources(raw: msgspec.Raw, index: int) -> list[Citation]:
    try:
        chunks = _grounding.decode(raw).chunks or ()
    except msgspec.ValidationError:
        return []
    return [Citation(one.web.uri, one.web.title or "", index=index) for one in chunks if one.web and one.web.uri]


def _logprobs_of(raw: msgspec.Raw, index: int) -> list[Meaning]:
    """In OpenAI's form, which has the bytes of each token beside it."""
    try:
        read = _logprobs.decode(raw)
    except msgspec.ValidationError:
        return []
    tops = [*(top.candidates for top in read.top), *[[]] * (len(read.chosen) - len(read.top))]
    said = [
        {**_scored(token), "top_logprobs": [_scored(one) for one in top]}
        for token, top in zip(read.chosen, tops, strict=False)
    ]
    return [Logprobs(_encode(said), index)] if said else []


def _scored(token: _Token) -> JSON:
    return {"token": token.token, "logprob": token.logprob, "bytes": list(token.token.encode())}


def _counts(raw: msgspec.Raw) -> _Usage | None:
    """None for what is no count: an answer is not lost for a bad number."""
    try:
        return _used.decode(raw)
    except msgspec.ValidationError:
        return None


def _usage(said: _Usage) -> Usage:
    """Thoughts are counted beside the candidates, and what tools of the provider read beside the prompt."""
    thoughts = said.thoughts or 0
    return Usage(
        input=(said.prompt or 0) + (said.tool_use or 0),
        cached=said.cached or 0,
        output=(said.candidates or 0) + thoughts,
        reasoning=thoughts,
        audio_input=_audio_tokens(said.read),
        audio_output=_audio_tokens(said.said),
    )


def _audio_tokens(shares: list[_Share] | None) -> int:
    return max(0, sum(share.tokens or 0 for share in shares or () if share.modality == "AUDIO"))


def _cut() -> Truncated:
    return Truncated("the provider's reply ended before it was complete")
