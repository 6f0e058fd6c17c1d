"""Google's official SDK, unmodified, against `hoosh serve` before a provider of another dialect."""

import json
from collections.abc import Iterator

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from compat.scripted import ANSWER, JSON_ANSWER, MODELS, Scripted, scripted
from gateway import PATIENCE_S, QUIET, Running, serving

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
KEY = "a-token-of-good-length"
PNG = b"\x89PNG\r\n\x1a\n"
WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="weather",
            description="Weather of a city",
            parameters=types.Schema(
                type=types.Type.OBJECT,
                properties={"city": types.Schema(type=types.Type.STRING, nullable=True)},
                required=["city"],
            ),
        )
    ]
)


class Verdict(BaseModel):
    answer: str
    ok: bool


@pytest.fixture(scope="module")
def provider() -> Iterator[Scripted]:
    with scripted() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(provider: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = (
        f'{QUIET}\n[retry]\ntries = 1\n[[keys]]\nname = "laptop"\ntoken = "{KEY}"\n'
        f'[[providers]]\ntype = "openai"\nname = "scripted"\nbase_url = "{provider.url}"\n'
        f'api_key = "sk-of-the-gateway"\nmodels = {json.dumps(MODELS)}\n'
    )
    with serving(tmp_path_factory.mktemp("genai"), config) as running:
        yield running


@pytest.fixture(params=["v1beta", "v1"])
def client(gateway: Running, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    options = types.HttpOptions(
        base_url=gateway.url, api_version=request.param, timeout=int(PATIENCE_S * 1e3), retry_options=None
    )
    with genai.Client(api_key=KEY, vertexai=False, http_options=options) as made:
        yield made


def test_generate(client: genai.Client) -> None:
    answer = client.models.generate_content(model="say", contents="Capital of France?")
    assert answer.text == ANSWER
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.model_version == "say"
    assert answer.usage_metadata is not None
    assert (answer.usage_metadata.prompt_token_count, answer.usage_metadata.total_token_count) == (9, 16)


def test_stream(client: genai.Client) -> None:
    chunks = list(client.models.generate_content_stream(model="scripted/say", contents="Capital of France?"))
    assert "".join(chunk.text or "" for chunk in chunks) == ANSWER
    assert len(chunks) > 3
    last = chunks[-1]
    assert last.candidates is not None
    assert last.candidates[0].finish_reason == types.FinishReason.STOP
    assert last.usage_metadata is not None
    assert last.usage_metadata.candidates_token_count == 7


async def _asked(client: genai.Client) -> tuple[str, str]:
    whole = await client.aio.models.generate_content(model="say", contents="?")
    stream = await client.aio.models.generate_content_stream(model="say", contents="?")
    said = "".join([chunk.text or "" async for chunk in stream])
    await client.aio.aclose()
    return whole.text or "", said


@pytest.mark.anyio
async def test_asynchronously(client: genai.Client) -> None:
    assert await _asked(client) == (ANSWER, ANSWER)


def test_settings_reach_the_provider(client: genai.Client, provider: Scripted) -> None:
    config = types.GenerateContentConfig(
        system_instruction="Be brief.",
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=32,
        stop_sequences=["END"],
        seed=7,
        thinking_config=types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW),
    )
    client.models.generate_content(model="say", contents=["A", "B"], config=config)
    asked = provider.asked[-1]
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (asked["temperature"], asked["top_p"], asked["seed"], asked["stop"]) == (0.5, 0.9, 7, ["END"])
    assert asked["reasoning_effort"] == "low"
    assert 32 in (asked.get("max_tokens"), asked.get("max_completion_tokens"))


@pytest.mark.parametrize("streamed", [False, True])
def test_tools_over_two_rounds(client: genai.Client, provider: Scripted, streamed: bool) -> None:
    """The SDK's own chat keeps the history. Its answer to a call has no id, as in Google's examples."""
    chat = client.chats.create(model="tools", config=types.GenerateContentConfig(tools=[WEATHER]))
    if streamed:
        calls = [call for chunk in chat.send_message_stream("Weather?") for call in chunk.function_calls or ()]
    else:
        calls = chat.send_message("Weather?").function_calls or []
    assert [(call.name, call.args) for call in calls] == [("weather", {"city": "Paris"})]
    tool = provider.asked[-1]["tools"][0]["function"]
    assert tool["parameters"]["properties"]["city"] == {"type": ["string", "null"]}
    answer = chat.send_message(types.Part.from_function_response(name="weather", response={"result": "sunny"}))
    assert answer.text == "The tool says: sunny"
    call, result = provider.asked[-1]["messages"][-2:]
    assert call["tool_calls"][0]["id"] == result["tool_call_id"] == "call_0"


def test_a_function_that_the_sdk_calls_by_itself(client: genai.Client) -> None:
    def weather(city: str) -> str:
        """Weather of a city."""
        return f"sunny in {city}"

    config = types.GenerateContentConfig(tools=[weather])
    answer = client.models.generate_content(model="tools", contents="Weather?", config=config)
    assert answer.text == "The tool says: sunny in Paris"


def test_json_by_schema(client: genai.Client, provider: Scripted) -> None:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Verdict)
    answer = client.models.generate_content(model="json", contents="?", config=config)
    assert answer.parsed == Verdict(**json.loads(JSON_ANSWER))
    wanted = provider.asked[-1]["response_format"]["json_schema"]
    assert wanted["name"]
    assert wanted["schema"]["type"] == "object"
    assert wanted["schema"]["properties"]["ok"]["type"] == "boolean"


def test_an_image(client: genai.Client, provider: Scripted) -> None:
    parts = [types.Part.from_text(text="What is it?"), types.Part.from_bytes(data=PNG, mime_type="image/png")]
    assert client.models.generate_content(model="say", contents=parts).text == ANSWER
    said = provider.asked[-1]["messages"][-1]["content"]
    assert said[1]["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="


def test_models(client: genai.Client) -> None:
    names = {model.name for model in client.models.list()}
    assert names == {f"models/{name}" for name in MODELS}
    assert client.models.get(model="say").name == "models/say"
    with pytest.raises(errors.ClientError) as caught:
        client.models.get(model="nothing")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


def test_count(client: genai.Client) -> None:
    assert (client.models.count_tokens(model="say", contents="Capital of France?").total_tokens or 0) > 0


def test_errors_have_their_types(client: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as unknown:
        client.models.generate_content(model="nothing", contents="?")
    assert (unknown.value.code, unknown.value.status) == (404, "NOT_FOUND")
    with pytest.raises(errors.ClientError) as limited:
        client.models.generate_content(model="limited", contents="?")
    assert (limited.value.code, limited.value.status) == (429, "RESOURCE_EXHAUSTED")
    with pytest.raises(errors.ClientError) as wrong:
        client.models.generate_content(model="say", contents="?", config=types.GenerateContentConfig(temperature=7.0))
    assert (wrong.value.code, wrong.value.status) == (400, "INVALID_ARGUMENT")
    assert "generationConfig.temperature" in (wrong.value.message or "")


def test_a_cut_stream_is_an_error(client: genai.Client) -> None:
    with pytest.raises(errors.APIError):
        list(client.models.generate_content_stream(model="cut", contents="?"))


def test_a_wrong_key(gateway: Running) -> None:
    options = types.HttpOptions(base_url=gateway.url, timeout=int(PATIENCE_S * 1e3))
    with (
        genai.Client(api_key="of-somebody-else", vertexai=False, http_options=options) as client,
        pytest.raises(errors.ClientError) as caught,
    ):
        client.models.generate_content(model="say", contents="?")
    assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")
