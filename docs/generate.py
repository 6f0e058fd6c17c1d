# ruff: noqa: INP001 - a script
"""Writes those pages of docs/ that follow from the code. Run by `make docs`; a test fails while one is old."""

import importlib
import importlib.util
import runpy
import sys
from pathlib import Path

from hoosh.config.reference import describe, json_schema
from hoosh.core.features import FEATURES, REPLY_FEATURES
from hoosh.engine.backend import tongues_of
from hoosh.providers import Provider
from hoosh.providers.registry import PROVIDERS

FAULTS = Path(__file__).parent.parent / "tests" / "fault" / "table.py"
_HEAD = """\
# Providers

What `type` of `[[providers]]` may say ([config.md](config.md)). A local provider is found at its address without any
configuration, a remote one when its key is in the environment. Any other server that speaks one of these dialects is
configured with the `type` that speaks it and a `base_url` of its own, for instance:

```toml
[[providers]]
type = "openai"
name = "office"
base_url = "https://llm.example.com/v1"
api_key = "$OFFICE_KEY"
```

| type | provider | dialect | can | default address | key from | models known to be its |
|---|---|---|---|---|---|---|
"""
_FOOT = """
A model is asked for by its own name, or as `provider/model` to say where. "local" means that at its default address no
data leaves the machine. Adding a provider is one file of about 15 lines: [CONTRIBUTING.md](../CONTRIBUTING.md).
"""


def _row(provider: Provider) -> str:
    names = ", ".join(f"`{name}`" for name in (provider.name, *provider.aliases))
    title = f"[{provider.title}]({provider.docs})" + (" (local)" if provider.local else "")
    key = " or ".join(f"`{name}`" for name in provider.env) or ("`api_key`" if provider.needs_key else "none needed")
    serves = ", ".join(f"`{glob}`" for glob in provider.serves)
    can = ", ".join(dict.fromkeys(tongue.dialect.operation for tongue in tongues_of(provider)))
    address = f"`{provider.base_url}`" if provider.base_url else "`base_url`"
    return f"| {names} | {title} | {provider.dialect.name} | {can} | {address} | {key} | {serves} |\n"


_FIDELITY = """\
# Fidelity

What each dialect has a word for. Between a client and a provider of the same dialect the bytes pass through, and
nothing is lost. Between two dialects, what both can say arrives; a request's field that the provider's dialect cannot
say is named in the header `x-hoosh-dropped` of the reply, as are fields of the client's own (`extra.NAME`).

{head}
{rule}
"""


def _fidelity() -> str:
    """A row for each feature, a column for each dialect of chat that has a package of its own."""
    spoken = [tongue.dialect for kind in PROVIDERS for tongue in tongues_of(kind)]
    names = sorted({dialect.name for dialect in spoken if dialect.operation == "chat"})
    names = [name for name in names if importlib.util.find_spec(f"hoosh.dialects.{name}")]
    losses = {name: importlib.import_module(f"hoosh.dialects.{name}").LOSSES for name in names}
    page = _FIDELITY.format(head=f"| | {' | '.join(names)} |", rule=f"|---|{'---|' * len(names)}")
    for word, meaning in {**FEATURES, **REPLY_FEATURES}.items():
        cells = ("" if word in losses[name] else "yes" for name in names)
        page += f"| `{word}`: {meaning} | {' | '.join(cells)} |\n"
    return page


def pages() -> dict[str, str]:
    """File name in docs/ to its whole text."""
    return {
        "providers.md": _HEAD + "".join(_row(provider) for provider in PROVIDERS) + _FOOT,
        "fidelity.md": _fidelity(),
        "config.md": describe(),
        "hoosh.schema.json": json_schema().decode(),
        "reliability.md": runpy.run_path(str(FAULTS))["page"](),
    }


if __name__ == "__main__":
    for name, text in pages().items():
        Path(__file__).with_name(name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"docs/{name}\n")
