"""Rows of tests/engine/test_configuration_has_effect.py for the response cache:
(key, one file, another file, what to look at, what it must be for each).
"""

from collections.abc import Awaitable, Callable
from typing import Any

from gateway import QUIET
from hoosh.core.asked import ChatRequest, Message, Sampling
from hoosh.core.cached import KeptAnswer
from hoosh.core.call import Call, Wishes
from hoosh.core.events import Finish, ToolDelta
from hoosh.policy.cache_key import is_keepable, tenant_of, why_not

Look = Callable[[Any], object | Awaitable[object]]
ON = f"{QUIET}[cache]\nenabled = true\n"


def caching(built: Any) -> Any:
    return built.gateway.engine.world.caching


def rule(name: str) -> Look:
    return lambda built: getattr(caching(built).rules, name)


def chat(temperature: float | None = None) -> ChatRequest:
    return ChatRequest(model="m", messages=(Message("user"),), sampling=Sampling(temperature=temperature))


def tenant(built: Any) -> object:
    call = Call(id="1", dialect="openai_chat", request=chat(), body=b"", wishes=Wishes(pool="team"))
    return tenant_of(caching(built).rules, call)


def sampled(built: Any) -> object:
    return why_not(chat(0.5), caching(built).rules, is_asked=False) == ""


def calls_tools(built: Any) -> object:
    return is_keepable((ToolDelta(0, "1", "f", "{}"), Finish("tool_calls")), caching(built).rules)


def room(built: Any) -> object:
    """How many answers of 1 kB are kept of three."""
    memory, rules = caching(built).cached.memory, caching(built).rules
    for n in range(3):
        who = {"tenant": "", "asked": "m", "provider": "p", "model": "m"}
        kept = KeptAnswer(key=b"%d" % n, **who, stored_s=0, expires_s=0, body=b"x" * 512)
        memory.put(kept, rules.max_bytes)
    return memory.standing.entries


def shared(built: Any) -> object:
    return type(caching(built).store).__name__


CACHE_ROWS: tuple[tuple[str, str, str, Look, object, object], ...] = (
    ("cache.enabled", QUIET, ON, lambda built: caching(built) is not None, False, True),
    ("cache.ttl_s", ON, ON + "ttl_s = 7\n", rule("ttl_s"), 300, 7),
    ("cache.max_bytes", ON, ON + "max_bytes = 2048\n", room, 3, 2),
    ("cache.max_entry_bytes", ON, ON + "max_entry_bytes = 1024\n", rule("max_entry_bytes"), 1 << 20, 1024),
    ("cache.scope", ON, ON + "scope = 'pool'\n", tenant, "key:anonymous", "pool:team"),
    ("cache.sampled", ON, ON + "sampled = true\n", sampled, False, True),
    ("cache.tool_calls", ON, ON + "tool_calls = true\n", calls_tools, False, True),
    ("cache.shared", ON, ON + "shared = 'store'\n", shared, "NoneType", "SQLiteAnswers"),
)
