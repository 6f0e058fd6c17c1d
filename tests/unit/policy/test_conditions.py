"""The conditions of routes: each holds and fails, and costs nothing where nobody asks."""

from collections.abc import Mapping

import pytest

from hoosh.core.asked import (
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolResult,
)
from hoosh.core.call import Wishes
from hoosh.core.principal import Principal
from hoosh.core.routing import Need, Route, When
from hoosh.policy.decide import Ask, pick, unmet
from hoosh.policy.needs import needs_of
from hoosh.policy.session import session_of


class Facts:
    """core.routing.Facts that count how often they are asked."""

    def __init__(self, tokens: int = 100, percent: int = 50, needs: frozenset[Need] = frozenset()) -> None:
        self._tokens = tokens
        self._percent = percent
        self._needs = needs
        self.asked = 0

    def input_tokens(self) -> int:
        self.asked += 1
        return self._tokens

    def budget_percent(self) -> int:
        self.asked += 1
        return self._percent

    def needs(self) -> frozenset[Need]:
        self.asked += 1
        return self._needs


ASK = Ask(
    model="m",
    operation="chat",
    stream=True,
    principal=Principal("batch-1", pool="team"),
    wishes=Wishes(agent="tarang", tags=("eu", "gold")),
)


@pytest.mark.parametrize(
    ("holds", "fails", "what"),
    [
        ({"keys": ("x", "batch-*")}, {"keys": ("batch",)}, "key"),
        ({"pools": ("te?m",)}, {"pools": ("default",)}, "pool"),
        ({"agents": ("tarang",)}, {"agents": ("daimon",)}, "agent"),
        ({"tags": ("gold",)}, {"tags": ("gold", "us")}, "tags"),
        ({"operations": ("embed", "chat")}, {"operations": ("embed",)}, "operation"),
        ({"local_only": False}, {"local_only": True}, "local_only"),
        ({"stream": True}, {"stream": False}, "stream"),
        ({"needs": ("tools",)}, {"needs": ("tools", "images")}, "needs"),
        ({"input_tokens_from": 100}, {"input_tokens_from": 101}, "input_tokens"),
        ({"input_tokens_below": 101}, {"input_tokens_below": 100}, "input_tokens"),
        ({"budget_percent_from": 50}, {"budget_percent_from": 51}, "budget_percent"),
        ({"budget_percent_below": 51}, {"budget_percent_below": 50}, "budget_percent"),
    ],
)
def test_each_condition_holds_or_is_named(holds: Mapping[str, object], fails: Mapping[str, object], what: str) -> None:
    facts = Facts(needs=frozenset({"tools"}))
    assert unmet(When(**holds), ASK, facts) == ""  # type: ignore[arg-type]
    assert unmet(When(**fails), ASK, facts) == what  # type: ignore[arg-type]


def test_all_must_hold_and_what_nobody_asks_is_not_found_out() -> None:
    facts = Facts()
    assert unmet(When(keys=("batch-*",), tags=("us",), budget_percent_from=1), ASK, facts) == "tags"
    assert unmet(When(), ASK, facts) == ""
    assert facts.asked == 0


def test_the_first_route_that_fits_is_taken_and_those_before_it_are_told() -> None:
    routes = [Route(name="a", when=When(tags=("us",))), Route(name="b", when=When(stream=True)), Route(name="c")]
    route, passed = pick(routes, ASK, Facts())
    assert (route.name, passed) == ("b", (("a", "tags"),))


def test_what_a_request_needs() -> None:
    picture = Message("user", (ImagePart(url="http://x/y.png"),))
    shown = Message("tool", (ToolResult("1", (ImagePart(data="QQ=="), FilePart(data="QQ=="))),))
    request = ChatRequest(
        model="m",
        messages=(picture, shown),
        tools=(Tool("f"),),
        response_format=ResponseFormat("json_schema"),
        sampling=Sampling(logprobs=True),
        effort="low",
        n=2,
    )
    assert needs_of(request) == {
        "tools",
        "images",
        "files",
        "json_schema",
        "logprobs",
        "reasoning",
        "several_answers",
    }
    assert needs_of(ChatRequest(model="m", messages=(Message("user", (TextPart("Hi"),)),))) == frozenset()


def test_a_session_is_what_the_client_says_else_its_cache_key_else_how_it_began() -> None:
    def asked(*texts: str, extra: tuple[tuple[str, bytes], ...] = ()) -> ChatRequest:
        messages = tuple(
            Message("user" if n % 2 else "assistant", (TextPart(text),)) for n, text in enumerate(texts, 1)
        )
        return ChatRequest(model="m", messages=messages, extra=extra)

    keyed = asked("Hi", extra=(("prompt_cache_key", b'"k"'),))
    assert session_of("said", keyed, "session") == "said"
    assert session_of("said", keyed, "off") == ""
    assert session_of("", keyed, "session") == "k"
    assert session_of("", asked("Hi", extra=(("prompt_cache_key", b"7"),)), "session") == ""
    assert session_of("", asked("Hi"), "session") == ""
    first, later, other = asked("Hi"), asked("Hi", "Hello", "More"), asked("Ho")
    assert session_of("", first, "prefix") == session_of("", later, "prefix") != session_of("", other, "prefix")
