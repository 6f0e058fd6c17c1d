"""What the settings of rate limits change, for engine/test_configuration_has_effect.py: two pass where three would."""

from typing import TypeAlias

from gateway import QUIET
from hoosh.app import Gateway
from hoosh.core.limit import Refusal

TOKEN = "a-token-of-good-length"
KEY = f"{QUIET}[[keys]]\nname = 'laptop'\ntoken = '{TOKEN}'\n"
PROVIDER = f"{QUIET}[[providers]]\ntype = 'openai'\nname = 'p'\nbase_url = 'http://127.0.0.1:9/v1'\n"
# Where calls wait for a provider that is full, its limiter does not refuse them.
ALONE = f"[overload]\nenabled = false\n{PROVIDER}"
POOL = f"{QUIET}[[budgets]]\nname = 'default'\n"
PARENT = f"{POOL}parent = 'all'\n[[budgets]]\nname = 'all'\n"
AGENT = f"{QUIET}[[budgets]]\nname = 'small'\nagent = 'tarang'\n"
MODEL = f"{PROVIDER}[[limits]]\nmodel = 'm*'\n"
TWO_AT_ONCE = f"{MODEL}concurrency = 2\n"
# Of a minute's requests a tenth may come at once to a provider.
UPSTREAM_RPM = 20


def refused(gateway: Gateway) -> object:
    """Of which resource the third of three calls gets none, that hold 2000 tokens each."""
    limits, limiting = gateway.limits, gateway.engine.limits
    found = limiting.of_caller(gateway.keys.identify(TOKEN), "", "tarang")
    if (backend := gateway.catalog.backends.get("p")) is not None:
        found += limiting._of_target(backend, "m")
    answers = [limits.take(found, 2000) for _ in range(3)]
    return [answer.gauge.resource for answer in answers if isinstance(answer, Refusal)]


Cells: TypeAlias = tuple[str, str, str, list[str], list[str]]


def _three(section: str, before: str, words: tuple[str, str, str], rpm: int = 2, base: str = "") -> tuple[Cells, ...]:
    values = ((rpm, "requests"), (5000, "tokens"), (2, "calls"))
    return tuple(
        (f"{section}.{word}", base or before, f"{before}{word} = {value}\n", [], [resource])
        for word, (value, resource) in zip(words, values, strict=True)
    )


WORDS = ("rpm", "tpm", "concurrency")
# (key, one file, another, what is refused under each)
LIMIT_ROWS: tuple[Cells, ...] = (
    *_three("keys", KEY, WORDS),
    *_three("budgets", POOL, WORDS),
    *_three("budgets", PARENT, WORDS),
    *_three("budgets", AGENT, WORDS),
    *_three("providers", ALONE, ("rate_limit_rpm", "rate_limit_tpm", "max_concurrency"), UPSTREAM_RPM),
    *_three("limits", MODEL, WORDS, UPSTREAM_RPM, base=PROVIDER),
    ("limits.model", TWO_AT_ONCE, TWO_AT_ONCE.replace("'m*'", "'n*'"), ["calls"], []),
    ("limits.provider", TWO_AT_ONCE, f"{TWO_AT_ONCE}provider = 'q'\n", ["calls"], []),
    ("limits.provider", TWO_AT_ONCE, f"{TWO_AT_ONCE}provider = 'p'\n", ["calls"], ["calls"]),
)
