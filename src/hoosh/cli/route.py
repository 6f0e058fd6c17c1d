"""`hoosh route explain`: where a call would go, and why, by the code that dispatches calls."""

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from hoosh.app import Gateway, known_types
from hoosh.app.asking import page
from hoosh.cli.remote import HERE, Remote
from hoosh.cli.terminal import AsJSON, ConfigPath, print_json, read_config, write
from hoosh.core.errors import HooshError
from hoosh.telemetry.log import QuietJournal
from hoosh.transport.loop import run

if TYPE_CHECKING:
    from hoosh.config.schema import Config
    from hoosh.dialects import JSON

route_cli = App(name="route", help="Say where a call would go, and why.")


@Parameter(name="*")
@dataclass(frozen=True)
class Taken:
    """What is taken to be true of the call."""

    tag: Annotated[list[str] | None, Parameter(help="A word of x-hoosh-tags.", negative=())] = None
    session: Annotated[str | None, Parameter(help="What its session is called.")] = None
    input_tokens: Annotated[int | None, Parameter(help="How long its prompt is.")] = None
    budget_used_percent: Annotated[int | None, Parameter(help="How much of its budget is used.")] = None

    def query(self) -> str:
        given = {
            "tags": ",".join(self.tag) if self.tag else None,
            "session": self.session,
            "input_tokens": self.input_tokens,
            "budget_used_percent": self.budget_used_percent,
        }
        return urlencode({name: value for name, value in given.items() if value is not None})


AS_IT_IS = Taken()


@route_cli.command
def explain(
    model: str,
    *,
    prompt: Annotated[str, Parameter(help="What is asked.")] = "Hello",
    taken: Taken = AS_IT_IS,
    remote: Remote = HERE,
    as_json: AsJSON = False,
    config: ConfigPath = None,
) -> None:
    """Say where a chat with MODEL would go. Without --server nothing is known of how providers fare."""
    path = f"/v1/route/explain?{taken.query()}".rstrip("?")
    asked = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    if client := remote.client():
        told = client.post(path, asked)
    else:
        loaded, _ = read_config(config, os.environ, known_types())
        told = run(lambda: _explain(loaded, path, asked))
    if as_json:
        print_json(told)
    else:
        _tell(told)


async def _explain(config: "Config", path: str, asked: object) -> "JSON":
    gateway = Gateway(config, os.environ, QuietJournal())
    try:
        await gateway.open()
        headers = {b"content-type": b"application/json"}
        told: JSON = json.loads(await page(gateway, path, json.dumps(asked).encode(), headers))
    finally:
        await gateway.close()
    if "error" in told:
        raise HooshError(told["error"]["message"])
    return told


def _tell(told: "JSON") -> None:
    write(f"model {told['model']}: route {told['route']}, strategy {told['strategy']}")
    write(f", session {told['session']}\n" if told["session"] else "\n")
    for passed in told["routes_passed"]:
        write(f"  route {passed['route']} does not apply: {passed['failed']}\n")
    table = Table("", "provider", "model", "tier", "first token", "in flight", "price", "", box=None)
    for one in told["candidates"]:
        first_ms, price = one["first_token_ms"], one["price_micro_usd"]
        table.add_row(
            str(one["place"] or "-"),
            one["provider"],
            one["model"],
            str(one["tier"]),
            "-" if first_ms is None else f"{first_ms} ms",
            str(one["in_flight"]),
            "unknown" if price is None else f"{price} micro-USD",
            one["skipped"] or ("local" if one["local"] else ""),
        )
    Console().print(table)
    budget = told["budget"]
    if budget["has_limit"]:
        write(f"budget {', '.join(budget['pools'])}: {budget['percent_used']} % used; ")
        write(f"{budget['tokens_held']} tokens would be held\n")
