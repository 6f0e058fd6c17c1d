"""One table: what a client asks and what the model then says, in the canon's words and in no dialect's.

Every scene is played between every pair of dialects, streamed and whole.
"""

import msgspec

from hoosh.core.asked import (
    ChatRequest,
    ImagePart,
    Message,
    ReasoningPart,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from hoosh.core.errors import HooshError
from hoosh.core.events import Finish, Meaning, Opened, Reasoning, Refusal, Text, ToolDelta, Usage

USED = Usage(input=21, cached=4, output=13, reasoning=5)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}'
# What a terminal, an event stream or a careless reader of lines would stumble over.
HOSTILE = 'a\nb\r\nc\rd\u2028e\u0085f"g\\h\tdata: [DONE]\n\nevent: error\ndata: {}\n\ni 😀é'


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """`said` comes before the end, whose reason is `finish`. `error` is said instead of it all, with its status; `cut`
    says that the provider's reply breaks off after its first half.
    """

    name: str
    messages: tuple[Message, ...] = (Message("user", (TextPart("What is the weather in Paris?"),)),)
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    response_format: ResponseFormat | None = None
    sampling: Sampling = Sampling()
    effort: str = ""
    said: tuple[Meaning, ...] = (Text("It is "), Text("sunny."))
    finish: str = "stop"
    error: HooshError | None = None
    cut: bool = False

    def asked(self, dialect: str, *, stream: bool) -> ChatRequest:
        return ChatRequest(
            model="m",
            messages=self.messages,
            tools=self.tools,
            tool_choice=self.tool_choice,
            response_format=self.response_format,
            sampling=self.sampling,
            max_output_tokens=100,
            effort=self.effort or None,  # type: ignore[arg-type]
            stream=stream,
            include_usage=stream,
            dialect=dialect,
        )

    @property
    def events(self) -> tuple[Meaning, ...]:
        return (Opened("reply-1", "m"), *self.said, Finish(self.finish))  # type: ignore[arg-type]


_ASK = Message("user", (TextPart("What is the weather in Paris and Oslo?"),))
_WEATHER = Tool("weather", "Weather of a city", SCHEMA)
_CLOCK = Tool("clock", "Time in a city", SCHEMA)
_CALLS = (ToolCall("call_A1", "weather", '{"city":"Paris"}'), ToolCall("call_B2", "weather", '{"city":"Oslo"}'))


def _results(*texts: str) -> tuple[Message, ...]:
    return tuple(
        Message("tool", (ToolResult(call.id, (TextPart(text),), call.name),))
        for call, text in zip(_CALLS, texts, strict=False)
    )


def _call(k: int, identity: str, name: str, *arguments: str) -> tuple[ToolDelta, ...]:
    return (ToolDelta(k, identity, name), *(ToolDelta(k, arguments=piece) for piece in arguments))


SCENES = (
    Scene(name="text"),
    Scene(
        name="conversation",
        messages=(
            Message("system", (TextPart("Be brief."),)),
            Message("user", (TextPart("Hi"),)),
            Message("assistant", (TextPart("Hello."),)),
            Message("user", (TextPart("Go on."),)),
        ),
        sampling=Sampling(temperature=0.5, stop=("END",)),
    ),
    Scene(name="hostile text", messages=(Message("user", (TextPart(HOSTILE),)),), said=(Text(HOSTILE), Text(HOSTILE))),
    Scene(
        name="tools",
        tools=(_WEATHER, _CLOCK),
        said=_call(0, "call_A1", "weather", '{"ci', 'ty":"Paris"}'),
        finish="tool_calls",
    ),
    Scene(
        name="tools, second round",
        messages=(_ASK, Message("assistant", _CALLS[:1]), *_results("sunny")),
        tools=(_WEATHER,),
    ),
    Scene(
        name="text, then tools",
        tools=(_WEATHER,),
        said=(Text("Let me see."), *_call(0, "call_A1", "weather", '{"city":"Paris"}')),
        finish="tool_calls",
    ),
    Scene(
        name="parallel tools",
        tools=(_WEATHER, _CLOCK),
        said=(
            *_call(0, "call_A1", "weather", '{"city":', '"Paris"}'),
            *_call(1, "call_B2", "weather", '{"city":"Oslo"}'),
            *_call(2, "call_C3", "clock", "{}"),
        ),
        finish="tool_calls",
    ),
    Scene(
        name="parallel tools, second round",
        messages=(_ASK, Message("assistant", _CALLS), *_results("sunny", "rain\u2028or\nshine")),
        tools=(_WEATHER,),
    ),
    Scene(name="a tool that must be called", tools=(_WEATHER,), tool_choice=ToolChoice("required"), finish="length"),
    Scene(
        name="hostile arguments",
        tools=(_WEATHER,),
        said=_call(0, "call_A1", "weather", msgspec.json.encode({"city": HOSTILE}).decode()),
        finish="tool_calls",
    ),
    Scene(
        name="image",
        messages=(
            Message("user", (TextPart("What is this?"), ImagePart(data=PNG, media_type="image/png"), TextPart("?"))),
        ),
    ),
    Scene(
        name="JSON schema",
        response_format=ResponseFormat("json_schema", "place", SCHEMA, strict=True),
        said=(Text('{"city":'), Text('"Paris"}')),
    ),
    Scene(
        name="reasoning",
        effort="high",
        said=(Reasoning("Let me "), Reasoning("think."), Text("It is "), Text("sunny.")),
    ),
    Scene(
        name="reasoning with proof, then tools",
        effort="low",
        tools=(_WEATHER,),
        said=(
            Reasoning("Hm."),
            Reasoning(signature="cHJvb2Y="),
            *_call(0, "call_A1", "weather", '{"city":"Paris"}'),
        ),
        finish="tool_calls",
    ),
    Scene(
        name="reasoning, second round",
        effort="low",
        messages=(
            _ASK,
            Message("assistant", (ReasoningPart("Hm.", "cHJvb2Y="), *_CALLS[:1])),
            *_results("sunny"),
        ),
        tools=(_WEATHER,),
    ),
    Scene(name="length", finish="length"),
    Scene(name="filtered", finish="content_filter"),
    Scene(name="refusal", said=(Refusal("I'd "), Refusal("rather not."))),
    Scene(name="cut", cut=True, said=tuple(Text(f"word {k} ") for k in range(40))),
)
