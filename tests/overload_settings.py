"""What the settings of overload change, for engine/test_configuration_has_effect.py: who comes in, waits, is refused."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from gateway import QUIET
from hoosh.core.errors import Shed
from hoosh.core.plan import Target
from hoosh.policy.concurrency import MS

if TYPE_CHECKING:
    from hoosh.app import Gateway
    from hoosh.policy.gate import Gate

TARGET = Target("p", "m")
PROVIDER = f"{QUIET}[[providers]]\ntype = 'openai'\nname = 'p'\nbase_url = 'http://127.0.0.1:9/v1'\n"


def gate(gateway: "Gateway") -> "Gate[object]":
    return gateway.admission._gate(TARGET)  # type: ignore[return-value]


def limit_after(late_ms: int, rounds: int) -> "Callable[[Gateway], object]":
    """Of calls that answer within 100 ms and then later."""

    def look(gateway: "Gateway") -> object:
        concurrency, now_ns = gate(gateway).concurrency, 1
        for n in range(rounds):
            took_ns = (100 + late_ms * n) * MS
            for _ in range(concurrency.limit + 10):
                concurrency.answered("stream", now_ns, now_ns + took_ns, concurrency.limit)
            now_ns += took_ns
        return concurrency.limit

    return look


def keeps_thirty(gateway: "Gateway") -> object:
    return limit_after(900, 9)(gateway) in (30, 31)  # it may try one more


def enters(gateway: "Gateway") -> object:
    admission = gateway.engine.world.admission
    if admission is None:
        return "as it comes"
    held = AsyncExitStack()
    return sum(admission.enter(TARGET, 0, held) is not None for _ in range(200))


def presses(gateway: "Gateway") -> object:
    gateway.engine.running = 10
    try:
        gateway.engine.check_pressure()
    except Shed as error:
        return error.reason
    return ""


def room(gateway: "Gateway") -> object:
    return gate(gateway).rules.room(100)


def max_wait_s(gateway: "Gateway") -> object:
    return gate(gateway).rules.max_wait_ns / 1e9


def overload(line: str) -> str:
    return f"{PROVIDER}[overload]\n{line}\n"


ADAPTIVE = overload("adaptive = true")
OVERLOAD_ROWS: tuple[tuple[str, str, str, "Callable[[Gateway], object]", object, object], ...] = (
    ("providers.max_concurrency", PROVIDER, f"{PROVIDER}max_concurrency = 3\n", enters, 200, 3),
    ("overload.enabled", PROVIDER, overload("enabled = false"), enters, 200, "as it comes"),
    ("overload.max_calls", PROVIDER, overload("max_calls = 10"), presses, "", "calls"),
    ("overload.queue", PROVIDER, overload("queue = 2"), room, 50, 200),
    ("overload.max_wait_s", PROVIDER, overload("max_wait_s = 3"), max_wait_s, 10, 3),
    ("overload.adaptive", PROVIDER, overload("adaptive = true"), limit_after(900, 9), 10_000, 4),
    ("overload.min_concurrency", ADAPTIVE, f"{ADAPTIVE}min_concurrency = 30\n", keeps_thirty, False, True),
    ("overload.max_concurrency", PROVIDER, overload("max_concurrency = 300"), limit_after(0, 9), 10_000, 300),
)
