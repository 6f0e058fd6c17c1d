"""`hoosh keys`: keys are made, listed, rotated and revoked in the store, whether gateways run or not.

A new secret is the only thing on standard output, so that a script can take it.
"""

import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from hoosh.cli.terminal import AsJSON, ConfigPath, print_json, read_config, write
from hoosh.transport.loop import run

if TYPE_CHECKING:
    from hoosh.core.stored_key import KeyTerms
    from hoosh.engine.key_office import KeyOffice, MadeKey

T = TypeVar("T")
Key = Annotated[str, Parameter(help="The key's id, or its name.")]
Names = tuple[str, ...]

keys_cli = App(name="keys", help="Make, list, rotate and revoke keys, while gateways run.")


@Parameter(name="*")
@dataclass(frozen=True)
class Scope:
    """What a key may do."""

    pool: Annotated[str, Parameter(help="Budget that its calls are charged to.")] = "default"
    owner: Annotated[str, Parameter(help="Whose it is, for reports.")] = ""
    agents: Annotated[Names, Parameter(name="--agent", negative=(), help="Name it may go by; again for more.")] = ()
    models: Annotated[Names, Parameter(negative=(), help="Glob of models it may use; again for more.")] = ()
    pools: Annotated[Names, Parameter(negative=(), help="Glob of other budgets it may charge; again for more.")] = ()
    routes: Annotated[Names, Parameter(negative=(), help="Endpoint it may use, as chat; again for more.")] = ()
    admin: Annotated[bool, Parameter(negative=(), help="It may administer, on the admin listener.")] = False
    expires: Annotated[str, Parameter(help="When it ends: 30d, or 2027-01-31.")] = ""


@Parameter(name="*")
@dataclass(frozen=True)
class Bounds:
    """How much of it."""

    tokens: Annotated[int | None, Parameter(help="Tokens that it may use, in each --period.")] = None
    usd: Annotated[str, Parameter(help="US dollars that it may spend, in each --period.")] = ""
    period: Annotated[
        Literal["none", "hour", "day", "week", "month"], Parameter(help="After which --tokens and --usd begin anew.")
    ] = "none"
    rpm: Annotated[int | None, Parameter(help="Requests per minute.")] = None
    tpm: Annotated[int | None, Parameter(help="Tokens per minute.")] = None
    concurrency: Annotated[int | None, Parameter(help="Calls at once.")] = None


EVERYTHING = Scope()
UNBOUND = Bounds()


@keys_cli.command
def create(
    *,
    name: Annotated[str, Parameter(help="What it is called; no two living keys share a name.")],
    scope: Scope = EVERYTHING,
    bounds: Bounds = UNBOUND,
    config: ConfigPath = None,
    as_json: AsJSON = False,
) -> None:
    """Make a key and print its secret, this once."""
    terms = _terms(name, scope, bounds)
    _tell(_work(config, lambda office: office.create(terms)), as_json=as_json)


@keys_cli.command(name="list")
def list_(*, config: ConfigPath = None, as_json: AsJSON = False) -> None:
    """List the keys of the store, without those of hoosh.toml."""
    from hoosh.engine.key_office import described  # noqa: PLC0415

    now_s = _now_s()
    keys = _work(config, lambda office: office.all())
    if as_json:
        print_json([described(key, now_s) for key in keys])
        return
    table = Table("id", "name", "state", "pool", "models", "expires", box=None)
    for key in keys:
        terms = key.terms
        models = ", ".join(terms.models) or "all"
        table.add_row(key.id, terms.name, key.state(now_s), terms.pool, models, _date(terms.expires_s))
    Console().print(table if keys else "No keys in the store.")


@keys_cli.command
def show(key: Key, /, *, config: ConfigPath = None, as_json: AsJSON = False) -> None:
    """Show what a key may do. Its secret is nowhere kept."""
    from hoosh.engine.key_office import described  # noqa: PLC0415

    row = described(_work(config, lambda office: office.find(key)), _now_s())
    if as_json:
        print_json(row)
        return
    for name, value in row.items():
        if value or value is False:
            shown = ", ".join(map(str, value)) if isinstance(value, tuple | list) else value
            write(f"{name:20} {shown}\n")


@keys_cli.command
def rotate(
    key: Key,
    /,
    *,
    overlap: Annotated[str, Parameter(help="How long the old secret goes on working; 0 ends it now.")] = "24h",
    config: ConfigPath = None,
    as_json: AsJSON = False,
) -> None:
    """Give a key a new secret and print that, this once."""
    from hoosh.policy.key_terms import seconds  # noqa: PLC0415

    overlap_s = seconds(overlap, "overlap")
    _tell(_work(config, lambda office: office.rotate(key, overlap_s)), as_json=as_json)


@keys_cli.command
def revoke(key: Key, /, *, config: ConfigPath = None, as_json: AsJSON = False) -> None:
    """End a key for good: every gateway refuses it within a second."""
    from hoosh.engine.key_office import described  # noqa: PLC0415

    ended = _work(config, lambda office: office.revoke(key))
    if as_json:
        print_json(described(ended, _now_s()))
    else:
        write(f"revoked {ended.id} {ended.terms.name}\n")


def _terms(name: str, scope: Scope, bounds: Bounds) -> "KeyTerms":
    from hoosh.core.principal import KeyBudget, KeyLimits  # noqa: PLC0415
    from hoosh.core.stored_key import KeyTerms  # noqa: PLC0415
    from hoosh.policy.key_terms import expiry_s, usd_micros  # noqa: PLC0415

    micros = usd_micros(bounds.usd) if bounds.usd else None
    has_budget = bounds.tokens is not None or micros is not None or bounds.period != "none"
    return KeyTerms(
        name=name,
        pool=scope.pool,
        owner=scope.owner,
        agents=scope.agents,
        models=scope.models,
        pools=scope.pools,
        routes=scope.routes,
        admin=scope.admin,
        expires_s=expiry_s(scope.expires, _now_s()) if scope.expires else None,
        limits=KeyLimits(bounds.rpm, bounds.tpm, bounds.concurrency),
        budget=KeyBudget(bounds.tokens, micros, bounds.period) if has_budget else None,
    )


def _tell(made: "MadeKey", *, as_json: bool) -> None:
    from hoosh.engine.key_office import described  # noqa: PLC0415

    if as_json:
        print_json({**described(made.key, _now_s()), "secret": made.secret})
        return
    sys.stderr.write(f"key {made.key.id} ({made.key.terms.name}); its secret is shown this once:\n")
    write(f"{made.secret}\n")


def _work(config: Path | None, work: Callable[["KeyOffice"], Awaitable[T]]) -> T:
    """Raises HooshError."""
    from hoosh.app.clock import SystemClock  # noqa: PLC0415
    from hoosh.app.keys import lasting_room  # noqa: PLC0415
    from hoosh.local.store import default_root  # noqa: PLC0415
    from hoosh.providers.registry import known_types  # noqa: PLC0415

    loaded, _ = read_config(config, os.environ, known_types())
    room = lasting_room(loaded, default_root(os.environ).parent, SystemClock())

    async def main() -> T:
        try:
            return await work(room.office)
        finally:
            await room.close()

    return run(main)


def _now_s() -> int:
    from hoosh.app.clock import SystemClock  # noqa: PLC0415

    return SystemClock().unix_s()


def _date(at_s: int | None) -> str:
    import datetime as dt  # noqa: PLC0415

    return "never" if at_s is None else dt.datetime.fromtimestamp(at_s, dt.UTC).strftime("%Y-%m-%d")
